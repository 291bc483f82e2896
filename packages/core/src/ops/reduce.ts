/**
 * Reductions over axes. Without elements, sums are 0, products 1, maxima the smallest and minima the largest value of
 * the dtype (∓infinity for floats), means NaN. Maxima and minima propagate NaN.
 */

import { type Dim, dimMul } from "../dim.ts";
import { DTYPE_INFO, type DType, isFloat } from "../dtype.ts";
import type { GraphBuilder } from "../graph/builder.ts";
import type { Attrs, TensorType, Value } from "../graph/graph.ts";
import { axesAttr, booleanAttr } from "./attrs.ts";
import { of, opCase, values, within } from "./cases.ts";
import { type DTypeGroup, type Types, typed } from "./check.ts";
import { dimAs } from "./dim-facts.ts";
import type { Op, OpCase, RefTensor, Tolerances } from "./op.ts";
import { input, newRef, slicesAlong, wrapInteger } from "./ref-tensor.ts";
import { sumTolerance } from "./tolerance.ts";

/** Shape after reducing `axes`. */
function reducedShape<D extends Dim>(shape: readonly D[], axes: readonly number[], keepDims: boolean): (D | 1)[] {
  return keepDims
    ? shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim))
    : shape.filter((_, axis) => !axes.includes(axis));
}

interface ReductionSpec {
  readonly name: string;
  readonly summary: string;
  readonly group?: DTypeGroup;
  /** The result of one slice. */
  readonly rule: (slice: Float64Array, dtype: DType) => number;
  readonly tolerance?: (terms: number) => Tolerances;
  readonly dims?: (slice: readonly Dim[]) => Dim | undefined;
  readonly decompose?: Op["decompose"];
  /** Range of the float cases. */
  readonly low?: number;
  readonly high?: number;
  readonly dtypes: readonly DType[];
  readonly extra?: () => readonly OpCase[];
}

function reduction(spec: ReductionSpec): Op {
  const { name, summary, group = "numeric", rule, tolerance, dims, decompose } = spec;
  const axesOf = (x: TensorType | RefTensor, attrs: Attrs): readonly number[] => axesAttr(name, attrs, x.shape.length);
  const infer = (types: Types, attrs: Attrs): TensorType[] => {
    const x = typed(name, types, 0, "x", group);
    return [
      {
        dtype: x.dtype,
        shape: reducedShape<Dim>(x.shape, axesOf(x, attrs), booleanAttr(name, attrs, "keepDims", false)),
      },
    ];
  };
  return {
    name,
    summary,
    inputs: ["x"],
    infer,
    reference: (inputs, attrs) => {
      const x = input(inputs, 0);
      const axes = axesOf(x, attrs);
      const result = newRef(x.dtype, reducedShape(x.shape, axes, booleanAttr(name, attrs, "keepDims", false)));
      const { outer, inner } = slicesAlong(x.shape, axes);
      const slice = new Float64Array(inner.length);
      outer.forEach((base, i) => {
        for (let j = 0; j < inner.length; j++) slice[j] = x.data[base + (inner[j] as number)] as number;
        result.data[i] = isFloat(x.dtype) ? rule(slice, x.dtype) : wrapInteger(x.dtype, rule(slice, x.dtype));
      });
      return [result];
    },
    ...(tolerance === undefined ? {} : { toleranceFor: (types, attrs) => tolerance(terms(types[0], attrs, name)) }),
    ...(dims === undefined
      ? {}
      : {
          dims: ([x], attrs, types) => {
            const type = types[0];
            if (
              x === undefined ||
              type === undefined ||
              isFloat(type.dtype) ||
              axesOf(type, attrs).length !== type.shape.length
            )
              return undefined;
            const value = dims(x);
            const element = value === undefined ? undefined : dimAs(type.dtype, value);
            return element === undefined ? undefined : [element];
          },
        }),
    ...(decompose === undefined ? {} : { decompose }),
    cases: () => reductionCases(spec),
  };
}

function terms(type: TensorType | undefined, attrs: Attrs, name: string): number {
  if (type === undefined) return 1;
  return axesAttr(name, attrs, type.shape.length).reduce((n, axis) => n * Number(type.shape[axis]), 1);
}

function reductionCases({ dtypes, low = -3, high = 3, extra }: ReductionSpec): OpCase[] {
  const first = dtypes[0] as DType;
  const fill = (dtype: DType, ...shape: number[]): OpCase["inputs"][0] =>
    isFloat(dtype) ? within(dtype, low, high, ...shape) : of(dtype, ...shape);
  return [
    opCase("last", [fill(first, 3, 33)], { axes: [1], keepDims: true }),
    opCase("first", [fill(first, 17, 5)], { axes: [0], keepDims: false }),
    opCase("middle", [fill(first, 2, 9, 3)], { axes: [1], keepDims: false }),
    opCase("outer axes", [fill(first, 3, 4, 5)], { axes: [0, 2], keepDims: true }),
    opCase("all", [fill(first, 2, 3, 5)], { axes: [0, 1, 2], keepDims: false }),
    opCase("no axes", [fill(first, 2, 3)], { axes: [], keepDims: false }),
    opCase("scalar", [fill(first)], { axes: [], keepDims: true }),
    opCase("image", [fill(first, 2, 3, 7, 9)], { axes: [2, 3], keepDims: true }),
    opCase("no slices", [fill(first, 0, 3)], { axes: [1], keepDims: false }),
    ...dtypes.slice(1).map((dtype) => opCase(dtype, [fill(dtype, 5, 7)], { axes: [1], keepDims: false })),
    ...(extra?.() ?? []),
  ];
}

function emptySlices(dtype: DType): OpCase {
  return opCase(`${dtype} empty slices`, [of(dtype, 3, 0)], { axes: [1], keepDims: false });
}

function sum(slice: Float64Array): number {
  let total = 0;
  for (const value of slice) total += value;
  return total;
}

const special = (): OpCase =>
  opCase("special", [values("f32", [1, NaN, 2, 5, Infinity, -1, -Infinity, 0, 1, -2, 3, -3], 4, 3)], {
    axes: [1],
    keepDims: false,
  });

/** Rows longer than kernels look at in one go; the middle one has a NaN in its last part. */
const longRows = (): OpCase => {
  const size = 9001;
  const data = Array.from({ length: 3 * size }, (_, i) => Math.sin(i) * 10);
  data[2 * size - 3] = NaN;
  return opCase("long rows", [values("f32", data, 3, size)], { axes: [1], keepDims: true });
};

export const reduceSum: Op = reduction({
  name: "reduceSum",
  summary: "Sum",
  rule: sum,
  tolerance: sumTolerance,
  dtypes: ["f32", "f16", "f64", "i32", "i64", "u8"],
  extra: () => [emptySlices("f32"), emptySlices("i32"), special()],
});

export const reduceMean: Op = reduction({
  name: "reduceMean",
  summary: "Arithmetic mean; integers truncate",
  rule: (slice, dtype) => {
    const mean = sum(slice) / slice.length;
    return isFloat(dtype) ? mean : Math.trunc(mean);
  },
  // An absolute bound for the mean: that of the sum shrinks by the same factor.
  tolerance: () => sumTolerance(8),
  dtypes: ["f32", "f16", "f64", "i32"],
  extra: () => [emptySlices("f32"), special()],
});

/** Extreme of a slice; NaN wins. */
function extreme(slice: Float64Array, start: number, pick: (a: number, b: number) => number): number {
  let best = start;
  for (const value of slice) best = pick(best, value);
  return best;
}

function smallest(dtype: DType): number {
  return isFloat(dtype) ? -Infinity : DTYPE_INFO[dtype].min;
}

function largest(dtype: DType): number {
  return isFloat(dtype) ? Infinity : DTYPE_INFO[dtype].max;
}

export const reduceMax: Op = reduction({
  name: "reduceMax",
  summary: "Largest value",
  group: "any",
  rule: (slice, dtype) => extreme(slice, smallest(dtype), Math.max),
  dtypes: ["f32", "f16", "f64", "i32", "i64", "u8", "i8", "bool"],
  extra: () => [emptySlices("f32"), emptySlices("i32"), special(), longRows()],
});

export const reduceMin: Op = reduction({
  name: "reduceMin",
  summary: "Smallest value",
  group: "any",
  rule: (slice, dtype) => extreme(slice, largest(dtype), Math.min),
  dtypes: ["f32", "f16", "f64", "i32", "i64", "u8", "i8", "bool"],
  extra: () => [emptySlices("f32"), emptySlices("i32"), special(), longRows()],
});

export const reduceProd: Op = reduction({
  name: "reduceProd",
  summary: "Product",
  rule: (slice) => {
    let product = 1;
    for (const value of slice) product *= value;
    return product;
  },
  tolerance: (count) => sumTolerance(count),
  low: -1.5,
  high: 1.5,
  dtypes: ["f32", "f64", "i64"],
  dims: (slice) => slice.reduce<Dim>((product, dim) => dimMul(product, dim), 1),
  extra: () => [
    emptySlices("f32"),
    emptySlices("i64"),
    opCase("wraps", [values("i32", [65536, 65536, 3, 7], 2, 2)], { axes: [1], keepDims: false }),
  ],
});

/** Reduces the only input of a decomposition by a simpler reduction. */
function reduceBy(b: GraphBuilder, op: string, x: Value, attrs: Attrs): Value {
  return b.apply(op, [x], {
    axes: attrs["axes"] as readonly number[],
    keepDims: attrs["keepDims"] ?? false,
  })[0] as Value;
}

function unary(b: GraphBuilder, op: string, x: Value): Value {
  return b.apply(op, [x])[0] as Value;
}

export const reduceL1: Op = reduction({
  name: "reduceL1",
  summary: "Sum of magnitudes",
  rule: (slice) => sum(slice.map(Math.abs)),
  tolerance: sumTolerance,
  decompose: (b, [x], attrs) => [reduceBy(b, "reduceSum", unary(b, "abs", x as Value), attrs)],
  dtypes: ["f32", "f16", "i32"],
  extra: () => [emptySlices("f32")],
});

export const reduceL2: Op = reduction({
  name: "reduceL2",
  summary: "Square root of the sum of squares",
  rule: (slice, dtype) => {
    const norm = Math.sqrt(sum(slice.map((x) => x * x)));
    return isFloat(dtype) ? norm : Math.trunc(norm);
  },
  tolerance: sumTolerance,
  decompose: (b, [x], attrs) =>
    isFloat((x as Value).type.dtype)
      ? [unary(b, "sqrt", reduceBy(b, "reduceSumSquare", x as Value, attrs))]
      : undefined,
  dtypes: ["f32", "f64"],
  extra: () => [emptySlices("f32")],
});

export const reduceSumSquare: Op = reduction({
  name: "reduceSumSquare",
  summary: "Sum of squares",
  rule: (slice) => sum(slice.map((x) => x * x)),
  tolerance: (count) => sumTolerance(4 * count),
  decompose: (b, [x], attrs) => [reduceBy(b, "reduceSum", unary(b, "square", x as Value), attrs)],
  dtypes: ["f32", "f64", "i32"],
  extra: () => [emptySlices("f32")],
});

export const reduceLogSum: Op = reduction({
  name: "reduceLogSum",
  summary: "Logarithm of the sum",
  group: "float",
  rule: (slice) => Math.log(sum(slice)),
  tolerance: sumTolerance,
  decompose: (b, [x], attrs) => [unary(b, "log", reduceBy(b, "reduceSum", x as Value, attrs))],
  low: 0.5,
  dtypes: ["f32", "f64"],
  extra: () => [emptySlices("f32")],
});

export const reduceLogSumExp: Op = reduction({
  name: "reduceLogSumExp",
  summary: "Logarithm of the sum of exponentials, without overflow",
  group: "float",
  rule: (slice) => {
    const top = extreme(slice, -Infinity, Math.max);
    if (!Number.isFinite(top)) return top;
    return top + Math.log(sum(slice.map((x) => Math.exp(x - top))));
  },
  tolerance: (count) => sumTolerance(8 + count),
  decompose: (b, [x], attrs) => {
    const axes = attrs["axes"] as readonly number[];
    const value = x as Value;
    // An infinite maximum must not be subtracted from itself: 0 serves in its place.
    const top = b.apply("reduceMax", [value], { axes, keepDims: true })[0] as Value;
    const limit = DTYPE_INFO[value.type.dtype].max;
    const shift = b.apply("clamp", [top], { min: -limit, max: limit })[0] as Value;
    const parts = unary(b, "exp", b.apply("sub", [value, shift])[0] as Value);
    const total = b.apply("add", [
      unary(b, "log", b.apply("reduceSum", [parts], { axes, keepDims: true })[0] as Value),
      shift,
    ])[0] as Value;
    if (attrs["keepDims"] === true) return [total];
    return [b.apply("reshape", [total], { shape: reducedShape<Dim>(value.type.shape, axes, false) })[0] as Value];
  },
  dtypes: ["f32", "f64"],
  extra: () => [
    emptySlices("f32"),
    opCase("large", [values("f32", [1000, 1001, -1000, -1001, -Infinity, 0], 3, 2)], { axes: [1], keepDims: false }),
  ],
});
