/**
 * A model without weights: the cache holds token ids, and the logits of a position are a hash of all tokens up to there, read
 * back through the block table. A wrong page, a page written by two, a copy forgotten: all change what is generated.
 */
import { randomNumbers } from "@quern/core";
import type { StepBatch, StepRunner } from "./step.ts";

const EMPTY = -1;

export interface FakeOptions {
  readonly pages: number;
  readonly pageSize: number;
  readonly vocabularySize: number;
  /** Throws in this step, counted from 0. */
  readonly failAt?: number;
}

/** The logits after `tokens`. */
export function fakeLogits(tokens: ArrayLike<number>, vocabularySize: number): Float32Array {
  let hash = 17;
  for (let i = 0; i < tokens.length; i++) hash = (Math.imul(hash, 31) + (tokens[i] as number) + 1) | 0;
  const random = randomNumbers(hash);
  return Float32Array.from({ length: vocabularySize }, () => 8 * random() - 4);
}

/** What a greedy continuation of `prompt` must be. */
export function fakeContinuation(prompt: readonly number[], count: number, vocabularySize: number): number[] {
  const tokens = [...prompt];
  while (tokens.length < prompt.length + count) {
    const logits = fakeLogits(tokens, vocabularySize);
    tokens.push(logits.indexOf(Math.max(...logits)));
  }
  return tokens.slice(prompt.length);
}

export class FakeRunner implements StepRunner {
  readonly rowSize: number;
  readonly cacheBytes: number = 0;
  /** The batches that ran. */
  readonly batches: StepBatch[] = [];
  disposed = false;
  readonly #pageSize: number;
  readonly #cells: Int32Array;
  readonly #failAt: number | undefined;

  constructor({ pages, pageSize, vocabularySize, failAt }: FakeOptions) {
    this.rowSize = vocabularySize;
    this.#pageSize = pageSize;
    this.#cells = new Int32Array(pages * pageSize).fill(EMPTY);
    this.#failAt = failAt;
  }

  async run(batch: StepBatch): Promise<Float32Array> {
    await Promise.resolve();
    this.batches.push(batch);
    if (this.batches.length - 1 === this.#failAt) throw new Error("the device is on fire");
    for (const { from, to } of batch.copies)
      this.#cells.copyWithin(to * this.#pageSize, from * this.#pageSize, (from + 1) * this.#pageSize);
    const placeOf = this.#write(batch);
    const rows = new Float32Array(batch.outputs.length * this.rowSize);
    batch.outputs.forEach((token, row) => {
      const { sequence, position } = placeOf[token] as Place;
      const history = Array.from(
        { length: position + 1 },
        (_, p) => this.#cells[this.#cell(batch, sequence, p)] as number,
      );
      if (history.includes(EMPTY)) throw new Error("a position was read before it was written");
      rows.set(fakeLogits(history, this.rowSize), row * this.rowSize);
    });
    return rows;
  }

  dispose(): void {
    this.disposed = true;
  }

  /** Writes the tokens of the step where the runs say, and checks the runs. */
  #write(batch: StepBatch): Place[] {
    const places: Place[] = [];
    const written = new Set<number>();
    const { runs, tokens, positions } = batch;
    for (let run = 0; run < runs.length; run += 4) {
      const [first, count, sequence, firstPosition] = runs.subarray(run, run + 4) as unknown as [
        number,
        number,
        number,
        number,
      ];
      if (first !== places.length)
        throw new Error(`run ${run / 4} begins at ${first}, the one before ends at ${places.length}`);
      if (count > 32) throw new Error(`run ${run / 4} has ${count} tokens`);
      for (let i = 0; i < count; i++) {
        const position = firstPosition + i;
        if (positions[first + i] !== position) throw new Error(`token ${first + i} is not at position ${position}`);
        const cell = this.#cell(batch, sequence, position);
        if (written.has(cell)) throw new Error(`two tokens of one step at place ${cell}`);
        written.add(cell);
        this.#cells[cell] = tokens[first + i] as number;
        places.push({ sequence, position });
      }
    }
    if (places.length !== tokens.length) throw new Error(`runs cover ${places.length} of ${tokens.length} tokens`);
    return places;
  }

  #cell({ pages, pagesPerSequence }: StepBatch, sequence: number, position: number): number {
    const page = pages[sequence * pagesPerSequence + Math.floor(position / this.#pageSize)] as number;
    return page * this.#pageSize + (position % this.#pageSize);
  }
}

interface Place {
  readonly sequence: number;
  readonly position: number;
}
