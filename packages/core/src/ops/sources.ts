/**
 * Ops without tensor inputs, or whose result depends on shapes alone: what shape arithmetic starts from.
 */

import { type Dim, dimCeilDiv, dimMul, dimAdd, dimMax, dimSub, printShape, shapeSize } from "../dim.ts";
import { isFloat } from "../dtype.ts";
import { constantBytes } from "../encoding/encoded.ts";
import { Q8_0 } from "../encoding/legacy.ts";
import type { BlockType } from "../encoding/block.ts";
import type { ConstantData, TensorType } from "../graph/graph.ts";
import { elementCount } from "../runtime/tensor.ts";
import { constantAttr, dimsAttr, dtypeAttr, numberAttr, numbersAttr, stringAttr } from "./attrs.ts";
import { constant as constantInput, of, opCase, scalar, values } from "./cases.ts";
import { checkRank, checkSameDType, given, reject, typed } from "./check.ts";
import { lowerBound } from "./dim-facts.ts";
import type { Op } from "./op.ts";
import { input as inputAt, newRef, refOf, wrapInteger } from "./ref-tensor.ts";
import { refFromConstant } from "./ref-convert.ts";

export const input: Op = {
  name: "input",
  summary: "A graph input; made by the builder",
  inputs: [],
  impure: true,
  infer: (_types, attrs) => {
    stringAttr("input", attrs, "name");
    return [{ dtype: dtypeAttr("input", attrs, "dtype"), shape: dimsAttr("input", attrs, "shape") }];
  },
  reference: () => reject("input", "has no value of its own"),
  cases: () => [],
};

export const constant: Op = {
  name: "constant",
  summary: "Stored elements, on memory that may be a mapped file",
  inputs: [],
  infer: (_types, attrs) => {
    const data = constantAttr("constant", attrs, "value");
    const { dtype, shape, bytes, encoding } = data;
    if (encoding !== undefined) checkEncoded(data);
    const expected = constantBytes(data);
    if (bytes.byteLength !== expected) {
      reject(
        "constant",
        `${dtype}${printShape(shape)}${encoding === undefined ? "" : ` in ${encoding.name}`} takes ${expected} bytes, got ${bytes.byteLength}`,
      );
    }
    return [{ dtype, shape }];
  },
  reference: (_inputs, attrs) => [refFromConstant(constantAttr("constant", attrs, "value"))],
  dims: (_inputs, attrs) => {
    const value = constantAttr("constant", attrs, "value");
    if (value.encoding !== undefined) return undefined;
    const { data } = refFromConstant(value);
    return data.every(Number.isFinite) ? Array.from(data) : undefined;
  },
  cases: () => [
    opCase("f32", [], {
      value: {
        dtype: "f32",
        shape: [2, 3],
        bytes: new Uint8Array(Float32Array.of(1, -2, 3.5, 0, NaN, Infinity).buffer),
      },
    }),
    opCase("i64", [], { value: { dtype: "i64", shape: [2], bytes: new Uint8Array(BigInt64Array.of(-1n, 5n).buffer) } }),
    opCase("bf16", [], {
      value: { dtype: "bf16", shape: [3], bytes: new Uint8Array(Uint16Array.of(0x3f80, 0xc000, 0x0001).buffer) },
    }),
    opCase("empty", [], { value: { dtype: "f32", shape: [0, 4], bytes: new Uint8Array(0) } }),
    opCase("blocks", [], {
      value: { dtype: "f32", shape: [2, 32], bytes: new Uint8Array(68).map((_, i) => (i * 37) % 60), encoding: Q8_0 },
    }),
  ],
};

export const dimTensor: Op = {
  name: "dimTensor",
  summary: "A tensor of dimension expressions, known once the input shapes are",
  inputs: [],
  infer: (_types, attrs) => {
    const shape = numbersAttr("dimTensor", attrs, "shape");
    const { length } = dimsAttr("dimTensor", attrs, "dims");
    if (elementCount(shape) !== length) reject("dimTensor", `${length} dimensions for shape ${printShape(shape)}`);
    return [{ dtype: dtypeAttr("dimTensor", attrs, "dtype", "i64"), shape }];
  },
  reference: (_inputs, attrs, outputs, context) => {
    const dims = dimsAttr("dimTensor", attrs, "dims").map((dim) => context.dim(dim));
    const { dtype, shape } = outputs[0] as TensorType;
    return [refOf(dtype, shape as number[], Float64Array.from(dims))];
  },
  dims: (_inputs, attrs) => dimsAttr("dimTensor", attrs, "dims"),
  cases: () => [
    opCase("list", [], { dims: [2, 3, 5], shape: [3], dtype: "i64" }),
    opCase("scalar", [], { dims: [7], shape: [], dtype: "i64" }),
    opCase("empty", [], { dims: [], shape: [0], dtype: "i64" }),
  ],
};

export const shapeOf: Op = {
  name: "shapeOf",
  summary: "The shape of x as an i64 list",
  inputs: ["x"],
  infer: (types) => [{ dtype: "i64", shape: [given("shapeOf", types, 0, "x").shape.length] }],
  reference: (inputs) => {
    const { shape } = inputAt(inputs, 0);
    return [refOf("i64", [shape.length], Float64Array.from(shape))];
  },
  dims: (_inputs, _attrs, types) => types[0]?.shape,
  cases: () => [
    opCase("matrix", [of("f32", 3, 17)]),
    opCase("scalar", [of("f32")]),
    opCase("empty", [of("i64", 0, 4, 1)]),
  ],
};

/** Encoded constants are f32 with whole blocks along their last axis. */
function checkEncoded({ dtype, shape, encoding }: ConstantData): void {
  const { name, blockWeights } = encoding as BlockType;
  if (dtype !== "f32") reject("constant", `${name} blocks decode to f32, not ${dtype}`);
  const row = shape.at(-1) ?? 1;
  if (row % blockWeights !== 0)
    reject("constant", `rows of ${row} elements are no whole ${name} blocks of ${blockWeights}`);
}

/** Number of elements of a range with known ends. */
function rangeSize(start: number, limit: number, delta: number): number {
  return Math.max(0, Math.ceil((limit - start) / delta));
}

export const range: Op = {
  name: "range",
  summary: "start, start + delta, … before limit",
  inputs: ["start", "limit", "delta"],
  infer: (types, _attrs, context, graphValues) => {
    const [start, limit, delta] = ["start", "limit", "delta"].map((name, i) => {
      const type = typed("range", types, i, name, "numeric");
      if (shapeSize(type.shape) !== 1) checkRank("range", type, name, 0);
      return type;
    }) as [TensorType, TensorType, TensorType];
    checkSameDType("range", start, limit);
    checkSameDType("range", start, delta);
    const known = graphValues.map((value) => (value === undefined ? undefined : context.dims(value)?.[0]));
    return [{ dtype: start.dtype, shape: [rangeDim(known, isFloat(start.dtype)) ?? context.freshDim("range")] }];
  },
  reference: (inputs) => {
    const [start, limit, delta] = [0, 1, 2].map((i) => inputAt(inputs, i).data[0] as number) as [
      number,
      number,
      number,
    ];
    if (delta === 0) reject("range", "delta is 0");
    const { dtype } = inputAt(inputs, 0);
    const result = newRef(dtype, [rangeSize(start, limit, delta)]);
    for (let i = 0; i < result.data.length; i++) result.data[i] = wrapInteger(dtype, start + i * delta);
    return [result];
  },
  dims: (known) => {
    const [start, limit, delta] = known.map((dims) => dims?.[0]);
    if (start === undefined || delta === undefined || limit === undefined) return undefined;
    const size = rangeDim([start, limit, delta], false);
    if (typeof size !== "number" || size > 64) return undefined;
    return Array.from({ length: size }, (_, i) => dimAdd(start, dimMul(delta, i)));
  },
  cases: () => [
    opCase("i64", [scalar("i64", 3), scalar("i64", 20), scalar("i64", 4)].map(constantInput)),
    opCase("down", [scalar("i64", 3), scalar("i64", -4), scalar("i64", -2)].map(constantInput)),
    opCase("empty", [scalar("i64", 3), scalar("i64", 3), scalar("i64", 1)].map(constantInput)),
    opCase("i32", [scalar("i32", 0), scalar("i32", 33), scalar("i32", 1)].map(constantInput)),
    opCase("f32", [scalar("f32", 0.5), scalar("f32", 3), scalar("f32", 0.25)]),
    opCase("lists of one", [values("i64", [1]), values("i64", [5]), values("i64", [1])].map(constantInput)),
  ],
};

/** ⌈(limit - start) / delta⌉ and at least 0, where the ends are known. */
function rangeDim(known: readonly (Dim | undefined)[], float: boolean): Dim | undefined {
  const [start, limit, delta] = known;
  if (start === undefined || limit === undefined || typeof delta !== "number" || delta === 0) return undefined;
  if (typeof start === "number" && typeof limit === "number") return rangeSize(start, limit, delta);
  if (float && !Number.isInteger(delta)) return undefined;
  const distance = delta > 0 ? dimSub(limit, start) : dimSub(start, limit);
  const size = dimCeilDiv(distance, Math.abs(delta));
  return lowerBound(distance) >= 0 ? size : dimMax(size, 0);
}

export const eyeLike: Op = {
  name: "eyeLike",
  summary: "Ones on diagonal k of a matrix of the shape of x, else zeros",
  inputs: ["x"],
  infer: (types, attrs) => {
    const x = given("eyeLike", types, 0, "x");
    checkRank("eyeLike", x, "x", 2);
    return [{ dtype: dtypeAttr("eyeLike", attrs, "dtype", x.dtype), shape: x.shape }];
  },
  reference: (inputs, attrs, outputs) => {
    const k = numberAttr("eyeLike", attrs, "k", 0);
    const [rows, columns] = inputAt(inputs, 0).shape as [number, number];
    const result = newRef((outputs[0] as TensorType).dtype, [rows, columns]);
    for (let row = 0; row < rows; row++)
      if (row + k >= 0 && row + k < columns) result.data[row * columns + row + k] = 1;
    return [result];
  },
  cases: () => [
    opCase("square", [of("f32", 5, 5)], { dtype: "f32", k: 0 }),
    opCase("above", [of("f32", 4, 6)], { dtype: "i32", k: 2 }),
    opCase("below", [of("i64", 6, 3)], { dtype: "i64", k: -1 }),
    opCase("outside", [of("f32", 3, 3)], { dtype: "f32", k: 5 }),
  ],
};
