/** Resampling: Resize and its predecessors, grids and regions of interest. */

import { type Dim, type Value, dimEqual, dimFloorDiv, dimMul } from "@quern/core";
import { apply } from "../build.ts";
import type { OnnxNode, OpFunction } from "../node.ts";

const COORDINATES = [
  "half_pixel",
  "half_pixel_symmetric",
  "pytorch_half_pixel",
  "align_corners",
  "asymmetric",
  "tf_crop_and_resize",
  "tf_half_pixel_for_nn",
] as const;
const ROUNDINGS = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"] as const;

interface ResizeTarget {
  readonly sizes: readonly Dim[];
  readonly scales: readonly number[];
}

/** Output sizes from factors. Symbolic sizes take whole factors and their reciprocals. */
function fromScales(n: OnnxNode, shape: readonly Dim[], scales: readonly number[]): ResizeTarget {
  if (scales.length !== shape.length) return n.fail(`${scales.length} scales for ${shape.length} axes`);
  if (scales.some((scale) => !(scale > 0))) return n.fail(`scales [${scales.join(", ")}] must be above 0`);
  const sizes = shape.map((dim, i) => {
    const scale = scales[i] as number;
    if (typeof dim === "number") return Math.floor(dim * scale);
    if (Number.isInteger(scale)) return dimMul(dim, scale);
    return Number.isInteger(1 / scale) ? dimFloorDiv(dim, 1 / scale) : n.unsupported(`a symbolic size times ${scale}`);
  });
  return { sizes, scales };
}

function fromSizes(n: OnnxNode, shape: readonly Dim[], sizes: readonly Dim[]): ResizeTarget {
  if (sizes.length !== shape.length) return n.fail(`${sizes.length} sizes for ${shape.length} axes`);
  const scales = shape.map((dim, i) => {
    const size = sizes[i] as Dim;
    if (dimEqual(size, dim) === true) return 1;
    const ratio =
      typeof dim === "number" ? (typeof size === "number" ? size / dim : undefined) : dimFloorDiv(size, dim);
    return typeof ratio === "number" ? ratio : n.unsupported("a factor that depends on symbolic sizes");
  });
  return { sizes, scales };
}

/** Sizes with the aspect ratio of the input kept, for the axes that are resized. */
function keepAspect(
  n: OnnxNode,
  shape: readonly Dim[],
  sizes: readonly Dim[],
  axes: readonly number[],
  policy: string,
): ResizeTarget {
  const ratios = axes.map((axis) => {
    const [dim, size] = [shape[axis], sizes[axis]];
    return typeof dim === "number" && typeof size === "number"
      ? size / dim
      : n.unsupported("keep_aspect_ratio_policy with symbolic sizes");
  });
  const ratio = policy === "not_larger" ? Math.min(...ratios) : Math.max(...ratios);
  const half = (x: number): number => Math.floor(x + 0.5);
  return {
    sizes: shape.map((dim, axis) => (axes.includes(axis) ? half(ratio * (dim as number)) : dim)),
    scales: shape.map((_, axis) => (axes.includes(axis) ? ratio : 1)),
  };
}

export const Resize: OpFunction = (n) => {
  const x = n.input(0);
  const { shape } = x.type;
  const mode = n.choice("mode", ["nearest", "linear", "cubic"], "nearest");
  if (n.opset < 11) {
    const target = fromScales(n, shape, n.constantNumbers(1, "scales"));
    return resize(n, x, target, mode, "asymmetric", "floor", {});
  }
  const axes = n.axes(n.ints("axes") ?? shape.map((_, i) => i), shape.length);
  const spread = <T>(list: readonly T[], fill: (axis: number) => T): T[] => {
    if (list.length !== axes.length) return n.fail(`${list.length} values for ${axes.length} axes`);
    return shape.map((_, axis) => (axes.includes(axis) ? (list[axes.indexOf(axis)] as T) : fill(axis)));
  };
  const scales = given(n, 2) ? n.constantNumbers(2, "scales") : undefined;
  const sizes = scales === undefined ? (n.dims(3) ?? n.unsupported("sizes that are computed at run time")) : undefined;
  const policy = n.choice("keep_aspect_ratio_policy", ["stretch", "not_larger", "not_smaller"], "stretch");
  const wanted = sizes === undefined ? undefined : spread(sizes, (axis) => shape[axis] as Dim);
  const target =
    wanted === undefined
      ? fromScales(
          n,
          shape,
          spread(scales ?? [], () => 1),
        )
      : policy === "stretch"
        ? fromSizes(n, shape, wanted)
        : keepAspect(n, shape, wanted, axes, policy);
  const coordinate = n.choice("coordinate_transformation_mode", COORDINATES, "half_pixel");
  const nearest = n.choice("nearest_mode", ROUNDINGS, "round_prefer_floor");
  if (
    coordinate === "align_corners" &&
    scales !== undefined &&
    shape.some((dim, i) => typeof dim === "number" && !Number.isInteger(dim * (target.scales[i] as number)))
  ) {
    // The specification aligns to the fractional size, onnxruntime to the whole one.
    return n.unsupported("align_corners with scales that give fractional sizes");
  }
  if (coordinate !== "tf_crop_and_resize") return resize(n, x, target, mode, coordinate, nearest, {});
  const roi = n.constantNumbers(1, "roi");
  if (roi.length !== 2 * axes.length) return n.fail(`roi has ${roi.length} values for ${axes.length} axes`);
  const full = [...spread(roi.slice(0, axes.length), () => 0), ...spread(roi.slice(axes.length), () => 1)];
  // The output covers the region, so sizes that come from scales follow the region's extent.
  const cropped =
    scales === undefined
      ? target.sizes
      : shape.map((dim, i) => {
          if (typeof dim !== "number") return n.unsupported("tf_crop_and_resize of symbolic sizes");
          return Math.floor(
            dim * ((full[shape.length + i] as number) - (full[i] as number)) * (target.scales[i] as number),
          );
        });
  return resize(n, x, { ...target, sizes: cropped }, mode, coordinate, nearest, { roi: full });
};

/** True for an optional input that is there and not the empty tensor of opset 11. */
function given(n: OnnxNode, index: number): boolean {
  const value = n.optional(index);
  return value !== undefined && value.type.shape[0] !== 0;
}

function resize(
  n: OnnxNode,
  x: Value,
  target: ResizeTarget,
  mode: string,
  coordinate: (typeof COORDINATES)[number],
  nearest: string,
  extra: { readonly roi?: readonly number[] },
): Value {
  if (target.sizes.some((size) => typeof size === "number" && (size < 0 || size > 2 ** 31)))
    return n.fail(`sizes [${target.sizes.join(", ")}]`);
  if (coordinate === "tf_half_pixel_for_nn") return n.unsupported("coordinate mode tf_half_pixel_for_nn");
  return apply(n.b, "resize", [x], {
    sizes: target.sizes,
    scales: target.scales,
    mode,
    coordinate,
    nearest,
    cubicCoeff: n.float("cubic_coeff_a", -0.75),
    excludeOutside: n.flag("exclude_outside", false),
    extrapolation: n.float("extrapolation_value", 0),
    antialias: n.flag("antialias", false),
    ...extra,
  });
}

export const Upsample: OpFunction = (n) => {
  const x = n.input(0);
  const { shape } = x.type;
  const mode = n.choice("mode", ["nearest", "linear", "bilinear"], "nearest");
  const scales =
    n.opset >= 9
      ? n.constantNumbers(1, "scales")
      : n.has("scales")
        ? (n.floats("scales") ?? [])
        : [1, 1, n.float("height_scale"), n.float("width_scale")];
  return resize(
    n,
    x,
    fromScales(n, shape, scales),
    mode === "nearest" ? "nearest" : "linear",
    "asymmetric",
    "floor",
    {},
  );
};

export const GridSample: OpFunction = (n) => {
  const mode = n.choice(
    "mode",
    ["bilinear", "linear", "nearest", "bicubic", "cubic"],
    n.opset >= 20 ? "linear" : "bilinear",
  );
  const padding = n.choice("padding_mode", ["zeros", "border", "reflection"], "zeros");
  const short = mode === "bilinear" ? "linear" : mode === "bicubic" ? "cubic" : mode;
  return apply(n.b, "gridSample", [n.input(0), n.input(1)], {
    mode: short,
    padding,
    alignCorners: n.flag("align_corners", false),
  });
};

export const RoiAlign: OpFunction = (n) =>
  apply(n.b, "roiAlign", [n.input(0), n.input(1), n.input(2)], {
    mode: n.choice("mode", ["avg", "max"], "avg"),
    outputHeight: n.int("output_height", 1),
    outputWidth: n.int("output_width", 1),
    samplingRatio: n.int("sampling_ratio", 0),
    spatialScale: n.float("spatial_scale", 1),
    halfPixel:
      n.opset >= 16 &&
      n.choice("coordinate_transformation_mode", ["half_pixel", "output_half_pixel"], "half_pixel") === "half_pixel",
  });

export const AffineGrid: OpFunction = (n) => {
  const size = n.constantNumbers(1, "size");
  if (size.some((dim) => !(Number.isInteger(dim) && dim >= 0))) return n.fail(`size [${size.join(", ")}]`);
  return apply(n.b, "affineGrid", [n.input(0)], { size, alignCorners: n.flag("align_corners", false) });
};
