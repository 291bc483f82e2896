/**
 * One axis of a resize: which input positions an output position reads, with what weights. Formulas of ONNX Resize.
 */

import type { Attrs } from "../graph/graph.ts";
import { booleanAttr, choiceAttr, numberAttr, numbersAttr } from "./attrs.ts";

export type Coordinate =
  | "half_pixel"
  | "half_pixel_symmetric"
  | "pytorch_half_pixel"
  | "align_corners"
  | "asymmetric"
  | "tf_crop_and_resize";
export type ResizeMode = "nearest" | "linear" | "cubic";
export type NearestRounding = "round_prefer_floor" | "round_prefer_ceil" | "floor" | "ceil";

export const COORDINATES = [
  "half_pixel",
  "half_pixel_symmetric",
  "pytorch_half_pixel",
  "align_corners",
  "asymmetric",
  "tf_crop_and_resize",
] as const;
export const RESIZE_MODES = ["nearest", "linear", "cubic"] as const;
export const NEAREST_ROUNDINGS = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"] as const;

export interface ResizeAxis {
  readonly from: number;
  readonly to: number;
  readonly scale: number;
  readonly mode: ResizeMode;
  readonly coordinate: Coordinate;
  readonly nearest: NearestRounding;
  readonly cubicCoeff: number;
  readonly excludeOutside: boolean;
  readonly antialias: boolean;
  /** Begin and end of the region for tf_crop_and_resize, as fractions. */
  readonly roi: readonly [number, number];
}

/** What a resize does along axis `at` of `rank`, from `from` to `to` elements. */
export function resizeAxis(attrs: Attrs, rank: number, at: number, from: number, to: number): ResizeAxis {
  const roi = numbersAttr("resize", attrs, "roi", [
    ...new Array<number>(rank).fill(0),
    ...new Array<number>(rank).fill(1),
  ]);
  return {
    from,
    to,
    scale: numbersAttr("resize", attrs, "scales")[at] as number,
    mode: choiceAttr("resize", attrs, "mode", RESIZE_MODES, "nearest"),
    coordinate: choiceAttr("resize", attrs, "coordinate", COORDINATES, "half_pixel"),
    nearest: choiceAttr("resize", attrs, "nearest", NEAREST_ROUNDINGS, "round_prefer_floor"),
    cubicCoeff: numberAttr("resize", attrs, "cubicCoeff", -0.75),
    excludeOutside: booleanAttr("resize", attrs, "excludeOutside", false),
    antialias: booleanAttr("resize", attrs, "antialias", false),
    roi: [roi[at] as number, roi[rank + at] as number],
  };
}

/** Input positions and their weights. `outside` is set where tf_crop_and_resize leaves the input. */
export interface Taps {
  readonly at: readonly number[];
  readonly weights: readonly number[];
  readonly outside: boolean;
}

/** Position in the input of output position `x`. */
function sourceOf(axis: ResizeAxis, x: number): number {
  const { from, to, scale, coordinate, roi } = axis;
  switch (coordinate) {
    case "half_pixel":
      return (x + 0.5) / scale - 0.5;
    case "half_pixel_symmetric": {
      // Where the size is not exactly from · scale, the picture stays centred.
      const adjustment = to / (scale * from);
      return (from / 2) * (1 - adjustment) + (x + 0.5) / scale - 0.5;
    }
    case "pytorch_half_pixel":
      return to > 1 ? (x + 0.5) / scale - 0.5 : 0;
    case "align_corners":
      return to === 1 ? 0 : (x * (from - 1)) / (to - 1);
    case "asymmetric":
      return x / scale;
    case "tf_crop_and_resize": {
      const [start, end] = roi;
      return to > 1
        ? start * (from - 1) + (x * (end - start) * (from - 1)) / (to - 1)
        : 0.5 * (start + end) * (from - 1);
    }
  }
}

function roundNearest(rounding: NearestRounding, x: number): number {
  switch (rounding) {
    case "round_prefer_floor":
      return Math.ceil(x - 0.5);
    case "round_prefer_ceil":
      return Math.floor(x + 0.5);
    case "floor":
      return Math.floor(x);
    case "ceil":
      return Math.ceil(x);
  }
}

/** Keys' cubic convolution kernel with parameter a. */
function cubicWeight(distance: number, a: number): number {
  const d = Math.abs(distance);
  if (d <= 1) return (a + 2) * d ** 3 - (a + 3) * d ** 2 + 1;
  return d < 2 ? a * d ** 3 - 5 * a * d ** 2 + 8 * a * d - 4 * a : 0;
}

export function resizeTaps(axis: ResizeAxis, x: number): Taps {
  const { from, mode } = axis;
  const source = sourceOf(axis, x);
  const outside = axis.coordinate === "tf_crop_and_resize" && (source < 0 || source > from - 1);
  const clamp = (at: number): number => Math.min(Math.max(at, 0), from - 1);
  if (mode === "nearest") return { at: [clamp(roundNearest(axis.nearest, source))], weights: [1], outside };
  // Antialiasing widens the kernel by the shrinking factor.
  const squeeze = axis.antialias ? Math.min(axis.scale, 1) : 1;
  const radius = (mode === "linear" ? 1 : 2) / squeeze;
  const at: number[] = [];
  let weights: number[] = [];
  for (let tap = Math.floor(source - radius) + 1; tap < source + radius; tap++) {
    const distance = (tap - source) * squeeze;
    const weight = mode === "linear" ? Math.max(0, 1 - Math.abs(distance)) : cubicWeight(distance, axis.cubicCoeff);
    at.push(clamp(tap));
    weights.push(axis.excludeOutside && (tap < 0 || tap >= from) ? 0 : weight);
  }
  if (axis.antialias || axis.excludeOutside) {
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    weights = weights.map((weight) => weight / total);
  }
  return { at, weights, outside };
}
