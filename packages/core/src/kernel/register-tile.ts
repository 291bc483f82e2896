/**
 * Register-blocked tiles: `rows × vectors` accumulators in registers, fed by outer products.
 *
 * The inner part of matrix products and convolutions, the same program for every target: CPU (lanes 8 or 16) and
 * WGSL (lanes 4). In: a builder and the block's size. Everything is unrolled while recording; accumulators are locals.
 */

import type { IndexArg, KernelBuilder } from "./builder.ts";
import { UserError } from "../errors.ts";
import type { DType } from "../dtype.ts";
import { type Buffer, type KValue, type Local, vectorType } from "./ir.ts";

export interface TileSize {
  /** Rows of accumulators. */
  readonly rows: number;
  /** Vectors per row. */
  readonly vectors: number;
  readonly lanes: number;
  /** f32 by default. */
  readonly dtype?: DType;
}

export interface TileBounds {
  /** Mask for the vectors of each row, where the last columns may not exist; indexed by vector. */
  readonly masks?: readonly (KValue | undefined)[];
  /** Rows that exist; the others are neither read nor written. All by default. */
  readonly rows?: KValue;
}

export class RegisterTile {
  readonly rows: number;
  readonly vectors: number;
  readonly lanes: number;
  readonly #k: KernelBuilder;
  /** Row after row. */
  readonly #accumulators: readonly Local[];

  constructor(k: KernelBuilder, size: TileSize) {
    const { rows, vectors, lanes, dtype = "f32" } = size;
    if (rows < 1 || vectors < 1) throw new UserError(`registerTile: ${rows} × ${vectors} vectors is empty`);
    this.#k = k;
    this.rows = rows;
    this.vectors = vectors;
    this.lanes = lanes;
    const type = vectorType(dtype, lanes);
    this.#accumulators = Array.from({ length: rows * vectors }, (_, at) =>
      k.local(`acc${Math.floor(at / vectors)}_${at % vectors}`, type),
    );
  }

  #at(row: number, vector: number): Local {
    return this.#accumulators[row * this.vectors + vector] as Local;
  }

  /** Columns of the tile. */
  get columns(): number {
    return this.vectors * this.lanes;
  }

  read(row: number, vector: number): KValue {
    return this.#k.read(this.#at(row, vector));
  }

  zero(): void {
    for (const local of this.#accumulators) this.#k.assign(local, 0);
  }

  /** acc[r][v] += left(r) · right[v]; `left` gives a scalar per row, `right` holds one row of vectors. */
  outerProduct(left: (row: number) => KValue, right: readonly KValue[]): void {
    const k = this.#k;
    for (let r = 0; r < this.rows; r++) {
      const scalar = k.broadcast(left(r), this.lanes);
      right.forEach((vector, v) => k.assign(this.#at(r, v), k.fma(scalar, vector, this.read(r, v))));
    }
  }

  /** The vectors of one row of `buffer`, from element `index` on. */
  loadRow(buffer: Buffer, index: IndexArg, masks: TileBounds["masks"] = []): KValue[] {
    const k = this.#k;
    const start = k.index(index);
    return Array.from({ length: this.vectors }, (_, v) =>
      k.load(buffer, k.add(start, v * this.lanes), { lanes: this.lanes, mask: masks[v] }),
    );
  }

  /** Replaces each vector: bias, activation, residual. */
  map(change: (value: KValue, row: number, vector: number) => KValue): void {
    this.#each((r, v) => this.#k.assign(this.#at(r, v), change(this.read(r, v), r, v)));
  }

  /** Loads the tile from memory; row r starts at `index + r * stride`. */
  load(buffer: Buffer, index: IndexArg, stride: IndexArg, bounds: TileBounds = {}): void {
    this.#memory(index, stride, bounds, (at, r, v, mask) =>
      this.#k.assign(this.#at(r, v), this.#k.load(buffer, at, { lanes: this.lanes, mask })),
    );
  }

  /** Stores the tile, or `change` of it, to memory. */
  store(
    buffer: Buffer,
    index: IndexArg,
    stride: IndexArg,
    bounds: TileBounds = {},
    change: (value: KValue, row: number, vector: number) => KValue = (value) => value,
  ): void {
    this.#memory(index, stride, bounds, (at, r, v, mask) =>
      this.#k.store(buffer, at, change(this.read(r, v), r, v), { mask }),
    );
  }

  #each(visit: (row: number, vector: number) => void): void {
    for (let r = 0; r < this.rows; r++) {
      for (let v = 0; v < this.vectors; v++) visit(r, v);
    }
  }

  #memory(
    index: IndexArg,
    stride: IndexArg,
    bounds: TileBounds,
    access: (at: KValue, row: number, vector: number, mask: KValue | undefined) => void,
  ): void {
    const k = this.#k;
    const [start, step] = [k.index(index), k.index(stride)];
    for (let r = 0; r < this.rows; r++) {
      const row = k.add(start, k.mul(step, r));
      const all = (): void => {
        for (let v = 0; v < this.vectors; v++) access(k.add(row, v * this.lanes), r, v, bounds.masks?.[v]);
      };
      if (bounds.rows === undefined) all();
      else k.if(k.lt(k.index(r), bounds.rows), all);
    }
  }
}

/** A tile of `rows × vectors` accumulators of `lanes` lanes. */
export function registerTile(
  k: KernelBuilder,
  rows: number,
  vectors: number,
  lanes: number,
  dtype: DType = "f32",
): RegisterTile {
  return new RegisterTile(k, { rows, vectors, lanes, dtype });
}

/** Masks of the vectors of a row of which only `columns` elements exist. */
export function prefixMasks(k: KernelBuilder, columns: IndexArg, vectors: number, lanes: number): KValue[] {
  return Array.from({ length: vectors }, (_, v) =>
    k.lt(k.iota(k.index(v * lanes), lanes), k.broadcast(k.index(columns), lanes)),
  );
}
