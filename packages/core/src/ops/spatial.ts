/**
 * Sliding windows over spatial axes, as convolutions and pools share them: attributes, output sizes, axis order.
 */

import { type Dim, dimAdd, dimCeilDiv, dimFloorDiv, dimMin, dimSub, printDim } from "../dim.ts";
import type { Attrs } from "../graph/graph.ts";
import { booleanAttr, choiceAttr, numbersAttr } from "./attrs.ts";
import { reject } from "./check.ts";

export type Layout = "nchw" | "nhwc";

/** Window geometry, one entry per spatial axis. */
export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly padsBefore: readonly number[];
  readonly padsAfter: readonly number[];
}

/** Reads the window attributes; absent ones are strides and dilations of 1 and no padding. */
export function windowAttrs(op: string, attrs: Attrs, kernel: readonly number[]): Window {
  const rank = kernel.length;
  const list = (name: string, fallback: number, least: number): readonly number[] => {
    const entries = numbersAttr(op, attrs, name, new Array<number>(rank).fill(fallback));
    if (entries.length !== rank) reject(op, `attribute "${name}" needs ${rank} entries, got ${entries.length}`);
    if (!entries.every((entry) => Number.isInteger(entry) && entry >= least))
      reject(op, `attribute "${name}" is [${entries.join(", ")}], entries must be integers of at least ${least}`);
    return entries;
  };
  if (!kernel.every((size) => size >= 1)) reject(op, `kernel [${kernel.join(", ")}] has an empty axis`);
  return {
    kernel,
    strides: list("strides", 1, 1),
    dilations: list("dilations", 1, 1),
    padsBefore: list("padsBefore", 0, 0),
    padsAfter: list("padsAfter", 0, 0),
  };
}

export function layoutAttr(op: string, attrs: Attrs): Layout {
  return choiceAttr(op, attrs, "layout", ["nchw", "nhwc"], "nchw");
}

/** Axis of the channels, and the spatial axes, in a tensor of `rank` axes. */
export function axesOf(layout: Layout, rank: number): { channel: number; spatial: number[] } {
  const first = layout === "nchw" ? 2 : 1;
  return { channel: layout === "nchw" ? 1 : rank - 1, spatial: Array.from({ length: rank - 2 }, (_, i) => first + i) };
}

/** Extent of one dilated window along an axis. */
function extent({ kernel, dilations }: Window, axis: number): number {
  return ((kernel[axis] as number) - 1) * (dilations[axis] as number) + 1;
}

/** Number of window positions along each spatial axis; `ceil` also counts a last window that reaches beyond the padding. */
export function outputSizes(op: string, sizes: readonly Dim[], window: Window, ceil: boolean = false): Dim[] {
  return sizes.map((size, axis) => {
    const [stride, before, after] = [window.strides[axis], window.padsBefore[axis], window.padsAfter[axis]] as [
      number,
      number,
      number,
    ];
    const room = dimSub(dimAdd(size, before + after), extent(window, axis));
    if (typeof room === "number" && room < 0 && size !== 0) {
      reject(
        op,
        `window of ${extent(window, axis)} does not fit into spatial axis ${axis} of ${printDim(size)} with padding ${before} and ${after}`,
      );
    }
    if (typeof room === "number" && room < 0) return 0;
    if (!ceil) return dimAdd(dimFloorDiv(room, stride), 1);
    // A window must begin inside the input or the padding before it.
    const rounded = dimAdd(dimCeilDiv(room, stride), 1);
    const starting = dimCeilDiv(dimAdd(size, before), stride);
    return stride === 1 ? rounded : dimMin(rounded, starting);
  });
}

export function ceilAttr(op: string, attrs: Attrs): boolean {
  return booleanAttr(op, attrs, "ceilMode", false);
}
