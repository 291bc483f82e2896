/** Pooling windows, and pools over all spatial axes, which are reductions. */

import { type Dim, type Value, isFloat } from "@quern/core";
import { apply, applyAll, cast } from "../build.ts";
import type { OnnxNode, OpFunction } from "../node.ts";
import { type SpatialArgs, kernelShape, spatialArgs, spatialShape } from "./spatial-args.ts";

function windowOf(
  n: OnnxNode,
  x: Value,
): SpatialArgs & { readonly kernel: readonly number[]; readonly ceilMode: boolean } {
  const spatial = spatialShape(n, x);
  const kernel = kernelShape(n, spatial.length);
  return { kernel, ...spatialArgs(n, spatial, kernel), ceilMode: n.flag("ceil_mode", false) };
}

/** Runs a float pool on an integer tensor through a wider float, where every value is exact. */
function throughFloat(n: OnnxNode, x: Value, pool: (x: Value) => Value): Value {
  const { dtype } = x.type;
  return isFloat(dtype)
    ? pool(x)
    : cast(n.b, pool(cast(n.b, x, dtype === "i8" || dtype === "u8" ? "f32" : "f64")), dtype);
}

export const MaxPool: OpFunction = (n) => {
  const x = n.input(0);
  const window = windowOf(n, x);
  if (!n.wants(1)) return throughFloat(n, x, (y) => apply(n.b, "maxPool", [y], { ...window, layout: "nchw" }));
  return applyAll(n.b, "maxPoolWithIndices", [x], {
    ...window,
    layout: "nchw",
    storageOrder: n.int("storage_order", 0),
  });
};

export const AveragePool: OpFunction = (n) => {
  const x = n.input(0);
  return apply(n.b, "averagePool", [x], {
    ...windowOf(n, x),
    countIncludePad: n.flag("count_include_pad", false),
    layout: "nchw",
  });
};

export const LpPool: OpFunction = (n) => {
  const x = n.input(0);
  const p = n.opset < 2 ? n.float("p", 2) : n.int("p", 2);
  return apply(n.b, "lpPool", [x], { ...windowOf(n, x), p, layout: "nchw" });
};

function globalPool(name: string): OpFunction {
  return (n) => {
    const x = n.input(0);
    spatialShape(n, x);
    return apply(n.b, name, [x], { axes: x.type.shape.map((_, i) => i).slice(2), keepDims: true });
  };
}

export const GlobalAveragePool: OpFunction = globalPool("reduceMean");
export const GlobalMaxPool: OpFunction = globalPool("reduceMax");

export const GlobalLpPool: OpFunction = (n) => {
  const x = n.input(0);
  spatialShape(n, x);
  const p = n.opset < 2 ? n.float("p", 2) : n.int("p", 2);
  const name = p === 1 ? "reduceL1" : p === 2 ? "reduceL2" : n.unsupported(`p = ${p}`);
  return apply(n.b, name, [x], { axes: x.type.shape.map((_, i) => i).slice(2), keepDims: true });
};

export const MaxUnpool: OpFunction = (n) => {
  const [x, indices] = [n.input(0), n.input(1)];
  const spatial = spatialShape(n, x);
  const kernel = kernelShape(n, spatial.length);
  const { strides, padsBefore, padsAfter } = spatialArgs(n, spatial, kernel);
  const natural = spatial.map((size: Dim, i) => {
    if (typeof size !== "number") return n.unsupported("spatial axes must have fixed sizes");
    return (
      (size - 1) * (strides[i] as number) - (padsBefore[i] as number) - (padsAfter[i] as number) + (kernel[i] as number)
    );
  });
  const given = n.optional(2) === undefined ? undefined : n.constantNumbers(2, "output shape").slice(2);
  if (given !== undefined && given.some((size, i) => size !== natural[i])) {
    return n.unsupported("an output size other than the windows give");
  }
  return apply(n.b, "maxUnpool", [x, indices], { sizes: natural });
};
