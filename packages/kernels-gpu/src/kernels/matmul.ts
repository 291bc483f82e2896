/**
 * matmul. Matrices in f32: register tiles of 4 rows by 4 columns, one per invocation, without workgroup memory. The
 * rest (vectors, other types): one dot product per invocation.
 */

import {
  type Dim,
  GroupKernel,
  type KernelBuilder,
  type KernelSite,
  type KValue,
  type Launch,
  type TileShape,
  type Value,
  addTileProducts,
  tileColumnMasks,
  computeType,
  dimCeilDiv,
  dimMul,
  newAccumulators,
  shapeSize,
} from "@quern/core";
import type { GpuKernel } from "./kernel.ts";
import { nest } from "./nest.ts";

const TILE: TileShape = { rows: 4, vectors: 1, lanes: 4, columns: 4 };

interface Problem {
  readonly a: Value;
  readonly b: Value;
  readonly y: Value;
  readonly m: Dim;
  readonly n: Dim;
  readonly k: Dim;
  /** Axes of the result in front of the matrix. */
  readonly batchRank: number;
  /** Strides of rows and of columns along k, in elements. */
  readonly aRow: Dim;
  readonly aInner: Dim;
  readonly bInner: Dim;
  readonly bColumn: Dim;
}

function problem(site: KernelSite): Problem {
  const [a, b] = site.anchor.inputs as [Value, Value];
  const y = site.anchor.outputs[0] as Value;
  const transposeA = site.anchor.attrs["transposeA"] === true && a.type.shape.length > 1;
  const transposeB = site.anchor.attrs["transposeB"] === true && b.type.shape.length > 1;
  const at = (value: Value, fromEnd: number): Dim => value.type.shape.at(-fromEnd) as Dim;
  const [vectorA, vectorB] = [a.type.shape.length === 1, b.type.shape.length === 1];
  const m = vectorA ? 1 : at(a, transposeA ? 1 : 2);
  const n = vectorB ? 1 : at(b, transposeB ? 2 : 1);
  const k = at(a, transposeA ? 2 : 1);
  return {
    a,
    b,
    y,
    m,
    n,
    k,
    batchRank: y.type.shape.length - Number(!vectorA) - Number(!vectorB),
    aRow: transposeA ? 1 : k,
    aInner: transposeA ? m : 1,
    bInner: transposeB ? 1 : n,
    bColumn: transposeB ? k : 1,
  };
}

/** First element of the matrix of `value` for a batch of the result, following broadcasting. */
function matrixAt(k: KernelBuilder, value: Value, batch: readonly KValue[]): KValue {
  const { shape } = value.type;
  const leading = shape.slice(0, -2);
  const skipped = batch.length - leading.length;
  let index = k.index(0);
  leading.forEach((dim, axis) => {
    index = k.mul(index, k.index(dim));
    if (dim !== 1) index = k.add(index, batch[axis + skipped] as KValue);
  });
  return k.mul(index, k.index(shapeSize(shape.slice(-2))));
}

function flops({ y, k }: Problem): Dim {
  return dimMul(shapeSize(y.type.shape), dimMul(k, 2));
}

export const matmulTiles: GpuKernel = {
  name: "matmul_tiles",
  ops: ["matmul"],
  when: (site) => {
    const { a, b } = problem(site);
    if (a.type.dtype !== "f32") return a.type.dtype;
    return a.type.shape.length > 1 && b.type.shape.length > 1 ? true : "an operand is a vector";
  },
  lower: (site) => {
    const p = problem(site);
    const kernel = new GroupKernel(`matmul_tiles_${TILE.rows}x${TILE.columns}`, site);
    const { k } = kernel;
    const [a, b] = [kernel.input(p.a), kernel.input(p.b)];
    const batchAxes = p.y.type.shape.slice(0, p.batchRank);
    nest(k, [...batchAxes, dimCeilDiv(p.m, TILE.rows), dimCeilDiv(p.n, TILE.columns)], (axes) => {
      const batch = axes.slice(0, p.batchRank);
      const [rowTile, columnTile] = axes.slice(p.batchRank) as [KValue, KValue];
      const [firstRow, firstColumn] = [k.mul(rowTile, TILE.rows), k.mul(columnTile, TILE.columns)];
      const [aAt, bAt] = [matrixAt(k, p.a, batch), matrixAt(k, p.b, batch)];
      // Rows beyond the last one repeat it; they are computed and not stored.
      const last = k.sub(k.index(p.m), 1);
      const exact = typeof p.m === "number" && p.m % TILE.rows === 0;
      const rows = Array.from({ length: TILE.rows }, (_, r) =>
        exact ? k.add(firstRow, r) : k.min(k.add(firstRow, r), last),
      );
      const rowsAt = rows.map((row) => k.add(aAt, k.mul(row, k.index(p.aRow))));
      const masks = tileColumnMasks(k, p.n, TILE, firstColumn);
      const acc = newAccumulators(k, TILE);
      addTileProducts(k, acc, TILE, p.k, {
        a,
        aIndex: (row, at) => k.add(rowsAt[row] as KValue, k.mul(at, k.index(p.aInner))),
        b,
        masks,
        bIndex: (_, at) => {
          const inner = k.add(bAt, k.mul(at, k.index(p.bInner)));
          if (p.bColumn === 1) return k.add(inner, firstColumn);
          const columns = k.mul(k.iota(firstColumn, TILE.lanes), k.broadcast(k.index(p.bColumn), TILE.lanes));
          return k.add(k.broadcast(inner, TILE.lanes), columns);
        },
      });
      acc.forEach(([sum], r) => {
        const row = k.add(firstRow, r);
        const store = (): void =>
          kernel.store(k.read(sum as NonNullable<typeof sum>), {
            index: [...batch, row, firstColumn],
            lanes: TILE.lanes,
            mask: masks[0],
          });
        if (exact || r === 0) store();
        else k.if(k.lt(row, k.index(p.m)), store);
      });
    });
    return [kernel.launch({ decision: "f32 matrices", flops: flops(p) })];
  },
};

export const matmulDot: GpuKernel = {
  name: "matmul_dot",
  ops: ["matmul"],
  when: () => true,
  lower: (site): readonly Launch[] => {
    const p = problem(site);
    const kernel = new GroupKernel("matmul_dot", site);
    const { k } = kernel;
    const dtype = computeType(p.a.type.dtype);
    const [a, b] = [kernel.input(p.a), kernel.input(p.b)];
    nest(k, p.y.type.shape, (axes) => {
      const batch = axes.slice(0, p.batchRank);
      const matrix = axes.slice(p.batchRank);
      const row = p.a.type.shape.length === 1 ? k.index(0) : (matrix[0] as KValue);
      const column = p.b.type.shape.length === 1 ? k.index(0) : (matrix.at(-1) as KValue);
      const aAt = k.add(matrixAt(k, p.a, batch), k.mul(row, k.index(p.aRow)));
      const bAt = k.add(matrixAt(k, p.b, batch), k.mul(column, k.index(p.bColumn)));
      const sum = k.local("sum", dtype, 0);
      k.for({ end: p.k }, (at) => {
        const x = k.cast(k.load(a, k.add(aAt, k.mul(at, k.index(p.aInner)))), dtype);
        const w = k.cast(k.load(b, k.add(bAt, k.mul(at, k.index(p.bInner)))), dtype);
        k.assign(sum, k.fma(x, w, k.read(sum)));
      });
      kernel.store(k.read(sum), { index: axes });
    });
    return [kernel.launch({ decision: "one dot product per invocation", flops: flops(p) })];
  },
};
