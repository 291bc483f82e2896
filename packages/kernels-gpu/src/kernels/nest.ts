/**
 * Nested parallel axes, and loops over sliding windows.
 */

import type { Attrs, Dim, KernelBuilder, KValue } from "@quern/core";

/** One task per index of `shape`; a single task for a scalar. */
export function nest(k: KernelBuilder, shape: readonly Dim[], task: (index: readonly KValue[]) => void): void {
  const descend = (index: readonly KValue[]): void => {
    const size = shape[index.length];
    if (size === undefined) return task(index);
    k.parallel(size, (i) => descend([...index, i]));
  };
  if (shape.length === 0) k.parallel(1, () => task([]));
  else descend([]);
}

/** A sliding window over the spatial axes, one entry per axis. */
export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly padsBefore: readonly number[];
  readonly padsAfter: readonly number[];
}

/** The attributes of a convolution or pool; absent ones are strides and dilations of 1 and no padding. */
export function windowOf(attrs: Attrs, kernel: readonly number[]): Window {
  const list = (name: string, fallback: number): readonly number[] =>
    (attrs[name] as readonly number[] | undefined) ?? kernel.map(() => fallback);
  return {
    kernel,
    strides: list("strides", 1),
    dilations: list("dilations", 1),
    padsBefore: list("padsBefore", 0),
    padsAfter: list("padsAfter", 0),
  };
}

/** The axis of the channels and the spatial axes. */
export function imageAxes(
  attrs: Attrs,
  rank: number,
): { readonly channel: number; readonly spatial: readonly number[] } {
  const last = attrs["layout"] === "nhwc";
  return { channel: last ? rank - 1 : 1, spatial: Array.from({ length: rank - 2 }, (_, i) => i + (last ? 1 : 2)) };
}

/** Calls `body` in nested loops over the taps of a window: an index per spatial axis. */
export function forEachTap(k: KernelBuilder, kernel: readonly number[], body: (tap: readonly KValue[]) => void): void {
  const loop = (tap: readonly KValue[]): void => {
    const taps = kernel[tap.length];
    if (taps === undefined) return body(tap);
    k.for({ end: taps }, (i) => loop([...tap, i]));
  };
  loop([]);
}

/** Sizes of the spatial axes of the input and of the results that are computed. */
export interface Extents {
  readonly sizes: readonly Dim[];
  readonly outSizes: readonly Dim[];
}

export interface Position {
  /** In the input, per spatial axis; may lie in the padding. */
  readonly at: readonly KValue[];
  /** True inside the input; absent where every tap of every result is. */
  readonly inside: KValue | undefined;
}

/** Where the input of `tap` of the window at `output` lies. */
export function positionOf(
  k: KernelBuilder,
  window: Window,
  output: readonly KValue[],
  tap: readonly KValue[],
  { sizes, outSizes }: Extents,
): Position {
  let inside: KValue | undefined;
  const at = sizes.map((size, axis) => {
    const [taps, stride, dilation, before] = [window.kernel, window.strides, window.dilations, window.padsBefore].map(
      (list) => list[axis],
    ) as [number, number, number, number];
    const position = k.sub(k.add(k.mul(output[axis] as KValue, stride), k.mul(tap[axis] as KValue, dilation)), before);
    const bound = k.index(size);
    const low = before === 0 ? undefined : k.ge(position, 0);
    const high = fits(size, outSizes[axis] as Dim, taps, stride, dilation, before) ? undefined : k.lt(position, bound);
    for (const side of [low, high]) {
      if (side !== undefined) inside = inside === undefined ? side : k.and(inside, side);
    }
    return position;
  });
  return { at, inside };
}

/** True where no window reaches beyond the end. */
function fits(size: Dim, outSize: Dim, taps: number, stride: number, dilation: number, before: number): boolean {
  if (typeof size !== "number" || typeof outSize !== "number") return false;
  return (outSize - 1) * stride + (taps - 1) * dilation - before < size;
}
