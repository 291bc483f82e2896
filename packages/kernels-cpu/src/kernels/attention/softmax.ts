/**
 * The online softmax over pages: scores of a tile of rows become weights, and the running maximum and sum of each row
 * follow (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018).
 *
 * A row that has seen nothing has the maximum LOWEST, so that no difference of infinities arises. Sums stay vectors of
 * partial sums until the end.
 */

import { type Buffer, type KValue, type KernelBuilder, kernelMath } from "@quern/core";

/** Below every score: the maximum of a row that has seen no token. */
export const LOWEST = -3e38;

/** What a task knows of its rows from page to page, in scratch. */
export interface RowState {
  readonly lanes: number;
  /** Running maximum of each row of the block. */
  readonly top: Buffer;
  /** Running partial sums of each row of the block: [rows][lanes]. */
  readonly sums: Buffer;
  /** One element for each row of a tile, padded to a vector: maxima before and after this page, factors of old sums. */
  readonly before: Buffer;
  readonly after: Buffer;
  readonly decay: Buffer;
}

/** A tile of rows against a page. */
export interface ScoreTile {
  /** [rows of the tile][page size]. */
  readonly scores: Buffer;
  readonly pageSize: number;
  /** 0, or the cap of scores; these are then in units of it. */
  readonly softcap: number;
  /** Vectors of weights that are kept together. */
  readonly vectors: number;
  /** Takes the weights of row `row` of the tile from column `column` on. */
  keep(row: KValue, column: KValue, weights: readonly KValue[]): void;
}

/** The tokens of a page that a row may see: those at `last` or before, and `window` of them at most where there is one. */
export interface Visible {
  /** The first token and the one behind the last that any row of the tile sees, within the page. */
  readonly from: KValue;
  readonly to: KValue;
  /** The token of the row itself, relative to the page. */
  last(row: KValue): KValue;
  readonly window: number;
}

/**
 * Makes weights of the scores of `count` rows, from row `firstRow` of the block on, and prepares `decay`, which older sums
 * and results of the rows are to be multiplied with. Without `visible` the rows see the whole page.
 */
export function weighScores(
  k: KernelBuilder,
  rows: RowState,
  tile: ScoreTile,
  firstRow: KValue,
  count: number,
  visible: Visible | undefined,
): void {
  const { lanes } = rows;
  k.for({ end: count }, (r) => {
    const row = k.add(firstRow, r);
    const before = k.load(rows.top, row);
    const most =
      visible === undefined
        ? mostOfPage(k, lanes, tile, r)
        : mostOfVisible(k, lanes, tile, r, visible, visible.last(row));
    const after = k.max(before, k.horizontal("max", most));
    k.store(rows.before, r, before);
    k.store(rows.after, r, after);
    k.store(rows.top, row, after);
  });
  for (let r = 0; r < count; r += lanes) {
    const difference = k.sub(k.load(rows.before, r, { lanes }), k.load(rows.after, r, { lanes }));
    k.store(rows.decay, r, kernelMath.expNonPositive(k, difference));
  }
  const { scores, pageSize, vectors } = tile;
  k.for({ end: count }, (r) => {
    const after = k.broadcast(k.load(rows.after, r), lanes);
    const decay = k.broadcast(k.load(rows.decay, r), lanes);
    const sumAt = k.mul(k.add(firstRow, r), lanes);
    const weigh = (column: KValue): KValue => {
      const weights = Array.from({ length: vectors }, (_, v) => {
        const at = k.add(k.mul(r, pageSize), k.add(column, v * lanes));
        return kernelMath.expNonPositive(k, k.sub(k.load(scores, at, { lanes }), after));
      });
      tile.keep(r, column, weights);
      return weights.reduce((a, b) => k.add(a, b));
    };
    const old = k.mul(k.load(rows.sums, sumAt, { lanes }), decay);
    if (visible === undefined) {
      const sum = columnsOf(tile, vectors * lanes)
        .map((column) => weigh(k.index(column)))
        .reduce((a, b) => k.add(a, b));
      k.store(rows.sums, sumAt, k.add(old, sum));
    } else {
      const sum = k.local("sum", { dtype: "f32", lanes, rows: 1 }, old);
      visibleColumns(k, visible, vectors * lanes, (column) => k.assign(sum, k.add(k.read(sum), weigh(column))));
      k.store(rows.sums, sumAt, k.read(sum));
    }
  });
}

/** The largest scores of a row that sees the whole page, per lane; capped scores replace the others. */
function mostOfPage(k: KernelBuilder, lanes: number, { scores, pageSize, softcap }: ScoreTile, r: KValue): KValue {
  const at = k.mul(r, pageSize);
  return columnsOf({ pageSize }, lanes)
    .map((column) => {
      const score = k.load(scores, k.add(at, column), { lanes });
      if (softcap === 0) return score;
      const capped = cap(k, score, softcap);
      k.store(scores, k.add(at, column), capped);
      return capped;
    })
    .reduce((a, b) => k.max(a, b));
}

/** The same for a row whose own token is `last`; what it does not see becomes -∞, whatever it was. */
function mostOfVisible(
  k: KernelBuilder,
  lanes: number,
  { scores, pageSize, softcap, vectors }: ScoreTile,
  r: KValue,
  visible: Visible,
  last: KValue,
): KValue {
  const most = k.local("most", { dtype: "f32", lanes, rows: 1 }, LOWEST);
  visibleColumns(k, visible, vectors * lanes, (first) => {
    for (let v = 0; v < vectors; v++) {
      const column = k.add(first, v * lanes);
      const at = k.add(k.mul(r, pageSize), column);
      const token = k.iota(column, lanes);
      let seen = k.le(token, k.broadcast(last, lanes));
      if (visible.window > 0) seen = k.and(seen, k.gt(token, k.broadcast(k.sub(last, visible.window), lanes)));
      const score = k.select(seen, cap(k, k.load(scores, at, { lanes }), softcap), k.const("f32", -Infinity));
      k.store(scores, at, score);
      k.assign(most, k.max(score, k.read(most)));
    }
  });
  return k.read(most);
}

function columnsOf({ pageSize }: { readonly pageSize: number }, step: number): number[] {
  return Array.from({ length: pageSize / step }, (_, i) => i * step);
}

/** Columns in steps that hold a token which some row sees. */
function visibleColumns(k: KernelBuilder, { from, to }: Visible, step: number, body: (column: KValue) => void): void {
  k.for({ start: k.mul(k.div(from, step), step), end: to, step }, body);
}

function cap(k: KernelBuilder, score: KValue, softcap: number): KValue {
  return softcap === 0 ? score : k.mul(kernelMath.tanh(k, score), softcap);
}
