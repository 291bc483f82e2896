/** Quantisation, and the QLinear ops, which are integer products followed by one rescaling. */

import { type Value, DTYPE_INFO } from "@quern/core";
import { add, alongAxis, apply, applyAll, cast, mul } from "../build.ts";
import type { OnnxNode, OpFunction } from "../node.ts";
import { kernelShape, spatialArgs, spatialShape } from "./spatial-args.ts";

/** `axis` where scales are a list, else 0: scalars ignore it. */
function axisOf(n: OnnxNode, x: Value, scale: Value): number {
  const axis = n.int("axis", 1);
  const rank = x.type.shape.length;
  if (scale.type.shape.length === 0 || rank === 0) return 0;
  return scale.type.shape.length === 1 && scale.type.shape[0] === 1 && !(axis < rank && axis >= -rank)
    ? 0
    : n.axis(axis, rank);
}

export const QuantizeLinear: OpFunction = (n) => {
  const [x, scale, zero] = [n.input(0), n.input(1), n.optional(2)];
  const to = zero?.type.dtype ?? n.dtype("output_dtype") ?? "u8";
  if (DTYPE_INFO[to].kind !== "int" && DTYPE_INFO[to].kind !== "uint") return n.unsupported("quantising to floats", to);
  return apply(n.b, "quantizeLinear", [x, scale, zero], {
    axis: axisOf(n, x, scale),
    blockSize: n.int("block_size", 0),
    saturate: n.flag("saturate", true),
    to,
  });
};

export const DequantizeLinear: OpFunction = (n) => {
  const [x, scale] = [n.input(0), n.input(1)];
  const to = n.dtype("output_dtype") ?? scale.type.dtype;
  return apply(n.b, "dequantizeLinear", [x, scale, n.optional(2)], {
    axis: axisOf(n, x, scale),
    blockSize: n.int("block_size", 0),
    to,
  });
};

export const DynamicQuantizeLinear: OpFunction = (n) => applyAll(n.b, "dynamicQuantizeLinear", [n.input(0)]);

/** An i32 sum times the product of both scales, in the output's scale. */
function requantize(n: OnnxNode, sum: Value, factor: Value, scale: Value, zero: Value): Value {
  const real = mul(n.b, cast(n.b, sum, "f32"), cast(n.b, factor, "f32"));
  return apply(n.b, "quantizeLinear", [real, cast(n.b, scale, "f32"), zero], {
    axis: 0,
    blockSize: 0,
    saturate: true,
    to: zero.type.dtype,
  });
}

export const QLinearMatMul: OpFunction = (n) => {
  const [a, aScale, aZero, w, wScale, wZero, scale, zero] = n.rest() as [
    Value,
    Value,
    Value,
    Value,
    Value,
    Value,
    Value,
    Value,
  ];
  if (zero === undefined) return n.fail("needs 8 inputs");
  const sum = apply(n.b, "matmulInteger", [a, w, aZero, wZero]);
  // A list of left scales belongs to rows.
  const rows = aScale.type.shape.length === 1 && aScale.type.shape[0] !== 1 ? alongAxis(n.b, aScale, 0, 2) : aScale;
  return requantize(n, sum, mul(n.b, rows, wScale), scale, zero);
};

export const QLinearConv: OpFunction = (n) => {
  const [x, xScale, xZero, w, wScale, wZero, scale, zero] = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => n.input(i)) as [
    Value,
    Value,
    Value,
    Value,
    Value,
    Value,
    Value,
    Value,
  ];
  const bias = n.optional(8);
  const spatial = spatialShape(n, x);
  const rank = x.type.shape.length;
  const kernel = kernelShape(n, spatial.length, w.type.shape.slice(2));
  const attrs = { ...spatialArgs(n, spatial, kernel), groups: n.int("group", 1), layout: "nchw" };
  const sum = apply(n.b, "convInteger", [x, w, xZero, wZero], attrs);
  const biased = bias === undefined ? sum : add(n.b, sum, alongAxis(n.b, bias, 1, rank));
  return requantize(n, biased, alongAxis(n.b, mul(n.b, xScale, wScale), 1, rank), scale, zero);
};
