/** Reductions. Axes are an attribute at first and an input later: ReduceSum since opset 13, the others since 18. */

import { type Value, isFloat } from "@quern/core";
import { apply, cast } from "../build.ts";
import type { OnnxNode, OpFunction } from "../node.ts";

function reduction(name: string, axesInputSince: number = 18): OpFunction {
  return (n) => {
    const x = n.input(0);
    const rank = x.type.shape.length;
    const given =
      n.opset < axesInputSince
        ? n.ints("axes")
        : n.optional(1) === undefined
          ? undefined
          : n.constantNumbers(1, "axes");
    const none = given === undefined || given.length === 0;
    if (none && n.flag("noop_with_empty_axes", false)) return withoutAxes(n, name, x);
    const axes = none ? x.type.shape.map((_, i) => i) : n.axes(given, rank);
    return reduce(n, name, x, axes, n.flag("keepdims", true));
  };
}

function reduce(n: OnnxNode, name: string, x: Value, axes: readonly number[], keepDims: boolean): Value {
  const { dtype } = x.type;
  // Booleans order as 0 and 1; sums of squares and the like of integers are exact in 64 bits.
  const compute = dtype === "bool" ? "u8" : !isFloat(dtype) && ROUNDED.has(name) ? "f64" : dtype;
  return cast(
    n.b,
    apply(n.b, name, [cast(n.b, x, compute)], { axes: axes.toSorted((a, b) => a - b), keepDims }),
    dtype,
  );
}

/** Ops that go through roots, quotients or logarithms. */
const ROUNDED: ReadonlySet<string> = new Set(["reduceMean", "reduceL2", "reduceLogSum", "reduceLogSumExp"]);

/** A reduction over no axes still applies its elementwise part. */
function withoutAxes(n: OnnxNode, name: string, x: Value): Value {
  switch (name) {
    case "reduceL1":
    case "reduceL2":
      return apply(n.b, "abs", [x]);
    case "reduceSumSquare":
      return apply(n.b, "square", [x]);
    case "reduceLogSum":
      return apply(n.b, "log", [x]);
    default:
      return x;
  }
}

export const ReduceSum: OpFunction = reduction("reduceSum", 13);
export const ReduceMean: OpFunction = reduction("reduceMean");
export const ReduceMax: OpFunction = reduction("reduceMax");
export const ReduceMin: OpFunction = reduction("reduceMin");
export const ReduceProd: OpFunction = reduction("reduceProd");
export const ReduceL1: OpFunction = reduction("reduceL1");
export const ReduceL2: OpFunction = reduction("reduceL2");
export const ReduceSumSquare: OpFunction = reduction("reduceSumSquare");
export const ReduceLogSum: OpFunction = reduction("reduceLogSum");
export const ReduceLogSumExp: OpFunction = reduction("reduceLogSumExp");
