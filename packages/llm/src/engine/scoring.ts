/** Work that looks at every position of a text, or at the last: logits, log-probabilities, states for embeddings. */

import { logSumExp } from "./sampling/log-probabilities.ts";
import type { Work } from "./scheduler.ts";

/** Calls `each` with the rows of the positions from `first` on, in order; `done` settles after the last one. */
export class RowsWork implements Work {
  readonly tokens: readonly number[];
  readonly done: Promise<void>;
  firstOutput: number;
  finished = false;
  readonly #each: (row: Float32Array, position: number) => void;
  readonly #settle: PromiseWithResolvers<void> = Promise.withResolvers<void>();

  constructor(tokens: readonly number[], first: number, each: (row: Float32Array, position: number) => void) {
    this.tokens = tokens;
    this.firstOutput = first;
    this.done = this.#settle.promise;
    this.#each = each;
  }

  accept(row: Float32Array, position: number): void {
    this.#each(row, position);
    this.firstOutput = position + 1;
    if (this.firstOutput < this.tokens.length) return;
    this.finished = true;
    this.#settle.resolve();
  }

  fail(error: unknown): void {
    this.finished = true;
    this.#settle.reject(error);
  }
}

/** The logits of the positions from `first` on, row after row. */
export async function collectRows(
  start: (work: Work) => void,
  tokens: readonly number[],
  first: number,
  rowSize: number,
): Promise<Float32Array<ArrayBuffer>> {
  const rows = new Float32Array((tokens.length - first) * rowSize);
  const work = new RowsWork(tokens, first, (row, position) => rows.set(row, (position - first) * rowSize));
  start(work);
  await work.done;
  return rows;
}

/** The natural logarithm of the probability of every token but the first, given those before it. */
export async function scoreTokens(start: (work: Work) => void, tokens: readonly number[]): Promise<Float64Array> {
  const scores = new Float64Array(Math.max(0, tokens.length - 1));
  // The row of the last token predicts one that is not there.
  const work = new RowsWork(tokens.slice(0, -1), 0, (row, position) => {
    scores[position] = (row[tokens[position + 1] as number] as number) - logSumExp(row);
  });
  if (scores.length === 0) return scores;
  start(work);
  await work.done;
  return scores;
}
