/** Operators of the domain com.microsoft: fusions that onnxruntime's optimiser and exporters write. */

import type { Value } from "@quern/core";
import { add, apply, applyAll, cast, concat, mul, scalar, scaled, swapLast, transpose } from "../build.ts";
import type { OnnxNode, OpFunction } from "../node.ts";
import { Gelu as StandardGelu } from "./math.ts";
import { LayerNormalization as StandardLayerNormalization, RMSNormalization } from "./norm.ts";

export const Gelu: OpFunction = StandardGelu;
export const LayerNormalization: OpFunction = StandardLayerNormalization;
export const SimplifiedLayerNormalization: OpFunction = RMSNormalization;

export const FastGelu: OpFunction = (n) => {
  const bias = n.optional(1);
  const x = bias === undefined ? n.input(0) : add(n.b, n.input(0), bias);
  return apply(n.b, "gelu", [x], { approximate: "tanh" });
};

export const BiasGelu: OpFunction = (n) =>
  apply(n.b, "gelu", [add(n.b, n.input(0), n.input(1))], { approximate: "none" });
export const QuickGelu: OpFunction = (n) =>
  apply(n.b, "swish", [n.input(0)], { alpha: n.float("alpha", Math.fround(1.702)) });

/** Sum of inputs, skip and bias, which is also the last output. */
function skipSum(n: OnnxNode, bias: number): Value {
  const sum = add(n.b, n.input(0), n.input(1));
  const extra = n.optional(bias);
  return extra === undefined ? sum : add(n.b, sum, extra);
}

export const SkipLayerNormalization: OpFunction = (n) => {
  const sum = skipSum(n, 4);
  const axis = sum.type.shape.length - 1;
  return [
    apply(n.b, "layerNorm", [sum, n.input(2), n.optional(3)], { axis, epsilon: n.float("epsilon", 1e-12) }),
    undefined,
    undefined,
    sum,
  ];
};

export const SkipSimplifiedLayerNormalization: OpFunction = (n) => {
  const sum = skipSum(n, 3);
  const axis = sum.type.shape.length - 1;
  return [
    apply(n.b, "rmsNorm", [sum, n.input(2)], { axis, epsilon: n.float("epsilon", 1e-5) }),
    undefined,
    undefined,
    sum,
  ];
};

export const FusedMatMul: OpFunction = (n) => {
  const { b } = n;
  const turn = (x: Value, batch: boolean, matrix: boolean): Value => {
    const rank = x.type.shape.length;
    if (!batch) return matrix && rank >= 2 ? swapLast(b, x) : x;
    // The leading axis is the rows: [m, batch..., k] stands for [batch..., m, k].
    const perm = [...Array.from({ length: rank - 2 }, (_, i) => i + 1), 0, rank - 1];
    const moved = transpose(b, x, perm);
    return matrix ? swapLast(b, moved) : moved;
  };
  const left = turn(n.input(0), n.flag("transBatchA", false), n.flag("transA", false));
  const right = turn(n.input(1), n.flag("transBatchB", false), n.flag("transB", false));
  return scaled(b, apply(b, "matmul", [left, right]), n.float("alpha", 1));
};

/** Dequantises three inputs from `at` on. */
function real(n: OnnxNode, at: number): Value {
  return apply(n.b, "dequantizeLinear", [n.input(at), n.input(at + 1), n.optional(at + 2)], {
    axis: 0,
    blockSize: 0,
    to: "f32",
  });
}

function quantized(n: OnnxNode, y: Value, scale: number, zero: number): Value {
  const to = n.optional(zero)?.type.dtype ?? n.input(0).type.dtype;
  return apply(n.b, "quantizeLinear", [y, n.input(scale), n.optional(zero)], {
    axis: 0,
    blockSize: 0,
    saturate: true,
    to,
  });
}

export const QLinearAdd: OpFunction = (n) => quantized(n, add(n.b, real(n, 0), real(n, 3)), 6, 7);
export const QLinearMul: OpFunction = (n) => quantized(n, mul(n.b, real(n, 0), real(n, 3)), 6, 7);
export const QLinearSigmoid: OpFunction = (n) => quantized(n, apply(n.b, "sigmoid", [real(n, 0)]), 3, 4);
export const QLinearLeakyRelu: OpFunction = (n) =>
  quantized(n, apply(n.b, "leakyRelu", [real(n, 0)], { alpha: n.float("alpha", 0.01) }), 3, 4);

export const QLinearConcat: OpFunction = (n) => {
  const count = (n.inputCount - 2) / 3;
  if (!Number.isInteger(count) || count < 1) return n.fail("needs a scale, a zero point, and three inputs per tensor");
  const parts = Array.from({ length: count }, (_, i) => real(n, 2 + 3 * i));
  const joined = concat(n.b, parts, n.axis(n.int("axis"), n.input(2).type.shape.length));
  return apply(n.b, "quantizeLinear", [joined, n.input(0), n.input(1)], {
    axis: 0,
    blockSize: 0,
    saturate: true,
    to: n.input(1).type.dtype,
  });
};

/** f32 times quantised weights: the left side is quantised by its own range first. */
export const DynamicQuantizeMatMul: OpFunction = (n) => {
  const { b } = n;
  const [a, aScale, aZero] = applyAll(b, "dynamicQuantizeLinear", [n.input(0)]) as [Value, Value, Value];
  const sum = apply(b, "matmulInteger", [a, n.input(1), aZero, n.optional(3)]);
  const y = mul(b, cast(b, sum, "f32"), mul(b, aScale, n.input(2)));
  const bias = n.optional(4);
  return bias === undefined ? y : add(b, y, bias);
};

export const MatMulIntegerToFloat: OpFunction = (n) => {
  const { b } = n;
  const sum = apply(b, "matmulInteger", [n.input(0), n.input(1), n.optional(4), n.optional(5)]);
  const y = mul(b, cast(b, sum, "f32"), mul(b, n.input(2), n.input(3)));
  const bias = n.optional(6);
  return bias === undefined ? y : add(b, y, bias);
};

/** Sum of all tokens that are not masked, as an i32 list, with the embeddings normalised: one of the oldest fusions. */
export const EmbedLayerNormalization: OpFunction = (n) => {
  const { b } = n;
  const [words, positions] = [n.input(2), n.input(3)];
  const ids = n.input(0);
  const segments = n.optional(1);
  const length = ids.type.shape[1] ?? n.fail("needs 2 axes");
  if (n.optional(8) !== undefined) return n.unsupported("explicit position ids");
  const places = apply(b, "slice", [positions], {
    starts: [0, 0],
    sizes: [length, positions.type.shape[1] ?? n.fail("needs 2 axes")],
    steps: [1, 1],
  });
  const looked = add(b, apply(b, "gather", [words, ids], { axis: 0 }), places);
  const table = n.optional(4);
  const sum =
    segments === undefined || table === undefined
      ? looked
      : add(b, looked, apply(b, "gather", [table, segments], { axis: 0 }));
  const y = apply(b, "layerNorm", [sum, n.input(5), n.input(6)], { axis: 2, epsilon: n.float("epsilon", 1e-12) });
  const mask = n.optional(7);
  const counts =
    mask === undefined
      ? apply(b, "expand", [scalar(b, "i32", 0)], { shape: [ids.type.shape[0] ?? 1] })
      : apply(b, "reduceSum", [cast(b, mask, "i32")], { axes: [1], keepDims: false });
  return [y, counts, sum];
};
