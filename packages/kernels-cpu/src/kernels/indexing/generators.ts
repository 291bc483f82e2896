/**
 * Ops whose elements follow from their place: oneHot, trilu, range.
 */

import { type Dim, GroupKernel, type KValue, type Launch, type Value } from "@quern/core";
import type { CpuKernel } from "../kernel.ts";
import { movedAs, sizeOf } from "../movement/runs.ts";

const TYPICAL = 64;
const CHUNK = 4096;

function elementCost(value: Value, threads: number): number {
  const size = sizeOf(value.type.shape);
  return (typeof size === "number" ? size : TYPICAL * TYPICAL) / 4 / threads + 200;
}

/** Sizes that only a run tells cannot be allocated before it. */
function hasUnknownSize(value: Value): boolean {
  return value.type.shape.some((dim) => String(dim).includes("$"));
}

export const oneHotRows: CpuKernel = {
  name: "oneHot",
  ops: ["oneHot"],
  epilogue: false,
  when(site) {
    const { dtype } = (site.anchor.inputs[0] as Value).type;
    if (!["i64", "i32", "f32"].includes(dtype)) return `indices of ${dtype}`;
    return hasUnknownSize(site.anchor.outputs[0] as Value) ? "the depth is not known" : true;
  },
  cost: (site, { threads }) => elementCost(site.anchor.outputs[0] as Value, threads),
  lower(site): readonly Launch[] {
    const { anchor } = site;
    const [indices, , pair] = anchor.inputs as [Value, Value, Value];
    const y = anchor.outputs[0] as Value;
    const rank = y.type.shape.length;
    const axis = ((anchor.attrs["axis"] as number) + rank) % rank;
    const [depth, inner] = [y.type.shape[axis] as Dim, sizeOf(y.type.shape.slice(axis + 1))];
    const kernel = new GroupKernel(`one_hot_${y.type.dtype}`, site);
    const { k } = kernel;
    const moved = movedAs(y.type.dtype);
    const [from, values, to] = [kernel.input(indices), kernel.input(pair, moved), kernel.output(0, "write", moved)];
    const indexAt = (at: KValue): KValue => {
      const given = k.cast(k.load(from, at), "index");
      return k.select(k.lt(given, 0), k.add(given, k.index(depth)), given);
    };
    k.parallel(sizeOf(y.type.shape.slice(0, axis)), (outer) => {
      const row = k.mul(outer, k.index(sizeOf([depth, inner])));
      const [off, on] = [k.load(values, 0), k.load(values, 1)];
      if (inner === 1) {
        const index = indexAt(outer);
        k.each(depth, (d) => k.store(to, k.add(row, d), k.select(k.eq(d, index), on, off)));
        return;
      }
      k.for({ end: depth }, (d) =>
        k.each(inner, (i) => {
          const index = indexAt(k.add(k.mul(outer, k.index(inner)), i));
          k.store(to, k.add(row, k.add(k.mul(d, k.index(inner)), i)), k.select(k.eq(index, d), on, off));
        }),
      );
    });
    return [kernel.launch({ decision: kernel.k.name })];
  },
};

export const triangle: CpuKernel = {
  name: "trilu",
  ops: ["trilu"],
  epilogue: false,
  when(site) {
    const diagonal = site.anchor.inputs[1];
    return diagonal === undefined || diagonal.type.dtype === "i64" || diagonal.type.dtype === "i32"
      ? true
      : `a diagonal of ${diagonal.type.dtype}`;
  },
  cost: (site, { threads }) => elementCost(site.anchor.outputs[0] as Value, threads),
  lower(site): readonly Launch[] {
    const { anchor } = site;
    const [x, diagonal] = anchor.inputs as [Value, Value | undefined];
    const [rows, columns] = x.type.shape.slice(-2) as [Dim, Dim];
    const upper = anchor.attrs["upper"] !== false;
    const kernel = new GroupKernel(`trilu_${x.type.dtype}`, site);
    const { k } = kernel;
    const moved = movedAs(x.type.dtype);
    const from = kernel.input(x, moved);
    const offset = diagonal && kernel.input(diagonal);
    const to = kernel.output(0, "write", moved);
    k.parallel(sizeOf(x.type.shape.slice(0, -2)), (matrix) =>
      k.parallel(rows, (row) => {
        const first = k.mul(k.add(k.mul(matrix, k.index(rows)), row), k.index(columns));
        const bound = offset === undefined ? row : k.add(row, k.cast(k.load(offset, 0), "index"));
        k.each(columns, (column) => {
          const kept = upper ? k.ge(column, bound) : k.le(column, bound);
          const at = k.add(first, column);
          k.store(to, at, k.select(kept, k.load(from, at), k.const(moved, 0)));
        });
      }),
    );
    return [kernel.launch({ decision: kernel.k.name })];
  },
};

export const rangeSteps: CpuKernel = {
  name: "range",
  ops: ["range"],
  epilogue: false,
  when(site) {
    const y = site.anchor.outputs[0] as Value;
    if (!["i64", "i32", "f32"].includes(y.type.dtype)) return y.type.dtype;
    return hasUnknownSize(y) ? "the size is not known" : true;
  },
  cost: (site, { threads }) => elementCost(site.anchor.outputs[0] as Value, threads),
  lower(site): readonly Launch[] {
    const { anchor } = site;
    const [start, , delta] = anchor.inputs as [Value, Value, Value];
    const y = anchor.outputs[0] as Value;
    const kernel = new GroupKernel(`range_${y.type.dtype}`, site);
    const { k } = kernel;
    const [startBuffer, deltaBuffer, to] = [kernel.input(start), kernel.input(delta), kernel.output(0)];
    const size = k.index(y.type.shape[0] as Dim);
    k.parallel(k.div(k.add(size, CHUNK - 1), CHUNK), (task) => {
      const first = k.mul(task, CHUNK);
      const [base, step] = [k.load(startBuffer, 0), k.load(deltaBuffer, 0)];
      k.each(k.min(k.sub(size, first), CHUNK), (i) => {
        const at = k.add(first, i);
        k.store(to, at, k.fma(k.cast(at, y.type.dtype), step, base));
      });
    });
    return [kernel.launch({ decision: kernel.k.name })];
  },
};
