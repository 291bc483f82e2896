/**
 * Register tiles of matrix products, the same source for every target: rows × vectors of accumulators.
 *
 * Per step along k a tile loads `vectors` vectors of B, broadcasts `rows` elements of A and does rows · vectors
 * multiply-adds. Sizes are the target's (CPU: vector registers, WGSL: vec4); where A and B lie is the caller's.
 */

import type { Dim } from "../dim.ts";
import type { IndexArg, KernelBuilder } from "../kernel/builder.ts";
import { type Buffer, type KValue, type Local, vectorType } from "../kernel/ir.ts";

export interface TileShape {
  readonly rows: number;
  readonly vectors: number;
  readonly lanes: number;
  /** Columns: vectors · lanes. */
  readonly columns: number;
}

/** Multiply-adds per step from which a loop's own instructions hide behind them; smaller tiles are unrolled. */
const LARGE_TILE = 10;
const UNROLL = 4;

/** rows · vectors accumulators, zero. */
export function newAccumulators(k: KernelBuilder, tile: TileShape): Local[][] {
  return Array.from({ length: tile.rows }, (_, row) =>
    Array.from({ length: tile.vectors }, (_, v) => k.local(`c${row}_${v}`, vectorType("f32", tile.lanes), 0)),
  );
}

/** Where the operands of a tile lie. */
export interface TileOperands {
  readonly a: Buffer;
  /** Element `at` of row `row` of the tile. */
  aIndex(row: number, at: KValue): KValue;
  readonly b: Buffer;
  /** First element of vector `vector` of step `at`, or one index per lane. */
  bIndex(vector: number, at: KValue): KValue;
  /** Lanes of B that exist, per vector. */
  readonly masks?: readonly (KValue | undefined)[];
}

/** Adds `count` steps along k. */
export function addTileProducts(
  k: KernelBuilder,
  acc: readonly (readonly Local[])[],
  tile: TileShape,
  count: IndexArg,
  operands: TileOperands,
): void {
  const { a, b, masks } = operands;
  const step = (at: KValue): void => {
    const columns = Array.from({ length: tile.vectors }, (_, v) =>
      k.load(b, operands.bIndex(v, at), { lanes: tile.lanes, mask: masks?.[v] }),
    );
    acc.forEach((row, r) => {
      const element = k.broadcast(k.load(a, operands.aIndex(r, at)), tile.lanes);
      row.forEach((sum, v) => k.assign(sum, k.fma(element, columns[v] as KValue, k.read(sum))));
    });
  };
  const large = tile.rows * tile.vectors >= LARGE_TILE;
  if (typeof count !== "number" || (large && count > 1)) return k.for({ end: count }, step);
  const whole = count - (count % UNROLL);
  if (whole > 0) {
    k.for({ end: whole, step: UNROLL }, (at) => {
      for (let u = 0; u < UNROLL; u++) step(k.add(at, u));
    });
  }
  for (let at = whole; at < count; at++) step(k.index(at));
}

/** Masks of the vectors of a tile that may reach beyond column n; `undefined` where none can. */
export function tileColumnMasks(
  k: KernelBuilder,
  n: Dim,
  tile: TileShape,
  firstColumn: KValue,
): readonly (KValue | undefined)[] {
  const exact = typeof n === "number" && n % tile.columns === 0;
  return Array.from({ length: tile.vectors }, (_, v) => {
    if (exact) return undefined;
    return k.lt(k.iota(k.add(firstColumn, v * tile.lanes), tile.lanes), k.broadcast(k.index(n), tile.lanes));
  });
}
