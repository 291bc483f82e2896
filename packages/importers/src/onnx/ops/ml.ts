/** Operators of the domain ai.onnx.ml that are plain tensor arithmetic. Trees and string encoders are not among them. */

import type { Value } from "@quern/core";
import { add, apply, cast, constant, div, mul, reshape, scalar, sub } from "../build.ts";
import type { OnnxNode, OpFunction } from "../node.ts";

function list(n: OnnxNode, name: string): Value {
  return constant(n.b, "f32", n.floats(name) ?? n.fail(`attribute "${name}" is missing`));
}

/** (x - offset) * scale per feature. */
export const Scaler: OpFunction = (n) =>
  mul(n.b, sub(n.b, cast(n.b, n.input(0), "f32"), list(n, "offset")), list(n, "scale"));

export const Normalizer: OpFunction = (n) => {
  const x = cast(n.b, n.input(0), "f32");
  const axis = x.type.shape.length - 1;
  const norm = n.choice("norm", ["MAX", "L1", "L2"], "MAX");
  if (norm !== "MAX") return apply(n.b, "lpNormalize", [x], { axis, p: norm === "L1" ? 1 : 2 });
  return div(n.b, x, apply(n.b, "reduceMax", [x], { axes: [axis], keepDims: true }));
};

export const Binarizer: OpFunction = (n) => {
  const x = n.input(0);
  return cast(n.b, apply(n.b, "greater", [x, scalar(n.b, x.type.dtype, n.float("threshold", 0))]), x.type.dtype);
};

/** Elements of the last axis by index. */
export const ArrayFeatureExtractor: OpFunction = (n) => {
  const [x, indices] = [n.input(0), n.input(1)];
  const rank = x.type.shape.length;
  const count = indices.type.shape.reduce<number>(
    (size, dim) => (typeof dim === "number" ? size * dim : n.unsupported("indices must have a fixed size")),
    1,
  );
  const picked = apply(n.b, "gather", [x, reshape(n.b, indices, [count])], { axis: rank - 1 });
  return rank === 1 ? reshape(n.b, picked, [1, count]) : picked;
};

export const LinearRegressor: OpFunction = (n) => {
  if (n.string("post_transform", "NONE") !== "NONE") return n.unsupported("post_transform");
  const targets = n.int("targets", 1);
  const weights = n.floats("coefficients") ?? n.fail("coefficients are missing");
  const matrix = constant(n.b, "f32", weights, [targets, weights.length / targets]);
  const y = apply(n.b, "matmul", [cast(n.b, n.input(0), "f32"), apply(n.b, "transpose", [matrix], { perm: [1, 0] })]);
  return n.has("intercepts") ? add(n.b, y, list(n, "intercepts")) : y;
};
