/**
 * Ops that walk along one axis: argMax and argMin, running sums and products.
 *
 * A tensor is seen as [outer, size, inner]. With inner > 1 neighbouring lines lie side by side and become lanes.
 */

import {
  type Buffer,
  type DType,
  type Dim,
  GroupKernel,
  type KernelBuilder,
  type KernelSite,
  type KValue,
  type Launch,
  type Value,
} from "@quern/core";
import type { CpuKernel, KernelEnvironment } from "../kernel.ts";
import { sizeOf } from "../movement/runs.ts";
import { ORDERED, orderKey } from "./order-key.ts";

const TYPICAL = 64;

export interface Lines {
  readonly outer: Dim;
  readonly size: Dim;
  readonly inner: Dim;
}

export function linesOf({ anchor }: KernelSite): Lines {
  const { shape } = (anchor.inputs[0] as Value).type;
  const axis = (((anchor.attrs["axis"] as number | undefined) ?? 0) + shape.length) % shape.length;
  return { outer: sizeOf(shape.slice(0, axis)), size: shape[axis] as Dim, inner: sizeOf(shape.slice(axis + 1)) };
}

function cost(site: KernelSite, { threads }: KernelEnvironment): number {
  const size = sizeOf((site.anchor.inputs[0] as Value).type.shape);
  return (typeof size === "number" ? size : TYPICAL * TYPICAL) / threads + 200;
}

export const argExtreme: CpuKernel = {
  name: "argExtreme",
  ops: ["argMax", "argMin"],
  epilogue: false,
  when(site) {
    const { type } = site.anchor.inputs[0] as Value;
    if (!ORDERED.has(type.dtype)) return type.dtype;
    return linesOf(site).size === 0 ? "an axis without elements" : true;
  },
  cost,
  lower(site): readonly Launch[] {
    const { anchor } = site;
    const x = anchor.inputs[0] as Value;
    const { outer, size, inner } = linesOf(site);
    const largest = anchor.op === "argMax";
    const last = anchor.attrs["selectLast"] === true;
    const kernel = new GroupKernel(`${anchor.op}_${x.type.dtype}`, site);
    const { k } = kernel;
    const [from, to] = [kernel.input(x), kernel.output(0)];
    const keyAt = (at: KValue): KValue => orderKey(k, k.load(from, at));
    k.parallel(outer, (o) => {
      const first = k.mul(o, k.index(inner === 1 ? size : sizeOf([size, inner])));
      if (inner === 1)
        k.store(
          to,
          o,
          k.cast(
            indexInLine(k, (i) => keyAt(k.add(first, i)), size, largest, last),
            "i64",
          ),
        );
      else
        k.each(inner, (c) => {
          const result = indexByComparison(
            k,
            (n) => keyAt(k.add(first, k.add(k.mul(n, k.index(inner)), c))),
            size,
            largest,
            last,
          );
          k.store(to, k.add(k.mul(o, k.index(inner)), c), k.cast(result, "i64"));
        });
    });
    return [kernel.launch({ decision: kernel.k.name })];
  },
};

/** Two reductions: the extreme key, then the first (or last) place that has it. */
function indexInLine(k: KernelBuilder, key: (i: KValue) => KValue, size: Dim, largest: boolean, last: boolean): KValue {
  const extreme = k.reduce(largest ? "max" : "min", size, key);
  return k.reduce(last ? "max" : "min", size, (i) => {
    const at = k.cast(i, "i32");
    return k.select(k.eq(key(i), extreme), at, k.const("i32", last ? -1 : 0x7fffffff));
  });
}

function indexByComparison(
  k: KernelBuilder,
  key: (n: KValue) => KValue,
  size: Dim,
  largest: boolean,
  last: boolean,
): KValue {
  const first = key(k.index(0));
  const best = k.local("best", first.type.dtype, first);
  const at = k.local("at", "i32", 0);
  k.for({ start: 1, end: size }, (n) => {
    const next = key(n);
    const leader = k.read(best);
    const better = largest
      ? last
        ? k.ge(next, leader)
        : k.gt(next, leader)
      : last
        ? k.le(next, leader)
        : k.lt(next, leader);
    k.assign(best, k.select(better, next, leader));
    k.assign(at, k.select(better, k.cast(n, "i32"), k.read(at)));
  });
  return k.read(at);
}

/** Types that are summed in themselves. */
const SUMMED: ReadonlySet<DType> = new Set(["f32", "f64", "i32", "i64"]);

export const running: CpuKernel = {
  name: "running",
  ops: ["cumSum", "cumProd"],
  epilogue: false,
  when(site) {
    const { dtype } = (site.anchor.inputs[0] as Value).type;
    return SUMMED.has(dtype) ? true : dtype;
  },
  cost,
  lower(site): readonly Launch[] {
    const { anchor } = site;
    const x = anchor.inputs[0] as Value;
    const { outer, size, inner } = linesOf(site);
    const kernel = new GroupKernel(`${anchor.op}_${x.type.dtype}`, site);
    const { k } = kernel;
    const [from, to] = [kernel.input(x), kernel.output(0)];
    k.parallel(outer, (o) =>
      k.each(inner, (c) => {
        const first = k.add(k.mul(o, k.index(sizeOf([size, inner]))), c);
        emitLine(k, site, from, to, (n) => k.add(first, k.mul(n, k.index(inner))), size);
      }),
    );
    return [kernel.launch({ decision: kernel.k.name })];
  },
};

function emitLine(
  k: KernelBuilder,
  { anchor }: KernelSite,
  from: Buffer,
  to: Buffer,
  place: (n: KValue) => KValue,
  size: Dim,
): void {
  const sum = anchor.op === "cumSum";
  const exclusive = anchor.attrs["exclusive"] === true;
  const total = k.local("total", from.dtype, sum ? 0 : 1);
  k.for({ end: size }, (step) => {
    const n = anchor.attrs["reverse"] === true ? k.sub(k.sub(k.index(size), 1), step) : step;
    const at = place(n);
    const before = k.read(total);
    const element = k.load(from, at);
    const after = sum ? k.add(before, element) : k.mul(before, element);
    k.assign(total, after);
    k.store(to, at, exclusive ? before : after);
  });
}
