/**
 * gather, gatherND and gatherElements: runs of elements picked by index tensors. Indices out of range are clamped.
 */

import {
  type Dim,
  GroupKernel,
  type KernelSite,
  type KValue,
  type Launch,
  type Value,
  DTYPE_INFO,
  dimCeilDiv,
  siteConstant,
} from "@quern/core";
import type { CpuKernel, KernelEnvironment } from "../kernel.ts";
import { copyRun, lanesOf, movedAs, sizeOf } from "../movement/runs.ts";
import { countOf, dot, isIndexType, loadIndex, overShape, stridesOf, tupleOffset } from "./positions.ts";

/** Bytes that one task moves at least. */
const TASK_BYTES = 32 << 10;
/** Single elements per task. */
const TASK_ELEMENTS = 4096;
const TYPICAL = 64;

function cost(site: KernelSite, { threads }: KernelEnvironment): number {
  const size = sizeOf((site.anchor.outputs[0] as Value).type.shape);
  return (typeof size === "number" ? size : TYPICAL * TYPICAL) / 2 / threads + 200;
}

function when(site: KernelSite): true | string {
  const indices = site.anchor.inputs[1] as Value;
  return isIndexType(indices) ? true : `indices of ${indices.type.dtype}`;
}

/** Picks `count` runs of `inner` elements for each of `outer` places: run (o, i) starts at `start(o, i)`. */
interface Picks {
  readonly outer: Dim;
  readonly count: Dim;
  readonly inner: Dim;
  start(outer: KValue, i: KValue): KValue;
}

function emitPicks(
  kernel: GroupKernel,
  x: Value,
  { outer, count, inner, start }: Picks,
  environment: KernelEnvironment,
): void {
  const { k } = kernel;
  const { dtype } = x.type;
  const moved = movedAs(dtype);
  const from = kernel.input(x, moved);
  const to = kernel.output(0, "write", moved);
  const single = inner === 1;
  const runBytes = (typeof inner === "number" ? Math.max(inner, 1) : TYPICAL) * DTYPE_INFO[dtype].bytes;
  const perTask = single ? TASK_ELEMENTS : Math.max(1, Math.ceil(TASK_BYTES / runBytes));
  k.parallel(outer, (o) =>
    k.parallel(dimCeilDiv(count, perTask), (task) => {
      const first = k.mul(task, perTask);
      const runs = k.min(k.sub(k.index(count), first), perTask);
      const toAt = (i: KValue): KValue => k.mul(k.add(k.mul(o, k.index(count)), i), k.index(inner));
      if (single)
        return k.each(runs, (i) => k.store(to, toAt(k.add(first, i)), k.load(from, start(o, k.add(first, i)))));
      const copy = (i: KValue): void =>
        copyRun(
          k,
          { from, fromAt: start(o, i), to, toAt: toAt(i), count: countOf(k, inner) },
          lanesOf(environment.target, dtype),
        );
      if (perTask === 1 || count === 1) copy(first);
      else k.for({ start: first, end: k.add(first, runs) }, copy);
    }),
  );
}

export const gatherRuns: CpuKernel = {
  name: "gather",
  ops: ["gather"],
  epilogue: false,
  when: (site) =>
    siteConstant(site, site.anchor.inputs[0])?.encoding === undefined ? when(site) : "the rows are stored in blocks",
  cost,
  lower(site, environment): readonly Launch[] {
    const [x, indices] = site.anchor.inputs as [Value, Value];
    const rank = x.type.shape.length;
    const axis = (((site.anchor.attrs["axis"] as number | undefined) ?? 0) + rank) % rank;
    const size = x.type.shape[axis] as Dim;
    const inner = sizeOf(x.type.shape.slice(axis + 1));
    const kernel = new GroupKernel(`gather_${x.type.dtype}_a${axis}`, site);
    const { k } = kernel;
    const indexBuffer = kernel.input(indices);
    emitPicks(
      kernel,
      x,
      {
        outer: sizeOf(x.type.shape.slice(0, axis)),
        count: sizeOf(indices.type.shape),
        inner,
        start: (o, i) => k.mul(k.add(k.mul(o, k.index(size)), loadIndex(k, indexBuffer, i, size)), k.index(inner)),
      },
      environment,
    );
    return [kernel.launch({ decision: `gather along axis ${axis}` })];
  },
};

export const gatherTuples: CpuKernel = {
  name: "gatherND",
  ops: ["gatherND"],
  epilogue: false,
  when,
  cost,
  lower(site, environment): readonly Launch[] {
    const [x, indices] = site.anchor.inputs as [Value, Value];
    const batch = (site.anchor.attrs["batchDims"] as number | undefined) ?? 0;
    const depth = indices.type.shape.at(-1) as number;
    const slices = x.type.shape.slice(batch);
    const count = sizeOf(indices.type.shape.slice(batch, -1));
    const kernel = new GroupKernel(`gather_nd_${x.type.dtype}_d${depth}`, site);
    const { k } = kernel;
    const indexBuffer = kernel.input(indices);
    emitPicks(
      kernel,
      x,
      {
        outer: sizeOf(x.type.shape.slice(0, batch)),
        count,
        inner: sizeOf(slices.slice(depth)),
        start: (o, i) => {
          const tuple = k.mul(k.add(k.mul(o, k.index(count)), i), depth);
          return k.add(k.mul(o, k.index(sizeOf(slices))), tupleOffset(k, indexBuffer, tuple, slices, depth));
        },
      },
      environment,
    );
    return [kernel.launch({ decision: `gather by tuples of ${depth}` })];
  },
};

export const gatherElements: CpuKernel = {
  name: "gatherElements",
  ops: ["gatherElements"],
  epilogue: false,
  when,
  cost,
  lower(site): readonly Launch[] {
    const [x, indices] = site.anchor.inputs as [Value, Value];
    const rank = x.type.shape.length;
    const axis = ((site.anchor.attrs["axis"] as number) + rank) % rank;
    const strides = stridesOf(x.type.shape);
    const outStrides = stridesOf(indices.type.shape);
    const kernel = new GroupKernel(`gather_elements_${x.type.dtype}_a${axis}`, site);
    const { k } = kernel;
    const moved = movedAs(x.type.dtype);
    const [from, indexBuffer, to] = [kernel.input(x, moved), kernel.input(indices), kernel.output(0, "write", moved)];
    overShape(k, indices.type.shape.slice(0, -1), (outer) =>
      k.each(indices.type.shape.at(-1) as Dim, (last) => {
        const index = [...outer, last];
        const at = dot(k, index, outStrides);
        const picked = loadIndex(k, indexBuffer, at, x.type.shape[axis] as Dim);
        k.store(to, at, k.load(from, dot(k, index.with(axis, picked), strides)));
      }),
    );
    return [kernel.launch({ decision: `gather elements along axis ${axis}` })];
  },
};
