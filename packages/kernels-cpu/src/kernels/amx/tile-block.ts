/**
 * A block of the result in tile registers: `rows` × `columns` accumulators of 16 × 16 f32, fed one k-step (32 values)
 * at a time. Every kernel on the matrix unit has this inner loop.
 *
 * Eight tile registers hold four accumulators and four operands. A 2 × 2 block loads every operand tile of a step once:
 * 4 loads for 4 products in one term, 8 loads for 12 products in two (hi·lo, then hi·hi, then lo·hi: of three orders
 * that put both small terms in front of the large one none gets by with fewer than 10 loads, and the sum carries the
 * large terms of the steps before anyway). At 16 cycles per product and 8 (first-level cache) or 19 (second-level) per
 * load, both stay bound by the products with one operand in each.
 */

import { type Buffer, type KType, type KValue, type KernelBuilder, type Local } from "@quern/core";
import { TILE_DEPTH, type Terms } from "./split.ts";

/** Accumulator tiles per block: 2 × 2, or 1 × 4 where there are at most 16 rows. */
export interface BlockShape {
  readonly rows: 1 | 2;
  readonly columns: 2 | 4;
}

export const ACCUMULATOR: KType = { dtype: "f32", rows: 16, lanes: 16 };

/** Where the operand tiles of a step lie; each is 16 rows. */
export interface StepTiles {
  readonly a: Buffer;
  /** First element of the tile of rows 16 · row... of term `term`, and the distance of its rows. */
  aIndex(row: number, term: number): KValue;
  readonly aStride: number;
  /** Right-hand tiles in the interleaved layout, rows one after the other. */
  readonly b: Buffer;
  bIndex(column: number, term: number): KValue;
}

export function newBlock(k: KernelBuilder, shape: BlockShape, name: string): Local[][] {
  return Array.from({ length: shape.rows }, (_, i) =>
    Array.from({ length: shape.columns }, (_, j) => k.local(`${name}${i}${j}`, ACCUMULATOR)),
  );
}

export function clearBlock(k: KernelBuilder, block: readonly (readonly Local[])[]): void {
  for (const row of block) for (const acc of row) k.assign(acc, k.const(ACCUMULATOR, 0));
}

/** Adds the products of one step of 32. */
export function addStep(k: KernelBuilder, block: readonly (readonly Local[])[], tiles: StepTiles, terms: Terms): void {
  const a = (row: number, term: number): KValue =>
    k.tileLoad(tiles.a, tiles.aIndex(row, term), tiles.aStride, { rows: 16, lanes: TILE_DEPTH });
  const b = (column: number, term: number): KValue =>
    k.tileLoad(tiles.b, tiles.bIndex(column, term), TILE_DEPTH, { rows: 16, lanes: TILE_DEPTH });
  const add = (row: number, column: number, left: KValue, right: KValue): void =>
    k.tileMma(block[row]?.[column] as Local, left, right);
  const columns = block[0]?.length ?? 0;
  if (block.length === 1) {
    const left = [a(0, 0), ...(terms === 2 ? [a(0, 1)] : [])];
    for (let j = 0; j < columns; j++) {
      if (terms === 2) add(0, j, left[0] as KValue, b(j, 1));
      const right = b(j, 0);
      if (terms === 2) add(0, j, left[1] as KValue, right);
      add(0, j, left[0] as KValue, right);
    }
    return;
  }
  if (terms === 1) {
    const a0 = a(0, 0);
    const right = [0, 1].map((j) => {
      const tile = b(j, 0);
      add(0, j, a0, tile);
      return tile;
    });
    const a1 = a(1, 0);
    right.forEach((tile, j) => add(1, j, a1, tile));
    return;
  }
  const a0 = a(0, 0);
  const low = [0, 1].map((j) => {
    const tile = b(j, 1);
    add(0, j, a0, tile);
    return tile;
  });
  const a1 = a(1, 0);
  low.forEach((tile, j) => add(1, j, a1, tile));
  const high = [0, 1].map((j) => {
    const tile = b(j, 0);
    add(0, j, a0, tile);
    add(1, j, a1, tile);
    return tile;
  });
  for (let i = 0; i < 2; i++) {
    const rest = a(i, 1);
    high.forEach((tile, j) => add(i, j, rest, tile));
  }
}

/** Moves the block to or from f32 memory: row r at `at + r · stride`. */
export function storeBlock(
  k: KernelBuilder,
  block: readonly (readonly Local[])[],
  to: Buffer,
  at: KValue,
  stride: number,
): void {
  block.forEach((row, i) =>
    row.forEach((acc, j) => k.tileStore(to, k.add(at, i * 16 * stride + j * 16), stride, k.read(acc))),
  );
}

export function loadBlock(
  k: KernelBuilder,
  block: readonly (readonly Local[])[],
  from: Buffer,
  at: KValue,
  stride: number,
): void {
  block.forEach((row, i) =>
    row.forEach((acc, j) =>
      k.assign(acc, k.tileLoad(from, k.add(at, i * 16 * stride + j * 16), stride, { rows: 16, lanes: 16 })),
    ),
  );
}
