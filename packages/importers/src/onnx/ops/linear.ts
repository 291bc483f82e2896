/** Matrix products and convolutions. */

import { type Dim, type Value, dimEqual } from "@quern/core";
import { add, apply, scaled, swapLast } from "../build.ts";
import type { OnnxNode, OpFunction } from "../node.ts";
import { kernelShape, spatialArgs, spatialShape } from "./spatial-args.ts";

export const MatMul: OpFunction = (n) => apply(n.b, "matmul", [n.input(0), n.input(1)]);

/** alpha A' B' + beta C */
export const Gemm: OpFunction = (n) => {
  const { b } = n;
  const [a, w] = [n.input(0), n.input(1)];
  if (a.type.shape.length !== 2 || w.type.shape.length !== 2) return n.fail("both matrices must have 2 axes");
  const transposeA = n.flag("transA", false);
  const transposeB = n.flag("transB", false);
  const product = apply(b, "matmul", [transposeA ? swapLast(b, a) : a, transposeB ? swapLast(b, w) : w]);
  const c = n.optional(2);
  const result = scaled(b, product, n.float("alpha", 1));
  const beta = n.float("beta", 1);
  return c === undefined || beta === 0 ? result : add(b, result, scaled(b, c, beta));
};

export const Einsum: OpFunction = (n) => apply(n.b, "einsum", n.rest(), { equation: n.string("equation") });

function groupsOf(n: OnnxNode): number {
  const groups = n.int("group", 1);
  return groups >= 1 && groups < 2 ** 31 ? groups : n.fail(`group is ${groups}`);
}

function checkWeights(n: OnnxNode, x: Value, w: Value): void {
  if (w.type.shape.length !== x.type.shape.length)
    n.fail(`weights have ${w.type.shape.length} axes, the input ${x.type.shape.length}`);
}

export const Conv: OpFunction = (n) => {
  const [x, w] = [n.input(0), n.input(1)];
  const spatial = spatialShape(n, x);
  checkWeights(n, x, w);
  const kernel = kernelShape(n, spatial.length, w.type.shape.slice(2));
  if (kernel.some((size, i) => dimEqual(size, w.type.shape[i + 2] as Dim) === false))
    return n.fail("kernel_shape differs from the weights");
  return apply(n.b, "conv", [x, w, n.optional(2)], {
    ...spatialArgs(n, spatial, kernel),
    groups: groupsOf(n),
    layout: "nchw",
  });
};

export const ConvInteger: OpFunction = (n) => {
  const [x, w] = [n.input(0), n.input(1)];
  const spatial = spatialShape(n, x);
  checkWeights(n, x, w);
  const kernel = kernelShape(n, spatial.length, w.type.shape.slice(2));
  return apply(n.b, "convInteger", [x, w, n.optional(2), n.optional(3)], {
    ...spatialArgs(n, spatial, kernel),
    groups: groupsOf(n),
    layout: "nchw",
  });
};

export const ConvTranspose: OpFunction = (n) => {
  const [x, w] = [n.input(0), n.input(1)];
  const spatial = spatialShape(n, x);
  checkWeights(n, x, w);
  const rank = spatial.length;
  const kernel = kernelShape(n, rank, w.type.shape.slice(2));
  const outputPadding = n.ints("output_padding") ?? spatial.map(() => 0);
  const shape = n.ints("output_shape");
  const mode = n.choice("auto_pad", ["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"], "NOTSET");
  if (outputPadding.length !== rank || outputPadding.some((pad) => pad < 0 || pad > 2 ** 31))
    return n.fail(`output_padding is [${outputPadding.join(", ")}]`);
  const same = mode === "SAME_UPPER" || mode === "SAME_LOWER";
  if (shape !== undefined || same) {
    const base = same ? baseArgs(n, rank) : spatialArgs(n, spatial, kernel);
    const padsBefore: number[] = [];
    const padsAfter: number[] = [];
    const extra = [...outputPadding];
    spatial.forEach((size, i) => {
      if (typeof size !== "number") return n.unsupported("a given output size needs fixed input sizes");
      const stride = base.strides[i] as number;
      const wanted = shape === undefined ? size * stride : (shape.at(i - rank) as number);
      const natural = stride * (size - 1) + (base.dilations[i] as number) * ((kernel[i] as number) - 1) + 1;
      const total = natural + (outputPadding[i] as number) - wanted;
      // A larger output than the windows reach is output padding.
      if (total < 0) extra[i] = (extra[i] as number) - total;
      const pads = Math.max(0, total);
      const half = Math.floor(pads / 2);
      padsBefore.push(mode === "SAME_UPPER" ? half : pads - half);
      padsAfter.push(mode === "SAME_UPPER" ? pads - half : half);
      return undefined;
    });
    return convTranspose(n, x, w, { ...base, padsBefore, padsAfter, outputPadding: extra });
  }
  return convTranspose(n, x, w, { ...spatialArgs(n, spatial, kernel), outputPadding });
};

function baseArgs(n: OnnxNode, rank: number): { strides: readonly number[]; dilations: readonly number[] } {
  const ones = Array.from({ length: rank }, () => 1);
  const [strides, dilations] = [n.ints("strides") ?? ones, n.ints("dilations") ?? ones];
  if (strides.length !== rank || dilations.length !== rank)
    return n.fail("strides or dilations do not fit to the input");
  return { strides, dilations };
}

function convTranspose(n: OnnxNode, x: Value, w: Value, attrs: Readonly<Record<string, readonly number[]>>): Value {
  return apply(n.b, "convTranspose", [x, w, n.optional(2)], { ...attrs, groups: groupsOf(n) });
}

export const MatMulInteger: OpFunction = (n) =>
  apply(n.b, "matmulInteger", [n.input(0), n.input(1), n.optional(2), n.optional(3)]);

/** Convolution whose sampling points are moved by `offset` and weighted by `mask`. */
export const DeformConv: OpFunction = (n) => n.unsupported("deformable sampling has no graph op");
