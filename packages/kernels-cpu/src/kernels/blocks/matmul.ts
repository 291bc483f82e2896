/**
 * x · Wᵀ with W stored in blocks: weights stay in their blocks, interleaved by 16 rows; x is quantised to bytes per 16 or 32.
 *
 * Weights that are read for a single row of x are bound by memory: two panels in step, read ahead. Few rows meet a panel
 * together, up to eight; for many it is unpacked once and meets blocks of eight. Computes for precisions below "highest";
 * the error is that of rounding x to 8 bits, with a factor per 16 or 32 elements.
 */

import {
  type Buffer,
  type DType,
  GroupKernel,
  type KernelSite,
  type KValue,
  type Launch,
  type Value,
  dimCeilDiv,
  dimMul,
  printDim,
  siteConstant,
} from "@quern/core";
import { matmulProblem, typical, unflattenRows } from "../gemm/matmul.ts";
import type { CpuKernel, KernelEnvironment } from "../kernel.ts";
import { MAX_BLOCK_ROWS, emitQuantisation, quantisedRows } from "./activations.ts";
import { type BlockFormat, PANEL_ROWS, panelLayout } from "./format.ts";
import { formatOf } from "./formats.ts";
import { emitExpandedRows, emitExpansion, expandedParts, tileShape } from "./expanded.ts";
import { interleavePacker } from "./interleave.ts";
import { type TileSource, UNPACKED_AGAIN_ROWS, byRowCount, emitTile } from "./tile.ts";

export const matmulBlocks: CpuKernel = {
  name: "matmul_blocks",
  ops: ["matmul"],
  when: blocksApply,
  cost(site, { threads }) {
    const { m, n, k } = matmulProblem(site);
    return (typical(m) * typical(n) * typical(k)) / 150 / threads + 1000;
  },
  lower: (site, environment) => integerLaunches(site, environment),
};

/** `true` where the right side is stored in blocks that products read at this precision, or the reason against it. */
export function blocksApply(site: KernelSite, { precision }: KernelEnvironment): true | string {
  const { a, b, transposeA, transposeB } = matmulProblem(site);
  const encoding = siteConstant(site, b)?.encoding;
  if (encoding === undefined) return "the right side is not stored in blocks";
  if (formatOf(encoding.name) === undefined) return `no format for ${encoding.name}`;
  if (precision !== "medium") return `precision "${precision}" computes on f32 weights`;
  if (!transposeB || transposeA || b.type.shape.length !== 2 || a.type.shape.length < 2) return "another layout";
  return true;
}

/** Quantises x and multiplies. With `most`, does nothing at run time for more rows than that. */
export function integerLaunches(site: KernelSite, { target }: KernelEnvironment, most?: number): readonly Launch[] {
  const { a, b, m, n, k } = matmulProblem(site);
  const [depth, columns] = [k as number, n as number];
  const encoding = siteConstant(site, b)?.encoding?.name as string;
  const format = formatOf(encoding) as BlockFormat;
  const form = { chunk: format.chunk, bias: format.bias, depth };
  const quantised = quantisedRows(form, m);
  const quantise = new GroupKernel(`quantise_rows_k${depth}c${format.chunk}b${format.bias}`, site);
  emitQuantisation(quantise, form, quantise.input(a), m, quantised, most);

  const lanes = Math.min(PANEL_ROWS, target.vectorBytes / 4);
  const name = `matmul_${encoding}_m${printDim(m)}n${columns}k${depth}`.replace(/[^\w]/g, "_");
  const kernel = new GroupKernel(name, site);
  const source: TileSource = {
    format,
    layout: panelLayout(format, depth),
    depth,
    lanes,
    panels: (dtype: DType): Buffer => kernel.packed("w", b, interleavePacker, { encoding }, dtype),
    lookup: tableLookup(kernel, format, lanes),
    words: kernel.temporary(quantised.words, "read"),
    factors: kernel.temporary(quantised.factors, "read"),
    sums: kernel.temporary(quantised.sums, "read"),
  };
  emitProduct(kernel, source, m, columns, most);
  return [
    quantise.launch({ decision: `${printDim(m)} rows of x as bytes, a factor per ${format.chunk}` }),
    kernel.launch({
      decision: `${name}: ${encoding} weights in panels, x as bytes`,
      flops: dimMul(m, 2 * columns * depth),
      precision: "medium",
    }),
  ];
}

/** The lookup of a format's table in vectors of `lanes` words. */
export function tableLookup(
  kernel: GroupKernel,
  { table = [] }: BlockFormat,
  lanes: number,
): (picks: KValue) => KValue {
  return (picks) => {
    const levels = kernel.table("levels", tableWords(table));
    const type = { dtype: "u32", lanes, rows: 1 } as const;
    return kernel.k.intrinsic("lookupBytes", [kernel.k.load(levels, 0, { lanes }), picks], type);
  };
}

/** Emits the tasks: pairs of vectors of weight rows, each for all rows of x. */
function emitProduct(
  kernel: GroupKernel,
  source: TileSource,
  m: ReturnType<typeof matmulProblem>["m"],
  columns: number,
  most: number | undefined,
): void {
  const { k } = kernel;
  const { lanes } = source;
  const y = kernel.site.anchor.outputs[0] as Value;
  const parts = Math.ceil(columns / lanes);
  const perTask = parts % 2 === 0 ? 2 : 1;
  const store = (row: KValue, part: KValue, sum: KValue): void => {
    const column = k.mul(part, lanes);
    const mask = columns % lanes === 0 ? undefined : k.lt(k.iota(column, lanes), k.broadcast(k.index(columns), lanes));
    kernel.store(sum, { index: [...unflattenRows(kernel, row, y), column], lanes, mask });
  };
  const storeRows = (first: KValue, part: KValue, sums: readonly KValue[], firstExists = true): void =>
    sums.forEach((sum, row) => {
      const emit = (): void => store(k.add(first, row), part, sum);
      if (row === 0 && firstExists) emit();
      else k.if(k.lt(k.add(first, row), k.index(m)), emit);
    });
  const tile = (rows: number, parts: readonly KValue[]): void =>
    emitTile(kernel, source, { rows, stride: rows, block: k.index(0), parts }).forEach((sums, i) =>
      storeRows(k.index(0), parts[i] as KValue, sums),
    );
  const shape = tileShape(lanes, perTask);
  const many = (task: KValue): void => {
    const expanded = expandedParts(kernel, source, shape.parts);
    k.for({ end: perTask / shape.parts }, (group) => {
      const own = expanded.map((_, i) => k.add(k.add(k.mul(task, perTask), k.mul(group, shape.parts)), i));
      expanded.forEach((part, i) => emitExpansion(kernel, source, own[i] as KValue, part));
      const blocks = k.index(dimCeilDiv(m, MAX_BLOCK_ROWS));
      emitExpandedRows(kernel, source, expanded, blocks, shape, k.index(0), (block, first, sums) =>
        sums.forEach((rows, i) =>
          storeRows(k.add(k.mul(block, MAX_BLOCK_ROWS), first), own[i] as KValue, rows, first === 0),
        ),
      );
    });
  };
  const count = k.index(m);
  const tasks = (task: KValue): void => {
    const own = Array.from({ length: perTask }, (_, i) => k.add(k.mul(task, perTask), i));
    const each = (body: (part: KValue) => void): void =>
      perTask === 1 ? body(task) : k.for({ end: perTask }, (i) => body(k.add(k.mul(task, perTask), i)));
    const apart = (rows: number): void => each((part) => tile(rows, [part]));
    const eights = (): void =>
      each((part) =>
        k.for({ end: k.index(dimCeilDiv(m, MAX_BLOCK_ROWS)) }, (block) =>
          emitTile(kernel, source, { rows: MAX_BLOCK_ROWS, stride: MAX_BLOCK_ROWS, block, parts: [part] }).forEach(
            (sums) => storeRows(k.mul(block, MAX_BLOCK_ROWS), part, sums),
          ),
        ),
      );
    if (m === 1) return tile(1, own);
    const cases = [
      { most: 0, body: () => {} },
      { most: 1, body: () => tile(1, own) },
      { most: 2, body: () => apart(2) },
      { most: 4, body: () => apart(4) },
      // Vectors of AVX2 have no registers for the sums of eight rows.
      ...(lanes === PANEL_ROWS ? [{ most: UNPACKED_AGAIN_ROWS, body: eights }] : []),
      { most: Infinity, body: () => many(task) },
    ];
    byRowCount(kernel, count, cases, most);
  };
  k.parallel(parts / perTask, (task) => {
    if (most === undefined) tasks(task);
    else k.if(k.le(count, most), () => tasks(task));
  });
}

/** 16 bytes as words, once per 16 bytes of the widest vector. */
function tableWords(table: readonly number[]): { dtype: "u32"; shape: number[]; bytes: Uint8Array } {
  const bytes = new Uint8Array(64).map((_, at) => table[at % 16] as number);
  return { dtype: "u32", shape: [16], bytes };
}
