/** Normalisations and softmax. */

import { type Value, dimEqual } from "@quern/core";
import { add, alongAxis, apply, cast, flatten, reshape, scalar, scaled, sub } from "../build.ts";
import type { OnnxNode, OpFunction } from "../node.ts";

/** Softmax and its like. Before opset 13 they treat the tensor as a matrix of rows from `axis` on. */
function softmaxLike(name: string): OpFunction {
  return (n) => {
    const x = n.input(0);
    const rank = x.type.shape.length;
    const axis = n.axis(n.int("axis", n.opset >= 13 ? -1 : 1), rank);
    // One trailing axis (or only axes of size 1 after it) is the same under both rules.
    if (n.opset >= 13 || axis === rank - 1 || x.type.shape.slice(axis + 1).every((dim) => dim === 1))
      return apply(n.b, name, [x], { axis });
    return reshape(n.b, apply(n.b, name, [flatten(n.b, x, axis)], { axis: 1 }), x.type.shape);
  };
}

export const Softmax: OpFunction = softmaxLike("softmax");
export const LogSoftmax: OpFunction = softmaxLike("logSoftmax");

export const BatchNormalization: OpFunction = (n) => {
  const x = n.input(0);
  const [scale, bias, mean, variance] = [n.input(1), n.input(2), n.input(3), n.input(4)];
  const training = n.opset >= 14 ? n.flag("training_mode", false) : n.wants(1);
  if (!n.flag("spatial", true) && n.opset < 9) return n.unsupported("spatial = 0 (statistics per element)");
  const epsilon = n.float("epsilon", 1e-5);
  if (training) return trainingNorm(n, x, scale, bias, mean, variance, epsilon);
  const to = x.type.dtype;
  return apply(n.b, "batchNorm", [x, ...[scale, bias, mean, variance].map((value) => cast(n.b, value, to))], {
    epsilon,
  });
};

/** Statistics of the batch, and the running ones moved towards them. */
function trainingNorm(
  n: OnnxNode,
  x: Value,
  scale: Value,
  bias: Value,
  mean: Value,
  variance: Value,
  epsilon: number,
): readonly Value[] {
  if (n.opset < 14) return n.unsupported("training mode before opset 14");
  const { b } = n;
  const axes = x.type.shape.flatMap((_, i) => (i === 1 ? [] : [i]));
  const batchMean = apply(b, "reduceMean", [x], { axes, keepDims: false });
  const centred = sub(b, x, alongAxis(b, batchMean, 1, x.type.shape.length));
  const batchVariance = apply(b, "reduceMean", [apply(b, "square", [centred])], { axes, keepDims: false });
  const y = apply(b, "batchNorm", [x, scale, bias, batchMean, batchVariance], { epsilon });
  const momentum = n.float("momentum", Math.fround(0.9));
  const moved = (running: Value, now: Value): Value =>
    add(b, scaled(b, running, momentum), scaled(b, now, 1 - momentum));
  return [y, moved(mean, batchMean), moved(variance, batchVariance)];
}

export const InstanceNormalization: OpFunction = (n) =>
  apply(n.b, "instanceNorm", [n.input(0), n.input(1), n.input(2)], { epsilon: n.float("epsilon", 1e-5) });

export const LayerNormalization: OpFunction = (n) => {
  const x = n.input(0);
  const axis = n.axis(n.int("axis", -1), x.type.shape.length);
  const epsilon = n.float("epsilon", 1e-5);
  const y = apply(n.b, "layerNorm", [x, n.optional(1), n.optional(2)], { axis, epsilon });
  if (!n.wants(1) && !n.wants(2)) return y;
  return [y, ...statistics(n, x, axis, epsilon)];
};

/** Mean and 1 / standard deviation over the axes from `axis` on, in f32. */
function statistics(n: OnnxNode, x: Value, axis: number, epsilon: number): readonly Value[] {
  const { b } = n;
  const axes = x.type.shape.map((_, i) => i).slice(axis);
  const wide = cast(b, x, x.type.dtype === "f64" ? "f64" : "f32");
  const mean = apply(b, "reduceMean", [wide], { axes, keepDims: true });
  const variance = apply(b, "reduceMean", [apply(b, "square", [sub(b, wide, mean)])], { axes, keepDims: true });
  return [mean, apply(b, "rsqrt", [add(b, variance, scalar(b, wide.type.dtype, epsilon))])];
}

export const RMSNormalization: OpFunction = (n) => {
  const x = n.input(0);
  return apply(n.b, "rmsNorm", [x, n.optional(1)], {
    axis: n.axis(n.int("axis", -1), x.type.shape.length),
    epsilon: n.float("epsilon", 1e-5),
  });
};

export const SimplifiedLayerNormalization: OpFunction = RMSNormalization;

export const GroupNormalization: OpFunction = (n) => {
  const [x, scale, bias] = [n.input(0), n.input(1), n.input(2)];
  const groups = n.int("num_groups");
  const channels = x.type.shape[1] ?? n.fail("needs a channel axis");
  const attrs = { groups, epsilon: n.float("epsilon", 1e-5) };
  if (dimEqual(scale.type.shape[0] ?? 0, channels) === true) return apply(n.b, "groupNorm", [x, scale, bias], attrs);
  // Opset 18 has one scale per group: repeat it for the group's channels.
  if (typeof channels !== "number") return n.unsupported("channels must be fixed");
  const perChannel = (value: Value): Value =>
    reshape(n.b, apply(n.b, "expand", [reshape(n.b, value, [groups, 1])], { shape: [groups, channels / groups] }), [
      channels,
    ]);
  return apply(n.b, "groupNorm", [x, perChannel(scale), perChannel(bias)], attrs);
};

export const LRN: OpFunction = (n) =>
  apply(n.b, "lrn", [n.input(0)], {
    size: n.int("size"),
    alpha: n.float("alpha", 1e-4),
    beta: n.float("beta", 0.75),
    bias: n.float("bias", 1),
  });

export const LpNormalization: OpFunction = (n) => {
  const x = n.input(0);
  return apply(n.b, "lpNormalize", [x], { axis: n.axis(n.int("axis", -1), x.type.shape.length), p: n.int("p", 2) });
};

export const MeanVarianceNormalization: OpFunction = (n) => {
  const x = n.input(0);
  const axes = n.axes(
    n.ints("axes") ?? (n.opset < 9 && n.flag("across_channels", false) ? [0, 1, 2, 3] : [0, 2, 3]),
    x.type.shape.length,
  );
  return apply(n.b, "meanVarianceNormalize", [x], { axes });
};
