/**
 * Between floats and integers with a scale and a zero point: per tensor, per entry of an axis, or per block of an axis.
 *
 * Quantised results may differ by one where the quotient lies at a rounding tie, since f32 division rounds first.
 */

import { type Dim, dimEqual } from "../dim.ts";
import { DTYPE_INFO, type DType, isFloat } from "../dtype.ts";
import type { GraphBuilder } from "../graph/builder.ts";
import type { Attrs, TensorType, Value } from "../graph/graph.ts";
import { printTensorType } from "../graph/print.ts";
import { axisAttr, dtypeAttr, numberAttr } from "./attrs.ts";
import { constant, of, opCase, scalar, values, within } from "./cases.ts";
import { type Types, given, reject, typed } from "./check.ts";
import type { Op, RefTensor } from "./op.ts";
import { input, newRef, refOf, roundFloat, roundHalfEven, stridesOf } from "./ref-tensor.ts";
import { constantFromRef } from "./ref-convert.ts";
import { sumTolerance } from "./tolerance.ts";

/** How the parameters spread over x. */
type Spread = "tensor" | "axis" | "block";

function spreadOf(op: string, x: TensorType, scale: TensorType, attrs: Attrs): Spread {
  if (scale.shape.length === 0 || (scale.shape.length === 1 && scale.shape[0] === 1)) return "tensor";
  const axis = axisAttr(op, attrs, x.shape.length, "axis", 1);
  if (scale.shape.length === 1 && dimEqual(scale.shape[0] as Dim, x.shape[axis] as Dim) !== false) return "axis";
  const block = numberAttr(op, attrs, "blockSize", 0);
  if (scale.shape.length === x.shape.length && block > 0) return "block";
  return reject(
    op,
    `scale ${printTensorType(scale)} fits to ${printTensorType(x)} neither as a whole, nor along axis ${axis}, nor in blocks of ${block}`,
  );
}

/** For each element of x the position of its parameter. */
function parameterOf(op: string, x: RefTensor, scale: RefTensor, attrs: Attrs): (element: number) => number {
  const spread = spreadOf(op, x, scale, attrs);
  if (spread === "tensor") return () => 0;
  const axis = axisAttr(op, attrs, x.shape.length, "axis", 1);
  const strides = stridesOf(x.shape);
  if (spread === "axis") return (i) => Math.floor(i / (strides[axis] as number)) % (x.shape[axis] as number);
  const block = numberAttr(op, attrs, "blockSize", 0);
  const own = stridesOf(scale.shape);
  return (i) =>
    strides.reduce((at, stride, k) => {
      const index = Math.floor(i / stride) % (x.shape[k] as number);
      return at + (k === axis ? Math.floor(index / block) : index) * (own[k] as number);
    }, 0);
}

function checkZeroPoint(op: string, types: Types, scale: TensorType, dtype: DType): void {
  const zeroPoint = types[2];
  if (zeroPoint === undefined) return;
  if (zeroPoint.dtype !== dtype) reject(op, `the zero point must be ${dtype}, got ${printTensorType(zeroPoint)}`);
  const size = (type: TensorType): boolean => type.shape.length <= 1 && (type.shape[0] ?? 1) === 1;
  const fits =
    (size(zeroPoint) && size(scale)) ||
    (zeroPoint.shape.length === scale.shape.length &&
      zeroPoint.shape.every((dim, axis) => dimEqual(dim, scale.shape[axis] as Dim) !== false));
  if (!fits) reject(op, `zero point ${printTensorType(zeroPoint)} and scale ${printTensorType(scale)} differ in shape`);
}

/** A parameter with axes that broadcast it against x, or `undefined` for blocks. */
function aligned(b: GraphBuilder, op: string, x: Value, parameter: Value, attrs: Attrs): Value | undefined {
  const spread = spreadOf(op, x.type, parameter.type, attrs);
  if (spread === "block") return undefined;
  const rank = x.type.shape.length;
  const axis = spread === "axis" ? axisAttr(op, attrs, rank, "axis", 1) : 0;
  const shape =
    spread === "tensor" ? [] : [parameter.type.shape[0] as Dim, ...new Array<number>(rank - 1 - axis).fill(1)];
  return one(b, "reshape", [parameter], { shape });
}

function one(b: GraphBuilder, op: string, inputs: readonly Value[], attrs: Attrs = {}): Value {
  return b.apply(op, inputs, attrs)[0] as Value;
}

/** x / scale in the scale's dtype to the nearest integer, ties to even, moved by the zero point and saturated to `to`. */
function quantise(value: number, scale: number, precision: DType, zeroPoint: number, to: DType): number {
  const { min, max } = DTYPE_INFO[to];
  const shifted = roundHalfEven(roundFloat(precision, value / scale)) + zeroPoint;
  return Number.isNaN(shifted) ? 0 : Math.min(Math.max(shifted, min), max);
}

const OFF_BY_ONE = {
  u8: { rtol: 0, atol: 1 },
  i8: { rtol: 0, atol: 1 },
  u16: { rtol: 0, atol: 1 },
  i16: { rtol: 0, atol: 1 },
} as const;

export const quantizeLinear: Op = {
  name: "quantizeLinear",
  summary: "round(x / scale) + zero point, saturated",
  inputs: ["x", "scale", "zeroPoint?"],
  infer: (types, attrs) => {
    const x = typed("quantizeLinear", types, 0, "x", "numeric");
    const scale = typed("quantizeLinear", types, 1, "scale", "float");
    const to = dtypeAttr("quantizeLinear", attrs, "to", types[2]?.dtype ?? "u8");
    if (isFloat(to) || to === "bool") reject("quantizeLinear", `cannot quantise to ${to}`);
    checkZeroPoint("quantizeLinear", types, scale, to);
    spreadOf("quantizeLinear", x, scale, attrs);
    return [{ dtype: to, shape: x.shape }];
  },
  reference: (inputs, attrs, outputs) => {
    const [x, scale] = [input(inputs, 0), input(inputs, 1)];
    const { dtype } = outputs[0] as TensorType;
    const at = parameterOf("quantizeLinear", x, scale, attrs);
    const result = newRef(dtype, x.shape);
    x.data.forEach(
      (value, i) =>
        (result.data[i] = quantise(
          value,
          scale.data[at(i)] as number,
          scale.dtype,
          inputs[2]?.data[at(i)] ?? 0,
          dtype,
        )),
    );
    return [result];
  },
  decompose: (b, [x, scale, zeroPoint], attrs) => {
    const value = x as Value;
    const to = dtypeAttr("quantizeLinear", attrs, "to", zeroPoint?.type.dtype ?? "u8");
    const { min, max, bytes } = DTYPE_INFO[to];
    const divisor = aligned(b, "quantizeLinear", value, scale as Value, attrs);
    if (divisor === undefined || bytes > 2) return undefined;
    const float = divisor.type.dtype;
    const real = value.type.dtype === float ? value : one(b, "cast", [value], { to: float });
    let result = one(b, "round", [one(b, "div", [real, divisor])]);
    const shift = zeroPoint && aligned(b, "quantizeLinear", value, zeroPoint, attrs);
    if (shift !== undefined) result = one(b, "add", [result, one(b, "cast", [shift], { to: float })]);
    return [one(b, "cast", [one(b, "clamp", [result], { min, max })], { to })];
  },
  tolerance: OFF_BY_ONE,
  cases: () => [
    opCase("u8", [of("f32", 5, 17), scalar("f32", 0.05), scalar("u8", 128)], {
      axis: 0,
      blockSize: 0,
      saturate: true,
      to: "u8",
    }),
    opCase("i8", [of("f32", 33), values("f32", [0.02]), values("i8", [-3])], {
      axis: 0,
      blockSize: 0,
      saturate: true,
      to: "i8",
    }),
    opCase("no zero point", [of("f32", 9), scalar("f32", 0.03)], { axis: 0, blockSize: 0, saturate: true, to: "i8" }),
    opCase("channels", [of("f32", 2, 3, 4, 5), values("f32", [0.1, 0.01, 0.05]), values("u8", [0, 128, 3])], {
      axis: 1,
      blockSize: 0,
      saturate: true,
      to: "u8",
    }),
    opCase("blocks", [of("f32", 2, 6), values("f32", [0.1, 0.2, 0.05, 0.3], 2, 2), values("u8", [1, 2, 3, 4], 2, 2)], {
      axis: 1,
      blockSize: 3,
      saturate: true,
      to: "u8",
    }),
    opCase("saturates", [values("f32", [1e6, -1e6, Infinity, -Infinity, 0]), scalar("f32", 1), scalar("u8", 5)], {
      axis: 0,
      blockSize: 0,
      saturate: true,
      to: "u8",
    }),
    opCase("ties", [values("f32", [0.5, 1.5, 2.5, -0.5, -1.5]), scalar("f32", 1), scalar("i8", 0)], {
      axis: 0,
      blockSize: 0,
      saturate: true,
      to: "i8",
    }),
    opCase("i16", [of("f32", 9), scalar("f32", 0.001), scalar("i16", 7)], {
      axis: 0,
      blockSize: 0,
      saturate: true,
      to: "i16",
    }),
  ],
};

export const dequantizeLinear: Op = {
  name: "dequantizeLinear",
  summary: "(x - zero point) · scale",
  inputs: ["x", "scale", "zeroPoint?"],
  infer: (types, attrs) => {
    const x = typed("dequantizeLinear", types, 0, "x", "integer");
    const scale = typed("dequantizeLinear", types, 1, "scale", "float");
    checkZeroPoint("dequantizeLinear", types, scale, x.dtype);
    spreadOf("dequantizeLinear", x, scale, attrs);
    return [{ dtype: dtypeAttr("dequantizeLinear", attrs, "to", scale.dtype), shape: x.shape }];
  },
  reference: (inputs, attrs, outputs) => {
    const [x, scale] = [input(inputs, 0), input(inputs, 1)];
    const at = parameterOf("dequantizeLinear", x, scale, attrs);
    const data = x.data.map((value, i) => (value - (inputs[2]?.data[at(i)] ?? 0)) * (scale.data[at(i)] as number));
    return [refOf((outputs[0] as TensorType).dtype, x.shape, data)];
  },
  decompose: (b, [x, scale, zeroPoint], attrs) => {
    const value = x as Value;
    const factor = aligned(b, "dequantizeLinear", value, scale as Value, attrs);
    if (factor === undefined) return undefined;
    const float = factor.type.dtype;
    let real = one(b, "cast", [value], { to: float });
    const shift = zeroPoint && aligned(b, "dequantizeLinear", value, zeroPoint, attrs);
    if (shift !== undefined) real = one(b, "sub", [real, one(b, "cast", [shift], { to: float })]);
    const result = one(b, "mul", [real, factor]);
    const to = dtypeAttr("dequantizeLinear", attrs, "to", float);
    return [to === float ? result : one(b, "cast", [result], { to })];
  },
  toleranceFor: () => sumTolerance(8),
  cases: () => [
    opCase("u8", [of("u8", 5, 17), scalar("f32", 0.05), scalar("u8", 128)], { axis: 0, blockSize: 0, to: "f32" }),
    opCase("i8 weights", [constant(of("i8", 4, 9)), constant(within("f32", 0.01, 0.1, 4)), constant(of("i8", 4))], {
      axis: 0,
      blockSize: 0,
      to: "f32",
    }),
    opCase("i32 bias", [of("i32", 17), scalar("f32", 0.001)], { axis: 0, blockSize: 0, to: "f32" }),
    opCase("channels", [of("u8", 2, 3, 4), values("f32", [0.1, 0.2, 0.3]), values("u8", [0, 128, 7])], {
      axis: 1,
      blockSize: 0,
      to: "f32",
    }),
    opCase("blocks", [of("i8", 6, 3), within("f32", 0.1, 0.2, 2, 3), of("i8", 2, 3)], {
      axis: 0,
      blockSize: 3,
      to: "f32",
    }),
    opCase("empty", [of("u8", 0, 3), scalar("f32", 0.5), scalar("u8", 1)], { axis: 0, blockSize: 0, to: "f32" }),
  ],
};

export const dynamicQuantizeLinear: Op = {
  name: "dynamicQuantizeLinear",
  summary: "x as u8, with the scale and zero point that its range asks for",
  inputs: ["x"],
  infer: (types) => {
    const x = typed("dynamicQuantizeLinear", types, 0, "x", "float");
    if (x.dtype !== "f32")
      reject(
        "dynamicQuantizeLinear",
        `input "x" must be f32, got ${printTensorType(given("dynamicQuantizeLinear", types, 0, "x"))}`,
      );
    return [
      { dtype: "u8", shape: x.shape },
      { dtype: "f32", shape: [] },
      { dtype: "u8", shape: [] },
    ];
  },
  reference: (inputs) => {
    const x = input(inputs, 0);
    let [low, high] = [0, 0];
    for (const value of x.data) [low, high] = [Math.min(low, value), Math.max(high, value)];
    // The scale is an f32 output: what is quantised with it must see its rounding.
    const scale = Math.fround((high - low) / 255);
    const zeroPoint = scale === 0 ? 0 : Math.min(Math.max(roundHalfEven(Math.fround(-low / scale)), 0), 255);
    const data = x.data.map((value) => (scale === 0 ? zeroPoint : quantise(value, scale, "f32", zeroPoint, "u8")));
    return [
      refOf("u8", x.shape, data),
      refOf("f32", [], Float64Array.of(scale)),
      refOf("u8", [], Float64Array.of(zeroPoint)),
    ];
  },
  decompose: (b, [x]) => {
    const value = x as Value;
    const number = (n: number): Value => b.constant(constantFromRef(refOf("f32", [], Float64Array.of(n))));
    const axes = value.type.shape.map((_, axis) => axis);
    const low = one(b, "minimum", [one(b, "reduceMin", [value], { axes, keepDims: false }), number(0)]);
    const high = one(b, "maximum", [one(b, "reduceMax", [value], { axes, keepDims: false }), number(0)]);
    const scale = one(b, "div", [one(b, "sub", [high, low]), number(255)]);
    // All zeros: any divisor gives zeros.
    const divisor = one(b, "where", [one(b, "equal", [scale, number(0)]), number(1), scale]);
    const rounded = one(b, "clamp", [one(b, "round", [one(b, "div", [one(b, "neg", [low]), divisor])])], {
      min: 0,
      max: 255,
    });
    const quotient = one(b, "add", [one(b, "round", [one(b, "div", [value, divisor])]), rounded]);
    const quantised = one(b, "cast", [one(b, "clamp", [quotient], { min: 0, max: 255 })], { to: "u8" });
    return [quantised, scale, one(b, "cast", [rounded], { to: "u8" })];
  },
  tolerance: { ...OFF_BY_ONE, f32: { rtol: 2 ** -21, atol: 0 } },
  cases: () => [
    opCase("mixed", [of("f32", 5, 17)]),
    opCase("positive", [within("f32", 1, 3, 33)]),
    opCase("negative", [within("f32", -3, -1, 9)]),
    opCase("zeros", [values("f32", [0, 0, 0])]),
    opCase("scalar", [scalar("f32", 2.5)]),
  ],
};
