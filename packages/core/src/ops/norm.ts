/**
 * Softmax and normalisations. Statistics are of slices of the input; variances divide by the number of elements.
 */

import { type Dim, dimEqual } from "../dim.ts";
import type { GraphBuilder } from "../graph/builder.ts";
import type { Attr, Attrs, TensorType, Value } from "../graph/graph.ts";
import { printTensorType } from "../graph/print.ts";
import { axesAttr, axisAttr, numberAttr } from "./attrs.ts";
import { constant, of, opCase, values } from "./cases.ts";
import { type Types, broadcastShapes, checkRank, checkRankAtLeast, checkSameDType, checkSize, reject, typed } from "./check.ts";
import type { Op, OpCase, RefTensor } from "./op.ts";
import { constantFromRef } from "./ref-convert.ts";
import { broadcastStrides, input, newRef, positions, slicesAlong } from "./ref-tensor.ts";
import { sumTolerance, ulps } from "./tolerance.ts";

/** Applies `rule` to every slice along `axes`; the result has the shape of x. */
function mapSlices(x: RefTensor, axes: readonly number[], rule: (slice: Float64Array) => ArrayLike<number>): RefTensor {
  const result = newRef(x.dtype, x.shape);
  const { outer, inner } = slicesAlong(x.shape, axes);
  const slice = new Float64Array(inner.length);
  for (const base of outer) {
    for (let j = 0; j < inner.length; j++) slice[j] = x.data[base + (inner[j] as number)] as number;
    const mapped = rule(slice);
    for (let j = 0; j < inner.length; j++) result.data[base + (inner[j] as number)] = mapped[j] as number;
  }
  return result;
}

function sumOf(slice: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < slice.length; i++) total += slice[i] as number;
  return total;
}

/** NaN when any element is NaN. */
function maxOf(slice: ArrayLike<number>): number {
  let best = -Infinity;
  for (let i = 0; i < slice.length; i++) best = Math.max(best, slice[i] as number);
  return best;
}

function alongAxis(name: string, summary: string, rule: (slice: Float64Array) => ArrayLike<number>, tolerance: NonNullable<Op["tolerance"]>): Op {
  return {
    name, summary, inputs: ["x"],
    infer: (types, attrs) => {
      const x = typed(name, types, 0, "x", "float");
      axisAttr(name, attrs, x.shape.length);
      return [x];
    },
    reference: (inputs, attrs) => {
      const x = input(inputs, 0);
      return [mapSlices(x, [axisAttr(name, attrs, x.shape.length)], rule)];
    },
    tolerance,
    cases: () => [
      opCase("last", [of("f32", 5, 33)], { axis: 1 }),
      opCase("long row", [of("f32", 2, 1031)], { axis: 1 }),
      opCase("first", [of("f32", 17, 3)], { axis: 0 }),
      opCase("middle", [of("f32", 2, 9, 4)], { axis: 1 }),
      opCase("attention", [of("f32", 2, 3, 7, 17)], { axis: 3 }),
      opCase("one element", [of("f32", 4, 1)], { axis: 1 }),
      opCase("no elements", [of("f32", 3, 0)], { axis: 1 }),
      opCase("no slices", [of("f32", 0, 5)], { axis: 1 }),
      opCase("large values", [values("f32", [1000, 1001, 999, -1000, -1001, -999], 2, 3)], { axis: 1 }),
      opCase("masked", [values("f32", [1, -Infinity, 2, -Infinity, 0, -Infinity], 2, 3)], { axis: 1 }),
      opCase("special", [values("f32", [1, NaN, 2, -Infinity, -Infinity, -Infinity, Infinity, 0, 1], 3, 3)], { axis: 1 }),
      opCase("f16", [of("f16", 3, 17)], { axis: 1 }),
      opCase("f64", [of("f64", 3, 17)], { axis: 1 }),
    ],
  };
}

export const softmax: Op = alongAxis("softmax", "e^x over its sum along an axis", (slice) => {
  const top = maxOf(slice);
  const parts = slice.map((x) => Math.exp(x - top));
  const total = sumOf(parts);
  return parts.map((part) => part / total);
}, ulps(32, 1));

export const logSoftmax: Op = alongAxis("logSoftmax", "Logarithm of softmax", (slice) => {
  const top = maxOf(slice);
  const logSum = Math.log(sumOf(slice.map((x) => Math.exp(x - top))));
  return slice.map((x) => x - top - logSum);
}, ulps(16, 16));

function applyOne(b: GraphBuilder, op: string, inputs: readonly (Value | undefined)[], attrs: Attrs = {}): Value {
  return b.apply(op, inputs, attrs)[0] as Value;
}

/** Axes from `axis` to the last. */
function trailing(rank: number, axis: number): number[] {
  return Array.from({ length: rank - axis }, (_, i) => axis + i);
}

/** Scale and bias of layerNorm and rmsNorm broadcast to the input. */
function checkBroadcasts(op: string, x: TensorType, parameter: TensorType | undefined, name: string): void {
  if (parameter === undefined) return;
  checkSameDType(op, x, parameter);
  const shape = broadcastShapes(op, [x.shape, parameter.shape]);
  if (shape.length !== x.shape.length || shape.some((dim, i) => dimEqual(dim, x.shape[i] as Dim) === false)) {
    reject(op, `input "${name}" ${printTensorType(parameter)} does not broadcast to ${printTensorType(x)}`);
  }
}

/** x · scale + bias, both broadcast. */
function scaleAndShift(x: RefTensor, scale: RefTensor | undefined, bias: RefTensor | undefined): RefTensor {
  const at = (parameter: RefTensor | undefined): Float64Array | undefined => parameter && positions(x.shape, broadcastStrides(parameter.shape, x.shape));
  const [scaleAt, biasAt] = [at(scale), at(bias)];
  const data = x.data.map((value, i) => {
    const scaled = scaleAt === undefined ? value : value * (scale?.data[scaleAt[i] as number] as number);
    return biasAt === undefined ? scaled : scaled + (bias?.data[biasAt[i] as number] as number);
  });
  return { ...x, data };
}

function meanAndVariance(slice: Float64Array): { mean: number; variance: number } {
  const mean = sumOf(slice) / slice.length;
  return { mean, variance: sumOf(slice.map((x) => (x - mean) ** 2)) / slice.length };
}

/** (x - mean) / √(variance + epsilon). */
function standardise(slice: Float64Array, epsilon: number): Float64Array {
  const { mean, variance } = meanAndVariance(slice);
  return slice.map((x) => (x - mean) / Math.sqrt(variance + epsilon));
}

export const layerNorm: Op = {
  name: "layerNorm",
  summary: "(x - mean) / √(variance + epsilon) over the axes from `axis`, then scaled and shifted",
  inputs: ["x", "scale?", "bias?"],
  infer: (types, attrs) => {
    const x = typed("layerNorm", types, 0, "x", "float");
    axisAttr("layerNorm", attrs, x.shape.length);
    numberAttr("layerNorm", attrs, "epsilon", 1e-5);
    checkBroadcasts("layerNorm", x, types[1], "scale");
    checkBroadcasts("layerNorm", x, types[2], "bias");
    return [x];
  },
  reference: (inputs, attrs) => {
    const x = input(inputs, 0);
    const axes = trailing(x.shape.length, axisAttr("layerNorm", attrs, x.shape.length));
    const epsilon = numberAttr("layerNorm", attrs, "epsilon", 1e-5);
    return [scaleAndShift(mapSlices(x, axes, (slice) => standardise(slice, epsilon)), inputs[1], inputs[2])];
  },
  toleranceFor: () => sumTolerance(16),
  cases: () => [
    opCase("rows", [of("f32", 5, 33), constant(of("f32", 33)), constant(of("f32", 33))], { axis: 1, epsilon: 1e-5 }),
    opCase("no parameters", [of("f32", 2, 3, 17)], { axis: 2, epsilon: 1e-5 }),
    opCase("only scale", [of("f32", 3, 16), of("f32", 16)], { axis: 1, epsilon: 1e-3 }),
    opCase("two axes", [of("f32", 4, 3, 9), of("f32", 3, 9), of("f32", 3, 9)], { axis: 1, epsilon: 1e-5 }),
    opCase("all axes", [of("f32", 3, 9), of("f32", 3, 9), of("f32", 3, 9)], { axis: 0, epsilon: 1e-5 }),
    opCase("long row", [of("f32", 2, 1031), of("f32", 1031), of("f32", 1031)], { axis: 1, epsilon: 1e-5 }),
    opCase("constant row", [values("f32", [3, 3, 3, 3], 1, 4)], { axis: 1, epsilon: 1e-5 }),
    opCase("no rows", [of("f32", 0, 4)], { axis: 1, epsilon: 1e-5 }),
    opCase("f16", [of("f16", 3, 17), of("f16", 17), of("f16", 17)], { axis: 1, epsilon: 1e-5 }),
  ],
};

export const rmsNorm: Op = {
  name: "rmsNorm",
  summary: "x / √(mean of squares + epsilon) over the axes from `axis`, then scaled",
  inputs: ["x", "scale?"],
  infer: (types, attrs) => {
    const x = typed("rmsNorm", types, 0, "x", "float");
    axisAttr("rmsNorm", attrs, x.shape.length);
    checkBroadcasts("rmsNorm", x, types[1], "scale");
    return [x];
  },
  reference: (inputs, attrs) => {
    const x = input(inputs, 0);
    const epsilon = numberAttr("rmsNorm", attrs, "epsilon", 1e-5);
    const axes = trailing(x.shape.length, axisAttr("rmsNorm", attrs, x.shape.length));
    const normal = mapSlices(x, axes, (slice) => {
      const root = Math.sqrt(sumOf(slice.map((value) => value * value)) / slice.length + epsilon);
      return slice.map((value) => value / root);
    });
    return [scaleAndShift(normal, inputs[1], undefined)];
  },
  toleranceFor: () => sumTolerance(8),
  cases: () => [
    opCase("rows", [of("f32", 5, 33), constant(of("f32", 33))], { axis: 1, epsilon: 1e-6 }),
    opCase("no scale", [of("f32", 2, 3, 17)], { axis: 2, epsilon: 1e-5 }),
    opCase("two axes", [of("f32", 4, 3, 9), of("f32", 3, 9)], { axis: 1, epsilon: 1e-5 }),
    opCase("zeros", [values("f32", [0, 0, 0], 1, 3)], { axis: 1, epsilon: 1e-5 }),
    opCase("f16", [of("f16", 3, 17), of("f16", 17)], { axis: 1, epsilon: 1e-5 }),
  ],
};

/** Checks inputs 1… as lists with one value per channel (axis 1). */
function checkChannels(op: string, types: Types, names: readonly string[], count: (x: TensorType) => Dim): TensorType {
  const x = typed(op, types, 0, "x", "float");
  checkRankAtLeast(op, x, "x", 2);
  names.forEach((name, i) => {
    const parameter = typed(op, types, i + 1, name, "float");
    checkSameDType(op, x, parameter);
    checkRank(op, parameter, name, 1);
    checkSize(op, `the size of "${name}"`, parameter.shape[0] as Dim, count(x));
  });
  return x;
}

function channelsOf(x: TensorType): Dim {
  return x.shape[1] as Dim;
}

/** A list of channel values with the axes that align it with axis 1 of an input of `rank` axes. */
function perChannel(parameter: RefTensor | undefined, rank: number): RefTensor {
  const list = parameter as RefTensor;
  return { ...list, shape: [list.shape[0] as number, ...new Array<number>(rank - 2).fill(1)] };
}

function reshapeToChannels(b: GraphBuilder, list: Value, rank: number): Value {
  return applyOne(b, "reshape", [list], { shape: [list.type.shape[0] as Dim, ...new Array<number>(rank - 2).fill(1)] });
}

export const batchNorm: Op = {
  name: "batchNorm",
  summary: "(x - mean) / √(variance + epsilon) · scale + bias with given statistics per channel",
  inputs: ["x", "scale", "bias", "mean", "variance"],
  infer: (types) => [checkChannels("batchNorm", types, ["scale", "bias", "mean", "variance"], channelsOf)],
  reference: (inputs, attrs) => {
    const x = input(inputs, 0);
    const epsilon = numberAttr("batchNorm", attrs, "epsilon", 1e-5);
    const [scale, bias, mean, variance] = [1, 2, 3, 4].map((i) => perChannel(inputs[i], x.shape.length)) as [RefTensor, RefTensor, RefTensor, RefTensor];
    const factor = { ...scale, data: scale.data.map((s, c) => s / Math.sqrt((variance.data[c] as number) + epsilon)) };
    const shift = { ...bias, data: bias.data.map((value, c) => value - (mean.data[c] as number) * (factor.data[c] as number)) };
    return [scaleAndShift(x, factor, shift)];
  },
  decompose: (b, [x, ...parameters], attrs) => {
    const rank = (x as Value).type.shape.length;
    const [scale, bias, mean, variance] = parameters.map((list) => list as Value) as [Value, Value, Value, Value];
    const factor = applyOne(b, "mul", [scale, applyOne(b, "rsqrt", [addNumber(b, variance, numberAttr("batchNorm", attrs, "epsilon", 1e-5))])]);
    const shift = applyOne(b, "sub", [bias, applyOne(b, "mul", [mean, factor])]);
    const scaled = applyOne(b, "mul", [x as Value, reshapeToChannels(b, factor, rank)]);
    return [applyOne(b, "add", [scaled, reshapeToChannels(b, shift, rank)])];
  },
  tolerance: ulps(32, 64),
  cases: () => [
    opCase("images", [of("f32", 2, 17, 5, 7), of("f32", 17), of("f32", 17), of("f32", 17), positive(17)], { epsilon: 1e-5 }),
    opCase("features", [of("f32", 5, 9), of("f32", 9), of("f32", 9), of("f32", 9), positive(9)], { epsilon: 1e-3 }),
    opCase("constants", [of("f32", 1, 4, 6, 6), constant(of("f32", 4)), constant(of("f32", 4)), constant(of("f32", 4)), constant(positive(4))], { epsilon: 1e-5 }),
    opCase("no batch", [of("f32", 0, 4, 3), of("f32", 4), of("f32", 4), of("f32", 4), positive(4)], { epsilon: 1e-5 }),
  ],
};

function positive(size: number): NonNullable<OpCase["inputs"][0]> {
  return { dtype: "f32", shape: [size], fill: { low: 0.25, high: 2 } };
}

/** x + a number of its dtype. */
function addNumber(b: GraphBuilder, x: Value, number: number): Value {
  const one = constantNumber(b, x, number);
  return applyOne(b, "add", [x, one]);
}

function constantNumber(b: GraphBuilder, like: Value, number: number): Value {
  return b.constant(constantFromRef({ dtype: like.type.dtype, shape: [], data: Float64Array.of(number) }));
}

export const instanceNorm: Op = {
  name: "instanceNorm",
  summary: "Each channel of each image standardised over its spatial axes, then scaled and shifted",
  inputs: ["x", "scale", "bias"],
  infer: (types) => [checkChannels("instanceNorm", types, ["scale", "bias"], channelsOf)],
  reference: (inputs, attrs) => {
    const x = input(inputs, 0);
    const rank = x.shape.length;
    const epsilon = numberAttr("instanceNorm", attrs, "epsilon", 1e-5);
    const normal = mapSlices(x, trailing(rank, 2), (slice) => standardise(slice, epsilon));
    return [scaleAndShift(normal, perChannel(inputs[1], rank), perChannel(inputs[2], rank))];
  },
  decompose: (b, [x, scale, bias], attrs) => {
    const value = x as Value;
    const rank = value.type.shape.length;
    if (rank < 3) return undefined;
    const normal = applyOne(b, "layerNorm", [value], { axis: 2, epsilon: attrs["epsilon"] as Attr });
    const scaled = applyOne(b, "mul", [normal, reshapeToChannels(b, scale as Value, rank)]);
    return [applyOne(b, "add", [scaled, reshapeToChannels(b, bias as Value, rank)])];
  },
  toleranceFor: () => sumTolerance(16),
  cases: () => [
    opCase("images", [of("f32", 2, 5, 7, 9), of("f32", 5), of("f32", 5)], { epsilon: 1e-5 }),
    opCase("1d", [of("f32", 2, 3, 17), constant(of("f32", 3)), constant(of("f32", 3))], { epsilon: 1e-3 }),
    opCase("no batch", [of("f32", 0, 3, 4), of("f32", 3), of("f32", 3)], { epsilon: 1e-5 }),
  ],
};

export const groupNorm: Op = {
  name: "groupNorm",
  summary: "Groups of channels standardised together with their spatial axes, then scaled and shifted per channel",
  inputs: ["x", "scale", "bias"],
  infer: (types, attrs) => {
    const x = checkChannels("groupNorm", types, ["scale", "bias"], channelsOf);
    const groups = numberAttr("groupNorm", attrs, "groups");
    const channels = channelsOf(x);
    if (typeof channels === "number" && channels % groups !== 0) reject("groupNorm", `${channels} channels do not divide into ${groups} groups`);
    return [x];
  },
  reference: (inputs, attrs) => {
    const x = input(inputs, 0);
    const rank = x.shape.length;
    const groups = numberAttr("groupNorm", attrs, "groups");
    const epsilon = numberAttr("groupNorm", attrs, "epsilon", 1e-5);
    const [batch, channels] = x.shape as [number, number];
    const grouped = { ...x, shape: [batch, groups, channels / groups, ...x.shape.slice(2)] };
    const normal = mapSlices(grouped, trailing(rank + 1, 2), (slice) => standardise(slice, epsilon));
    return [scaleAndShift({ ...normal, shape: x.shape }, perChannel(inputs[1], rank), perChannel(inputs[2], rank))];
  },
  decompose: (b, [x, scale, bias], attrs) => {
    const value = x as Value;
    const [batch, channels, ...sizes] = value.type.shape as [Dim, Dim, ...Dim[]];
    const groups = numberAttr("groupNorm", attrs, "groups");
    if (typeof channels !== "number") return undefined;
    const grouped = applyOne(b, "reshape", [value], { shape: [batch, groups, channels / groups, ...sizes] });
    const normal = applyOne(b, "layerNorm", [grouped], { axis: 2, epsilon: attrs["epsilon"] as Attr });
    const scaled = applyOne(b, "mul", [applyOne(b, "reshape", [normal], { shape: value.type.shape }), reshapeToChannels(b, scale as Value, sizes.length + 2)]);
    return [applyOne(b, "add", [scaled, reshapeToChannels(b, bias as Value, sizes.length + 2)])];
  },
  toleranceFor: () => sumTolerance(16),
  cases: () => [
    opCase("two groups", [of("f32", 2, 6, 5, 7), of("f32", 6), of("f32", 6)], { groups: 2, epsilon: 1e-5 }),
    opCase("one group", [of("f32", 1, 3, 17), of("f32", 3), of("f32", 3)], { groups: 1, epsilon: 1e-5 }),
    opCase("a group per channel", [of("f32", 2, 4, 3, 3), constant(of("f32", 4)), constant(of("f32", 4))], { groups: 4, epsilon: 1e-3 }),
  ],
};

export const lrn: Op = {
  name: "lrn",
  summary: "x / (bias + alpha/size · sum of squares of the `size` channels around)^beta",
  inputs: ["x"],
  infer: (types, attrs) => {
    const x = typed("lrn", types, 0, "x", "float");
    checkRankAtLeast("lrn", x, "x", 3);
    numberAttr("lrn", attrs, "size");
    return [x];
  },
  reference: (inputs, attrs) => {
    const x = input(inputs, 0);
    const size = numberAttr("lrn", attrs, "size");
    const [alpha, beta, bias] = [numberAttr("lrn", attrs, "alpha", 1e-4), numberAttr("lrn", attrs, "beta", 0.75), numberAttr("lrn", attrs, "bias", 1)];
    const [before, after] = [Math.floor((size - 1) / 2), Math.ceil((size - 1) / 2)];
    return [mapSlices(x, [1], (channels) => channels.map((value, c) => {
      const near = channels.subarray(Math.max(0, c - before), c + after + 1);
      return value / (bias + (alpha / size) * sumOf(near.map((y) => y * y))) ** beta;
    }))];
  },
  toleranceFor: (_types, attrs) => sumTolerance(8 * numberAttr("lrn", attrs, "size")),
  cases: () => [
    opCase("odd", [of("f32", 2, 9, 3, 5)], { size: 5, alpha: 0.1, beta: 0.75, bias: 1 }),
    opCase("even", [of("f32", 1, 7, 4, 4)], { size: 4, alpha: 0.2, beta: 0.5, bias: 2 }),
    opCase("wide", [of("f32", 1, 3, 2, 2)], { size: 9, alpha: 1, beta: 1, bias: 1 }),
  ],
};

export const lpNormalize: Op = {
  name: "lpNormalize",
  summary: "x over its p-norm along an axis; zero slices stay zero",
  inputs: ["x"],
  infer: (types, attrs) => {
    const x = typed("lpNormalize", types, 0, "x", "float");
    axisAttr("lpNormalize", attrs, x.shape.length);
    const p = numberAttr("lpNormalize", attrs, "p", 2);
    if (p !== 1 && p !== 2) reject("lpNormalize", `p is ${p}, expected 1 or 2`);
    return [x];
  },
  reference: (inputs, attrs) => {
    const x = input(inputs, 0);
    const p = numberAttr("lpNormalize", attrs, "p", 2);
    return [mapSlices(x, [axisAttr("lpNormalize", attrs, x.shape.length)], (slice) => {
      const norm = sumOf(slice.map((value) => Math.abs(value) ** p)) ** (1 / p);
      return norm === 0 ? slice.map(() => 0) : slice.map((value) => value / norm);
    })];
  },
  toleranceFor: () => sumTolerance(8),
  cases: () => [
    opCase("p 2", [of("f32", 3, 17)], { axis: 1, p: 2 }),
    opCase("p 1", [of("f32", 9, 4)], { axis: 0, p: 1 }),
    opCase("zero slice", [values("f32", [0, 0, 3, 4], 2, 2)], { axis: 1, p: 2 }),
  ],
};

export const meanVarianceNormalize: Op = {
  name: "meanVarianceNormalize",
  summary: "(x - mean) / (√variance + 1e-9) over the given axes",
  inputs: ["x"],
  infer: (types, attrs) => {
    const x = typed("meanVarianceNormalize", types, 0, "x", "float");
    axesAttr("meanVarianceNormalize", attrs, x.shape.length);
    return [x];
  },
  reference: (inputs, attrs) => {
    const x = input(inputs, 0);
    return [mapSlices(x, axesAttr("meanVarianceNormalize", attrs, x.shape.length), (slice) => {
      const { mean, variance } = meanAndVariance(slice);
      return slice.map((value) => (value - mean) / (Math.sqrt(variance) + 1e-9));
    })];
  },
  decompose: (b, [x], attrs) => {
    const value = x as Value;
    const axes = attrs["axes"] as readonly number[];
    const mean = applyOne(b, "reduceMean", [value], { axes, keepDims: true });
    const centred = applyOne(b, "sub", [value, mean]);
    const variance = applyOne(b, "reduceMean", [applyOne(b, "square", [centred])], { axes, keepDims: true });
    return [applyOne(b, "div", [centred, addNumber(b, applyOne(b, "sqrt", [variance]), 1e-9)])];
  },
  toleranceFor: () => sumTolerance(16),
  cases: () => [
    opCase("channels", [of("f32", 3, 4, 5, 2)], { axes: [0, 2, 3] }),
    opCase("rows", [of("f32", 3, 33)], { axes: [1] }),
  ],
};
