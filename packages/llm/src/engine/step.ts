/**
 * One step of a model: some tokens of some sequences, in one run of the graph. The seam between the scheduler, which knows
 * sequences and pages, and whatever computes: an executable on a device, or a fake in tests.
 */

import type { PageCopy } from "./kv-pages.ts";

/** Tokens per run. A run is one block of queries for the attention kernel. */
export const RUN_LENGTH = 32;

/** Consecutive tokens of one sequence in a step. */
export interface StepPart {
  /** Ids of the whole sequence. */
  readonly tokens: readonly number[];
  /** The first position of this step, and how many follow from there. */
  readonly start: number;
  readonly count: number;
  /** Block table; covers `start + count` tokens. */
  readonly pages: readonly number[];
  /** The first position whose output is wanted; all later ones of this part are too. */
  readonly firstOutput: number;
}

/** The inputs of a step graph. T tokens, R runs, S sequences, P pages per sequence, O outputs. */
export interface StepBatch {
  /** Pages to copy before anything else, in this order. */
  readonly copies: readonly PageCopy[];
  /** [T] */
  readonly tokens: Int32Array;
  /** [T] position of each token in its sequence. */
  readonly positions: Int32Array;
  /** [R, 4]: first token, count, row of `pages`, first position. Rows of count 0 at the end are padding. */
  readonly runs: Int32Array;
  /** [S, P] block tables; entries that are not used are 0. */
  readonly pages: Int32Array;
  readonly pagesPerSequence: number;
  /** [O] rows among the tokens whose outputs are wanted; at least one, so that no size is zero. */
  readonly outputs: Int32Array;
}

/** Computes steps, one at a time. */
export interface StepRunner {
  /** Elements of an output row: the vocabulary for logits, the width of the model for hidden states. */
  readonly rowSize: number;
  /** Bytes of the cache of keys and values. */
  readonly cacheBytes: number;
  /** The rows of `batch.outputs`, one after another. They are valid until the next run. Must not block the event loop. */
  run(batch: StepBatch): Promise<Float32Array>;
  dispose(): void;
}

export function outputsOf({ start, count, firstOutput }: StepPart): number {
  return Math.max(0, start + count - Math.max(start, firstOutput));
}

/**
 * The step that computes `parts`. Numbers of runs and sequences are padded to powers of two, and all tables have room for
 * `pagesPerSequence`, so that a device meets few distinct sizes: each costs it a little work the first time.
 */
export function buildStep(
  parts: readonly StepPart[],
  copies: readonly PageCopy[],
  pagesPerSequence: number,
): StepBatch {
  const count = parts.reduce((sum, part) => sum + part.count, 0);
  const runCount = parts.reduce((sum, part) => sum + Math.ceil(part.count / RUN_LENGTH), 0);
  const outputCount = parts.reduce((sum, part) => sum + outputsOf(part), 0);
  const tokens = new Int32Array(count);
  const positions = new Int32Array(count);
  const runs = new Int32Array(4 * powerOfTwo(runCount));
  const pages = new Int32Array(powerOfTwo(parts.length) * pagesPerSequence);
  const outputs = new Int32Array(Math.max(1, outputCount));
  let [token, run, output] = [0, 0, 0];
  parts.forEach((part, sequence) => {
    pages.set(part.pages, sequence * pagesPerSequence);
    for (let done = 0; done < part.count; done += RUN_LENGTH) {
      const length = Math.min(RUN_LENGTH, part.count - done);
      runs.set([token + done, length, sequence, part.start + done], 4 * run++);
    }
    for (let position = part.start; position < part.start + part.count; position++) {
      tokens[token] = part.tokens[position] as number;
      positions[token] = position;
      if (position >= part.firstOutput) outputs[output++] = token;
      token++;
    }
  });
  for (; run < runs.length / 4; run++) runs[4 * run] = count;
  return { copies, tokens, positions, runs, pages, pagesPerSequence, outputs };
}

function powerOfTwo(count: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, count)));
}
