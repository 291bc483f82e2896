/** Losses, which conformance asks for at inference too. */

import type { Value } from "@quern/core";
import { apply, cast, div, mul, scalar, squeeze, unsqueeze } from "../build.ts";
import type { OnnxNode, OpFunction } from "../node.ts";

/** -weight[t] · x[t] with t the target class along axis 1, then the reduction. */
function negativeLogLikelihood(n: OnnxNode, logits: Value): Value {
  const { b } = n;
  const target = n.input(1);
  const weight = n.optional(2);
  const { dtype } = logits.type;
  const reduction = n.choice("reduction", ["mean", "sum", "none"], "mean");
  const ignored = n.has("ignore_index")
    ? apply(b, "equal", [target, scalar(b, target.type.dtype, n.int("ignore_index"))])
    : undefined;
  const safe = ignored === undefined ? target : apply(b, "where", [ignored, scalar(b, target.type.dtype, 0), target]);
  const picked = squeeze(b, apply(b, "gatherElements", [logits, unsqueeze(b, safe, [1])], { axis: 1 }), [1]);
  const own = weight === undefined ? undefined : apply(b, "gather", [weight, safe], { axis: 0 });
  const one = scalar(b, dtype, 1);
  const counted = ignored === undefined ? own : apply(b, "where", [ignored, scalar(b, dtype, 0), own ?? one]);
  const negative = apply(b, "neg", [picked]);
  const losses = counted === undefined ? negative : mul(b, negative, counted);
  if (reduction === "none") return losses;
  const axes = losses.type.shape.map((_, i) => i);
  if (reduction === "mean" && counted === undefined) return apply(b, "reduceMean", [losses], { axes, keepDims: false });
  const sum = apply(b, "reduceSum", [losses], { axes, keepDims: false });
  return reduction === "sum" ? sum : div(b, sum, apply(b, "reduceSum", [counted as Value], { axes, keepDims: false }));
}

export const NegativeLogLikelihoodLoss: OpFunction = (n) => negativeLogLikelihood(n, n.input(0));

export const SoftmaxCrossEntropyLoss: OpFunction = (n) => {
  const x = n.input(0);
  const logProbability = apply(n.b, "logSoftmax", [cast(n.b, x, x.type.dtype)], { axis: 1 });
  return [negativeLogLikelihood(n, logProbability), logProbability];
};
