/**
 * resize along one axis or two neighbouring ones, every mode: which elements an output position reads, and with what
 * weights, is tabulated per axis when the kernel is made.
 *
 * A tensor is seen as [outer, a, b, inner]. Nearest copies runs of `inner`. Weighted modes sum a few taps: directly
 * where there are at most four, otherwise the rows first, into scratch, and then along the row.
 */

import {
  type Buffer,
  type ConstantData,
  type Dim,
  GroupKernel,
  type KernelBuilder,
  type KernelSite,
  type KValue,
  type Launch,
  type Value,
  resizeAxis,
  resizeTaps,
} from "@quern/core";
import type { CpuKernel, KernelEnvironment } from "../kernel.ts";
import { copyRun, lanesOf, movedAs, sizeOf } from "../movement/runs.ts";
import { countOf } from "../indexing/positions.ts";

const TYPICAL = 64;
/** Longest row of intermediate sums in scratch, in elements. */
const MAX_ROW_ELEMENTS = 256 << 10;
/** Taps of both axes together that are summed directly. */
const MAX_DIRECT_TAPS = 4;

/** Taps of every output position of an axis, padded to one count; [tap][position]. */
interface AxisTable {
  readonly from: number;
  readonly to: number;
  readonly taps: number;
  readonly at: Int32Array;
  readonly weights: Float32Array;
}

interface Resize {
  readonly outer: Dim;
  readonly a: AxisTable;
  readonly b: AxisTable;
  readonly inner: Dim;
}

function tableOf(site: KernelSite, axis: number): AxisTable | string {
  const { anchor } = site;
  const { shape } = (anchor.inputs[0] as Value).type;
  const [from, to] = [shape[axis], (anchor.outputs[0] as Value).type.shape[axis]];
  if (typeof from !== "number" || typeof to !== "number") return "a resized axis has a symbolic size";
  const rule = resizeAxis(anchor.attrs, shape.length, axis, from, to);
  const all = Array.from({ length: to }, (_, i) => resizeTaps(rule, i));
  if (all.some(({ outside }) => outside)) return "positions outside of the input";
  const taps = Math.max(1, ...all.map(({ at }) => at.length));
  const table = { from, to, taps, at: new Int32Array(taps * to), weights: new Float32Array(taps * to) };
  all.forEach(({ at, weights }, i) => {
    for (let tap = 0; tap < taps; tap++) {
      table.at[tap * to + i] = at[tap] ?? at[0] ?? 0;
      table.weights[tap * to + i] = weights[tap] ?? 0;
    }
  });
  return table;
}

/** One axis of one element, for resizes along a single axis. */
const UNIT_AXIS: AxisTable = { from: 1, to: 1, taps: 1, at: new Int32Array(1), weights: Float32Array.of(1) };

function resizeOf(site: KernelSite): Resize | string {
  const { anchor } = site;
  const x = (anchor.inputs[0] as Value).type;
  const y = (anchor.outputs[0] as Value).type;
  const nearest = (anchor.attrs["mode"] ?? "nearest") === "nearest";
  if (!nearest && x.dtype !== "f32") return x.dtype;
  const scales = anchor.attrs["scales"] as readonly number[];
  const crops = anchor.attrs["coordinate"] === "tf_crop_and_resize";
  const axes = x.shape
    .map((_, axis) => axis)
    .filter((axis) => crops || scales[axis] !== 1 || x.shape[axis] !== y.shape[axis]);
  const [first, second] = axes;
  if (first === undefined || axes.length > 2 || (second !== undefined && second !== first + 1))
    return "not along one axis or two neighbouring ones";
  const tables = axes.map((axis) => tableOf(site, axis));
  const problem = tables.find((table) => typeof table === "string");
  if (problem !== undefined) return problem;
  const [a, b] = (axes.length === 1 ? [UNIT_AXIS, tables[0]] : tables) as [AxisTable, AxisTable];
  if ([a.from, a.to, b.from, b.to].includes(0)) return "an axis is empty";
  const inner = sizeOf(x.shape.slice((second ?? first) + 1));
  if (!nearest && (typeof inner !== "number" || b.from * inner > MAX_ROW_ELEMENTS)) return "rows too long";
  return { outer: sizeOf(x.shape.slice(0, first)), a, b, inner };
}

function intsOf(data: Int32Array): ConstantData {
  return { dtype: "i32", shape: [data.length], bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
}

function floatsOf(data: Float32Array): ConstantData {
  return { dtype: "f32", shape: [data.length], bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
}

export const resizeTables: CpuKernel = {
  name: "resize",
  ops: ["resize"],
  epilogue: false,
  when(site) {
    const resize = resizeOf(site);
    return typeof resize === "string" ? resize : true;
  },
  cost(site, { threads }) {
    const size = sizeOf((site.anchor.outputs[0] as Value).type.shape);
    return (typeof size === "number" ? size : TYPICAL * TYPICAL) / 2 / threads + 200;
  },
  lower(site, environment): readonly Launch[] {
    const resize = resizeOf(site) as Resize;
    const mode = (site.anchor.attrs["mode"] as string | undefined) ?? "nearest";
    const { a, b } = resize;
    const kernel = new GroupKernel(`resize_${mode}_${a.from}x${b.from}_to_${a.to}x${b.to}`, site);
    if (mode === "nearest") emitNearest(kernel, resize, environment);
    else if (resize.inner !== 1 && a.taps * b.taps <= MAX_DIRECT_TAPS) emitDirect(kernel, resize);
    else emitSeparable(kernel, resize);
    return [kernel.launch({ decision: kernel.k.name })];
  },
};

/** Tasks over outer places and output rows; `body` gets the offsets of the input image and of the output row, in elements. */
function overRows(
  k: KernelBuilder,
  { outer, a, b, inner }: Resize,
  body: (image: KValue, row: KValue, toAt: KValue) => void,
): void {
  k.parallel(outer, (o) =>
    k.parallel(a.to, (row) => {
      const image = k.mul(o, k.mul(k.index(inner), a.from * b.from));
      body(image, row, k.mul(k.add(k.mul(o, a.to), row), k.mul(k.index(inner), b.to)));
    }),
  );
}

function tabulated(k: KernelBuilder, table: Buffer, at: KValue): KValue {
  return k.cast(k.load(table, at), "index");
}

function emitNearest(kernel: GroupKernel, resize: Resize, { target }: KernelEnvironment): void {
  const { k } = kernel;
  const { a, b, inner } = resize;
  const { dtype } = (kernel.site.anchor.inputs[0] as Value).type;
  const moved = movedAs(dtype);
  const [from, to] = [kernel.input(kernel.site.anchor.inputs[0] as Value, moved), kernel.output(0, "write", moved)];
  const [rows, columns] = [kernel.table("rows", intsOf(a.at)), kernel.table("columns", intsOf(b.at))];
  overRows(k, resize, (image, row, toAt) => {
    const source = k.add(image, k.mul(tabulated(k, rows, row), k.mul(k.index(inner), b.from)));
    if (inner === 1)
      return k.each(b.to, (i) => k.store(to, k.add(toAt, i), k.load(from, k.add(source, tabulated(k, columns, i)))));
    k.for({ end: b.to }, (i) =>
      copyRun(
        k,
        {
          from,
          fromAt: k.add(source, k.mul(tabulated(k, columns, i), k.index(inner))),
          to,
          toAt: k.add(toAt, k.mul(i, k.index(inner))),
          count: countOf(k, inner),
        },
        lanesOf(target, dtype),
      ),
    );
  });
}

interface Tables {
  readonly rows: Buffer;
  readonly rowWeights: Buffer;
  readonly columns: Buffer;
  readonly columnWeights: Buffer;
}

function tablesOf(kernel: GroupKernel, { a, b }: Resize): Tables {
  return {
    rows: kernel.table("rows", intsOf(a.at)),
    rowWeights: kernel.table("rowWeights", floatsOf(a.weights)),
    columns: kernel.table("columns", intsOf(b.at)),
    columnWeights: kernel.table("columnWeights", floatsOf(b.weights)),
  };
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** All taps of a pixel at once, lanes along `inner`. */
function emitDirect(kernel: GroupKernel, resize: Resize): void {
  const { k } = kernel;
  const { a, b, inner } = resize;
  const [from, to] = [kernel.input(kernel.site.anchor.inputs[0] as Value), kernel.output(0)];
  const tables = tablesOf(kernel, resize);
  overRows(k, resize, (image, row, toAt) => {
    const rows = numbers(a.taps).map((tap) => {
      const at = k.add(row, tap * a.to);
      return {
        start: k.add(image, k.mul(tabulated(k, tables.rows, at), k.mul(k.index(inner), b.from))),
        weight: k.load(tables.rowWeights, at),
      };
    });
    k.for({ end: b.to }, (i) => {
      const taps = numbers(b.taps).flatMap((tap) => {
        const at = k.add(i, tap * b.to);
        const column = k.mul(tabulated(k, tables.columns, at), k.index(inner));
        const weight = k.load(tables.columnWeights, at);
        return rows.map((source) => ({ start: k.add(source.start, column), weight: k.mul(source.weight, weight) }));
      });
      const pixel = k.add(toAt, k.mul(i, k.index(inner)));
      k.each(inner, (c) => {
        const sum = taps.reduce<KValue | undefined>((total, { start, weight }) => {
          const element = k.load(from, k.add(start, c));
          return total === undefined ? k.mul(element, weight) : k.fma(element, weight, total);
        }, undefined);
        k.store(to, k.add(pixel, c), sum as KValue);
      });
    });
  });
}

/** Rows of the input summed into scratch, then taps along the row. */
function emitSeparable(kernel: GroupKernel, resize: Resize): void {
  const { k } = kernel;
  const { a, b } = resize;
  const inner = resize.inner as number;
  const [from, to] = [kernel.input(kernel.site.anchor.inputs[0] as Value), kernel.output(0)];
  const tables = tablesOf(kernel, resize);
  const line = k.scratch("line", "f32", b.from * inner);
  overRows(k, resize, (image, row, toAt) => {
    const rows = numbers(a.taps).map((tap) => {
      const at = k.add(row, tap * a.to);
      return {
        start: k.add(image, k.mul(tabulated(k, tables.rows, at), b.from * inner)),
        weight: k.load(tables.rowWeights, at),
      };
    });
    k.each(b.from * inner, (i) =>
      k.store(
        line,
        i,
        weighted(
          k,
          rows.map(({ start, weight }) => [k.load(from, k.add(start, i)), weight]),
        ),
      ),
    );
    if (inner === 1) {
      k.each(b.to, (i) =>
        k.store(
          to,
          k.add(toAt, i),
          weighted(
            k,
            numbers(b.taps).map((tap) => {
              const at = k.add(i, tap * b.to);
              return [k.load(line, tabulated(k, tables.columns, at)), k.load(tables.columnWeights, at)];
            }),
          ),
        ),
      );
      return;
    }
    k.for({ end: b.to }, (i) => {
      const taps = numbers(b.taps).map((tap) => {
        const at = k.add(i, tap * b.to);
        return { start: k.mul(tabulated(k, tables.columns, at), inner), weight: k.load(tables.columnWeights, at) };
      });
      const pixel = k.add(toAt, k.mul(i, inner));
      k.each(inner, (c) =>
        k.store(
          to,
          k.add(pixel, c),
          weighted(
            k,
            taps.map(({ start, weight }) => [k.load(line, k.add(start, c)), weight]),
          ),
        ),
      );
    });
  });
}

/** Σ value · weight. */
function weighted(k: KernelBuilder, terms: readonly (readonly [KValue, KValue])[]): KValue {
  const [first, ...rest] = terms as [readonly [KValue, KValue], ...(readonly [KValue, KValue])[]];
  return rest.reduce((sum, [value, weight]) => k.fma(value, weight, sum), k.mul(first[0], first[1]));
}
