/**
 * Normalisations over trailing or given axes. Variances divide by the number of elements.
 */

import { type Dim, dimEqual } from "../dim.ts";
import type { TensorType, Value } from "../graph/graph.ts";
import { printTensorType } from "../graph/print.ts";
import { axesAttr, axisAttr, numberAttr } from "./attrs.ts";
import { constant, of, opCase, values } from "./cases.ts";
import { broadcastShapes, checkSameDType, reject, typed } from "./check.ts";
import { mapSlices, meanAndVariance, scaleAndShift, standardise, sumOf, trailing } from "./norm-reference.ts";
import { addNumber, applyOne } from "./norm-build.ts";
import type { Op } from "./op.ts";
import { input } from "./ref-tensor.ts";
import { sumTolerance } from "./tolerance.ts";

/** Scale and bias of layerNorm and rmsNorm broadcast to the input. */
function checkBroadcasts(op: string, x: TensorType, parameter: TensorType | undefined, name: string): void {
  if (parameter === undefined) return;
  checkSameDType(op, x, parameter);
  const shape = broadcastShapes(op, [x.shape, parameter.shape]);
  if (shape.length !== x.shape.length || shape.some((dim, i) => dimEqual(dim, x.shape[i] as Dim) === false)) {
    reject(op, `input "${name}" ${printTensorType(parameter)} does not broadcast to ${printTensorType(x)}`);
  }
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
    return [
      scaleAndShift(
        mapSlices(x, axes, (slice) => standardise(slice, epsilon)),
        inputs[1],
        inputs[2],
      ),
    ];
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
    return [
      mapSlices(x, [axisAttr("lpNormalize", attrs, x.shape.length)], (slice) => {
        const norm = sumOf(slice.map((value) => Math.abs(value) ** p)) ** (1 / p);
        return norm === 0 ? slice.map(() => 0) : slice.map((value) => value / norm);
      }),
    ];
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
    return [
      mapSlices(x, axesAttr("meanVarianceNormalize", attrs, x.shape.length), (slice) => {
        const { mean, variance } = meanAndVariance(slice);
        return slice.map((value) => (value - mean) / (Math.sqrt(variance) + 1e-9));
      }),
    ];
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
