/**
 * matmul in f32 for what the blocked kernel does not take, or takes too dearly: inner dimensions known only at run time
 * (attention probabilities times values), and few rows times a matrix that is no constant. Small register tiles on the
 * operands as they lie, nothing is packed.
 */

import {
  type Dim,
  GroupKernel,
  type KValue,
  type TileShape,
  type Value,
  addTileProducts,
  dimCeilDiv,
  dimMul,
  newAccumulators,
  shapeSize,
  siteConstant,
  tileColumnMasks,
} from "@quern/core";
import type { CpuKernel } from "../kernel.ts";
import { batchIndex, matmulProblem, typical } from "./matmul.ts";

export const matmulDynamicF32: CpuKernel = {
  name: "matmul_f32_dynamic",
  ops: ["matmul"],
  when(site) {
    const { a, b } = matmulProblem(site);
    if (siteConstant(site, b)?.encoding !== undefined) return "the right side is stored in blocks";
    if (a.type.dtype !== "f32" || b.type.dtype !== "f32") return `${a.type.dtype} × ${b.type.dtype}`;
    if (a.type.shape.length < 2 || b.type.shape.length < 2) return "an operand is a vector";
    return true;
  },
  cost(site, { threads }) {
    const { m, n, k, batch } = matmulProblem(site);
    return (typical(batch) * typical(m) * typical(n) * typical(k)) / 20 / threads + 400;
  },
  lower(site, { target }) {
    const { a, b, n, k: depth, batch, transposeA, transposeB } = matmulProblem(site);
    const lanes = target.vectorBytes / 4;
    const y = site.anchor.outputs[0] as Value;
    const rows = y.type.shape.at(-2) as Dim;
    const tile = tileFor(rows, lanes);
    const name = `matmul_f32_dynamic_t${tile.rows}x${tile.columns}`;
    const kernel = new GroupKernel(name, site);
    const { k } = kernel;
    const [aBuffer, bBuffer] = [kernel.input(a), kernel.input(b)];
    const task = (batchAt: readonly KValue[], rowTile: KValue, panel: KValue): void => {
      const firstRow = k.mul(rowTile, tile.rows);
      const firstColumn = k.mul(panel, tile.columns);
      const masks = tileColumnMasks(k, n, tile, firstColumn);
      const aAt = matrixOffset(kernel, a, batchAt, y);
      const bAt = matrixOffset(kernel, b, batchAt, y);
      const last = k.sub(k.index(rows), 1);
      // Rows beyond the matrix read its last row; their results are not stored.
      const row = (r: number): KValue => k.min(k.add(firstRow, r), last);
      const acc = newAccumulators(k, tile);
      addTileProducts(k, acc, tile, k.index(depth), {
        a: aBuffer,
        b: bBuffer,
        masks,
        aIndex: (r, at) =>
          k.add(aAt, transposeA ? k.add(k.mul(at, k.index(rows)), row(r)) : k.add(k.mul(row(r), k.index(depth)), at)),
        bIndex: (v, at) => {
          const column = k.add(firstColumn, v * lanes);
          if (!transposeB) return k.add(bAt, k.add(k.mul(at, k.index(n)), column));
          const columns = k.mul(k.iota(column, lanes), k.broadcast(k.index(depth), lanes));
          return k.add(columns, k.broadcast(k.add(bAt, at), lanes));
        },
      });
      acc.forEach((sums, r) => {
        const at = k.add(firstRow, r);
        k.if(k.lt(at, k.index(rows)), () =>
          sums.forEach((sum, v) => {
            kernel.store(k.read(sum), {
              index: [...batchAt, at, k.add(firstColumn, v * lanes)],
              lanes,
              mask: masks[v],
            });
          }),
        );
      });
    };
    const loop = (axis: number, index: readonly KValue[]): void => {
      if (axis < y.type.shape.length - 2)
        return k.parallel(y.type.shape[axis] as Dim, (i) => loop(axis + 1, [...index, i]));
      k.parallel(dimCeilDiv(rows, tile.rows), (rowTile) =>
        k.parallel(dimCeilDiv(n, tile.columns), (panel) => task(index, rowTile, panel)),
      );
    };
    loop(0, []);
    return [kernel.launch({ decision: name, flops: dimMul(dimMul(batch, rows), dimMul(n, dimMul(2, depth))) })];
  },
};

/** Eight sums, of as few rows as there are. */
function tileFor(rows: Dim, lanes: number): TileShape {
  const height = typeof rows === "number" && rows <= 2 ? Math.max(1, rows) : 4;
  const vectors = 8 / height;
  return { rows: height, vectors, lanes, columns: vectors * lanes };
}

/** Element offset of the matrix of `value` for a batch of the result. */
function matrixOffset(kernel: GroupKernel, value: Value, batchAt: readonly KValue[], y: Value): KValue {
  if (batchAt.length === 0) return kernel.k.index(0);
  return kernel.k.mul(batchIndex(kernel, value, batchAt, y), kernel.k.index(shapeSize(value.type.shape.slice(-2))));
}
