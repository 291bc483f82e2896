/**
 * Normalisations with parameters per channel (axis 1), as convolution nets use them.
 */

import type { Dim } from "../dim.ts";
import type { GraphBuilder } from "../graph/builder.ts";
import type { Attr, TensorType, Value } from "../graph/graph.ts";
import { numberAttr } from "./attrs.ts";
import { constant, of, opCase } from "./cases.ts";
import { type Types, checkRank, checkRankAtLeast, checkSameDType, checkSize, reject, typed } from "./check.ts";
import { mapSlices, scaleAndShift, standardise, sumOf, trailing } from "./norm-reference.ts";
import { addNumber, applyOne } from "./norm-build.ts";
import type { Op, OpCase, RefTensor } from "./op.ts";
import { input } from "./ref-tensor.ts";
import { sumTolerance, ulps } from "./tolerance.ts";

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
    const [scale, bias, mean, variance] = [1, 2, 3, 4].map((i) => perChannel(inputs[i], x.shape.length)) as [
      RefTensor,
      RefTensor,
      RefTensor,
      RefTensor,
    ];
    const factor = { ...scale, data: scale.data.map((s, c) => s / Math.sqrt((variance.data[c] as number) + epsilon)) };
    const shift = {
      ...bias,
      data: bias.data.map((value, c) => value - (mean.data[c] as number) * (factor.data[c] as number)),
    };
    return [scaleAndShift(x, factor, shift)];
  },
  decompose: (b, [x, ...parameters], attrs) => {
    const rank = (x as Value).type.shape.length;
    const [scale, bias, mean, variance] = parameters.map((list) => list as Value) as [Value, Value, Value, Value];
    const factor = applyOne(b, "mul", [
      scale,
      applyOne(b, "rsqrt", [addNumber(b, variance, numberAttr("batchNorm", attrs, "epsilon", 1e-5))]),
    ]);
    const shift = applyOne(b, "sub", [bias, applyOne(b, "mul", [mean, factor])]);
    const scaled = applyOne(b, "mul", [x as Value, reshapeToChannels(b, factor, rank)]);
    return [applyOne(b, "add", [scaled, reshapeToChannels(b, shift, rank)])];
  },
  tolerance: ulps(32, 64),
  cases: () => [
    opCase("images", [of("f32", 2, 17, 5, 7), of("f32", 17), of("f32", 17), of("f32", 17), positive(17)], {
      epsilon: 1e-5,
    }),
    opCase("features", [of("f32", 5, 9), of("f32", 9), of("f32", 9), of("f32", 9), positive(9)], { epsilon: 1e-3 }),
    opCase(
      "constants",
      [
        of("f32", 1, 4, 6, 6),
        constant(of("f32", 4)),
        constant(of("f32", 4)),
        constant(of("f32", 4)),
        constant(positive(4)),
      ],
      { epsilon: 1e-5 },
    ),
    opCase("no batch", [of("f32", 0, 4, 3), of("f32", 4), of("f32", 4), of("f32", 4), positive(4)], { epsilon: 1e-5 }),
  ],
};

function positive(size: number): NonNullable<OpCase["inputs"][0]> {
  return { dtype: "f32", shape: [size], fill: { low: 0.25, high: 2 } };
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
    if (typeof channels === "number" && channels % groups !== 0)
      reject("groupNorm", `${channels} channels do not divide into ${groups} groups`);
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
    const scaled = applyOne(b, "mul", [
      applyOne(b, "reshape", [normal], { shape: value.type.shape }),
      reshapeToChannels(b, scale as Value, sizes.length + 2),
    ]);
    return [applyOne(b, "add", [scaled, reshapeToChannels(b, bias as Value, sizes.length + 2)])];
  },
  toleranceFor: () => sumTolerance(16),
  cases: () => [
    opCase("two groups", [of("f32", 2, 6, 5, 7), of("f32", 6), of("f32", 6)], { groups: 2, epsilon: 1e-5 }),
    opCase("one group", [of("f32", 1, 3, 17), of("f32", 3), of("f32", 3)], { groups: 1, epsilon: 1e-5 }),
    opCase("a group per channel", [of("f32", 2, 4, 3, 3), constant(of("f32", 4)), constant(of("f32", 4))], {
      groups: 4,
      epsilon: 1e-3,
    }),
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
    const [alpha, beta, bias] = [
      numberAttr("lrn", attrs, "alpha", 1e-4),
      numberAttr("lrn", attrs, "beta", 0.75),
      numberAttr("lrn", attrs, "bias", 1),
    ];
    const [before, after] = [Math.floor((size - 1) / 2), Math.ceil((size - 1) / 2)];
    return [
      mapSlices(x, [1], (channels) =>
        channels.map((value, c) => {
          const near = channels.subarray(Math.max(0, c - before), c + after + 1);
          return value / (bias + (alpha / size) * sumOf(near.map((y) => y * y))) ** beta;
        }),
      ),
    ];
  },
  toleranceFor: (_types, attrs) => sumTolerance(8 * numberAttr("lrn", attrs, "size")),
  cases: () => [
    opCase("odd", [of("f32", 2, 9, 3, 5)], { size: 5, alpha: 0.1, beta: 0.75, bias: 1 }),
    opCase("even", [of("f32", 1, 7, 4, 4)], { size: 4, alpha: 0.2, beta: 0.5, bias: 2 }),
    opCase("wide", [of("f32", 1, 3, 2, 2)], { size: 9, alpha: 1, beta: 1, bias: 1 }),
  ],
};
