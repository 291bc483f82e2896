/**
 * The rows of a task, (token, query head), and how they meet a page: what the f32 tiles and the matrix unit have in common.
 */

import { type Buffer, type KValue, vectorType } from "@quern/core";
import type { AttentionKernel, CachePage } from "./layout.ts";
import { LOWEST, type RowState, type Visible, weighScores } from "./softmax.ts";
import type { ScoreTile } from "./softmax.ts";

/** A way to compute a block of rows. */
export interface BlockMethod {
  /** Rows come in tiles of so many; those that do not exist are zeros. */
  readonly tileRows: number;
  /** Most tokens at a time. */
  readonly tokens: number;
  /** Brings rows to scratch, scaled; `at` is the place of a row in q. Rows from `rows` to `padded` become zeros. */
  queries(at: (row: KValue) => KValue, rows: KValue, padded: KValue): void;
  /**
   * Prepares a page, of which the block sees the tokens `view.from`..`view.to` - 1; what it returns adds the page to the
   * tile of rows from `firstRow` on. `at` finds the page, or one so many pages ahead.
   */
  page(at: (ahead: number) => CachePage, view: PageView): (firstRow: KValue) => void;
}

/** Part of a page that a block sees. */
export interface PageView {
  /** The token of the block's first row, relative to the page. */
  readonly own: KValue;
  readonly from: KValue;
  readonly to: KValue;
}

/** Results and state of the rows of a block, in scratch. */
export interface BlockMemory extends RowState {
  /** Elements of a row of results. */
  readonly paddedHead: number;
  /** [rows][padded head], not yet divided by the sums of weights. */
  readonly results: Buffer;
}

/** Memory for blocks of `rows` rows in tiles of at most `tileRows`. */
export function blockMemory(
  { k, problem: { head } }: AttentionKernel,
  lanes: number,
  rows: number,
  tileRows: number,
  headQuantum: number,
): BlockMemory {
  const paddedHead = Math.ceil(head / headQuantum) * headQuantum;
  const padded = Math.ceil(tileRows / lanes) * lanes;
  return {
    lanes,
    paddedHead,
    results: k.scratch("$results", "f32", rows * paddedHead),
    top: k.scratch("$top", "f32", rows),
    sums: k.scratch("$sums", "f32", rows * lanes),
    before: k.scratch("$before", "f32", padded),
    after: k.scratch("$after", "f32", padded),
    decay: k.scratch("$decay", "f32", padded),
  };
}

/** Rows that have seen nothing. */
export function clearRows({ k }: AttentionKernel, memory: BlockMemory, rows: KValue): void {
  const { lanes, results, paddedHead, top, sums, before, after } = memory;
  const zero = k.const(vectorType("f32", lanes), 0);
  k.for({ end: k.mul(rows, paddedHead), step: lanes }, (i) => k.store(results, i, zero));
  k.for({ end: rows }, (row) => {
    k.store(top, row, LOWEST);
    k.store(sums, k.mul(row, lanes), zero);
  });
  for (let r = 0; r < (before.size as number); r += lanes) {
    k.store(before, r, zero);
    k.store(after, r, zero);
  }
}

/**
 * Scores and weights of a tile of rows: `score` puts the scores of the tokens `from`..`to` - 1 into the tile. Returns the
 * tokens that any row of it sees.
 */
export function weighTile(
  { k, problem }: AttentionKernel,
  memory: BlockMemory,
  tile: ScoreTile,
  { own, from, to }: PageView,
  rows: number,
  firstRow: KValue,
  score: (from: KValue, to: KValue) => void,
): Pick<Visible, "from" | "to"> {
  const { pageSize, group, window } = problem;
  const last = (row: KValue): KValue => k.add(own, k.div(row, group));
  const [firstLast, lastLast] = [last(firstRow), last(k.add(firstRow, rows - 1))];
  const end = k.max(from, k.min(to, k.add(lastLast, 1)));
  score(from, end);
  let whole = k.and(k.eq(from, 0), k.and(k.eq(end, pageSize), k.ge(firstLast, pageSize - 1)));
  if (window > 0) whole = k.and(whole, k.lt(lastLast, window));
  k.if(
    whole,
    () => weighScores(k, memory, tile, firstRow, rows, undefined),
    () => weighScores(k, memory, tile, firstRow, rows, { from, to: end, last, window }),
  );
  return { from, to: end };
}
