/** Arguments that convolutions and pools share: kernel, strides, dilations, and the four ways to say padding. */

import type { Dim, Value } from "@quern/core";
import type { OnnxNode } from "../node.ts";

export interface SpatialArgs {
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly padsBefore: readonly number[];
  readonly padsAfter: readonly number[];
}

const MAX_SIZE = 2 ** 31 - 1;

function sizes(n: OnnxNode, name: string, rank: number, fallback: number, least: number): readonly number[] {
  const given = n.ints(name);
  if (given === undefined || given.length === 0) return Array.from({ length: rank }, () => fallback);
  if (given.length !== rank) return n.fail(`attribute "${name}" has ${given.length} values for ${rank} spatial axes`);
  if (given.some((size) => size < least || size > MAX_SIZE))
    return n.fail(`attribute "${name}" is [${given.join(", ")}]`);
  return given;
}

/** Sizes of the spatial axes of `x`, which come after batch and channels. */
export function spatialShape(n: OnnxNode, x: Value): readonly Dim[] {
  if (x.type.shape.length < 3) return n.fail(`needs an input of at least 3 axes, got ${x.type.shape.length}`);
  return x.type.shape.slice(2);
}

/** Attribute `kernel_shape`, or the size of the weights. */
export function kernelShape(n: OnnxNode, rank: number, weights?: readonly Dim[]): readonly number[] {
  const kernel = sizes(n, "kernel_shape", rank, 0, 1);
  if (n.has("kernel_shape")) return kernel;
  if (weights === undefined) return n.fail('attribute "kernel_shape" is missing');
  return weights.map((dim) => (typeof dim === "number" ? dim : n.unsupported("weights must have fixed sizes")));
}

/** Strides, dilations and padding for a window of `kernel` over the spatial axes `input`. */
export function spatialArgs(n: OnnxNode, input: readonly Dim[], kernel: readonly number[]): SpatialArgs {
  const rank = input.length;
  const strides = sizes(n, "strides", rank, 1, 1);
  const dilations = sizes(n, "dilations", rank, 1, 1);
  const mode = n.choice("auto_pad", ["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"], "NOTSET");
  if (mode === "VALID") return { strides, dilations, padsBefore: input.map(() => 0), padsAfter: input.map(() => 0) };
  if (mode === "NOTSET") {
    const pads = n.ints("pads") ?? Array.from({ length: 2 * rank }, () => 0);
    if (pads.length !== 2 * rank) return n.fail(`attribute "pads" has ${pads.length} values for ${rank} spatial axes`);
    if (pads.some((pad) => Math.abs(pad) > MAX_SIZE)) return n.fail(`attribute "pads" is [${pads.join(", ")}]`);
    if (pads.some((pad) => pad < 0)) return n.unsupported("negative pads");
    return { strides, dilations, padsBefore: pads.slice(0, rank), padsAfter: pads.slice(rank) };
  }
  const padsBefore: number[] = [];
  const padsAfter: number[] = [];
  input.forEach((size, i) => {
    const total = samePadding(n, size, kernel[i] as number, strides[i] as number, dilations[i] as number);
    const small = Math.floor(total / 2);
    padsBefore.push(mode === "SAME_UPPER" ? small : total - small);
    padsAfter.push(mode === "SAME_UPPER" ? total - small : small);
  });
  return { strides, dilations, padsBefore, padsAfter };
}

/** Padding for ⌈size / stride⌉ outputs. Of a symbolic size it is known only for stride 1. */
function samePadding(n: OnnxNode, size: Dim, kernel: number, stride: number, dilation: number): number {
  const extent = dilation * (kernel - 1) + 1;
  if (stride === 1) return extent - 1;
  if (typeof size !== "number") return n.unsupported("auto_pad SAME with a stride needs fixed sizes");
  return Math.max(0, (Math.ceil(size / stride) - 1) * stride + extent - size);
}
