/**
 * Copies of strided views (transposes, slices and their chains) where nothing is computed with them.
 *
 * Where the last axis is contiguous in the source, runs are copied. Where another axis is, the view is a stack of matrix
 * transposes, done in square tiles that are transposed in registers; up to four rows interleave into whole vectors.
 */

import {
  type Buffer,
  type Dim,
  GroupKernel,
  type KernelBuilder,
  type KValue,
  type Launch,
  type Value,
  DTYPE_INFO,
  dimCeilDiv,
  sameDim,
} from "@quern/core";
import type { CpuKernel } from "../kernel.ts";
import { copyRun, emitCopy, lanesOf, movedAs, sizeOf } from "./runs.ts";
import { type StridedAxis, type StridedView, stridedView } from "./strided-view.ts";
import { interleave, transposeTile } from "./transpose-tile.ts";

/** Elements that one task moves at least. */
const TASK_ELEMENTS = 16 << 10;
const TYPICAL = 64;
/** Rows that are interleaved instead of transposed in tiles. */
const MAX_INTERLEAVED = 4;

export const viewCopy: CpuKernel = {
  name: "view",
  // Whatever ends a group of views.
  ops: ["transpose", "reshape", "slice", "expand"],
  epilogue: false,
  when(site) {
    const view = stridedView(site);
    if (typeof view === "string") return view;
    const { axes } = view;
    const { bytes } = DTYPE_INFO[view.source.type.dtype];
    if (axes.length === 0 || axes.at(-1)?.stride === 1) return true;
    if (!axes.some(({ stride }) => stride === 1)) return "no axis is contiguous in the source";
    return bytes < 4 ? "narrow elements that leave the last axis" : true;
  },
  cost(site, { threads }) {
    const size = sizeOf((site.anchor.outputs[0] as Value).type.shape);
    return (typeof size === "number" ? size : TYPICAL * TYPICAL) / 4 / threads + 200;
  },
  lower(site, { target }): readonly Launch[] {
    const view = stridedView(site) as StridedView;
    const { dtype } = view.source.type;
    const { axes } = view;
    const kind = axes.length === 0 || axes.at(-1)?.stride === 1 ? "copy" : "transpose";
    const kernel = new GroupKernel(
      `${kind}_${dtype}_${axes.map(({ size }) => size).join("x")}`.replace(/[^\w]/g, "_"),
      site,
    );
    const moved = movedAs(dtype);
    const copy: Copy = {
      k: kernel.k,
      from: kernel.input(view.source, moved),
      to: kernel.output(0, "write", moved),
      view,
      lanes: lanesOf(target, dtype),
      bytes: DTYPE_INFO[dtype].bytes,
    };
    if (axes.length === 0) emitCopy(copy.k, copy.from, copy.to, 1, copy.lanes, copy.k.index(view.offset));
    else if (kind === "transpose") emitMatrices(copy);
    else if (axes.length === 1)
      emitCopy(copy.k, copy.from, copy.to, axes[0]?.size as Dim, copy.lanes, copy.k.index(view.offset));
    else emitRuns(copy);
    return [kernel.launch({ decision: kernel.k.name })];
  },
};

interface Copy {
  readonly k: KernelBuilder;
  readonly from: Buffer;
  readonly to: Buffer;
  readonly view: StridedView;
  readonly lanes: number;
  readonly bytes: number;
}

/** Row-major strides of the result. */
function resultStrides({ view }: Copy): Dim[] {
  return view.axes.map((_, axis) => sizeOf(view.axes.slice(axis + 1).map(({ size }) => size)));
}

/** Nested tasks over the axes `which`; gives the offsets they add up to in source and result. */
function overAxes(copy: Copy, which: readonly number[], body: (fromAt: KValue, toAt: KValue) => void): void {
  const { k, view } = copy;
  const toStrides = resultStrides(copy);
  const descend = (at: number, fromAt: KValue, toAt: KValue): void => {
    if (at === which.length) return body(fromAt, toAt);
    const axis = which[at] as number;
    const { size, stride } = view.axes[axis] as StridedAxis;
    k.parallel(size, (i) =>
      descend(at + 1, k.add(fromAt, k.mul(i, k.index(stride))), k.add(toAt, k.mul(i, k.index(toStrides[axis] as Dim)))),
    );
  };
  descend(0, k.index(view.offset), k.index(0));
}

/** The last axis is contiguous: a task copies the runs of some rows of the axis before it. */
function emitRuns(copy: Copy): void {
  const { k, view, from, to, lanes } = copy;
  const rank = view.axes.length;
  const [rows, run] = view.axes.slice(-2) as [StridedAxis, StridedAxis];
  const rowsPerTask = typeof run.size === "number" ? Math.max(1, Math.ceil(TASK_ELEMENTS / Math.max(run.size, 1))) : 1;
  overAxes(
    copy,
    Array.from({ length: rank - 2 }, (_, axis) => axis),
    (fromAt, toAt) =>
      k.parallel(dimCeilDiv(rows.size, rowsPerTask), (task) => {
        const first = k.mul(task, rowsPerTask);
        const one = (row: KValue): void =>
          copyRun(
            k,
            {
              from,
              fromAt: k.add(fromAt, k.mul(row, k.index(rows.stride))),
              to,
              toAt: k.add(toAt, k.mul(row, k.index(run.size))),
              count: typeof run.size === "number" ? run.size : k.index(run.size),
            },
            lanes,
          );
        if (rowsPerTask === 1) one(first);
        else k.for({ start: first, end: k.min(k.add(first, rowsPerTask), k.index(rows.size)) }, one);
      }),
  );
}

/** One matrix of the stack: element (m, n) is at from + m · rowStride + n, and goes to to + n · columnStride + m. */
interface Matrix {
  readonly k: KernelBuilder;
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

function emitMatrices(copy: Copy): void {
  const { k, view, from, to, lanes } = copy;
  const rank = view.axes.length;
  // The axis that is contiguous in the source; the result's last one is contiguous there.
  const column = view.axes.findIndex(({ stride }) => stride === 1);
  const { size: n } = view.axes[column] as StridedAxis;
  const { size: m, stride: rowStride } = view.axes[rank - 1] as StridedAxis;
  const columnStride = resultStrides(copy)[column] as Dim;
  const others = Array.from({ length: rank - 1 }, (_, axis) => axis).filter((axis) => axis !== column);
  const tilesPerTask = Math.max(
    1,
    Math.ceil(TASK_ELEMENTS / ((typeof m === "number" ? Math.max(m, 1) : TYPICAL) * lanes)),
  );
  const chunk = tilesPerTask * lanes;
  overAxes(copy, others, (fromAt, toAt) =>
    k.parallel(dimCeilDiv(n, chunk), (task) => {
      const matrix: Matrix = {
        k,
        from,
        to,
        fromAt,
        toAt,
        m,
        n,
        rowStride,
        columnStride,
        lanes,
        bytes: copy.bytes as 4 | 8,
      };
      const start = k.mul(task, chunk);
      const end =
        typeof n === "number" && n % chunk === 0 ? k.add(start, chunk) : k.min(k.add(start, chunk), k.index(n));
      k.for({ start, end: k.sub(end, lanes - 1), step: lanes }, (at) => emitColumns(matrix, at, lanes));
      if (typeof n === "number" && n % lanes === 0) return;
      // The last columns of the source, fewer than a vector.
      const rest = typeof n === "number" ? n % lanes : k.rem(k.index(n), lanes);
      const isLast = k.eq(end, k.index(n));
      k.if(typeof rest === "number" ? isLast : k.and(isLast, k.gt(rest, 0)), () =>
        emitColumns(matrix, k.sub(end, rest), rest),
      );
    }),
  );
}

/** All rows of source columns at .. at + columns - 1. */
function emitColumns(matrix: Matrix, at: KValue, columns: number | KValue): void {
  const { k, m, lanes } = matrix;
  if (typeof m !== "number") {
    const size = k.index(m);
    k.for({ end: k.sub(size, lanes - 1), step: lanes }, (row) => emitTile(matrix, row, lanes, at, columns));
    const rest = k.rem(size, lanes);
    k.if(k.gt(rest, 0), () => emitTile(matrix, k.sub(size, rest), rest, at, columns));
    return;
  }
  if (m === 0) return;
  if (m <= MAX_INTERLEAVED && columns === lanes && sameDim(matrix.columnStride, m))
    return emitInterleaved(matrix, m, at);
  const whole = m - (m % lanes);
  if (whole === lanes) emitTile(matrix, k.index(0), lanes, at, columns);
  else if (whole > 0) k.for({ end: whole, step: lanes }, (row) => emitTile(matrix, row, lanes, at, columns));
  // The last rows again as part of a whole tile, or a tile of fewer rows.
  if (whole < m) emitTile(matrix, k.index(whole > 0 ? m - lanes : 0), whole > 0 ? lanes : m, at, columns);
}

function rowAt({ k, fromAt, rowStride }: Matrix, row: KValue, column: KValue): KValue {
  return k.add(fromAt, k.add(k.mul(row, k.index(rowStride)), column));
}

/** A few rows whose columns lie side by side in the result: m vectors in, m vectors out. */
function emitInterleaved(matrix: Matrix, m: number, at: KValue): void {
  const { k, from, to, toAt, lanes } = matrix;
  const rows = Array.from({ length: m }, (_, row) => k.load(from, rowAt(matrix, k.index(row), at), { lanes }));
  const target = k.add(toAt, k.mul(at, m));
  interleave(k, rows).forEach((value, i) => k.store(to, k.add(target, i * lanes), value));
}

/** `rows` source rows from `row`, `columns` source columns from `column`; at most a vector of each. */
function emitTile(matrix: Matrix, row: KValue, rows: number | KValue, column: KValue, columns: number | KValue): void {
  const { k, from, to, toAt, m, columnStride, lanes, bytes } = matrix;
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
    loaded.push(k.load(from, rowAt(matrix, at, column), { lanes, mask }));
  }
  const storeMask = below(rows);
  transposeTile(k, loaded, bytes).forEach((value, j) => {
    const at = k.add(toAt, k.add(k.mul(k.add(column, j), k.index(columnStride)), row));
    const store = (): void => k.store(to, at, value, { mask: storeMask });
    if (typeof columns !== "number") k.if(k.lt(k.index(j), columns), store);
    else if (j < columns) store();
  });
}
