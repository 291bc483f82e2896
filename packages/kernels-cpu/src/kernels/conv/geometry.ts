/**
 * Sizes of a channels-last convolution or pooling window, one- and two-dimensional ones alike (one row of height 1).
 */

import { type Dim, type KernelSite, type Node, type Value } from "@quern/core";

export interface Window {
  readonly n: Dim;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly outHeight: number;
  readonly outWidth: number;
  readonly kernelHeight: number;
  readonly kernelWidth: number;
  readonly strideY: number;
  readonly strideX: number;
  readonly dilationY: number;
  readonly dilationX: number;
  readonly padTop: number;
  readonly padLeft: number;
  /** Columns of the padded input row that windows reach: at least padLeft + width. */
  readonly reachX: number;
}

export interface ConvGeometry extends Window {
  readonly outChannels: number;
  readonly groups: number;
}

/** The window of `site.anchor` (attributes strides, dilations, padsBefore; `kernel` sizes given), or why not. */
export function windowOf(site: KernelSite, kernel: readonly number[]): Window | string {
  const { anchor } = site;
  const [x] = anchor.inputs as [Value];
  const y = anchor.outputs[0] as Value;
  const spatial = x.type.shape.length - 2;
  if (anchor.attrs["layout"] !== "nhwc") return "the layout is not channels-last";
  if (spatial !== 1 && spatial !== 2) return `${spatial} spatial axes`;
  const inner = [...x.type.shape.slice(1), ...y.type.shape.slice(1)];
  if (inner.some((dim) => typeof dim !== "number")) return "a spatial size or channel count is symbolic";
  if (inner.includes(0)) return "an axis is empty";
  const [inHeight, width] = lastTwo(x.type.shape.slice(1, -1) as number[]);
  const [outHeight, outWidth] = lastTwo(y.type.shape.slice(1, -1) as number[]);
  const [kernelHeight, kernelWidth] = lastTwo(kernel);
  const [strideY, strideX] = lastTwo(numbers(anchor, "strides", spatial, 1));
  const [dilationY, dilationX] = lastTwo(numbers(anchor, "dilations", spatial, 1));
  const pads = numbers(anchor, "padsBefore", spatial, 0);
  const padTop = spatial === 2 ? (pads[0] as number) : 0;
  const padLeft = pads.at(-1) as number;
  const reachX = (outWidth - 1) * strideX + (kernelWidth - 1) * dilationX + 1;
  return {
    n: x.type.shape[0] as Dim,
    height: inHeight,
    width,
    channels: x.type.shape.at(-1) as number,
    outHeight,
    outWidth,
    kernelHeight,
    kernelWidth,
    strideY,
    strideX,
    dilationY,
    dilationX,
    padTop,
    padLeft,
    reachX,
  };
}

export function convGeometry(site: KernelSite): ConvGeometry | string {
  const [x, w] = site.anchor.inputs as [Value, Value];
  if (x.type.dtype !== "f32" || w.type.dtype !== "f32") return `${x.type.dtype} by ${w.type.dtype}`;
  const shape = w.type.shape;
  if (shape.some((dim) => typeof dim !== "number")) return "the weights have a symbolic size";
  const window = windowOf(site, shape.slice(2) as number[]);
  if (typeof window === "string") return window;
  return {
    ...window,
    outChannels: shape[0] as number,
    groups: (site.anchor.attrs["groups"] as number | undefined) ?? 1,
  };
}

function lastTwo(sizes: readonly number[]): readonly [number, number] {
  return sizes.length === 1 ? [1, sizes[0] as number] : [sizes[0] as number, sizes[1] as number];
}

/** One number per spatial axis; `otherwise` where the attribute is absent. */
function numbers(node: Node, key: string, spatial: number, otherwise: number): readonly number[] {
  return (node.attrs[key] as readonly number[] | undefined) ?? Array.from({ length: spatial }, () => otherwise);
}

/** Multiply-adds of the convolution for one image. */
export function convMultiplyAdds(g: ConvGeometry): number {
  return g.outHeight * g.outWidth * g.outChannels * (g.channels / g.groups) * g.kernelHeight * g.kernelWidth;
}

/** Coordinates in the result: rank 3 results have no height. */
export function outputPlace<T>(rank: number, n: T, row: T, column: T, channel: T): readonly T[] {
  return rank === 3 ? [n, column, channel] : [n, row, column, channel];
}
