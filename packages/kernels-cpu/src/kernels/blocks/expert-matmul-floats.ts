/**
 * `expertMatmul` in f32: with experts stored as f16 or bf16 in panels (`matmul-floats.ts`), and with any others as they lie
 * in memory, one dot product per element, for weights that are computed or that no panels are made of.
 */

import {
  type Buffer,
  GroupKernel,
  type KValue,
  type KernelSite,
  type Launch,
  type Value,
  dimCeilDiv,
  dimMul,
  printDim,
  siteConstant,
} from "@quern/core";
import { typical, unflattenRows } from "../gemm/matmul.ts";
import { isIndexType } from "../indexing/positions.ts";
import type { CpuKernel, KernelEnvironment } from "../kernel.ts";
import { overGroups, storeGroupRows } from "./expert-matmul.ts";
import { FLOAT_ENCODINGS, floatPanelPacker } from "./float-panels.ts";
import { PANEL_ROWS } from "./format.ts";
import { emitFloatTile } from "./matmul-floats.ts";
import { expertProblem, expertRoutes, loadExpert, routesLaunch, storedExperts } from "./routes.ts";

/** Columns of a row that a task computes where experts lie as they are. */
const TASK_COLUMNS = 32;

export const expertMatmulFloats: CpuKernel = {
  name: "expert_matmul_floats",
  ops: ["expertMatmul"],
  when(site) {
    const stored = storedExperts(site);
    if (typeof stored === "string") return stored;
    return FLOAT_ENCODINGS.has(stored.encoding) ? true : "the experts are not stored as floats";
  },
  cost(site, { threads }) {
    const { rows, columns, depth } = expertProblem(site);
    return (typical(rows) * typical(columns) * typical(depth)) / 40 / threads + 1200;
  },
  lower,
};

function lower(site: KernelSite, { target }: KernelEnvironment): readonly Launch[] {
  const problem = expertProblem(site);
  const { encoding } = storedExperts(site) as { encoding: string };
  const [columns, depth] = [problem.columns as number, problem.depth as number];
  const routes = expertRoutes(problem);
  const lanes = Math.min(PANEL_ROWS, target.vectorBytes / 4);
  const mostRows = lanes === PANEL_ROWS ? 8 : 4;
  const name = `expert_matmul_${encoding}_e${printDim(problem.experts)}n${columns}k${depth}`;
  const kernel = new GroupKernel(name, site);
  const { k } = kernel;
  const x = kernel.input(problem.x);
  const order = kernel.temporary(routes.order, "read");
  const weights: Buffer = kernel.packed("w", problem.w, floatPanelPacker, { encoding }, FLOAT_ENCODINGS.get(encoding));
  overGroups(kernel, problem, routes, lanes, (group, own) => {
    const panelParts = own.map((part) => k.add(k.mul(group.expert, columns / lanes), part));
    const last = k.sub(group.count, 1);
    const tile = (rows: number, first: KValue): void => {
      // Rows beyond the last are read as the last one.
      const rowAt = Array.from({ length: rows }, (_, i) => {
        const position = k.add(group.first, i === 0 ? first : k.min(k.add(first, i), last));
        const row = k.cast(k.load(order, position), "index");
        return k.mul(problem.shared ? k.div(row, k.index(problem.slots)) : row, depth);
      });
      emitFloatTile(kernel, { x, weights, depth, lanes }, rowAt, panelParts).forEach((sums, i) =>
        storeGroupRows(kernel, routes, group, { first, part: own[i] as KValue, sums, certain: 1 }),
      );
    };
    k.if(
      k.le(group.count, 1),
      () => tile(1, k.index(0)),
      () =>
        k.if(
          k.le(group.count, 2),
          () => tile(2, k.index(0)),
          () =>
            k.for({ end: k.div(k.add(group.count, mostRows - 1), mostRows) }, (block) =>
              tile(mostRows, k.mul(block, mostRows)),
            ),
        ),
    );
  });
  return [
    routesLaunch(site, problem, routes),
    kernel.launch({
      decision: `${name}: ${encoding} experts in panels, f32 multiply-adds`,
      flops: dimMul(problem.rows, 2 * columns * depth),
    }),
  ];
}

export const expertMatmulRows: CpuKernel = {
  name: "expert_matmul",
  ops: ["expertMatmul"],
  when(site) {
    const { w, ids } = expertProblem(site);
    if (siteConstant(site, w)?.encoding !== undefined) return "the experts are stored in blocks";
    return isIndexType(ids) ? true : `ids of ${ids.type.dtype}`;
  },
  cost(site, { threads }) {
    const { rows, columns, depth } = expertProblem(site);
    return (typical(rows) * typical(columns) * typical(depth)) / 15 / threads + 500;
  },
  lower(site) {
    const { x, ids, w, rows, slots, shared, experts, columns, depth } = expertProblem(site);
    const kernel = new GroupKernel(`expert_matmul_n${printDim(columns)}k${printDim(depth)}`.replace(/\W/g, "_"), site);
    const { k } = kernel;
    const [left, from, weights] = [x, ids, w].map((value) => kernel.input(value)) as [Buffer, Buffer, Buffer];
    const y = site.anchor.outputs[0] as Value;
    k.parallel(rows, (row) =>
      k.parallel(dimCeilDiv(columns, TASK_COLUMNS), (task) => {
        const expert = loadExpert(kernel, from, row, experts);
        const rowAt = k.mul(shared ? k.div(row, k.index(slots)) : row, k.index(depth));
        const firstColumn = k.mul(task, TASK_COLUMNS);
        const end = k.min(k.add(firstColumn, TASK_COLUMNS), k.index(columns));
        k.for({ start: firstColumn, end }, (column) => {
          const weightsAt = k.mul(k.add(k.mul(expert, k.index(columns)), column), k.index(depth));
          const sum = k.reduce("sum", k.index(depth), (i) =>
            k.mul(k.load(left, k.add(rowAt, i)), k.load(weights, k.add(weightsAt, i))),
          );
          kernel.store(sum, { index: [...unflattenRows(kernel, row, y), column] });
        });
      }),
    );
    return [kernel.launch({ decision: `${kernel.k.name}: rows of f32 experts` })];
  },
};
