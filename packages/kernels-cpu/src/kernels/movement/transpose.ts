/**
 * transpose as a kernel of its own, where nothing is computed with it: axes of size one vanish, axes that stay
 * together merge. What remains either keeps its last axis (copies of runs) or is a stack of matrix transposes, done in
 * square tiles that are transposed in registers.
 */

import {
  type Buffer,
  type Dim,
  GroupKernel,
  type KernelBuilder,
  type KernelSite,
  type KValue,
  type Launch,
  type Node,
  type Value,
  DTYPE_INFO,
  dimCeilDiv,
} from "@quern/core";
import type { CpuKernel, KernelEnvironment } from "../kernel.ts";
import { copyRun, emitCopy, lanesOf, movedAs, sizeOf } from "./runs.ts";
import { transposeTile } from "./transpose-tile.ts";

/** Elements that one task moves at least. */
const TASK_ELEMENTS = 16 << 10;
const TYPICAL = 64;

export const transposeTiles: CpuKernel = {
  name: "transpose",
  // A reshape behind a transpose moves nothing and ends the group.
  ops: ["transpose", "reshape"],
  epilogue: false,
  when(site) {
    const node = soleTranspose(site);
    if (node === undefined) return "more than a transpose";
    const { axes, order } = collapse(node);
    const { bytes } = DTYPE_INFO[(node.outputs[0] as Value).type.dtype];
    if (order.at(-1) !== axes.length - 1 && bytes < 4) return "narrow elements that leave the last axis";
    return true;
  },
  cost(site, { threads }) {
    const size = sizeOf((site.anchor.outputs[0] as Value).type.shape);
    return (typeof size === "number" ? size : TYPICAL * TYPICAL) / 4 / threads + 200;
  },
  lower,
};

/** The transpose of a body that has nothing but it and reshapes. */
function soleTranspose({ body }: KernelSite): Node | undefined {
  const nodes = body.nodes.filter((node) => node.op !== "input");
  const moves = nodes.filter((node) => node.op !== "reshape");
  return moves.length === 1 && moves[0]?.op === "transpose" ? moves[0] : undefined;
}

interface Collapsed {
  /** Sizes of the merged axes of the source. */
  readonly axes: readonly Dim[];
  /** Source axis of each axis of the result. */
  readonly order: readonly number[];
}

/** Merges axes that are neighbours in the source and in the result; drops those of size one. */
function collapse(node: Node): Collapsed {
  const { shape } = (node.inputs[0] as Value).type;
  const perm = (node.attrs["perm"] as readonly number[]).filter((axis) => shape[axis] !== 1);
  const kept = [...perm].sort((a, b) => a - b);
  const groups: number[][] = [];
  for (const axis of perm) {
    const last = groups.at(-1);
    if (last !== undefined && kept.indexOf(axis) === kept.indexOf(last.at(-1) as number) + 1) last.push(axis);
    else groups.push([axis]);
  }
  const bySource = groups.map((group, at) => ({ first: group[0] as number, at })).sort((a, b) => a.first - b.first);
  const order: number[] = [];
  bySource.forEach(({ at }, position) => (order[at] = position));
  return { axes: bySource.map(({ at }) => sizeOf((groups[at] as number[]).map((axis) => shape[axis] as Dim))), order };
}

function lower(site: KernelSite, environment: KernelEnvironment): readonly Launch[] {
  const node = soleTranspose(site) as Node;
  const { dtype } = (node.outputs[0] as Value).type;
  const { axes, order } = collapse(node);
  const kernel = new GroupKernel(`transpose_${dtype}_${axes.join("x")}_${order.join("")}`.replace(/[^\w]/g, "_"), site);
  const source = site.body.inputs[0]?.value as Value;
  const moved = movedAs(dtype);
  const from = kernel.input(source, moved);
  const to = kernel.output(0, "write", moved);
  const lanes = lanesOf(environment.target, dtype);
  if (axes.length <= 1) emitCopy(kernel.k, from, to, axes[0] ?? 1, lanes);
  else if (order.at(-1) === axes.length - 1) emitRuns(kernel.k, from, to, axes, order, lanes);
  else emitTiles(kernel.k, from, to, axes, order, lanes, DTYPE_INFO[dtype].bytes as 4 | 8);
  return [kernel.launch({ decision: kernel.k.name })];
}

/** Element strides of the axes of a row-major tensor. */
function stridesOf(shape: readonly Dim[]): Dim[] {
  return shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));
}

/** Nested tasks over the result's axes `which`; gives the offsets they add up to in source and result. */
function overAxes(
  k: KernelBuilder,
  axes: readonly Dim[],
  order: readonly number[],
  which: readonly number[],
  body: (fromAt: KValue, toAt: KValue) => void,
): void {
  const [fromStrides, toStrides] = [stridesOf(axes), stridesOf(order.map((axis) => axes[axis] as Dim))];
  const descend = (at: number, fromAt: KValue, toAt: KValue): void => {
    if (at === which.length) return body(fromAt, toAt);
    const axis = which[at] as number;
    const source = order[axis] as number;
    k.parallel(axes[source] as Dim, (i) =>
      descend(
        at + 1,
        k.add(fromAt, k.mul(i, k.index(fromStrides[source] as Dim))),
        k.add(toAt, k.mul(i, k.index(toStrides[axis] as Dim))),
      ),
    );
  };
  descend(0, k.index(0), k.index(0));
}

/** The last axis stays: a task copies all runs of the axis before it. */
function emitRuns(
  k: KernelBuilder,
  from: Buffer,
  to: Buffer,
  axes: readonly Dim[],
  order: readonly number[],
  lanes: number,
): void {
  const rank = axes.length;
  const run = axes.at(-1) as Dim;
  const rows = order[rank - 2] as number;
  const rowStride = stridesOf(axes)[rows] as Dim;
  overAxes(
    k,
    axes,
    order,
    Array.from({ length: rank - 2 }, (_, axis) => axis),
    (fromAt, toAt) => {
      k.for({ end: axes[rows] as Dim }, (row) =>
        copyRun(
          k,
          {
            from,
            fromAt: k.add(fromAt, k.mul(row, k.index(rowStride))),
            to,
            toAt: k.add(toAt, k.mul(row, k.index(run))),
            count: typeof run === "number" ? run : k.index(run),
          },
          lanes,
        ),
      );
    },
  );
}

/** One matrix of the stack: element (m, n) is at from + m · rowStride + n, and goes to to + n · columnStride + m. */
interface Matrix {
  readonly from: Buffer;
  readonly to: Buffer;
  readonly fromAt: KValue;
  readonly toAt: KValue;
  readonly m: Dim;
  readonly n: Dim;
  readonly rowStride: Dim;
  readonly columnStride: Dim;
  readonly lanes: number;
  readonly bytes: 4 | 8;
}

function emitTiles(
  k: KernelBuilder,
  from: Buffer,
  to: Buffer,
  axes: readonly Dim[],
  order: readonly number[],
  lanes: number,
  bytes: 4 | 8,
): void {
  const rank = axes.length;
  const sourceLast = rank - 1;
  // Where the source's last axis goes, and which axis becomes the last.
  const column = order.indexOf(sourceLast);
  const row = order[rank - 1] as number;
  const [m, n] = [axes[row] as Dim, axes[sourceLast] as Dim];
  const rowStride = stridesOf(axes)[row] as Dim;
  const columnStride = stridesOf(order.map((axis) => axes[axis] as Dim))[column] as Dim;
  const others = Array.from({ length: rank - 1 }, (_, axis) => axis).filter((axis) => axis !== column);
  const tilesPerTask = Math.max(
    1,
    Math.ceil(TASK_ELEMENTS / ((typeof m === "number" ? Math.max(m, lanes) : TYPICAL) * lanes)),
  );
  const chunk = tilesPerTask * lanes;
  overAxes(k, axes, order, others, (fromAt, toAt) =>
    k.parallel(dimCeilDiv(n, chunk), (task) => {
      const matrix: Matrix = { from, to, fromAt, toAt, m, n, rowStride, columnStride, lanes, bytes };
      const start = k.mul(task, chunk);
      const end =
        typeof n === "number" && n % chunk === 0 ? k.add(start, chunk) : k.min(k.add(start, chunk), k.index(n));
      const whole = k.sub(end, lanes - 1);
      k.for({ start, end: whole, step: lanes }, (at) => emitRowsOfTiles(k, matrix, at, lanes));
      const exact = typeof n === "number" && n % lanes === 0;
      if (exact) return;
      // The last columns of the source, fewer than a vector.
      const rest = typeof n === "number" ? n % lanes : k.rem(k.index(n), lanes);
      const isLast = k.and(
        k.eq(end, k.index(n)),
        typeof rest === "number" ? k.eq(k.index(0), k.index(0)) : k.gt(rest, 0),
      );
      k.if(isLast, () => emitRowsOfTiles(k, matrix, k.sub(end, rest), rest));
    }),
  );
}

/** Tiles at source columns at .. at + columns - 1, over all source rows. */
function emitRowsOfTiles(k: KernelBuilder, matrix: Matrix, at: KValue, columns: number | KValue): void {
  const { m, lanes } = matrix;
  if (typeof m === "number") {
    const whole = m - (m % lanes);
    if (whole === lanes) emitTile(k, matrix, k.index(0), lanes, at, columns);
    else if (whole > 0) k.for({ end: whole, step: lanes }, (row) => emitTile(k, matrix, row, lanes, at, columns));
    // The last rows again as part of a whole tile, or a tile of fewer rows.
    if (whole < m) emitTile(k, matrix, k.index(whole > 0 ? m - lanes : 0), whole > 0 ? lanes : m, at, columns);
    return;
  }
  const size = k.index(m);
  k.for({ end: k.sub(size, lanes - 1), step: lanes }, (row) => emitTile(k, matrix, row, lanes, at, columns));
  const rest = k.rem(size, lanes);
  k.if(k.gt(rest, 0), () => emitTile(k, matrix, k.sub(size, rest), rest, at, columns));
}

/** `rows` source rows from `row`, `columns` source columns from `column`; at most a vector of each. */
function emitTile(
  k: KernelBuilder,
  matrix: Matrix,
  row: KValue,
  rows: number | KValue,
  column: KValue,
  columns: number | KValue,
): void {
  const { from, to, fromAt, toAt, m, rowStride, columnStride, lanes, bytes } = matrix;
  const below = (count: number | KValue): KValue | undefined =>
    count === lanes ? undefined : k.lt(k.iota(k.index(0), lanes), k.broadcast(k.index(count), lanes));
  const mask = below(columns);
  const loaded: KValue[] = [];
  for (let i = 0; i < lanes; i++) {
    if (typeof rows === "number" && i >= rows) {
      loaded.push(loaded[0] as KValue);
      continue;
    }
    // Rows that do not exist repeat the last one.
    const at = typeof rows === "number" ? k.add(row, i) : k.min(k.add(row, i), k.sub(k.index(m), 1));
    loaded.push(k.load(from, k.add(fromAt, k.add(k.mul(at, k.index(rowStride)), column)), { lanes, mask }));
  }
  const storeMask = below(rows);
  transposeTile(k, loaded, bytes).forEach((value, j) => {
    const at = k.add(toAt, k.add(k.mul(k.add(column, j), k.index(columnStride)), row));
    const store = (): void => k.store(to, at, value, { mask: storeMask });
    if (typeof columns !== "number") k.if(k.lt(k.index(j), columns), store);
    else if (j < columns) store();
  });
}
