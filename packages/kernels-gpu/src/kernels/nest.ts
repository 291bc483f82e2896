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

export interface Tap {
  /** Position in the input, per spatial axis; may lie in the padding. */
  readonly position: readonly KValue[];
  /** Index within the kernel, per spatial axis. */
  readonly tap: readonly KValue[];
  /** True inside the input; absent where every tap is. */
  readonly inside: KValue | undefined;
}

/** Calls `body` in loops over the taps of the window at `output` (spatial indices of the result). */
export function forEachTap(
  k: KernelBuilder,
  window: Window,
  output: readonly KValue[],
  sizes: readonly Dim[],
  outSizes: readonly Dim[],
  body: (tap: Tap) => void,
): void {
  const loop = (
    axis: number,
    position: readonly KValue[],
    tap: readonly KValue[],
    inside: KValue | undefined,
  ): void => {
    const size = sizes[axis];
    if (size === undefined) return body({ position, tap, inside });
    const [taps, stride, dilation, before] = [window.kernel, window.strides, window.dilations, window.padsBefore].map(
      (list) => list[axis],
    ) as [number, number, number, number];
    k.for({ end: taps }, (i) => {
      const at = k.sub(k.add(k.mul(output[axis] as KValue, stride), k.mul(i, dilation)), before);
      const all = before === 0 && fits(size, outSizes[axis] as Dim, taps, stride, dilation);
      const bound = k.index(size);
      const here = all ? undefined : before === 0 ? k.lt(at, bound) : k.and(k.ge(at, 0), k.lt(at, bound));
      const both = inside === undefined || here === undefined ? (inside ?? here) : k.and(inside, here);
      loop(axis + 1, [...position, at], [...tap, i], both);
    });
  };
  loop(0, [], [], undefined);
}

/** True where no window reaches beyond the end. */
function fits(size: Dim, outSize: Dim, taps: number, stride: number, dilation: number): boolean {
  return (
    typeof size === "number" && typeof outSize === "number" && (outSize - 1) * stride + (taps - 1) * dilation < size
  );
}
