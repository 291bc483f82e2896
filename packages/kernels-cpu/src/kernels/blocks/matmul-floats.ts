/**
 * x · Wᵀ with W stored as f16, bf16 or f32: weights become f32 in registers, x stays f32, sums are f32. For linear layers
 * whose number of rows is known at run time only: one row is bound by memory, many rows by multiply-adds.
 */

import {
  type Buffer,
  GroupKernel,
  type KValue,
  type KernelSite,
  type Launch,
  type Local,
  type Value,
  dimCeilDiv,
  dimMul,
  printDim,
  siteConstant,
} from "@quern/core";
import { matmulProblem, typical, unflattenRows } from "../gemm/matmul.ts";
import type { CpuKernel, KernelEnvironment } from "../kernel.ts";
import { FLOAT_ENCODINGS, floatPanelPacker } from "./float-panels.ts";
import { PANEL_ROWS } from "./format.ts";

/** Bytes that a single row of x reads ahead of where it computes. */
const AHEAD_BYTES = 2048;
/** Steps along the depth per iteration, each with sums of its own where few rows leave registers free. */
const UNROLL = 4;

export const matmulFloats: CpuKernel = {
  name: "matmul_floats",
  ops: ["matmul"],
  when: floatsApply,
  cost(site, { threads }) {
    const { m, n, k } = matmulProblem(site);
    return (typical(m) * typical(n) * typical(k)) / 40 / threads + 1000;
  },
  lower: (site, environment) => floatLaunches(site, environment),
};

/** `true` where the right side is stored as floats, or the reason against it. */
export function floatsApply(site: KernelSite): true | string {
  const { a, b, transposeA, transposeB } = matmulProblem(site);
  const encoding = siteConstant(site, b)?.encoding;
  if (encoding === undefined || !FLOAT_ENCODINGS.has(encoding.name)) return "the right side is not stored as floats";
  if (!transposeB || transposeA || b.type.shape.length !== 2 || a.type.shape.length < 2) return "another layout";
  return true;
}

/** Multiply-adds on f32. With `most`, does nothing at run time for more rows than that. */
export function floatLaunches(site: KernelSite, { target }: KernelEnvironment, most?: number): readonly Launch[] {
  const { b, m, n, k: inner } = matmulProblem(site);
  const [depth, columns] = [inner as number, n as number];
  const encoding = siteConstant(site, b)?.encoding?.name as string;
  const name = `matmul_${encoding}_m${printDim(m)}n${columns}k${depth}`.replace(/[^\w]/g, "_");
  const kernel = new GroupKernel(name, site);
  emitProduct(kernel, Math.min(PANEL_ROWS, target.vectorBytes / 4), encoding, most);
  return [
    kernel.launch({
      decision: `${name}: ${encoding} weights in panels, f32 multiply-adds`,
      flops: dimMul(m, 2 * columns * depth),
    }),
  ];
}

interface Tile {
  readonly rows: number;
  readonly first: KValue;
  /** Vectors of weight rows. */
  readonly parts: readonly KValue[];
}

function emitProduct(kernel: GroupKernel, lanes: number, encoding: string, mostRows: number | undefined): void {
  const { k } = kernel;
  const { a, b, m, n, k: inner } = matmulProblem(kernel.site);
  const [depth, columns] = [inner as number, n as number];
  const x = kernel.input(a);
  const weights = kernel.packed("w", b, floatPanelPacker, { encoding }, FLOAT_ENCODINGS.get(encoding));
  const y = kernel.site.anchor.outputs[0] as Value;
  const parts = Math.ceil(columns / lanes);
  const perTask = parts % 2 === 0 ? 2 : 1;
  const most = lanes === PANEL_ROWS ? 8 : 4;
  const count = k.index(m);
  const tile = ({ rows, first, parts: own }: Tile): void => {
    const last = k.sub(count, 1);
    // Rows beyond the last are read as the last one.
    const rowAt = Array.from({ length: rows }, (_, row) =>
      k.mul(row === 0 ? first : k.min(k.add(first, row), last), depth),
    );
    const sums = emitFloatTile(kernel, { x, weights, depth, lanes }, rowAt, own);
    sums.forEach((perRow, part) => {
      const column = k.mul(own[part] as KValue, lanes);
      const mask =
        columns % lanes === 0 ? undefined : k.lt(k.iota(column, lanes), k.broadcast(k.index(columns), lanes));
      perRow.forEach((sum, r) => {
        const row = k.add(first, r);
        const emit = (): void => kernel.store(sum, { index: [...unflattenRows(kernel, row, y), column], lanes, mask });
        if (r === 0) emit();
        else k.if(k.lt(row, count), emit);
      });
    });
  };
  const tasks = (task: KValue): void => {
    const own = Array.from({ length: perTask }, (_, i) => k.add(k.mul(task, perTask), i));
    const alone = (): void => tile({ rows: 1, first: k.index(0), parts: own });
    if (m === 1) return alone();
    k.if(
      k.le(count, 1),
      () => k.if(k.gt(count, 0), alone),
      () =>
        k.if(
          k.le(count, 2),
          () => tile({ rows: 2, first: k.index(0), parts: own }),
          () =>
            k.for({ end: k.index(dimCeilDiv(m, most)) }, (block) =>
              tile({ rows: most, first: k.mul(block, most), parts: own }),
            ),
        ),
    );
  };
  k.parallel(parts / perTask, (task) => {
    if (mostRows === undefined) tasks(task);
    else k.if(k.le(count, mostRows), () => tasks(task));
  });
}

export interface FloatOperands {
  readonly x: Buffer;
  readonly weights: Buffer;
  readonly depth: number;
  readonly lanes: number;
}

/** f32 sums of the rows of x that begin at `rowAt` times parts of panels, [part][row]. */
export function emitFloatTile(
  { k }: GroupKernel,
  { x, weights, depth, lanes }: FloatOperands,
  rowAt: readonly KValue[],
  parts: readonly KValue[],
): KValue[][] {
  const rows = rowAt.length;
  const type = { dtype: "f32", lanes, rows: 1 } as const;
  const chains = rows <= 2 ? UNROLL : 1;
  const sums: Local[][][] = parts.map((_, part) =>
    Array.from({ length: rows }, (__, row) =>
      Array.from({ length: chains }, (___, chain) => k.local(`y${part}_${row}_${chain}`, type, 0)),
    ),
  );
  const perPanel = PANEL_ROWS / lanes;
  const panelAt = parts.map((part) =>
    perPanel === 1
      ? k.mul(part, depth * PANEL_ROWS)
      : k.add(k.mul(k.div(part, perPanel), depth * PANEL_ROWS), k.mul(k.rem(part, perPanel), lanes)),
  );
  const step = (at: KValue, chain: number): void => {
    const columns = panelAt.map((panel) =>
      k.cast(k.load(weights, k.add(panel, k.mul(at, PANEL_ROWS)), { lanes }), "f32"),
    );
    for (let row = 0; row < rows; row++) {
      const factor = k.broadcast(k.load(x, k.add(rowAt[row] as KValue, at)), lanes);
      columns.forEach((column, part) => {
        const sum = sums[part]?.[row]?.[chain] as Local;
        k.assign(sum, k.fma(factor, column, k.read(sum)));
      });
    }
  };
  const whole = Math.floor(depth / UNROLL) * UNROLL;
  k.for({ end: whole, step: UNROLL }, (at) => {
    if (rows <= 2) {
      const bytes = weights.dtype === "f32" ? 4 : 2;
      panelAt.forEach((panel) => {
        for (let line = 0; line < UNROLL * PANEL_ROWS * bytes; line += 64)
          k.prefetch(weights, k.add(k.add(panel, k.mul(at, PANEL_ROWS)), (AHEAD_BYTES + line) / bytes), 0);
      });
    }
    for (let i = 0; i < UNROLL; i++) step(k.add(at, i), i % chains);
  });
  for (let at = whole; at < depth; at++) step(k.index(at), 0);
  return sums.map((perRow) => perRow.map((own) => own.map((sum) => k.read(sum)).reduce((p, q) => k.add(p, q))));
}
