/**
 * scatterND and scatterElements: a copy of x, then the updates one after another in row-major order on one thread, so
 * that the last of repeated indices wins as in the reference. Indices out of range are clamped.
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
  kernelMath,
} from "@quern/core";
import type { CpuKernel, KernelEnvironment } from "../kernel.ts";
import { copyRun, emitCopy, lanesOf, movedAs, sizeOf } from "../movement/runs.ts";
import { countOf, dot, isIndexType, loadIndex, overShape, stridesOf, tupleOffset } from "./positions.ts";

const TYPICAL = 64;
/** Types whose updates can be combined. */
const COMBINED: ReadonlySet<DType> = new Set(["f32", "f64", "i32", "i64"]);

function reductionOf({ anchor }: KernelSite): string {
  return (anchor.attrs["reduction"] as string | undefined) ?? "none";
}

function when(site: KernelSite): true | string {
  const [x, indices] = site.anchor.inputs as [Value, Value];
  if (!isIndexType(indices)) return `indices of ${indices.type.dtype}`;
  if (reductionOf(site) !== "none" && !COMBINED.has(x.type.dtype)) return `${reductionOf(site)} of ${x.type.dtype}`;
  return true;
}

function cost(site: KernelSite, { threads }: KernelEnvironment): number {
  const [x, , updates] = site.anchor.inputs as [Value, Value, Value];
  const size = (value: Value): number => {
    const elements = sizeOf(value.type.shape);
    return typeof elements === "number" ? elements : TYPICAL * TYPICAL;
  };
  return size(x) / 4 / threads + 2 * size(updates) + 400;
}

function copyLaunch(site: KernelSite, x: Value, { target }: KernelEnvironment): Launch {
  const kernel = new GroupKernel(`copy_${x.type.dtype}`, site);
  const moved = movedAs(x.type.dtype);
  emitCopy(
    kernel.k,
    kernel.input(x, moved),
    kernel.output(0, "write", moved),
    sizeOf(x.type.shape),
    lanesOf(target, x.type.dtype),
  );
  return kernel.launch({ decision: "copy of the updated tensor" });
}

function combine(k: KernelBuilder, reduction: string, old: KValue, update: KValue): KValue {
  switch (reduction) {
    case "add":
      return k.add(old, update);
    case "mul":
      return k.mul(old, update);
    case "max":
      return kernelMath.ieeeMax(k, old, update);
    case "min":
      return kernelMath.ieeeMin(k, old, update);
    default:
      return update;
  }
}

/** Buffers of the update kernel: moved as integers unless they are combined. */
function updateKernel(
  site: KernelSite,
  name: string,
): { kernel: GroupKernel; indices: Buffer; updates: Buffer; y: Buffer } {
  const [x, indices, updates] = site.anchor.inputs as [Value, Value, Value];
  const kernel = new GroupKernel(`${name}_${x.type.dtype}_${reductionOf(site)}`, site);
  const as = reductionOf(site) === "none" ? movedAs(x.type.dtype) : x.type.dtype;
  return {
    kernel,
    indices: kernel.input(indices),
    updates: kernel.input(updates, as),
    y: kernel.output(0, "readwrite", as),
  };
}

export const scatterTuples: CpuKernel = {
  name: "scatterND",
  ops: ["scatterND"],
  epilogue: false,
  when,
  cost,
  lower(site, environment): readonly Launch[] {
    const [x, indexValue] = site.anchor.inputs as [Value, Value];
    const depth = indexValue.type.shape.at(-1) as number;
    const inner = sizeOf(x.type.shape.slice(depth));
    const reduction = reductionOf(site);
    const { kernel, indices, updates, y } = updateKernel(site, "scatter_nd");
    const { k } = kernel;
    k.parallel(1, () =>
      k.for({ end: sizeOf(indexValue.type.shape.slice(0, -1)) }, (tuple) => {
        const to = tupleOffset(k, indices, k.mul(tuple, depth), x.type.shape, depth);
        const from = k.mul(tuple, k.index(inner));
        if (reduction === "none") {
          copyRun(
            k,
            { from: updates, fromAt: from, to: y, toAt: to, count: countOf(k, inner) },
            lanesOf(environment.target, x.type.dtype),
          );
        } else {
          k.each(inner, (i) =>
            k.store(y, k.add(to, i), combine(k, reduction, k.load(y, k.add(to, i)), k.load(updates, k.add(from, i)))),
          );
        }
      }),
    );
    return [copyLaunch(site, x, environment), kernel.launch({ decision: `scatter by tuples of ${depth}` })];
  },
};

export const scatterElements: CpuKernel = {
  name: "scatterElements",
  ops: ["scatterElements"],
  epilogue: false,
  when,
  cost,
  lower(site, environment): readonly Launch[] {
    const [x, indexValue] = site.anchor.inputs as [Value, Value];
    const rank = x.type.shape.length;
    const axis = ((site.anchor.attrs["axis"] as number) + rank) % rank;
    const [strides, fromStrides] = [stridesOf(x.type.shape), stridesOf(indexValue.type.shape)];
    const reduction = reductionOf(site);
    const { kernel, indices, updates, y } = updateKernel(site, "scatter_elements");
    const { k } = kernel;
    k.parallel(1, () =>
      overShape(
        k,
        indexValue.type.shape,
        (index) => {
          const from = dot(k, index, fromStrides);
          const picked = loadIndex(k, indices, from, x.type.shape[axis] as Dim);
          const to = dot(k, index.with(axis, picked), strides);
          k.store(
            y,
            to,
            combine(k, reduction, reduction === "none" ? k.load(updates, from) : k.load(y, to), k.load(updates, from)),
          );
        },
        true,
      ),
    );
    return [copyLaunch(site, x, environment), kernel.launch({ decision: `scatter elements along axis ${axis}` })];
  },
};
