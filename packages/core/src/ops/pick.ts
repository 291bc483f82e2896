/**
 * Choosing and ordering elements: extremes, sorting, filters, masks. Sizes that depend on values get a fresh symbol.
 */

import { type Dim, dimEqual, shapeSize } from "../dim.ts";
import type { Attrs, TensorType } from "../graph/graph.ts";
import { printTensorType } from "../graph/print.ts";
import { axisAttr, booleanAttr } from "./attrs.ts";
import { constant, of, opCase, scalar, values } from "./cases.ts";
import { checkRank, checkRankAtLeast, checkSize, given, indexTyped, reject, typed, typedAs } from "./check.ts";
import type { Op, RefTensor } from "./op.ts";
import { gatherAt, input, newRef, refOf, slicesAlong, stridesOf } from "./ref-tensor.ts";

/** True where `a` comes before `b` in a selection; NaN counts as largest, ties go to the lower index. */
function beats(a: number, b: number, largest: boolean): boolean {
  if (Number.isNaN(a) || Number.isNaN(b))
    return Number.isNaN(a) && !Number.isNaN(b) ? largest : Number.isNaN(b) && !Number.isNaN(a) && !largest;
  return largest ? a > b : a < b;
}

function extremeIndex(name: string, summary: string, largest: boolean): Op {
  const shapeFor = (type: { readonly shape: readonly Dim[] }, attrs: Attrs): Dim[] => {
    const axis = axisAttr(name, attrs, type.shape.length, "axis", 0);
    return booleanAttr(name, attrs, "keepDims", true) ? type.shape.with(axis, 1) : type.shape.toSpliced(axis, 1);
  };
  return {
    name,
    summary,
    inputs: ["x"],
    infer: (types, attrs) => {
      const x = typed(name, types, 0, "x", "any");
      checkRankAtLeast(name, x, "x", 1);
      return [{ dtype: "i64", shape: shapeFor(x, attrs) }];
    },
    reference: (inputs, attrs) => {
      const x = input(inputs, 0);
      const axis = axisAttr(name, attrs, x.shape.length, "axis", 0);
      const last = booleanAttr(name, attrs, "selectLast", false);
      const { outer, inner } = slicesAlong(x.shape, [axis]);
      if (inner.length === 0 && outer.length > 0) reject(name, `axis ${axis} has no elements`);
      const data = outer.map((base) => {
        let best = 0;
        for (let i = 1; i < inner.length; i++) {
          const [value, leader] = [
            x.data[base + (inner[i] as number)] as number,
            x.data[base + (inner[best] as number)] as number,
          ];
          const tie = value === leader || (Number.isNaN(value) && Number.isNaN(leader));
          if (beats(value, leader, largest) || (last && tie)) best = i;
        }
        return best;
      });
      return [refOf("i64", shapeFor(x, attrs) as number[], data)];
    },
    cases: () => [
      opCase("last axis", [of("f32", 5, 33)], { axis: 1, keepDims: false }),
      opCase("first axis", [of("f32", 9, 4)], { axis: 0, keepDims: true }),
      opCase("middle", [of("f32", 2, 7, 3)], { axis: 1, keepDims: true }),
      opCase("ties", [values("f32", [1, 3, 3, 1, 1, 3], 2, 3)], { axis: 1, keepDims: false }),
      opCase("ties, last", [values("f32", [1, 3, 3, 1, 1, 3], 2, 3)], { axis: 1, keepDims: false, selectLast: true }),
      opCase("i32", [of("i32", 3, 9)], { axis: 1, keepDims: false }),
      opCase("no slices", [of("f32", 0, 3)], { axis: 1, keepDims: false }),
    ],
  };
}

export const argMax: Op = extremeIndex(
  "argMax",
  "Index of the largest element along an axis; the first of equal ones, or the last",
  true,
);
export const argMin: Op = extremeIndex(
  "argMin",
  "Index of the smallest element along an axis; the first of equal ones, or the last",
  false,
);

export const topK: Op = {
  name: "topK",
  summary: "The k largest (or smallest) elements along an axis in order, and their indices; ties by index",
  inputs: ["x", "k"],
  infer: (types, attrs, context, graphValues) => {
    const x = typed("topK", types, 0, "x", "numeric");
    const k = indexTyped("topK", types, 1, "k");
    if (dimEqual(shapeSize(k.shape), 1) === false)
      reject("topK", `input "k" must have one element, got ${printTensorType(k)}`);
    const axis = axisAttr("topK", attrs, x.shape.length);
    const known = graphValues[1] === undefined ? undefined : context.dims(graphValues[1])?.[0];
    const size = x.shape[axis] as Dim;
    if (typeof known === "number" && typeof size === "number" && known > size)
      reject("topK", `k is ${known}, axis ${axis} of ${printTensorType(x)} has ${size} elements`);
    const shape = x.shape.with(axis, known ?? context.freshDim("topK"));
    return [
      { dtype: x.dtype, shape },
      { dtype: "i64", shape },
    ];
  },
  reference: (inputs, attrs) => {
    const x = input(inputs, 0);
    const k = input(inputs, 1).data[0] as number;
    const axis = axisAttr("topK", attrs, x.shape.length);
    const largest = booleanAttr("topK", attrs, "largest", true);
    if (k < 0 || k > (x.shape[axis] as number)) reject("topK", `k is ${k}, axis ${axis} has ${x.shape[axis]} elements`);
    const shape = x.shape.with(axis, k);
    const [result, indices] = [newRef(x.dtype, shape), newRef("i64", shape)];
    const [from, to] = [slicesAlong(x.shape, [axis]), slicesAlong(shape, [axis])];
    from.outer.forEach((base, slice) => {
      const at = (i: number): number => x.data[base + (from.inner[i] as number)] as number;
      const order = Array.from(from.inner, (_, i) => i).sort((a, b) =>
        beats(at(a), at(b), largest) ? -1 : beats(at(b), at(a), largest) ? 1 : a - b,
      );
      to.inner.forEach((offset, i) => {
        const target = (to.outer[slice] as number) + offset;
        result.data[target] = at(order[i] as number);
        indices.data[target] = order[i] as number;
      });
    });
    return [result, indices];
  },
  cases: () => [
    opCase("largest", [of("f32", 3, 17), constant(values("i64", [5]))], { axis: 1, largest: true, sorted: true }),
    opCase("smallest", [of("f32", 3, 17), constant(values("i64", [4]))], { axis: 1, largest: false, sorted: true }),
    opCase("first axis", [of("f32", 9, 4), constant(values("i64", [3]))], { axis: 0, largest: true, sorted: true }),
    opCase("all", [of("f32", 2, 9), constant(values("i64", [9]))], { axis: 1, largest: true, sorted: true }),
    opCase("none", [of("f32", 2, 9), constant(values("i64", [0]))], { axis: 1, largest: true, sorted: true }),
    opCase("ties", [values("f32", [2, 1, 2, 1, 2], 1, 5), constant(values("i64", [4]))], {
      axis: 1,
      largest: true,
      sorted: true,
    }),
    opCase("k at run time", [of("f32", 3, 17), values("i64", [5])], { axis: 1, largest: true, sorted: true }),
    opCase("i64", [of("i64", 17), constant(values("i64", [3]))], { axis: 0, largest: true, sorted: true }),
  ],
};

export const nonZero: Op = {
  name: "nonZero",
  summary: "Indices of the elements that are not zero: one column per element, one row per axis",
  inputs: ["x"],
  infer: (types, _attrs, context) => {
    const x = given("nonZero", types, 0, "x");
    return [{ dtype: "i64", shape: [x.shape.length, context.freshDim("nonZero")] }];
  },
  reference: (inputs) => {
    const x = input(inputs, 0);
    const found = Array.from(x.data.keys()).filter((i) => x.data[i] !== 0);
    const strides = stridesOf(x.shape);
    const rows = strides.map((stride, axis) => found.map((i) => Math.floor(i / stride) % (x.shape[axis] as number)));
    return [refOf("i64", [x.shape.length, found.length], Float64Array.from(rows.flat()))];
  },
  cases: () => [
    opCase("matrix", [values("f32", [0, 1, 0, -2, 0, NaN], 2, 3)]),
    opCase("bool", [of("bool", 3, 4, 5)]),
    opCase("list", [of("bool", 33)]),
    opCase("all zero", [values("i64", [0, 0, 0])]),
    opCase("empty", [of("f32", 0, 3)]),
    opCase("scalar", [scalar("f32", 5)]),
  ],
};

export const compress: Op = {
  name: "compress",
  summary: "The slices along an axis where the condition holds; of the flattened x without an axis",
  inputs: ["x", "condition"],
  infer: (types, attrs, context) => {
    const x = given("compress", types, 0, "x");
    checkRank("compress", typedAs("compress", types, 1, "condition", ["bool"]), "condition", 1);
    if (attrs["axis"] === undefined) return [{ dtype: x.dtype, shape: [context.freshDim("compress")] }];
    const axis = axisAttr("compress", attrs, x.shape.length);
    return [{ dtype: x.dtype, shape: x.shape.with(axis, context.freshDim("compress")) }];
  },
  reference: (inputs, attrs) => {
    const whole = input(inputs, 0);
    const x = attrs["axis"] === undefined ? refOf(whole.dtype, [whole.data.length], whole.data) : whole;
    const axis = attrs["axis"] === undefined ? 0 : axisAttr("compress", attrs, x.shape.length);
    const { data } = input(inputs, 1);
    const kept = Array.from(data.keys()).filter((i) => data[i] !== 0);
    if (kept.some((i) => i >= (x.shape[axis] as number)))
      reject("compress", `the condition has ${data.length} entries, axis ${axis} has ${x.shape[axis]} elements`);
    return [pickSlices(x, axis, kept)];
  },
  cases: () => [
    opCase("rows", [of("f32", 3, 5), values("bool", [0, 1, 1])], { axis: 0 }),
    opCase("columns", [of("f32", 3, 5), values("bool", [1, 0, 1, 0, 1])], { axis: 1 }),
    opCase("short condition", [of("f32", 3, 5), values("bool", [1, 0, 1])], { axis: 1 }),
    opCase("flattened", [of("f32", 2, 3), values("bool", [0, 1, 0, 0, 1])]),
    opCase("none", [of("i64", 3), values("bool", [0, 0, 0])], { axis: 0 }),
  ],
};

/** The slices of x at `kept` along an axis. */
function pickSlices(x: RefTensor, axis: number, kept: readonly number[]): RefTensor {
  const shape = x.shape.with(axis, kept.length);
  const [strides, outStrides] = [stridesOf(x.shape), stridesOf(shape)];
  const size = shape.reduce((n, dim) => n * dim, 1);
  const [stride, outStride] = [strides[axis] as number, outStrides[axis] as number];
  const where = Float64Array.from({ length: size }, (_, i) => {
    const outer = Math.floor(i / (outStride * kept.length));
    const along = kept[Math.floor(i / outStride) % kept.length] as number;
    return outer * stride * (x.shape[axis] as number) + along * stride + (i % outStride);
  });
  return gatherAt(x, shape, where);
}

export const unique: Op = {
  name: "unique",
  summary: "Distinct elements (or slices along an axis), with first indices, inverse indices and counts",
  inputs: ["x"],
  infer: (types, attrs, context) => {
    const x = given("unique", types, 0, "x");
    const count = context.freshDim("unique");
    const list: TensorType = { dtype: "i64", shape: [count] };
    const axis = attrs["axis"] === undefined ? undefined : axisAttr("unique", attrs, x.shape.length);
    const shape = axis === undefined ? [count] : x.shape.with(axis, count);
    const inverse: TensorType = {
      dtype: "i64",
      shape: [axis === undefined ? shapeSize(x.shape) : (x.shape[axis] as Dim)],
    };
    return [{ dtype: x.dtype, shape }, list, inverse, list];
  },
  reference: (inputs, attrs) => {
    const whole = input(inputs, 0);
    const x = attrs["axis"] === undefined ? refOf(whole.dtype, [whole.data.length], whole.data) : whole;
    const axis = attrs["axis"] === undefined ? 0 : axisAttr("unique", attrs, x.shape.length);
    // `inner` walks along the axis, so that each entry of it starts a slice over the other axes.
    const { outer, inner } = slicesAlong(x.shape, [axis]);
    const slices = Array.from(inner, (start) => Array.from(outer, (offset) => x.data[start + offset] as number));
    const groups = new Map<string, number[]>();
    slices.forEach((slice, i) => {
      const key = slice.join();
      const group = groups.get(key);
      if (group === undefined) groups.set(key, [i]);
      else group.push(i);
    });
    const order = [...groups.values()];
    if (booleanAttr("unique", attrs, "sorted", true))
      order.sort(([a], [b]) => compareSlices(slices[a as number] ?? [], slices[b as number] ?? []));
    const inverse = newRef("i64", [slices.length]);
    order.forEach((group, i) => group.forEach((member) => (inverse.data[member] = i)));
    const firsts = order.map((group) => group[0] as number);
    const list = (entries: readonly number[]): RefTensor => refOf("i64", [entries.length], Float64Array.from(entries));
    return [pickSlices(x, axis, firsts), list(firsts), inverse, list(order.map((group) => group.length))];
  },
  cases: () => [
    opCase("sorted", [values("f32", [2, 1, 1, 3, 4, 3])], { sorted: true }),
    opCase("in order", [values("i64", [2, 1, 1, 3, 4, 3])], { sorted: false }),
    opCase("rows", [values("f32", [1, 0, 0, 1, 0, 0, 2, 3, 4], 3, 3)], { sorted: true, axis: 0 }),
    opCase("columns", [values("f32", [1, 0, 1, 2, 3, 2], 2, 3)], { sorted: true, axis: 1 }),
    opCase("empty", [of("f32", 0)], { sorted: true }),
  ],
};

function compareSlices(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((value, i) => value !== b[i]);
  return at < 0 ? 0 : (a[at] as number) - (b[at] as number);
}

export const oneHot: Op = {
  name: "oneHot",
  summary: "`on` at the index along a new axis of `depth` entries, else `off`; values is [off, on]",
  inputs: ["indices", "depth", "values"],
  infer: (types, attrs, context, graphValues) => {
    const indices = typed("oneHot", types, 0, "indices", "numeric");
    typed("oneHot", types, 1, "depth", "numeric");
    const pair = given("oneHot", types, 2, "values");
    checkRank("oneHot", pair, "values", 1);
    checkSize("oneHot", 'the size of "values"', pair.shape[0] as Dim, 2);
    const axis = axisAttr("oneHot", attrs, indices.shape.length + 1);
    const depth =
      (graphValues[1] === undefined ? undefined : context.dims(graphValues[1])?.[0]) ?? context.freshDim("depth");
    return [{ dtype: pair.dtype, shape: indices.shape.toSpliced(axis, 0, depth) }];
  },
  reference: (inputs, attrs) => {
    const [indices, pair] = [input(inputs, 0), input(inputs, 2)];
    const depth = Math.trunc(input(inputs, 1).data[0] as number);
    const axis = axisAttr("oneHot", attrs, indices.shape.length + 1);
    const [off, on] = pair.data as unknown as [number, number];
    const result = newRef(pair.dtype, indices.shape.toSpliced(axis, 0, depth));
    const inner = indices.shape.slice(axis).reduce((n, size) => n * size, 1);
    result.data.forEach((_, i) => {
      const [outer, along, rest] = [Math.floor(i / (inner * depth)), Math.floor(i / inner) % depth, i % inner];
      const index = Math.trunc(indices.data[outer * inner + rest] as number);
      result.data[i] = (index < 0 ? index + depth : index) === along ? on : off;
    });
    return [result];
  },
  cases: () => [
    opCase("last", [values("i64", [0, 2, -1, 5], 2, 2), constant(scalar("i64", 4)), values("f32", [0, 1])], {
      axis: 2,
    }),
    opCase("first", [values("i64", [0, 2, -1]), constant(scalar("i64", 3)), values("f32", [-1, 5])], { axis: 0 }),
    opCase("float depth", [values("f32", [1, 2]), constant(values("f32", [4])), values("i32", [2, 7])], { axis: 1 }),
    opCase("depth at run time", [values("i64", [1, 2]), values("i64", [5]), values("bool", [0, 1])], { axis: 1 }),
  ],
};

export const trilu: Op = {
  name: "trilu",
  summary: "The upper or lower triangle of each matrix, zeros elsewhere; k moves the diagonal",
  inputs: ["x", "k?"],
  infer: (types, attrs) => {
    const x = given("trilu", types, 0, "x");
    checkRankAtLeast("trilu", x, "x", 2);
    if (types[1] !== undefined) indexTyped("trilu", types, 1, "k");
    booleanAttr("trilu", attrs, "upper", true);
    return [x];
  },
  reference: (inputs, attrs) => {
    const x = input(inputs, 0);
    const k = inputs[1]?.data[0] ?? 0;
    const upper = booleanAttr("trilu", attrs, "upper", true);
    const [rows, columns] = x.shape.slice(-2) as [number, number];
    const data = x.data.map((value, i) => {
      const [row, column] = [Math.floor(i / columns) % rows, i % columns];
      return (upper ? column - row >= k : column - row <= k) ? value : 0;
    });
    return [{ ...x, data }];
  },
  cases: () => [
    opCase("upper", [of("f32", 5, 7)], { upper: true }),
    opCase("lower", [of("f32", 2, 7, 5)], { upper: false }),
    opCase("above", [of("f32", 5, 5), constant(scalar("i64", 2))], { upper: true }),
    opCase("below", [of("i64", 5, 5), constant(scalar("i64", -1))], { upper: false }),
    opCase("bool", [of("bool", 4, 4), scalar("i64", 1)], { upper: true }),
    opCase("NaN outside", [values("f32", [1, 2, NaN, 4], 2, 2)], { upper: true }),
    opCase("empty", [of("f32", 0, 3)], { upper: true }),
  ],
};

export const reverseSequence: Op = {
  name: "reverseSequence",
  summary: "The first `lens` entries of the time axis reversed, for each entry of the batch axis",
  inputs: ["x", "lens"],
  infer: (types, attrs) => {
    const x = given("reverseSequence", types, 0, "x");
    checkRankAtLeast("reverseSequence", x, "x", 2);
    checkRank("reverseSequence", indexTyped("reverseSequence", types, 1, "lens"), "lens", 1);
    axisAttr("reverseSequence", attrs, x.shape.length, "timeAxis", 0);
    axisAttr("reverseSequence", attrs, x.shape.length, "batchAxis", 1);
    return [x];
  },
  reference: (inputs, attrs) => {
    const [x, lens] = [input(inputs, 0), input(inputs, 1)];
    const time = axisAttr("reverseSequence", attrs, x.shape.length, "timeAxis", 0);
    const batch = axisAttr("reverseSequence", attrs, x.shape.length, "batchAxis", 1);
    const strides = stridesOf(x.shape);
    const along = (i: number, axis: number): number =>
      Math.floor(i / (strides[axis] as number)) % (x.shape[axis] as number);
    const where = Float64Array.from(x.data.keys(), (i) => {
      const [at, length] = [along(i, time), lens.data[along(i, batch)] as number];
      return at < length ? i + (length - 1 - 2 * at) * (strides[time] as number) : i;
    });
    return [gatherAt(x, x.shape, where)];
  },
  cases: () => [
    opCase("time first", [of("f32", 4, 3, 2), values("i64", [4, 1, 3])], { timeAxis: 0, batchAxis: 1 }),
    opCase("batch first", [of("f32", 3, 5), values("i64", [0, 5, 2])], { timeAxis: 1, batchAxis: 0 }),
  ],
};
