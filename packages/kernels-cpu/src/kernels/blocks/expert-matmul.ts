/**
 * `expertMatmul` with experts stored in blocks: their rows lie in the panels of `matmul.ts`, one expert after the other.
 *
 * A task takes two vectors of weight rows of one group, so that only experts with rows are read. One row streams the
 * panels, many meet them unpacked. Tasks go through the groups first and the columns second: threads, which have
 * consecutive tasks, get columns of every expert, however unevenly the rows are spread over them.
 */

import {
  type Buffer,
  type DType,
  GroupKernel,
  type KValue,
  type KernelSite,
  type Launch,
  type Value,
  dimMul,
  printDim,
} from "@quern/core";
import { typical, unflattenRows } from "../gemm/matmul.ts";
import type { CpuKernel, KernelEnvironment } from "../kernel.ts";
import { MAX_BLOCK_ROWS } from "./activations.ts";
import { emitExpandedRows, emitExpansion, expandedParts, tileShape } from "./expanded.ts";
import { expertRows, expertRowsLaunch } from "./expert-rows.ts";
import { type BlockFormat, PANEL_ROWS, panelLayout } from "./format.ts";
import { formatOf } from "./formats.ts";
import { interleavePacker } from "./interleave.ts";
import { tableLookup } from "./matmul.ts";
import {
  type ExpertProblem,
  type Group,
  type Routes,
  expertProblem,
  expertRoutes,
  loadGroup,
  routesLaunch,
  storedExperts,
} from "./routes.ts";
import { type TileSource, UNPACKED_AGAIN_ROWS, byRowCount, emitTile } from "./tile.ts";

export const expertMatmulBlocks: CpuKernel = {
  name: "expert_matmul_blocks",
  ops: ["expertMatmul"],
  when(site, { precision }) {
    const stored = storedExperts(site);
    if (typeof stored === "string") return stored;
    if (formatOf(stored.encoding) === undefined) return `no format for ${stored.encoding}`;
    return precision === "medium" ? true : `precision "${precision}" computes on f32 weights`;
  },
  cost(site, { threads }) {
    const { rows, columns, depth } = expertProblem(site);
    return (typical(rows) * typical(columns) * typical(depth)) / 150 / threads + 1500;
  },
  lower,
};

function lower(site: KernelSite, { target }: KernelEnvironment): readonly Launch[] {
  const problem = expertProblem(site);
  const { encoding } = storedExperts(site) as { encoding: string };
  const [columns, depth] = [problem.columns as number, problem.depth as number];
  const format = formatOf(encoding) as BlockFormat;
  const routes = expertRoutes(problem);
  const form = { chunk: format.chunk, bias: format.bias, depth };
  const quantised = expertRows(form, routes);
  const lanes = Math.min(PANEL_ROWS, target.vectorBytes / 4);
  const name = `expert_matmul_${encoding}_e${printDim(problem.experts)}n${columns}k${depth}`.replace(/[^\w]/g, "_");
  const kernel = new GroupKernel(name, site);
  const source: TileSource = {
    format,
    layout: panelLayout(format, depth),
    depth,
    lanes,
    panels: (dtype: DType): Buffer => kernel.packed("w", problem.w, interleavePacker, { encoding }, dtype),
    lookup: tableLookup(kernel, format, lanes),
    words: kernel.temporary(quantised.words, "read"),
    factors: kernel.temporary(quantised.factors, "read"),
    sums: kernel.temporary(quantised.sums, "read"),
  };
  emitProduct(kernel, source, problem, routes);
  return [
    routesLaunch(site, problem, routes),
    expertRowsLaunch(site, problem, routes, form, quantised),
    kernel.launch({
      decision: `${name}: ${encoding} experts in panels, x as bytes`,
      flops: dimMul(problem.rows, 2 * columns * depth),
      precision: "medium",
    }),
  ];
}

/** Tasks of a product: `body` gets a group that has rows, and the vectors of columns that are the task's own. */
export function overGroups(
  kernel: GroupKernel,
  { columns }: ExpertProblem,
  routes: Routes,
  lanes: number,
  body: (group: Group, parts: readonly KValue[]) => void,
): void {
  const { k } = kernel;
  const parts = (columns as number) / lanes;
  const perTask = parts % 2 === 0 ? 2 : 1;
  k.parallel(parts / perTask, (task) =>
    k.parallel(routes.most, (at) => {
      const group = loadGroup(kernel, routes, at);
      const own = Array.from({ length: perTask }, (_, i) => k.add(k.mul(task, perTask), i));
      k.if(k.gt(group.count, 0), () => body(group, own));
    }),
  );
}

/** Stores sums of the columns of `part` for the rows of a group from its row `first` on, as far as there are rows. */
export function storeGroupRows(
  kernel: GroupKernel,
  routes: Routes,
  group: Group,
  { first, part, sums, certain }: { first: KValue; part: KValue; sums: readonly KValue[]; certain: number },
): void {
  const { k } = kernel;
  const y = kernel.site.anchor.outputs[0] as Value;
  const order = kernel.temporary(routes.order, "read");
  sums.forEach((sum, i) => {
    const { lanes } = sum.type;
    const own = k.add(first, i);
    const emit = (): void => {
      const row = k.cast(k.load(order, k.add(group.first, own)), "index");
      kernel.store(sum, { index: [...unflattenRows(kernel, row, y), k.mul(part, lanes)], lanes });
    };
    if (i < certain) emit();
    else k.if(k.lt(own, group.count), emit);
  });
}

function emitProduct(kernel: GroupKernel, source: TileSource, problem: ExpertProblem, routes: Routes): void {
  const { k } = kernel;
  const { lanes } = source;
  const partsOfExpert = (problem.columns as number) / lanes;
  const shape = tileShape(lanes, 1);
  overGroups(kernel, problem, routes, lanes, (group, own) => {
    const panelPart = (part: KValue): KValue => k.add(k.mul(group.expert, partsOfExpert), part);
    /** Blocks of `rows` rows before the group. */
    const blockOf = (rows: number): KValue => k.mul(group.block, MAX_BLOCK_ROWS / rows);
    const tile = (rows: number, parts: readonly KValue[]): void =>
      emitTile(kernel, source, { rows, stride: rows, block: blockOf(rows), parts: parts.map(panelPart) }).forEach(
        (sums, i) =>
          storeGroupRows(kernel, routes, group, {
            first: k.index(0),
            part: parts[i] as KValue,
            sums,
            certain: rows / 2 + 1,
          }),
      );
    const each = (body: (part: KValue) => void): void =>
      own.length === 1 ? body(own[0] as KValue) : k.for({ end: own.length }, (i) => body(k.add(own[0] as KValue, i)));
    const blocks = k.div(k.add(group.count, MAX_BLOCK_ROWS - 1), MAX_BLOCK_ROWS);
    const eights = (part: KValue): void =>
      k.for({ end: blocks }, (block) => {
        const of = { rows: MAX_BLOCK_ROWS, stride: MAX_BLOCK_ROWS, block: k.add(group.block, block) };
        const [sums = []] = emitTile(kernel, source, { ...of, parts: [panelPart(part)] });
        storeGroupRows(kernel, routes, group, { first: k.mul(block, MAX_BLOCK_ROWS), part, sums, certain: 1 });
      });
    const many = (part: KValue): void => {
      const expanded = expandedParts(kernel, source, shape.parts);
      expanded.forEach((one) => emitExpansion(kernel, source, panelPart(part), one));
      emitExpandedRows(kernel, source, expanded, blocks, shape, group.block, (block, first, [sums = []]) =>
        storeGroupRows(kernel, routes, group, {
          first: k.add(k.mul(block, MAX_BLOCK_ROWS), first),
          part,
          sums,
          certain: first === 0 ? 1 : 0,
        }),
      );
    };
    const { count } = group;
    byRowCount(kernel, count, [
      { most: 1, body: () => tile(1, own) },
      { most: 2, body: () => each((part) => tile(2, [part])) },
      { most: 4, body: () => each((part) => tile(4, [part])) },
      ...(lanes === PANEL_ROWS ? [{ most: UNPACKED_AGAIN_ROWS, body: () => each(eights) }] : []),
      { most: Infinity, body: () => each(many) },
    ]);
  });
}
