/**
 * matmul of f32 in bf16 terms on the matrix unit, for precisions "high" (two terms, three products) and "medium" (one).
 * Constant B is split and packed at compile time, other B by a launch of its own. Leading axes are batches.
 */

import {
  type Buffer,
  type Dim,
  GroupKernel,
  type KernelSite,
  type KValue,
  type Launch,
  type Temporary,
  type Value,
  dimCeilDiv,
  dimMul,
  printDim,
  shapeSize,
  siteConstant,
} from "@quern/core";
import { batchIndex, batchOffset, matmulProblem, offsetOf, typical, unflattenRows } from "../gemm/matmul.ts";
import type { CpuKernel, KernelEnvironment } from "../kernel.ts";
import {
  type AmxBlocking,
  chooseAmxBlocking,
  emitAmxTask,
  panelColumns,
  panelElements,
  termPanelPacker,
} from "./gemm.ts";
import { matrixUnit, unitNanoseconds } from "./unit.ts";
import { type Row32, TILE_DEPTH, TILE_ELEMENTS, storeInterleaved, termsOf } from "./split.ts";

/** Rows of a task where their number is known at run time; fewer take a part of its scratch. */
const MOST_ROWS = 256;
/** Fewer rows use the unit too badly. */
const FEWEST_ROWS = 8;

export const matmulAmx: CpuKernel = {
  name: "matmul_amx",
  ops: ["matmul"],
  unit: "matrix",
  when(site, environment) {
    const { a, b, m, n, k } = matmulProblem(site);
    const unit = matrixUnit(environment);
    if (unit !== true) return unit;
    if (siteConstant(site, b)?.encoding !== undefined) return "the right side is stored in blocks";
    if (a.type.dtype !== "f32" || b.type.dtype !== "f32") return `${a.type.dtype} × ${b.type.dtype}`;
    if (typeof k !== "number") return "the inner dimension is symbolic";
    if (k === 0 || n === 0) return "the product is empty";
    if (a.type.shape.length < 2 || b.type.shape.length < 2) return "an operand is a vector";
    if (typeof m === "number" && m < FEWEST_ROWS) return `fewer than ${FEWEST_ROWS} rows`;
    return true;
  },
  cost(site, { threads, precision }) {
    const { b, m, n, k, batch, sharedB } = matmulProblem(site);
    const depth = typical(k);
    const products = unitNanoseconds(precision, typical(m), typical(n), depth) * typical(batch);
    const isConstant = sharedB && siteConstant(site, b) !== undefined;
    const packing = isConstant ? 0 : (typical(batch) * typical(n) * depth) / 4 + 500;
    // Every thread loads the configuration of the tiles and converts its rows of A.
    const converting = (typical(batch) * typical(m) * depth) / 8;
    return (products + packing + converting) / threads + 700;
  },
  lower,
};

function lower(site: KernelSite, environment: KernelEnvironment): readonly Launch[] {
  const { a, b, m, n, k, batch, transposeA, transposeB, sharedB } = matmulProblem(site);
  const { precision, threads } = environment;
  const depth = k as number;
  const terms = termsOf(precision);
  const resultIsF32 = (site.node.outputs[0] as Value).type.dtype === "f32";
  const blocking = chooseAmxBlocking(
    terms,
    typeof m === "number" ? m : MOST_ROWS,
    typical(n),
    depth,
    typical(batch) >= threads ? 1 : threads,
    resultIsF32,
  );
  const columns = panelColumns(blocking);
  const panelCount = dimCeilDiv(n, columns);
  const perMatrix = dimMul(panelCount, panelElements(blocking));
  const launches: Launch[] = [];
  const name =
    `matmul_amx_${precision}_m${printDim(m)}n${printDim(n)}k${printDim(k)}_t${16 * blocking.block.rows}x${columns}r${blocking.rows}k${blocking.visitSteps * TILE_DEPTH}`.replace(
      /[^\w]/g,
      "_",
    );
  const kernel = new GroupKernel(name, site);
  const builder = kernel.k;
  let panels: Buffer;
  if (siteConstant(site, b) !== undefined && sharedB && typeof n === "number") {
    const [strideK, strideN] = transposeB ? [1, depth] : [n, 1];
    const { terms, block } = blocking;
    panels = kernel.packed("b", b, termPanelPacker, { k: depth, n, strideK, strideN, terms, tiles: block.columns });
  } else {
    const batchB = shapeSize(b.type.shape.slice(0, -2));
    const packed: Temporary = { name: "b", dtype: "bf16", size: dimMul(batchB, perMatrix) };
    launches.push(packLaunch(site, b, packed, batchB, n, depth, transposeB, blocking));
    panels = kernel.temporary(packed, "read");
  }
  const aBuffer = kernel.input(a);
  // Sums of a slab wait in the result.
  const access = blocking.slabSteps < blocking.steps ? "readwrite" : "write";
  kernel.output(0, access);
  const y = site.anchor.outputs[0] as Value;
  const rank = y.type.shape.length;
  const task = (batchAt: readonly KValue[], rowTask: KValue, panelTask: KValue): void => {
    const aMatrix = batchOffset(kernel, a, batchAt, y);
    const bMatrix = sharedB ? builder.index(0) : batchIndex(kernel, b, batchAt, y);
    const place = (row: KValue, column: KValue): readonly KValue[] =>
      sharedB ? [...unflattenRows(kernel, row, y), column] : [...batchAt, row, column];
    const halves = (row: KValue, at: KValue): [KValue, KValue] => {
      const from = (half: number): KValue => {
        const first = builder.add(at, 16 * half);
        if (!transposeA) return builder.add(aMatrix, builder.add(builder.mul(row, depth), first));
        const rows = builder.mul(builder.iota(first, 16), builder.broadcast(builder.index(m), 16));
        return builder.add(rows, builder.broadcast(builder.add(aMatrix, row), 16));
      };
      return [from(0), from(1)];
    };
    emitAmxTask(
      builder,
      {
        m,
        n,
        k: depth,
        right: { kind: "packed", panels, at: builder.mul(bMatrix, builder.index(perMatrix)) },
        loadRow: (row, at, masks): Row32 => {
          const [low, high] = halves(row, at);
          return [
            builder.load(aBuffer, low, { lanes: 16, mask: masks[0] }),
            builder.load(aBuffer, high, { lanes: 16, mask: masks[1] }),
          ];
        },
        partial: (row, column) => ({
          buffer: kernel.output(0, access),
          index: offsetOf(kernel, place(row, column), y),
        }),
        prefetch: (row, column) => builder.prefetch(kernel.output(0, access), offsetOf(kernel, place(row, column), y)),
        store: (row, column, value, mask) => kernel.store(value, { index: place(row, column), lanes: 16, mask }),
      },
      blocking,
      rowTask,
      panelTask,
    );
  };
  const rowTasks = dimCeilDiv(m, blocking.rows);
  const panelTasks = dimCeilDiv(panelCount, blocking.panels);
  const loop = (axis: number, index: readonly KValue[]): void => {
    if (!sharedB && axis < rank - 2)
      return builder.parallel(y.type.shape[axis] as Dim, (i) => loop(axis + 1, [...index, i]));
    builder.parallel(rowTasks, (rowTask) =>
      builder.parallel(panelTasks, (panelTask) => task(index, rowTask, panelTask)),
    );
  };
  loop(0, []);
  launches.push(kernel.launch({ decision: name, precision, flops: dimMul(dimMul(batch, m), dimMul(n, 2 * depth)) }));
  return launches;
}

/** One task per panel of B: its tiles, zeros beyond n and k. */
function packLaunch(
  site: KernelSite,
  b: Value,
  packed: Temporary,
  batch: Dim,
  n: Dim,
  depth: number,
  transposed: boolean,
  blocking: AmxBlocking,
): Launch {
  const { terms, block, steps } = blocking;
  const columns = panelColumns(blocking);
  const kernel = new GroupKernel(`pack_amx_k${depth}c${columns}t${terms}`, site);
  const { k } = kernel;
  const from = kernel.input(b);
  const to = kernel.temporary(packed, "write");
  const panelCount = dimCeilDiv(n, columns);
  k.parallel(batch, (matrix) =>
    k.parallel(panelCount, (panel) => {
      const source = k.mul(matrix, k.index(dimMul(n, depth)));
      const target = k.mul(k.add(k.mul(matrix, k.index(panelCount)), panel), panelElements(blocking));
      for (let j = 0; j < block.columns; j++) {
        const column = k.add(k.mul(panel, columns), 16 * j);
        const exists =
          typeof n === "number" && n % columns === 0
            ? undefined
            : k.lt(k.iota(column, 16), k.broadcast(k.index(n), 16));
        const row = (at: KValue): KValue =>
          k.load(
            from,
            transposed
              ? k.add(k.mul(k.iota(column, 16), k.broadcast(k.index(depth), 16)), k.broadcast(k.add(source, at), 16))
              : k.add(source, k.add(k.mul(at, k.index(n)), column)),
            { lanes: 16, mask: exists },
          );
        const place = (pair: KValue): KValue => {
          const tile = k.mul(k.div(pair, 16), terms * block.columns * TILE_ELEMENTS);
          return k.add(k.add(target, j * TILE_ELEMENTS), k.add(tile, k.mul(k.rem(pair, 16), TILE_DEPTH)));
        };
        const zero = k.broadcast(k.const("f32", 0), 16);
        const distance = block.columns * TILE_ELEMENTS;
        const store = (pair: KValue, even: KValue, odd: KValue): void =>
          storeInterleaved(k, to, place(pair), even, odd, terms, distance);
        k.for({ end: depth >> 1 }, (pair) => store(pair, row(k.mul(pair, 2)), row(k.add(k.mul(pair, 2), 1))));
        if (depth % 2 === 1) store(k.index(depth >> 1), row(k.index(depth - 1)), zero);
        k.for({ start: (depth + 1) >> 1, end: steps * (TILE_DEPTH / 2) }, (pair) => {
          const nothing = k.broadcast(k.const("bf16", 0), TILE_DEPTH);
          for (let term = 0; term < terms; term++) k.store(to, k.add(place(pair), term * distance), nothing);
        });
      }
    }),
  );
  return kernel.launch({ decision: "split and pack the right-hand matrix" });
}
