/** Elementwise ops: arithmetic, comparison, logic, and the functions of one variable. */

import { type DType, type Dim, type Value, DTYPE_INFO, isFloat, isInteger } from "@quern/core";
import {
  add,
  alongAxis,
  apply,
  cast,
  constant,
  dimTensor,
  flatten,
  mul,
  reshape,
  scalar,
  scaled,
  sub,
} from "../build.ts";
import type { OnnxNode, OpFunction } from "../node.ts";

function unary(name: string): OpFunction {
  return (n) => apply(n.b, name, [n.input(0)]);
}

/** Second operand under the rules before opset 7: `broadcast = 1` lays it along the axes from `axis` on. */
function legacyOperand(n: OnnxNode): Value {
  const [a, b] = [n.input(0), n.input(1)];
  if (n.opset >= 7 || !n.flag("broadcast", false) || !n.has("axis")) return b;
  const rank = a.type.shape.length;
  const { shape } = b.type;
  const axis = n.axis(n.int("axis"), rank);
  if (axis + shape.length > rank)
    return n.fail(`an operand of ${shape.length} axes does not fit from axis ${axis} of ${rank}`);
  return reshape(n.b, b, [...shape, ...Array.from({ length: rank - axis - shape.length }, () => 1)]);
}

function binary(name: string): OpFunction {
  return (n) => apply(n.b, name, [n.input(0), legacyOperand(n)]);
}

/** Folds any number of inputs, two at a time. */
function variadic(name: string): OpFunction {
  return (n) => n.rest(1).reduce((sum, x) => apply(n.b, name, [sum, x]), n.input(0));
}

export const Abs: OpFunction = unary("abs");
export const Neg: OpFunction = unary("neg");
export const Sign: OpFunction = unary("sign");
export const Floor: OpFunction = unary("floor");
export const Ceil: OpFunction = unary("ceil");
export const Round: OpFunction = unary("round");
export const Sqrt: OpFunction = unary("sqrt");
export const Reciprocal: OpFunction = unary("reciprocal");
export const Exp: OpFunction = unary("exp");
export const Log: OpFunction = unary("log");
export const Sin: OpFunction = unary("sin");
export const Cos: OpFunction = unary("cos");
export const Tan: OpFunction = unary("tan");
export const Asin: OpFunction = unary("asin");
export const Acos: OpFunction = unary("acos");
export const Atan: OpFunction = unary("atan");
export const Sinh: OpFunction = unary("sinh");
export const Cosh: OpFunction = unary("cosh");
export const Tanh: OpFunction = unary("tanh");
export const Asinh: OpFunction = unary("asinh");
export const Acosh: OpFunction = unary("acosh");
export const Atanh: OpFunction = unary("atanh");
export const Erf: OpFunction = unary("erf");
export const Sigmoid: OpFunction = unary("sigmoid");
export const Softplus: OpFunction = unary("softplus");
export const Softsign: OpFunction = unary("softsign");
export const Mish: OpFunction = unary("mish");
export const HardSwish: OpFunction = unary("hardSwish");
export const Not: OpFunction = unary("logicalNot");
export const BitwiseNot: OpFunction = unary("bitwiseNot");
export const IsNaN: OpFunction = unary("isNaN");

export const Add: OpFunction = binary("add");
export const Sub: OpFunction = binary("sub");
export const Mul: OpFunction = binary("mul");
export const Div: OpFunction = binary("div");
export const And: OpFunction = binary("logicalAnd");
export const Or: OpFunction = binary("logicalOr");
export const Xor: OpFunction = binary("logicalXor");
export const Less: OpFunction = binary("less");
export const LessOrEqual: OpFunction = binary("lessEqual");
export const Greater: OpFunction = binary("greater");
export const GreaterOrEqual: OpFunction = binary("greaterEqual");
export const BitwiseAnd: OpFunction = binary("bitwiseAnd");
export const BitwiseOr: OpFunction = binary("bitwiseOr");
export const BitwiseXor: OpFunction = binary("bitwiseXor");
export const PRelu: OpFunction = (n) => {
  const [x, slope] = [n.input(0), n.input(1)];
  // Before opset 7 a list of slopes belongs to axis 1.
  const perChannel =
    n.opset < 7 && slope.type.shape.length === 1 && x.type.shape.length > 2 && slope.type.shape[0] !== 1;
  const shape = perChannel
    ? x.type.shape.map((_, axis) => (axis === 1 ? (slope.type.shape[0] ?? 1) : 1))
    : slope.type.shape;
  const weights = reshape(n.b, slope, shape);
  if (isFloat(x.type.dtype)) return apply(n.b, "prelu", [x, weights]);
  return apply(n.b, "where", [apply(n.b, "less", [x, scalar(n.b, x.type.dtype, 0)]), mul(n.b, x, weights), x]);
};

export const Equal: OpFunction = (n) => {
  const [a, b] = [n.input(0), legacyOperand(n)];
  return apply(n.b, "equal", [a, b]);
};

export const Pow: OpFunction = (n) => {
  const [x, exponent] = [n.input(0), legacyOperand(n)];
  if (n.numbers(1)?.length === 1 && n.number(1) === 2 && exponent.type.shape.length <= x.type.shape.length) {
    const squared = apply(n.b, "square", [x]);
    // An exponent with axes of size 1 does not change the shape, since it has no more axes than x.
    return squared;
  }
  return apply(n.b, "pow", [x, exponent]);
};

export const Mod: OpFunction = (n) => apply(n.b, n.flag("fmod", false) ? "fmod" : "mod", [n.input(0), n.input(1)]);

export const BitShift: OpFunction = (n) => {
  const direction = n.choice("direction", ["LEFT", "RIGHT"]);
  return apply(n.b, direction === "LEFT" ? "shiftLeft" : "shiftRight", [n.input(0), n.input(1)]);
};

export const Sum: OpFunction = variadic("add");
export const Max: OpFunction = variadic("maximum");
export const Min: OpFunction = variadic("minimum");
export const Mean: OpFunction = (n) => {
  const sum = n.rest(1).reduce((total, x) => add(n.b, total, x), n.input(0));
  return scaled(n.b, sum, 1 / n.inputCount);
};

export const Where: OpFunction = (n) => apply(n.b, "where", [n.input(0), n.input(1), n.input(2)]);

export const IsInf: OpFunction = (n) =>
  apply(n.b, "isInf", [n.input(0)], {
    positive: n.flag("detect_positive", true),
    negative: n.flag("detect_negative", true),
  });

export const Relu: OpFunction = (n) => {
  const x = n.input(0);
  return isFloat(x.type.dtype) ? apply(n.b, "relu", [x]) : apply(n.b, "maximum", [x, scalar(n.b, x.type.dtype, 0)]);
};

export const LeakyRelu: OpFunction = (n) => apply(n.b, "leakyRelu", [n.input(0)], { alpha: n.float("alpha", 0.01) });
export const Elu: OpFunction = (n) => apply(n.b, "elu", [n.input(0)], { alpha: n.float("alpha", 1) });
export const Celu: OpFunction = (n) => apply(n.b, "celu", [n.input(0)], { alpha: n.float("alpha", 1) });
export const ThresholdedRelu: OpFunction = (n) =>
  apply(n.b, "thresholdedRelu", [n.input(0)], { alpha: n.float("alpha", 1) });
export const Swish: OpFunction = (n) => apply(n.b, "swish", [n.input(0)], { alpha: n.float("alpha", 1) });

export const Selu: OpFunction = (n) => {
  // The defaults of opset 1 have fewer digits.
  const [alpha, gamma] = n.opset >= 6 ? [1.67326319217681884765625, 1.05070102214813232421875] : [1.6732, 1.0507];
  return apply(n.b, "selu", [n.input(0)], { alpha: n.float("alpha", alpha), gamma: n.float("gamma", gamma) });
};

export const HardSigmoid: OpFunction = (n) =>
  apply(n.b, "hardSigmoid", [n.input(0)], { alpha: n.float("alpha", Math.fround(0.2)), beta: n.float("beta", 0.5) });

export const Shrink: OpFunction = (n) => {
  const x = n.input(0);
  const attrs = { lambda: n.float("lambd", 0.5), bias: n.float("bias", 0) };
  if (isFloat(x.type.dtype)) return apply(n.b, "shrink", [x], attrs);
  return cast(n.b, apply(n.b, "shrink", [cast(n.b, x, "f64")], attrs), x.type.dtype);
};

export const Gelu: OpFunction = (n) =>
  apply(n.b, "gelu", [n.input(0)], { approximate: n.choice("approximate", ["none", "tanh"], "none") });

export const SwiGLU: OpFunction = (n) => {
  const [x, gate] = [n.input(0), n.input(1)];
  const alpha = n.float("alpha", 1);
  return mul(n.b, alpha === 1 ? apply(n.b, "silu", [x]) : apply(n.b, "swish", [x], { alpha }), gate);
};

export const Clip: OpFunction = (n) => {
  const x = n.input(0);
  const { dtype } = x.type;
  if (n.opset < 11)
    return clamp(n, x, n.has("min") ? n.float("min") : undefined, n.has("max") ? n.float("max") : undefined);
  const low = n.numbers(1)?.[0];
  const high = n.numbers(2)?.[0];
  const [min, max] = [n.optional(1), n.optional(2)];
  const exact = dtype !== "i64" && dtype !== "u64";
  if (
    exact &&
    (min === undefined || low !== undefined) &&
    (max === undefined || high !== undefined) &&
    !(Number.isNaN(low) || Number.isNaN(high))
  ) {
    return clamp(n, x, low, high);
  }
  const raised = min === undefined ? x : apply(n.b, "maximum", [x, reshape(n.b, min, [])]);
  return max === undefined ? raised : apply(n.b, "minimum", [raised, reshape(n.b, max, [])]);
};

function clamp(n: OnnxNode, x: Value, low: number | undefined, high: number | undefined): Value {
  const min = low === undefined || low === -Infinity ? {} : { min: low };
  const max = high === undefined || high === Infinity ? {} : { max: high };
  return low === undefined && high === undefined ? x : apply(n.b, "clamp", [x], { ...min, ...max });
}

const CAST_NAMES: Readonly<Record<string, DType>> = {
  FLOAT: "f32",
  DOUBLE: "f64",
  FLOAT16: "f16",
  INT8: "i8",
  INT16: "i16",
  INT32: "i32",
  INT64: "i64",
  UINT8: "u8",
  UINT16: "u16",
  UINT32: "u32",
  UINT64: "u64",
  BOOL: "bool",
};

export const Cast: OpFunction = (n) => {
  if (n.opset < 6) {
    const name = n.string("to");
    return castChecked(n, n.input(0), CAST_NAMES[name.toUpperCase()] ?? n.unsupported(`element type ${name}`));
  }
  return castChecked(n, n.input(0), n.dtype("to") ?? n.fail('attribute "to" is missing'));
};

export const CastLike: OpFunction = (n) => castChecked(n, n.input(0), n.input(1).type.dtype);

function castChecked(n: OnnxNode, x: Value, to: DType): Value {
  // ONNX leaves floats outside the integer's range undefined; the core saturates.
  return cast(n.b, x, to);
}

/** Same bits as another type of equal width. */
export const BitCast: OpFunction = (n) => {
  const x = n.input(0);
  const to = n.dtype("to") ?? n.fail('attribute "to" is missing');
  if (to === x.type.dtype) return x;
  const { bytes } = DTYPE_INFO[x.type.dtype];
  if (DTYPE_INFO[to].bytes !== bytes) return n.fail(`${x.type.dtype} and ${to} differ in width`);
  if (isInteger(to) && isInteger(x.type.dtype)) return cast(n.b, x, to);
  return n.unsupported("reinterpreting floats has no graph op", to);
};

/** Zeros but for a one where each slice along `axis` first reaches its maximum. */
export const Hardmax: OpFunction = (n) => {
  const x = n.input(0);
  const rank = x.type.shape.length;
  const axis = n.axis(n.int("axis", n.opset >= 13 ? -1 : 1), rank);
  const { b } = n;
  const hot = (y: Value, at: number): Value => {
    const { shape } = y.type;
    const index = apply(b, "argMax", [y], { axis: at, keepDims: true, selectLast: false });
    const end = dimTensor(b, [shape[at] as Dim], []);
    const counted = apply(b, "range", [scalar(b, "i64", 0), end, scalar(b, "i64", 1)]);
    const places = alongAxis(b, counted, at, shape.length);
    return cast(b, apply(b, "equal", [index, places]), y.type.dtype);
  };
  if (n.opset >= 13) return hot(x, axis);
  return reshape(b, hot(flatten(b, x, axis), 1), x.type.shape);
};

/** x (1 - mask / (1 - ratio)) in training; at inference the input itself. */
export const Dropout: OpFunction = (n) => {
  const x = n.input(0);
  // Before opset 12 inference is assumed, as everybody does, whatever `is_test` says.
  const training = n.opset >= 12 && n.optional(2) !== undefined && n.number(2) !== 0;
  const ratio = n.optional(1) === undefined ? 0.5 : n.number(1);
  if (training && ratio !== 0) return n.unsupported("training mode draws random numbers");
  const mask = n.wants(1)
    ? apply(n.b, "expand", [scalar(n.b, n.opset >= 10 ? "bool" : x.type.dtype, 1)], { shape: x.type.shape })
    : undefined;
  return [x, mask];
};

export const Identity: OpFunction = (n) => n.items[0] ?? n.fail("input 0 is missing");

/** (x - mean) / sqrt(variance): used by old recurrent exports. */
export const Affine: OpFunction = (n) => {
  const x = n.input(0);
  return add(n.b, scaled(n.b, x, n.float("alpha", 1)), scalar(n.b, x.type.dtype, n.float("beta", 0)));
};

export const ScaledTanh: OpFunction = (n) =>
  scaled(n.b, apply(n.b, "tanh", [scaled(n.b, n.input(0), n.float("beta", 1))]), n.float("alpha", 1));

/** Per-sample scaling of ImageScaler, an op of the first opset. */
export const ImageScaler: OpFunction = (n) => {
  const x = n.input(0);
  const bias = n.floats("bias") ?? [];
  return add(n.b, scaled(n.b, x, n.float("scale", 1)), constant(n.b, x.type.dtype, bias, [1, bias.length, 1, 1]));
};

export const Det: OpFunction = (n) => {
  const x = n.input(0);
  const { b } = n;
  const rank = x.type.shape.length;
  const size = x.type.shape[rank - 1];
  if (rank < 2 || size !== x.type.shape[rank - 2]) return n.fail("needs square matrices");
  const at = (row: number, column: number): Value => {
    const starts = x.type.shape.map((_, i) => (i === rank - 2 ? row : i === rank - 1 ? column : 0));
    const sizes = x.type.shape.map((dim, i) => (i < rank - 2 ? dim : 1));
    return reshape(b, apply(b, "slice", [x], { starts, sizes, steps: starts.map(() => 1) }), x.type.shape.slice(0, -2));
  };
  if (size === 1) return at(0, 0);
  const minor = (r: number, c: number): Value =>
    sub(b, mul(b, at(r, c), at(r + 1, c + 1)), mul(b, at(r, c + 1), at(r + 1, c)));
  if (size === 2) return minor(0, 0);
  return n.unsupported("determinants of more than 2×2");
};
