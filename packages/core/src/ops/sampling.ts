/**
 * Sampling of pictures at computed places, and the grids of such places.
 */

import type { Dim } from "../dim.ts";
import type { TensorType } from "../graph/graph.ts";
import { printTensorType } from "../graph/print.ts";
import { booleanAttr, choiceAttr, numbersAttr } from "./attrs.ts";
import { of, opCase, values, within } from "./cases.ts";
import { type Types, checkRank, checkSize, reject, typed } from "./check.ts";
import type { Op } from "./op.ts";
import { input, newRef, roundHalfEven, stridesOf } from "./ref-tensor.ts";
import { sumTolerance } from "./tolerance.ts";

type Padding = "zeros" | "border" | "reflection";

/** Mirrors `x` into [low, high]. */
function reflect(x: number, low: number, high: number): number {
  const span = high - low;
  if (span <= 0) return 0;
  const offset = Math.abs(x - low);
  const rest = offset % span;
  return Math.floor(offset / span) % 2 === 0 ? low + rest : high - rest;
}

/** Input index that sampling reads at integer place `at`, or -1 for a zero. */
function sampleIndex(at: number, size: number, padding: Padding, alignCorners: boolean): number {
  if (padding === "zeros") return at >= 0 && at < size ? at : -1;
  if (padding === "border") return Math.min(Math.max(at, 0), size - 1);
  const mirrored = alignCorners ? reflect(at, 0, size - 1) : reflect(at, -0.5, size - 0.5);
  return Math.min(Math.max(Math.round(mirrored), 0), size - 1);
}

/** Places and weights along one axis for a real coordinate. */
function sampleTaps(x: number, mode: string): { at: number; weight: number }[] {
  if (mode === "nearest") return [{ at: roundHalfEven(x), weight: 1 }];
  const floor = Math.floor(x);
  const t = x - floor;
  if (mode === "linear")
    return [
      { at: floor, weight: 1 - t },
      { at: floor + 1, weight: t },
    ];
  const a = -0.75;
  const near = (d: number): number => ((a + 2) * d - (a + 3)) * d * d + 1;
  const far = (d: number): number => ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  return [far(1 + t), near(t), near(1 - t), far(2 - t)].map((weight, i) => ({ at: floor - 1 + i, weight }));
}

function inferGrid(types: Types): { x: TensorType; grid: TensorType } {
  const x = typed("gridSample", types, 0, "x", "float");
  const grid = typed("gridSample", types, 1, "grid", "float");
  const rank = x.shape.length;
  if (rank < 3 || grid.shape.length !== rank)
    reject("gridSample", `grid ${printTensorType(grid)} must have as many axes as ${printTensorType(x)}, 3 at least`);
  checkSize("gridSample", "the last axis of the grid", grid.shape.at(-1) as Dim, rank - 2);
  checkSize("gridSample", "the batch of the grid", grid.shape[0] as Dim, x.shape[0] as Dim);
  return { x, grid };
}

export const gridSample: Op = {
  name: "gridSample",
  summary: "x sampled at the places of a grid, whose coordinates run from -1 to 1 (last axis first)",
  inputs: ["x", "grid"],
  infer: (types, attrs) => {
    const { x, grid } = inferGrid(types);
    choiceAttr("gridSample", attrs, "mode", ["nearest", "linear", "cubic"], "linear");
    choiceAttr("gridSample", attrs, "padding", ["zeros", "border", "reflection"], "zeros");
    return [{ dtype: x.dtype, shape: [...x.shape.slice(0, 2), ...grid.shape.slice(1, -1)] }];
  },
  reference: (inputs, attrs) => {
    const [x, grid] = [input(inputs, 0), input(inputs, 1)];
    const mode = choiceAttr("gridSample", attrs, "mode", ["nearest", "linear", "cubic"], "linear");
    const padding = choiceAttr("gridSample", attrs, "padding", ["zeros", "border", "reflection"], "zeros");
    const align = booleanAttr("gridSample", attrs, "alignCorners", false);
    const [batches, channels, ...sizes] = x.shape as [number, number, ...number[]];
    const strides = stridesOf(x.shape);
    const places = grid.shape.slice(1, -1).reduce((n, size) => n * size, 1);
    const result = newRef(x.dtype, [batches, channels, ...grid.shape.slice(1, -1)]);
    for (let batch = 0; batch < batches; batch++) {
      for (let place = 0; place < places; place++) {
        let taps: { at: number; weight: number }[] = [{ at: 0, weight: 1 }];
        sizes.forEach((size, axis) => {
          const along = sampleAxis(
            grid.data[(batch * places + place) * sizes.length + sizes.length - 1 - axis] as number,
            size,
            mode,
            padding,
            align,
          );
          taps = taps.flatMap((tap) =>
            along.map(({ at, weight }) => ({
              at: at < 0 || tap.at < 0 ? -1 : tap.at + at * (strides[axis + 2] as number),
              weight: tap.weight * weight,
            })),
          );
        });
        for (let channel = 0; channel < channels; channel++) {
          const base = batch * (strides[0] as number) + channel * (strides[1] as number);
          let sum = 0;
          for (const { at, weight } of taps) if (at >= 0) sum += weight * (x.data[base + at] as number);
          result.data[(batch * channels + channel) * places + place] = sum;
        }
      }
    }
    return [result];
  },
  toleranceFor: () => sumTolerance(64),
  cases: () => [
    ...(["linear", "nearest", "cubic"] as const).flatMap((mode) =>
      (["zeros", "border", "reflection"] as const).map((padding) =>
        opCase(`${mode} ${padding}`, [of("f32", 2, 3, 5, 7), within("f32", -1.3, 1.3, 2, 4, 3, 2)], {
          mode,
          padding,
          alignCorners: false,
        }),
      ),
    ),
    opCase("corners", [of("f32", 1, 2, 4, 4), within("f32", -1.2, 1.2, 1, 3, 5, 2)], {
      mode: "linear",
      padding: "zeros",
      alignCorners: true,
    }),
    opCase("corners reflected", [of("f32", 1, 2, 4, 4), within("f32", -2.5, 2.5, 1, 3, 5, 2)], {
      mode: "linear",
      padding: "reflection",
      alignCorners: true,
    }),
    opCase("volume", [of("f32", 1, 2, 3, 4, 5), within("f32", -1.1, 1.1, 1, 2, 3, 2, 3)], {
      mode: "linear",
      padding: "zeros",
      alignCorners: false,
    }),
    opCase("identity", [of("f32", 1, 1, 2, 2), values("f32", [-1, -1, 1, -1, -1, 1, 1, 1], 1, 2, 2, 2)], {
      mode: "linear",
      padding: "zeros",
      alignCorners: true,
    }),
  ],
};

/** Places along an axis of `size` for grid coordinate `g`. */
function sampleAxis(
  g: number,
  size: number,
  mode: string,
  padding: Padding,
  align: boolean,
): { at: number; weight: number }[] {
  let x = align ? ((g + 1) / 2) * (size - 1) : ((g + 1) * size - 1) / 2;
  // Linear and nearest sampling move the coordinate itself into the picture; cubic moves each place that it reads.
  if (mode !== "cubic" && padding === "border") x = Math.min(Math.max(x, 0), size - 1);
  if (mode !== "cubic" && padding === "reflection")
    x = Math.min(Math.max(align ? reflect(x, 0, size - 1) : reflect(x, -0.5, size - 0.5), 0), size - 1);
  return sampleTaps(x, mode).map(({ at, weight }) => ({ at: sampleIndex(at, size, padding, align), weight }));
}

export const affineGrid: Op = {
  name: "affineGrid",
  summary:
    "The sampling grid of an affine map: theta [n, d, d + 1] times the homogeneous coordinates of an output of `size`",
  inputs: ["theta"],
  infer: (types, attrs) => {
    const theta = typed("affineGrid", types, 0, "theta", "float");
    checkRank("affineGrid", theta, "theta", 3);
    const size = numbersAttr("affineGrid", attrs, "size");
    const axes = size.length - 2;
    checkSize("affineGrid", "the rows of theta", theta.shape[1] as Dim, axes);
    checkSize("affineGrid", "the columns of theta", theta.shape[2] as Dim, axes + 1);
    return [{ dtype: theta.dtype, shape: [theta.shape[0] as Dim, ...size.slice(2), axes] }];
  },
  reference: (inputs, attrs) => {
    const theta = input(inputs, 0);
    const sizes = numbersAttr("affineGrid", attrs, "size").slice(2);
    const align = booleanAttr("affineGrid", attrs, "alignCorners", false);
    const axes = sizes.length;
    const strides = stridesOf(sizes);
    const places = sizes.reduce((n, size) => n * size, 1);
    const batches = theta.shape[0] as number;
    const result = newRef(theta.dtype, [batches, ...sizes, axes]);
    for (let i = 0; i < batches * places; i++) {
      const [batch, place] = [Math.floor(i / places), i % places];
      // Coordinates with the last axis first, then 1.
      const point = sizes
        .map((size, axis) => {
          const at = Math.floor(place / (strides[axis] as number)) % size;
          return align ? (size === 1 ? 0 : (2 * at) / (size - 1) - 1) : (2 * at + 1) / size - 1;
        })
        .reverse();
      for (let row = 0; row < axes; row++) {
        const from = (batch * axes + row) * (axes + 1);
        result.data[i * axes + row] = [...point, 1].reduce(
          (sum, x, column) => sum + x * (theta.data[from + column] as number),
          0,
        );
      }
    }
    return [result];
  },
  toleranceFor: () => sumTolerance(8),
  cases: () => [
    opCase("2d", [of("f32", 2, 2, 3)], { size: [2, 3, 5, 6], alignCorners: false }),
    opCase("2d corners", [of("f32", 1, 2, 3)], { size: [1, 1, 3, 4], alignCorners: true }),
    opCase("3d", [of("f32", 1, 3, 4)], { size: [1, 1, 2, 3, 4], alignCorners: false }),
  ],
};
