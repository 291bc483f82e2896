/**
 * Resampling by factors along the axes, separable: nearest, linear or cubic, in the coordinate systems of ONNX.
 */

import type { Dim } from "../dim.ts";
import type { Attrs } from "../graph/graph.ts";
import { printTensorType } from "../graph/print.ts";
import { dimsAttr, numberAttr, numbersAttr } from "./attrs.ts";
import { of, opCase } from "./cases.ts";
import { reject, typed } from "./check.ts";
import type { Op, OpCase, RefTensor } from "./op.ts";
import { input, newRef, slicesAlong, wrapInteger } from "./ref-tensor.ts";
import { type ResizeAxis, resizeAxis, resizeTaps } from "./resize-axis.ts";
import { isFloat } from "../dtype.ts";
import { sumTolerance } from "./tolerance.ts";

/** Resamples one axis; `outside` marks positions beyond the input. */
function resizeAlong(x: RefTensor, at: number, axis: ResizeAxis): { result: RefTensor; outside: boolean[] } {
  const taps = Array.from({ length: axis.to }, (_, i) => resizeTaps(axis, i));
  const result = newRef(x.dtype, x.shape.with(at, axis.to));
  const [from, to] = [slicesAlong(x.shape, [at]), slicesAlong(result.shape, [at])];
  from.outer.forEach((base, slice) => {
    const target = to.outer[slice] as number;
    taps.forEach(({ at: positions, weights }, i) => {
      let sum = 0;
      positions.forEach((position, tap) => {
        const weight = weights[tap] as number;
        if (weight !== 0) sum += weight * (x.data[base + (from.inner[position] as number)] as number);
      });
      result.data[target + (to.inner[i] as number)] = sum;
    });
  });
  return { result, outside: taps.map((tap) => tap.outside) };
}

export const resize: Op = {
  name: "resize",
  summary: "x resampled to other sizes",
  inputs: ["x"],
  infer: (types, attrs) => {
    const x = typed("resize", types, 0, "x", "numeric");
    const sizes = dimsAttr("resize", attrs, "sizes");
    const scales = numbersAttr("resize", attrs, "scales");
    const rank = x.shape.length;
    if (sizes.length !== rank || scales.length !== rank)
      reject(
        "resize",
        `needs a size and a scale per axis of ${printTensorType(x)}, got ${sizes.length} and ${scales.length}`,
      );
    resizeAxis(attrs, rank, 0, 1, 1);
    sizes.forEach((size, axis) => {
      if (x.shape[axis] === 0 && size !== 0) reject("resize", `axis ${axis} has no elements to resample`);
    });
    return [{ dtype: x.dtype, shape: sizes }];
  },
  reference: (inputs, attrs, _outputs, context) => {
    let x = input(inputs, 0);
    const rank = x.shape.length;
    const sizes = dimsAttr("resize", attrs, "sizes").map((dim: Dim) => context.dim(dim));
    const fill = numberAttr("resize", attrs, "extrapolation", 0);
    const outsideByAxis: { axis: number; outside: boolean[] }[] = [];
    sizes.forEach((to, at) => {
      const axis = resizeAxis(attrs, rank, at, x.shape[at] as number, to);
      const same = axis.from === axis.to && axis.scale === 1 && axis.coordinate !== "tf_crop_and_resize";
      if (same) return;
      const { result, outside } = resizeAlong(x, at, axis);
      x = result;
      if (outside.includes(true)) outsideByAxis.push({ axis: at, outside });
    });
    for (const { axis, outside } of outsideByAxis) {
      const { outer, inner } = slicesAlong(x.shape, [axis]);
      for (const base of outer)
        outside.forEach((isOutside, i) => isOutside && (x.data[base + (inner[i] as number)] = fill));
    }
    if (isFloat(x.dtype)) return [x];
    // Interpolated integers truncate.
    return [{ ...x, data: x.data.map((value) => wrapInteger(x.dtype, Math.trunc(value))) }];
  },
  toleranceFor: () => sumTolerance(16),
  cases: () => [
    ...resizeCases("nearest", { nearest: "floor", coordinate: "asymmetric" }),
    ...resizeCases("nearest", { nearest: "round_prefer_floor", coordinate: "half_pixel" }),
    ...resizeCases("linear", { coordinate: "half_pixel" }),
    ...resizeCases("linear", { coordinate: "align_corners" }),
    ...resizeCases("linear", { coordinate: "pytorch_half_pixel" }),
    ...resizeCases("cubic", { coordinate: "half_pixel" }),
    resizeCase("nearest", "ceil", [1, 1, 4, 4], [7, 8], { nearest: "ceil", coordinate: "align_corners" }),
    resizeCase("nearest", "round_prefer_ceil", [1, 1, 4, 4], [7, 8], {
      nearest: "round_prefer_ceil",
      coordinate: "half_pixel",
    }),
    resizeCase("linear", "symmetric", [1, 1, 5, 5], [3, 7], { coordinate: "half_pixel_symmetric" }),
    resizeCase("linear", "antialias", [1, 2, 9, 8], [4, 3], { coordinate: "half_pixel", antialias: true }),
    resizeCase("cubic", "antialias", [1, 2, 9, 8], [4, 3], { coordinate: "half_pixel", antialias: true }),
    resizeCase("cubic", "exclude outside", [1, 1, 5, 6], [9, 4], {
      coordinate: "half_pixel",
      excludeOutside: true,
      cubicCoeff: -0.5,
    }),
    resizeCase("linear", "crop", [1, 1, 5, 6], [3, 3], {
      coordinate: "tf_crop_and_resize",
      roi: [0, 0, 0.4, 0.6, 1, 1, 1.2, 0.9],
      extrapolation: 10,
    }),
    resizeCase("linear", "one element", [1, 1, 1, 4], [3, 1], { coordinate: "half_pixel" }),
    opCase("u8 nearest", [of("u8", 1, 3, 4, 5)], {
      sizes: [1, 3, 8, 10],
      scales: [1, 1, 2, 2],
      mode: "nearest",
      coordinate: "asymmetric",
      nearest: "floor",
    }),
  ],
};

function resizeCase(
  mode: string,
  label: string,
  shape: readonly [number, number, number, number],
  [height, width]: readonly [number, number],
  attrs: Attrs,
): OpCase {
  const [n, c, h, w] = shape;
  return opCase(`${mode} ${label}`, [of("f32", ...shape)], {
    sizes: [n, c, height, width],
    scales: [1, 1, height / h, width / w],
    mode,
    ...attrs,
  });
}

function resizeCases(mode: string, attrs: Attrs): OpCase[] {
  const label = attrs["coordinate"] as string;
  return [
    resizeCase(mode, `${label} up`, [1, 3, 5, 7], [10, 14], attrs),
    resizeCase(mode, `${label} down`, [2, 2, 9, 8], [4, 3], attrs),
    resizeCase(mode, `${label} uneven`, [1, 2, 4, 6], [7, 17], attrs),
  ];
}
