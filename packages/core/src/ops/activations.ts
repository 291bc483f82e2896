/**
 * Activation functions, `clamp` and `cast`: one input, elementwise. All give NaN for NaN, and what
 * their formula gives for infinities (x·sigmoid(x) is NaN at -∞).
 */

import { DTYPE_INFO, type DType, isFloat } from "../dtype.ts";
import type { Attrs } from "../graph/graph.ts";
import type { KValue } from "../kernel/ir.ts";
import * as math from "../kernel/math.ts";
import { choiceAttr, dtypeAttr, numberAttr } from "./attrs.ts";
import { binaryCases, of, opCase, unaryCases, values, within } from "./cases.ts";
import type { Op, OpCase, Tolerances } from "./op.ts";
import { type PointwiseSpec, pointwise } from "./pointwise.ts";
import { convertNumber, wrapInteger } from "./ref-tensor.ts";
import { erfReference, sigmoidReference, softplusReference } from "./special.ts";
import { ulps } from "./tolerance.ts";

type Emit = NonNullable<PointwiseSpec["emit"]>;

interface Activation {
  readonly name: string;
  readonly summary: string;
  readonly rule: (x: number, attrs: Attrs) => number;
  readonly emit: Emit;
  readonly tolerance?: Tolerances;
  /** Attributes of the standard cases. */
  readonly attrs?: Attrs;
  readonly cases?: () => readonly OpCase[];
}

function activation(spec: Activation): Op {
  const { name, summary, rule, emit, tolerance, attrs = {}, cases } = spec;
  return pointwise({
    name,
    summary,
    inputs: ["x"],
    group: "float",
    reference: ([x], given) => rule(x as number, given),
    emit,
    ...(tolerance === undefined ? {} : { tolerance }),
    cases: () => [...unaryCases(["f32", "f16", "f64"], -6, 6, attrs), ...(cases?.() ?? [])],
  });
}

export const relu: Op = pointwise({
  name: "relu",
  summary: "max(x, 0)",
  inputs: ["x"],
  group: "numeric",
  reference: ([x]) => Math.max(x as number, 0),
  // The second operand wins for NaN.
  emit: (k, [x]) => k.max(k.const((x as KValue).type.dtype, 0), x as KValue),
  cases: () => unaryCases(["f32", "f16", "f64", "i32", "i8"], -6, 6),
});

export const leakyRelu: Op = activation({
  name: "leakyRelu",
  summary: "x, or alpha·x below zero",
  attrs: { alpha: 0.01 },
  rule: (x, attrs) => (x < 0 ? numberAttr("leakyRelu", attrs, "alpha", 0.01) * x : x),
  emit: (k, [x], attrs) =>
    k.select(k.lt(x as KValue, 0), k.mul(x as KValue, numberAttr("leakyRelu", attrs, "alpha", 0.01)), x as KValue),
  tolerance: ulps(2),
  cases: () => [opCase("steep", [of("f32", 17)], { alpha: 2 })],
});

export const thresholdedRelu: Op = activation({
  name: "thresholdedRelu",
  summary: "x above alpha, else 0",
  attrs: { alpha: 1 },
  rule: (x, attrs) => (x <= numberAttr("thresholdedRelu", attrs, "alpha", 1) ? 0 : x),
  emit: (k, [x], attrs) => {
    const v = x as KValue;
    return k.select(k.le(v, numberAttr("thresholdedRelu", attrs, "alpha", 1)), k.const(v.type.dtype, 0), v);
  },
});

export const prelu: Op = pointwise({
  name: "prelu",
  summary: "x, or slope·x below zero; the slope broadcasts",
  inputs: ["x", "slope"],
  group: "numeric",
  reference: ([x, slope]) => ((x as number) < 0 ? (x as number) * (slope as number) : (x as number)),
  emit: (k, [x, slope]) => k.select(k.lt(x as KValue, 0), k.mul(x as KValue, slope as KValue), x as KValue),
  tolerance: ulps(1),
  cases: () => binaryCases(["f32", "f16", "i32"]),
});

export const elu: Op = activation({
  name: "elu",
  summary: "x, or alpha·(e^x - 1) below zero",
  attrs: { alpha: 1 },
  rule: (x, attrs) => (x < 0 ? numberAttr("elu", attrs, "alpha", 1) * Math.expm1(x) : x),
  emit: (k, [x], attrs) =>
    k.select(
      k.lt(x as KValue, 0),
      k.mul(math.expm1(k, x as KValue), numberAttr("elu", attrs, "alpha", 1)),
      x as KValue,
    ),
  tolerance: ulps(8),
  cases: () => [opCase("alpha", [of("f32", 17)], { alpha: 2.5 })],
});

const SELU_ALPHA = 1.6732632423543772;
const SELU_GAMMA = 1.0507009873554805;

export const selu: Op = activation({
  name: "selu",
  summary: "gamma·x, or gamma·alpha·(e^x - 1) below zero",
  rule: (x, attrs) => {
    const gamma = numberAttr("selu", attrs, "gamma", SELU_GAMMA);
    return x < 0 ? gamma * numberAttr("selu", attrs, "alpha", SELU_ALPHA) * Math.expm1(x) : gamma * x;
  },
  emit: (k, [x], attrs) => {
    const v = x as KValue;
    const gamma = numberAttr("selu", attrs, "gamma", SELU_GAMMA);
    const below = k.mul(math.expm1(k, v), gamma * numberAttr("selu", attrs, "alpha", SELU_ALPHA));
    return k.select(k.lt(v, 0), below, k.mul(v, gamma));
  },
  tolerance: ulps(8, 8),
});

export const celu: Op = activation({
  name: "celu",
  summary: "max(x, 0) + min(0, alpha·(e^(x/alpha) - 1))",
  attrs: { alpha: 1 },
  rule: (x, attrs) => {
    const alpha = numberAttr("celu", attrs, "alpha", 1);
    return x < 0 ? alpha * Math.expm1(x / alpha) : x;
  },
  emit: (k, [x], attrs) => {
    const v = x as KValue;
    const alpha = numberAttr("celu", attrs, "alpha", 1);
    return k.select(k.lt(v, 0), k.mul(math.expm1(k, k.div(v, alpha)), alpha), v);
  },
  tolerance: ulps(8, 8),
  cases: () => [opCase("alpha", [of("f32", 17)], { alpha: 2 })],
});

export const sigmoid: Op = activation({
  name: "sigmoid",
  summary: "1 / (1 + e^-x)",
  rule: sigmoidReference,
  emit: (k, [x]) => math.sigmoid(k, x as KValue),
  tolerance: ulps(8),
});

export const silu: Op = activation({
  name: "silu",
  summary: "x·sigmoid(x)",
  rule: (x) => x * sigmoidReference(x),
  emit: (k, [x]) => math.silu(k, x as KValue),
  tolerance: ulps(10, 1),
});

export const swish: Op = activation({
  name: "swish",
  summary: "x·sigmoid(alpha·x)",
  attrs: { alpha: 1 },
  rule: (x, attrs) => x * sigmoidReference(numberAttr("swish", attrs, "alpha", 1) * x),
  emit: (k, [x], attrs) =>
    k.mul(x as KValue, math.sigmoid(k, k.mul(x as KValue, numberAttr("swish", attrs, "alpha", 1)))),
  tolerance: ulps(12, 1),
  cases: () => [opCase("alpha", [of("f32", 17)], { alpha: 1.702 })],
});

export const gelu: Op = activation({
  name: "gelu",
  summary: "x·Φ(x) with the normal distribution Φ, or its tanh approximation",
  attrs: { approximate: "none" },
  rule: (x, attrs) => {
    const approximate = choiceAttr("gelu", attrs, "approximate", ["none", "tanh"], "none");
    const inner =
      approximate === "tanh"
        ? Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))
        : erfReference(x / Math.SQRT2);
    return 0.5 * x * (1 + inner);
  },
  emit: (k, [x], attrs) =>
    attrs["approximate"] === "tanh" ? math.geluTanh(k, x as KValue) : math.gelu(k, x as KValue),
  // 1 + erf cancels for negative x: the bound there is absolute.
  tolerance: ulps(8, 4),
  cases: () => [opCase("tanh", [within("f32", -5, 5, 33)], { approximate: "tanh" })],
});

export const softplus: Op = activation({
  name: "softplus",
  summary: "ln(1 + e^x)",
  rule: softplusReference,
  emit: (k, [x]) => math.softplus(k, x as KValue),
  tolerance: ulps(8, 2),
});

export const softsign: Op = activation({
  name: "softsign",
  summary: "x / (1 + |x|)",
  rule: (x) => x / (1 + Math.abs(x)),
  emit: (k, [x]) => k.div(x as KValue, k.add(k.abs(x as KValue), 1)),
  tolerance: ulps(4),
});

export const mish: Op = activation({
  name: "mish",
  summary: "x·tanh(softplus(x))",
  rule: (x) => x * Math.tanh(softplusReference(x)),
  emit: (k, [x]) => k.mul(x as KValue, math.tanh(k, math.softplus(k, x as KValue))),
  tolerance: ulps(16, 4),
});

export const hardSigmoid: Op = activation({
  name: "hardSigmoid",
  summary: "max(0, min(1, alpha·x + beta))",
  attrs: { alpha: 0.2, beta: 0.5 },
  rule: (x, attrs) => {
    const line = numberAttr("hardSigmoid", attrs, "alpha", 0.2) * x + numberAttr("hardSigmoid", attrs, "beta", 0.5);
    return Math.max(0, Math.min(1, line));
  },
  emit: (k, [x], attrs) => {
    const v = x as KValue;
    const { dtype } = v.type;
    const slope = k.const(dtype, numberAttr("hardSigmoid", attrs, "alpha", 0.2));
    const line = k.fma(v, slope, k.const(dtype, numberAttr("hardSigmoid", attrs, "beta", 0.5)));
    return k.max(k.const(dtype, 0), k.min(k.const(dtype, 1), line));
  },
  tolerance: ulps(2, 1),
});

export const hardSwish: Op = activation({
  name: "hardSwish",
  summary: "x·max(0, min(1, x/6 + 1/2))",
  rule: (x) => x * Math.max(0, Math.min(1, x / 6 + 0.5)),
  emit: (k, [x]) => {
    const v = x as KValue;
    const { dtype } = v.type;
    const gate = k.max(
      k.const(dtype, 0),
      k.min(k.const(dtype, 1), k.fma(v, k.const(dtype, 1 / 6), k.const(dtype, 0.5))),
    );
    return k.mul(v, gate);
  },
  tolerance: ulps(4, 2),
});

export const shrink: Op = activation({
  name: "shrink",
  summary: "x moved towards zero by bias, 0 within ±lambda",
  attrs: { lambda: 0.5, bias: 0 },
  rule: (x, attrs) => {
    const lambda = numberAttr("shrink", attrs, "lambda", 0.5);
    const bias = numberAttr("shrink", attrs, "bias", 0);
    return x < -lambda ? x + bias : x > lambda ? x - bias : Number.isNaN(x) ? NaN : 0;
  },
  emit: (k, [x], attrs) => {
    const v = x as KValue;
    const lambda = numberAttr("shrink", attrs, "lambda", 0.5);
    const bias = numberAttr("shrink", attrs, "bias", 0);
    const inside = k.select(k.ne(v, v), v, k.const(v.type.dtype, 0));
    return k.select(k.lt(v, -lambda), k.add(v, bias), k.select(k.gt(v, lambda), k.sub(v, bias), inside));
  },
  tolerance: ulps(1),
  cases: () => [opCase("bias", [of("f32", 17)], { lambda: 1, bias: 0.75 })],
});

export const clamp: Op = pointwise({
  name: "clamp",
  summary: "x limited to min..max; either may be absent; max wins where they cross",
  inputs: ["x"],
  group: "numeric",
  reference: ([x], attrs) => {
    const low = numberAttr("clamp", attrs, "min", -Infinity);
    const high = numberAttr("clamp", attrs, "max", Infinity);
    return Math.min(Math.max(x as number, low), high);
  },
  emit: (k, [x], attrs) => {
    const v = x as KValue;
    const dtype = v.type.dtype as DType;
    const { min, max } = DTYPE_INFO[dtype];
    const exact = isFloat(dtype);
    let result = v;
    // Bounds outside the range of an integer dtype do nothing, and have no literal.
    const low = numberAttr("clamp", attrs, "min", -Infinity);
    if (exact ? low > -Infinity : low > min)
      result = k.max(k.const(dtype, exact ? low : Math.min(Math.ceil(low), max)), result);
    const high = numberAttr("clamp", attrs, "max", Infinity);
    if (exact ? high < Infinity : high < max)
      result = k.min(k.const(dtype, exact ? high : Math.max(Math.floor(high), min)), result);
    return result;
  },
  cases: () => [
    ...unaryCases(["f32", "f16", "f64", "i32", "i64", "u8"], -6, 6, { min: -1, max: 3 }),
    opCase("only min", [values("f32", [-2, 0, NaN, Infinity])], { min: 0 }),
    opCase("only max", [values("f32", [-2, 7, NaN, -Infinity])], { max: 6 }),
    opCase("crossed", [of("f32", 9)], { min: 2, max: -2 }),
  ],
});

export const cast: Op = pointwise({
  name: "cast",
  summary:
    "x as another dtype: floats round, float to integer truncates and saturates, integers wrap, non-zero is true",
  inputs: ["x"],
  group: "any",
  result: (attrs) => dtypeAttr("cast", attrs, "to"),
  reference: ([x], attrs, types) => castNumber(types[0]?.dtype as DType, dtypeAttr("cast", attrs, "to"), x as number),
  emit: (k, [x], attrs) => {
    const to = dtypeAttr("cast", attrs, "to");
    const v = x as KValue;
    return to === "bool" && v.type.dtype !== "bool" ? k.ne(v, 0) : k.cast(v, to);
  },
  dims: ([x], attrs, _dtype, types) => {
    const to = dtypeAttr("cast", attrs, "to");
    if (typeof x === "number") return castNumber(types[0]?.dtype as DType, to, x);
    return to === "bool" || !DTYPE_INFO[to].kind.match(/int|float/) || DTYPE_INFO[to].bytes < 4 ? undefined : x;
  },
  cases: () => [
    ...(["f64", "f16", "bf16", "i32", "i64", "u8", "i8", "bool"] as const).map((to) =>
      opCase(`f32 to ${to}`, [within("f32", -3, 9, 33)], { to }),
    ),
    ...(["f32", "i64", "i8", "u8", "bool"] as const).map((to) =>
      opCase(`i32 to ${to}`, [values("i32", [0, 1, -1, 127, 128, 255, 256, -129, 70000])], { to }),
    ),
    ...(["f32", "i32"] as const).map((to) => opCase(`i64 to ${to}`, [of("i64", 17)], { to })),
    opCase("bool to f32", [of("bool", 17)], { to: "f32" }),
    opCase("bool to i64", [of("bool", 17)], { to: "i64" }),
    opCase("f16 to f32", [of("f16", 17)], { to: "f32" }),
    opCase("bf16 to f32", [of("bf16", 17)], { to: "f32" }),
    opCase("saturates", [values("f32", [NaN, Infinity, -Infinity, 3e9, -3e9, 1.9, -1.9])], { to: "i32" }),
    opCase("overflows to infinity", [values("f32", [70000, 65519, 65520, -70000, 1e-8])], { to: "f16" }),
    opCase("ties", [values("f32", [1.00390625, 1.01171875, -1.00390625])], { to: "bf16" }),
    opCase("empty", [of("f32", 0)], { to: "i64" }),
  ],
});

function castNumber(from: DType, to: DType, x: number): number {
  const integerSource = !isFloat(from);
  return integerSource && !isFloat(to) ? wrapInteger(to, x) : convertNumber(to, x);
}
