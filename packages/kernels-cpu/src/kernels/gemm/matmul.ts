/**
 * matmul in f32 ("highest"): packed panels of B, blocked register tiles. Constant B is packed at compile time,
 * other B by a launch of its own. Leading axes are batches.
 */

import {
  type Dim,
  GroupKernel,
  type KernelSite,
  type KValue,
  type Launch,
  type Temporary,
  type Value,
  dimCeilDiv,
  dimMul,
  shapeSize,
  siteConstant,
  printDim,
} from "@quern/core";
import type { CpuKernel, KernelEnvironment } from "../kernel.ts";
import { copyRun } from "../movement/runs.ts";
import { type GemmBlocking, MAX_K_BLOCK, chooseBlocking, emitGemmTask } from "./microkernel.ts";
import { panelPacker } from "./pack.ts";
import { chooseTile } from "./tile-shape.ts";

/** Size that stands for a symbol in cost estimates. */
const TYPICAL = 64;

export const matmulF32: CpuKernel = {
  name: "matmul_f32",
  ops: ["matmul"],
  when(site) {
    const { a, b, k } = matmulProblem(site);
    if (siteConstant(site, b)?.encoding !== undefined) return "the right side is stored in blocks";
    if (a.type.dtype !== "f32" || b.type.dtype !== "f32") return `${a.type.dtype} × ${b.type.dtype}`;
    if (typeof k !== "number") return "the inner dimension is symbolic";
    if (k === 0) return "the inner dimension is 0";
    if (a.type.shape.length < 2 || b.type.shape.length < 2) return "an operand is a vector";
    return true;
  },
  cost(site, { threads }) {
    const { b, m, n, k, batch } = matmulProblem(site);
    const perRow = typical(batch) * typical(n) * typical(k);
    // A matrix that is packed in every run costs as much as some rows of products.
    const packing = siteConstant(site, b) === undefined ? perRow / 2 : 0;
    return ((typical(m) * perRow) / 50 + packing) / threads + 500;
  },
  lower,
};

export interface MatmulProblem {
  readonly a: Value;
  readonly b: Value;
  readonly m: Dim;
  readonly n: Dim;
  readonly k: Dim;
  /** Product of the result's leading axes. */
  readonly batch: Dim;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  /** True when B is one matrix for all batches, and A's rows then simply continue. */
  readonly sharedB: boolean;
}

/** A size for estimates. */
export function typical(dim: Dim): number {
  return typeof dim === "number" ? dim : TYPICAL;
}

export function matmulProblem(site: KernelSite): MatmulProblem {
  const [a, b] = site.anchor.inputs as [Value, Value];
  const transposeA = site.anchor.attrs["transposeA"] === true;
  const transposeB = site.anchor.attrs["transposeB"] === true;
  const at = (value: Value, fromEnd: number): Dim => value.type.shape.at(-fromEnd) ?? 1;
  const leading = (value: Value): Dim => shapeSize(value.type.shape.slice(0, -2));
  const y = site.anchor.outputs[0] as Value;
  const sharedB = leading(b) === 1 && !transposeA;
  const batch = sharedB ? 1 : leading(y);
  const rows = at(a, transposeA ? 1 : 2);
  return {
    a,
    b,
    batch,
    transposeA,
    transposeB,
    sharedB,
    m: sharedB ? dimMul(leading(a), rows) : rows,
    n: at(b, transposeB ? 2 : 1),
    k: at(a, transposeA ? 2 : 1),
  };
}

function lower(site: KernelSite, environment: KernelEnvironment): readonly Launch[] {
  const { a, b, m, n, k, batch, transposeA, transposeB, sharedB } = matmulProblem(site);
  const depth = k as number;
  const tile = chooseTile(environment.target, typical(m), typical(n), Math.min(depth, MAX_K_BLOCK));
  const batches = typical(batch);
  const blocking = chooseBlocking(
    tile,
    typical(m),
    typical(n),
    depth,
    batches >= environment.threads ? 1 : environment.threads,
  );
  const panelCount = dimCeilDiv(n, tile.columns);
  const launches: Launch[] = [];
  const name = instanceName(site, blocking);
  const kernel = new GroupKernel(name, site);
  const builder = kernel.k;
  const constantB = siteConstant(site, b);
  let panels;
  if (constantB !== undefined && sharedB && typeof n === "number") {
    const [strideK, strideN] = transposeB ? [1, depth] : [n, 1];
    panels = kernel.packed("b", b, panelPacker, { k: depth, n, strideK, strideN, columns: tile.columns });
  } else {
    const batchB = shapeSize(b.type.shape.slice(0, -2));
    const packed: Temporary = {
      name: "b",
      dtype: "f32",
      size: dimMul(batchB, dimMul(panelCount, depth * tile.columns)),
    };
    launches.push(packLaunch(site, b, packed, batchB, n, depth, transposeB, tile.columns, tile.lanes));
    panels = kernel.temporary(packed, "read");
  }
  const aBuffer = kernel.input(a);
  const y = site.anchor.outputs[0] as Value;
  const rank = y.type.shape.length;
  const rowTasks = dimCeilDiv(m, tile.rows * blocking.rowTiles);
  const panelTasks = dimCeilDiv(panelCount, blocking.panels);
  const panelElements = dimMul(panelCount, depth * tile.columns);
  const task = (batchAt: readonly KValue[], rowTask: KValue, panelTask: KValue): void => {
    const aMatrix = batchOffset(kernel, a, batchAt, y);
    const bMatrix = sharedB ? builder.index(0) : batchIndex(kernel, b, batchAt, y);
    const place = (row: KValue, column: KValue): readonly KValue[] => {
      if (sharedB) return [...unflattenRows(kernel, row, y), column];
      return [...batchAt, row, column];
    };
    emitGemmTask(
      builder,
      {
        m,
        n,
        k: depth,
        panels,
        panelsAt: builder.mul(bMatrix, builder.index(panelElements)),
        copyRow: (kb, row, kStart, count, to, at) => {
          if (!transposeA) {
            const from = kb.add(aMatrix, kb.add(kb.mul(row, depth), kStart));
            return copyRun(kb, { from: aBuffer, fromAt: from, to, toAt: at, count }, tile.lanes);
          }
          kb.for({ end: count }, (i) => {
            kb.store(
              to,
              kb.add(at, i),
              kb.load(aBuffer, kb.add(aMatrix, kb.add(kb.mul(kb.add(kStart, i), kb.index(m)), row))),
            );
          });
        },
        partial: (row, column) => ({
          buffer: kernel.output(0, "readwrite"),
          index: offsetOf(kernel, place(row, column), y),
        }),
        store: (row, column, value, mask) =>
          kernel.store(value, { index: place(row, column), lanes: tile.lanes, mask }),
      },
      blocking,
      rowTask,
      panelTask,
    );
  };
  if (depth > blocking.kBlock) kernel.output(0, "readwrite");
  const loop = (axis: number, index: readonly KValue[]): void => {
    if (!sharedB && axis < rank - 2)
      return builder.parallel(y.type.shape[axis] as Dim, (i) => loop(axis + 1, [...index, i]));
    builder.parallel(rowTasks, (rowTask) =>
      builder.parallel(panelTasks, (panelTask) => task(index, rowTask, panelTask)),
    );
  };
  loop(0, []);
  launches.push(kernel.launch({ decision: name, flops: dimMul(dimMul(batch, m), dimMul(n, 2 * depth)) }));
  return launches;
}

function instanceName(site: KernelSite, { tile, kBlock }: GemmBlocking): string {
  const { m, n, k } = matmulProblem(site);
  return `matmul_f32_m${printDim(m)}n${printDim(n)}k${printDim(k)}_t${tile.rows}x${tile.columns}k${kBlock}`.replace(
    /[^\w]/g,
    "_",
  );
}

export function offsetOf(kernel: GroupKernel, index: readonly KValue[], y: Value): KValue {
  let offset = kernel.k.index(0);
  y.type.shape.forEach((dim, axis) => {
    offset = kernel.k.add(kernel.k.mul(offset, kernel.k.index(dim)), index[axis] as KValue);
  });
  return offset;
}

/** Index among the matrices of `value` for a batch of the result, following broadcasting. */
export function batchIndex(kernel: GroupKernel, value: Value, batchAt: readonly KValue[], y: Value): KValue {
  const { k } = kernel;
  const leading = value.type.shape.slice(0, -2);
  const skipped = y.type.shape.length - 2 - leading.length;
  let index = k.index(0);
  leading.forEach((dim, axis) => {
    index = k.mul(index, k.index(dim));
    if (dim !== 1) index = k.add(index, batchAt[axis + skipped] as KValue);
  });
  return index;
}

export function batchOffset(kernel: GroupKernel, value: Value, batchAt: readonly KValue[], y: Value): KValue {
  if (batchAt.length === 0) return kernel.k.index(0);
  const matrix = shapeSize(value.type.shape.slice(-2));
  return kernel.k.mul(batchIndex(kernel, value, batchAt, y), kernel.k.index(matrix));
}

/** Row of all batches' rows in one -> leading coordinates and row. */
export function unflattenRows(kernel: GroupKernel, row: KValue, y: Value): KValue[] {
  const { k } = kernel;
  const leading = y.type.shape.slice(0, -1);
  const index: KValue[] = [];
  let rest = row;
  for (let axis = leading.length - 1; axis > 0; axis--) {
    if (leading.slice(0, axis).every((dim) => dim === 1)) {
      index.unshift(rest);
      rest = k.index(0);
      continue;
    }
    index.unshift(k.rem(rest, k.index(leading[axis] as Dim)));
    rest = k.div(rest, k.index(leading[axis] as Dim));
  }
  return [rest, ...index];
}

/** One task per panel: [k][columns] of B, zeros beyond n. */
function packLaunch(
  site: KernelSite,
  b: Value,
  packed: Temporary,
  batch: Dim,
  n: Dim,
  depth: number,
  transposed: boolean,
  columns: number,
  lanes: number,
): Launch {
  const kernel = new GroupKernel(`pack_f32_k${depth}c${columns}`, site);
  const { k } = kernel;
  const from = kernel.input(b);
  const to = kernel.temporary(packed, "write");
  const panelCount = dimCeilDiv(n, columns);
  k.parallel(batch, (matrix) =>
    k.parallel(panelCount, (panel) => {
      const first = k.mul(panel, columns);
      const source = k.mul(matrix, k.index(dimMul(n, depth)));
      const target = k.mul(k.add(k.mul(matrix, k.index(panelCount)), panel), depth * columns);
      k.for({ end: depth }, (row) => {
        for (let v = 0; v < columns / lanes; v++) {
          const column = k.add(first, v * lanes);
          const exact = typeof n === "number" && n % columns === 0;
          const mask = exact ? undefined : k.lt(k.iota(column, lanes), k.broadcast(k.index(n), lanes));
          const at = k.add(target, k.add(k.mul(row, columns), v * lanes));
          const index = transposed
            ? k.add(
                k.mul(k.iota(column, lanes), k.broadcast(k.index(depth), lanes)),
                k.broadcast(k.add(source, row), lanes),
              )
            : k.add(source, k.add(k.mul(row, k.index(n)), column));
          k.store(to, at, k.load(from, index, { lanes, mask }));
        }
      });
    }),
  );
  return kernel.launch({ decision: "pack the right-hand matrix" });
}
