/**
 * Convolutions over one to three spatial axes. Weights are [outputs, inputs / groups, kernel…] in every layout;
 * `nhwc` means that channels are the last axis of the images.
 */

import { type Dim, dimAdd, dimEqual, dimMul, isStatic, printDim } from "../dim.ts";
import type { Attrs, TensorType } from "../graph/graph.ts";
import { printTensorType } from "../graph/print.ts";
import { numberAttr, numbersAttr } from "./attrs.ts";
import { constant, of, opCase } from "./cases.ts";
import { type DTypeGroup, type Types, checkRank, checkSameDType, checkSize, reject, typed } from "./check.ts";
import { addBias, convolve, convolveTransposed } from "./convolve.ts";
import type { Op, OpCase, RefTensor } from "./op.ts";
import { input, wrapInteger } from "./ref-tensor.ts";
import { type Window, axesOf, layoutAttr, outputSizes, windowAttrs } from "./spatial.ts";
import { sumTolerance } from "./tolerance.ts";

function checkImages(
  op: string,
  types: Types,
  group: DTypeGroup,
): { x: TensorType; w: TensorType; kernel: readonly number[] } {
  const x = typed(op, types, 0, "x", group);
  const w = typed(op, types, 1, "w", group);
  const rank = x.shape.length;
  if (rank < 3 || rank > 5)
    reject(op, `input "x" must have 3 to 5 axes (batch, channels, 1 to 3 spatial), got ${printTensorType(x)}`);
  if (w.shape.length !== rank)
    reject(op, `weights ${printTensorType(w)} must have as many axes as ${printTensorType(x)}`);
  const kernel = w.shape.slice(2);
  if (!isStatic(kernel)) return reject(op, `the kernel size of weights ${printTensorType(w)} must be known`);
  return { x, w, kernel };
}

function groupsAttr(op: string, attrs: Attrs): number {
  const groups = numberAttr(op, attrs, "groups", 1);
  return Number.isInteger(groups) && groups >= 1 ? groups : reject(op, `groups ${groups} must be a positive integer`);
}

function inferConv(
  op: string,
  types: Types,
  attrs: Attrs,
  group: DTypeGroup,
): { shape: Dim[]; x: TensorType; w: TensorType; window: Window } {
  const { x, w, kernel } = checkImages(op, types, group);
  const window = windowAttrs(op, attrs, kernel);
  const groups = groupsAttr(op, attrs);
  const { channel, spatial } = axesOf(layoutAttr(op, attrs), x.shape.length);
  const [outputs, perGroup] = w.shape as [Dim, Dim];
  if (dimEqual(x.shape[channel] as Dim, dimMul(perGroup, groups)) === false) {
    reject(
      op,
      `weights ${printTensorType(w)} in ${groups} groups take ${printDim(dimMul(perGroup, groups))} channels, ${printTensorType(x)} has ${printDim(x.shape[channel] as Dim)}`,
    );
  }
  if (typeof outputs === "number" && outputs % groups !== 0)
    reject(op, `${outputs} output channels do not divide into ${groups} groups`);
  const sizes = outputSizes(
    op,
    spatial.map((axis) => x.shape[axis] as Dim),
    window,
  );
  const shape: Dim[] = [x.shape[0] as Dim];
  shape[channel] = outputs;
  spatial.forEach((axis, i) => (shape[axis] = sizes[i] as Dim));
  return { shape, x, w, window };
}

function products({ shape }: TensorType): number {
  return shape.slice(1).reduce<number>((n, dim) => n * (typeof dim === "number" ? dim : 1), 1);
}

export const conv: Op = {
  name: "conv",
  summary: "Convolution over one to three spatial axes",
  inputs: ["x", "w", "bias?"],
  infer: (types, attrs) => {
    const { shape, x, w } = inferConv("conv", types, attrs, "float");
    checkSameDType("conv", x, w);
    const bias = types[2];
    if (bias !== undefined) {
      checkSameDType("conv", x, bias);
      checkRank("conv", bias, "bias", 1);
      checkSize("conv", "the size of the bias", bias.shape[0] as Dim, w.shape[0] as Dim);
    }
    return [{ dtype: x.dtype, shape }];
  },
  reference: (inputs, attrs) => {
    const [x, w] = [input(inputs, 0), input(inputs, 1)];
    const { shape, window } = inferConv("conv", inputs, attrs, "float");
    const layout = layoutAttr("conv", attrs);
    const result = convolve(x, w, shape as number[], window, groupsAttr("conv", attrs), layout);
    addBias(result, inputs[2], layout);
    return [result];
  },
  toleranceFor: (types) => sumTolerance(types[1] === undefined ? 1 : products(types[1])),
  cases: () => [
    ...convCases("nchw"),
    ...convCases("nhwc"),
    opCase("1d", [of("f32", 2, 3, 17), constant(of("f32", 4, 3, 5)), constant(of("f32", 4))], {
      strides: [2],
      padsBefore: [2],
      padsAfter: [2],
      dilations: [1],
    }),
    opCase("3d", [of("f32", 1, 2, 4, 5, 6), constant(of("f32", 3, 2, 2, 3, 3))], {
      strides: [1, 1, 1],
      dilations: [1, 1, 1],
      padsBefore: [0, 1, 1],
      padsAfter: [1, 1, 1],
    }),
    opCase("no batch", [of("f32", 0, 3, 5, 5), constant(of("f32", 4, 3, 3, 3))]),
    opCase("f16", [of("f16", 1, 3, 6, 6), constant(of("f16", 4, 3, 3, 3))], { padsBefore: [1, 1], padsAfter: [1, 1] }),
    opCase("f64", [of("f64", 1, 2, 6, 6), constant(of("f64", 3, 2, 3, 3))]),
    opCase("weights at run time", [of("f32", 1, 2, 7, 7), of("f32", 3, 2, 3, 3), of("f32", 3)]),
  ],
};

/** The usual two-dimensional convolutions in one layout. */
function convCases(layout: "nchw" | "nhwc"): OpCase[] {
  const images = (n: number, c: number, h: number, w: number): OpCase["inputs"][0] =>
    layout === "nchw" ? of("f32", n, c, h, w) : of("f32", n, h, w, c);
  const weights = (...shape: number[]): OpCase["inputs"][0] => constant(of("f32", ...shape));
  const same = { padsBefore: [1, 1], padsAfter: [1, 1] };
  return [
    opCase(`${layout} 1x1`, [images(2, 17, 5, 7), weights(33, 17, 1, 1), weights(33)], { layout }),
    opCase(`${layout} 3x3`, [images(1, 16, 9, 11), weights(24, 16, 3, 3), weights(24)], { layout, ...same }),
    opCase(`${layout} 3x3 tails`, [images(2, 3, 7, 19), weights(5, 3, 3, 3)], { layout, ...same }),
    opCase(`${layout} stride 2`, [images(1, 8, 13, 14), weights(16, 8, 3, 3), weights(16)], {
      layout,
      ...same,
      strides: [2, 2],
    }),
    opCase(`${layout} 7x7 first layer`, [images(1, 3, 23, 21), weights(16, 3, 7, 7)], {
      layout,
      strides: [2, 2],
      padsBefore: [3, 3],
      padsAfter: [3, 3],
    }),
    opCase(`${layout} depthwise`, [images(1, 17, 9, 9), weights(17, 1, 3, 3), weights(17)], {
      layout,
      ...same,
      groups: 17,
    }),
    opCase(`${layout} depthwise stride 2`, [images(2, 16, 8, 10), weights(16, 1, 3, 3)], {
      layout,
      ...same,
      groups: 16,
      strides: [2, 2],
    }),
    opCase(`${layout} depthwise multiplier`, [images(1, 4, 6, 6), weights(8, 1, 3, 3)], { layout, groups: 4 }),
    opCase(`${layout} groups`, [images(1, 6, 7, 7), weights(10, 3, 3, 3)], { layout, groups: 2 }),
    opCase(`${layout} dilated`, [images(1, 4, 11, 12), weights(6, 4, 3, 3)], {
      layout,
      dilations: [2, 3],
      padsBefore: [2, 3],
      padsAfter: [2, 3],
    }),
    opCase(`${layout} uneven padding`, [images(1, 3, 6, 6), weights(4, 3, 3, 2)], {
      layout,
      padsBefore: [0, 1],
      padsAfter: [2, 0],
    }),
  ];
}

/** x - zeroPoint; a list has one value per entry of `axis`. */
function centred(x: RefTensor, zeroPoint: RefTensor | undefined): RefTensor {
  if (zeroPoint === undefined) return x;
  const { data } = zeroPoint;
  const perChannel = data.length === 1 ? x.data.length : x.data.length / data.length;
  return { ...x, data: x.data.map((value, i) => value - (data[Math.floor(i / perChannel)] as number)) };
}

export const convInteger: Op = {
  name: "convInteger",
  summary: "Convolution of 8-bit images after subtracting zero points, in i32; padding stands for the zero point",
  inputs: ["x", "w", "xZeroPoint?", "wZeroPoint?"],
  infer: (types, attrs) => {
    const { shape, x, w } = inferConv("convInteger", types, attrs, "integer");
    for (const type of [x, w])
      if (type.dtype !== "i8" && type.dtype !== "u8")
        reject("convInteger", `inputs must be i8 or u8, got ${printTensorType(type)}`);
    if (types[2] !== undefined) checkSameDType("convInteger", x, types[2]);
    if (types[3] !== undefined) checkSameDType("convInteger", w, types[3]);
    return [{ dtype: "i32", shape }];
  },
  reference: (inputs, attrs) => {
    const { shape, window } = inferConv("convInteger", inputs, attrs, "integer");
    const [x, w] = [centred(input(inputs, 0), inputs[2]), centred(input(inputs, 1), inputs[3])];
    const result = convolve(
      x,
      w,
      shape as number[],
      window,
      groupsAttr("convInteger", attrs),
      layoutAttr("convInteger", attrs),
    );
    return [{ dtype: "i32", shape: result.shape, data: result.data.map((value) => wrapInteger("i32", value)) }];
  },
  cases: () => [
    opCase("u8 u8", [of("u8", 1, 3, 7, 7), constant(of("u8", 4, 3, 3, 3))], { padsBefore: [1, 1], padsAfter: [1, 1] }),
    opCase("zero points", [of("u8", 1, 3, 7, 7), constant(of("i8", 4, 3, 3, 3)), of("u8"), constant(of("i8", 4))], {
      padsBefore: [1, 1],
      padsAfter: [1, 1],
      strides: [2, 2],
    }),
    opCase("depthwise", [of("u8", 1, 17, 5, 5), constant(of("i8", 17, 1, 3, 3)), of("u8"), undefined], { groups: 17 }),
    opCase("1x1", [of("i8", 2, 5, 3, 3), constant(of("i8", 9, 5, 1, 1))]),
  ],
};

function inferTransposed(types: Types, attrs: Attrs): { shape: Dim[]; x: TensorType; w: TensorType; window: Window } {
  const { x, w, kernel } = checkImages("convTranspose", types, "float");
  checkSameDType("convTranspose", x, w);
  const window = windowAttrs("convTranspose", attrs, kernel);
  const groups = groupsAttr("convTranspose", attrs);
  const outputPadding = numbersAttr(
    "convTranspose",
    attrs,
    "outputPadding",
    kernel.map(() => 0),
  );
  const [channels, perGroup] = w.shape as [Dim, Dim];
  if (dimEqual(x.shape[1] as Dim, channels) === false)
    reject(
      "convTranspose",
      `weights ${printTensorType(w)} take ${printDim(channels)} channels, ${printTensorType(x)} has ${printDim(x.shape[1] as Dim)}`,
    );
  if (typeof channels === "number" && channels % groups !== 0)
    reject("convTranspose", `${channels} channels do not divide into ${groups} groups`);
  const sizes = x.shape.slice(2).map((size, axis) => {
    const spread = dimMul(dimAdd(size, -1), window.strides[axis] as number);
    const extent = ((kernel[axis] as number) - 1) * (window.dilations[axis] as number) + 1;
    const pads = (window.padsBefore[axis] as number) + (window.padsAfter[axis] as number);
    const total = dimAdd(spread, extent + (outputPadding[axis] as number) - pads);
    return typeof total === "number" && total < 0
      ? reject("convTranspose", `padding removes spatial axis ${axis} altogether`)
      : total;
  });
  return { shape: [x.shape[0] as Dim, dimMul(perGroup, groups), ...sizes], x, w, window };
}

export const convTranspose: Op = {
  name: "convTranspose",
  summary: "Transposed convolution; weights are [inputs, outputs / groups, kernel…]",
  inputs: ["x", "w", "bias?"],
  infer: (types, attrs) => {
    const { shape, x } = inferTransposed(types, attrs);
    const bias = types[2];
    if (bias !== undefined) {
      checkSameDType("convTranspose", x, bias);
      checkRank("convTranspose", bias, "bias", 1);
      checkSize("convTranspose", "the size of the bias", bias.shape[0] as Dim, shape[1] as Dim);
    }
    return [{ dtype: x.dtype, shape }];
  },
  reference: (inputs, attrs) => {
    const { shape, window } = inferTransposed(inputs, attrs);
    const result = convolveTransposed(
      input(inputs, 0),
      input(inputs, 1),
      shape as number[],
      window,
      groupsAttr("convTranspose", attrs),
    );
    addBias(result, inputs[2], "nchw");
    return [result];
  },
  toleranceFor: (types) => sumTolerance(types[1] === undefined ? 1 : products(types[1]) * Number(types[1].shape[0])),
  cases: () => [
    opCase("stride 2", [of("f32", 1, 4, 5, 6), constant(of("f32", 4, 3, 4, 4)), constant(of("f32", 3))], {
      strides: [2, 2],
      padsBefore: [1, 1],
      padsAfter: [1, 1],
    }),
    opCase("stride 1", [of("f32", 2, 3, 4, 5), constant(of("f32", 3, 5, 3, 3))]),
    opCase("output padding", [of("f32", 1, 2, 4, 4), constant(of("f32", 2, 3, 3, 3))], {
      strides: [2, 2],
      padsBefore: [1, 1],
      padsAfter: [1, 1],
      outputPadding: [1, 1],
    }),
    opCase("groups", [of("f32", 1, 4, 3, 3), constant(of("f32", 4, 2, 2, 2))], { groups: 2, strides: [2, 2] }),
    opCase("dilated", [of("f32", 1, 2, 3, 4), constant(of("f32", 2, 3, 2, 2))], { dilations: [2, 2] }),
    opCase("1d", [of("f32", 2, 3, 9), constant(of("f32", 3, 4, 5))], { strides: [3], padsBefore: [1], padsAfter: [2] }),
    opCase("no batch", [of("f32", 0, 2, 3, 3), constant(of("f32", 2, 1, 2, 2))]),
  ],
};
