/**
 * Ops that rearrange elements: reshapes, transposes, repetition, concatenation, splitting.
 *
 * Arguments that shape arithmetic knows, symbolic or not, become static attributes; the others take the form with
 * run-time arguments.
 */

import { type Dim, type Value, dimAdd, dimEqual, dimFloorDiv, dimMax, shapeSize } from "@quern/core";
import { apply, cast, concat, expand, flatten, reshape, sliceAxis, squeeze, transpose, unsqueeze } from "../build.ts";
import type { OnnxNode, OpFunction } from "../node.ts";
import { shapeArgument } from "./shape-argument.ts";

export const Reshape: OpFunction = (n) => {
  const x = n.input(0);
  const wanted = n.opset < 5 ? n.ints("shape") : n.dims(1);
  if (wanted === undefined)
    return apply(n.b, "reshapeDynamic", [x, shapeArgument(n, 1)], { allowZero: n.flag("allowzero", false) });
  const shape = wanted.map((dim, i) =>
    dim === 0 && !n.flag("allowzero", false)
      ? (x.type.shape[i] ?? n.fail(`axis ${i} of the shape copies an axis that is not there`))
      : dim,
  );
  const unknown = shape.filter((dim) => dim === -1).length;
  if (unknown > 1) return n.fail(`shape [${wanted.join(", ")}] has more than one -1`);
  if (shape.some((dim) => typeof dim === "number" && dim < -1))
    return n.fail(`shape [${wanted.join(", ")}] has a negative size`);
  return reshape(n.b, x, unknown === 0 ? shape : completeShape(n, x.type.shape, shape));
};

/** The shape with its -1 replaced by what the number of elements leaves. */
function completeShape(n: OnnxNode, from: readonly Dim[], shape: readonly Dim[]): Dim[] {
  const rest = [...from];
  const others: Dim[] = [];
  // Axes that occur on both sides cancel before sizes are multiplied, which keeps symbolic quotients exact.
  for (const dim of shape) {
    if (dim === -1) continue;
    const same = rest.findIndex((other) => dimEqual(other, dim) === true && dim !== 0);
    if (same >= 0) rest.splice(same, 1);
    else others.push(dim);
  }
  const known = shapeSize(others);
  const total = shapeSize(rest);
  if (known === 0) return n.fail(`the -1 of shape [${shape.join(", ")}] has no single value`);
  if (typeof known === "number" && typeof total === "number" && total % known !== 0) {
    return n.fail(`[${from.join(", ")}] does not reshape to [${shape.join(", ")}]`);
  }
  return shape.map((dim) => (dim === -1 ? dimFloorDiv(total, known) : dim));
}

export const Flatten: OpFunction = (n) => {
  const x = n.input(0);
  const rank = x.type.shape.length;
  const axis = n.int("axis", 1);
  const normal = axis < 0 ? axis + rank : axis;
  if (normal < 0 || normal > rank) return n.fail(`axis ${axis} is not in 0..${rank}`);
  return flatten(n.b, x, normal);
};

/** `axes` of Squeeze and Unsqueeze: an attribute before opset 13, an input since. */
function axesOf(n: OnnxNode): readonly number[] | undefined {
  if (n.opset < 13) return n.ints("axes");
  return n.optional(1) === undefined ? undefined : n.constantNumbers(1, "axes");
}

export const Squeeze: OpFunction = (n) => {
  const x = n.input(0);
  const { shape } = x.type;
  const given = axesOf(n);
  if (given === undefined) {
    if (shape.some((dim) => typeof dim !== "number")) return n.unsupported("without axes, all sizes must be fixed");
    return squeeze(
      n.b,
      x,
      shape.flatMap((dim, axis) => (dim === 1 ? [axis] : [])),
    );
  }
  const axes = n.axes(given, shape.length);
  const wrong = axes.find((axis) => dimEqual(shape[axis] as Dim, 1) === false);
  if (wrong !== undefined)
    return n.fail(`axis ${wrong} has size ${String(shape[wrong])}, only axes of size 1 can be removed`);
  return squeeze(n.b, x, axes);
};

export const Unsqueeze: OpFunction = (n) => {
  const x = n.input(0);
  const axes = axesOf(n) ?? n.fail("axes are missing");
  return unsqueeze(n.b, x, n.axes(axes, x.type.shape.length + axes.length));
};

export const Transpose: OpFunction = (n) => {
  const x = n.input(0);
  const rank = x.type.shape.length;
  const perm = n.ints("perm") ?? Array.from({ length: rank }, (_, i) => rank - 1 - i);
  if (perm.length !== rank) return n.fail(`perm [${perm.join(", ")}] is for another number of axes than ${rank}`);
  return transpose(n.b, x, n.axes(perm, rank));
};

export const Expand: OpFunction = (n) => {
  const x = n.input(0);
  const target = n.dims(1);
  if (target === undefined) return apply(n.b, "expandDynamic", [x, shapeArgument(n, 1)]);
  return expand(n.b, x, broadcastWith(n, x.type.shape, target));
};

/** Shape of a tensor of `shape` after broadcasting with one of shape `target`. */
function broadcastWith(n: OnnxNode, shape: readonly Dim[], target: readonly Dim[]): Dim[] {
  const rank = Math.max(shape.length, target.length);
  return Array.from({ length: rank }, (_, i) => {
    const a = shape[i - rank + shape.length] ?? 1;
    const t = target[i - rank + target.length] ?? 1;
    if (t === 1) return a;
    if (a === 1 || dimEqual(a, t) === true) return t;
    if (typeof a === "number" && typeof t === "number")
      return n.fail(`[${shape.join(", ")}] does not broadcast with [${target.join(", ")}]`);
    return typeof a === "number" ? a : typeof t === "number" ? t : dimMax(a, t);
  });
}

export const Tile: OpFunction = (n) => {
  const x = n.input(0);
  if (n.opset < 6) return tileAxis(n, x);
  const repeats = n.dims(1);
  if (repeats === undefined) return apply(n.b, "tileDynamic", [x, n.input(1)]);
  if (repeats.some((count) => typeof count === "number" && count < 0))
    return n.fail(`repeats [${repeats.join(", ")}] are negative`);
  return repeats.every((count) => count === 1) ? x : apply(n.b, "tile", [x], { repeats });
};

/** Tile of opset 1: one axis, repeated a number of times. */
function tileAxis(n: OnnxNode, x: Value): Value {
  const count = n.constantNumbers(1, "tiles")[0] ?? 1;
  const axis = n.axis(n.constantNumbers(2, "axis")[0] ?? 0, x.type.shape.length);
  return apply(n.b, "tile", [x], { repeats: x.type.shape.map((_, i) => (i === axis ? count : 1)) });
}

export const Concat: OpFunction = (n) => {
  const inputs = n.rest();
  const [first] = inputs;
  if (first === undefined) return n.fail("needs an input");
  const axis = n.axis(n.int("axis", n.opset < 4 ? 1 : undefined), first.type.shape.length);
  return concat(n.b, inputs, axis);
};

export const Split: OpFunction = (n) => {
  const x = n.input(0);
  const axis = n.axis(n.int("axis", 0), x.type.shape.length);
  const size = x.type.shape[axis] as Dim;
  const given = n.opset < 13 ? (n.opset === 1 && n.optional(1) !== undefined ? n.dims(1) : n.ints("split")) : n.dims(1);
  if (n.opset >= 13 && n.optional(1) !== undefined && given === undefined)
    return n.unsupported("sizes that are computed at run time");
  const sizes = given ?? evenSizes(n, size, n.int("num_outputs", n.outputs.length));
  if (sizes.length < n.outputs.length) return n.fail(`${sizes.length} sizes for ${n.outputs.length} outputs`);
  if (sizes.some((part) => typeof part === "number" && part < 0))
    return n.fail(`sizes [${sizes.join(", ")}] are negative`);
  const total = sizes.reduce<Dim>((sum, part) => dimAdd(sum, part), 0);
  if (dimEqual(total, size) === false) return n.fail(`sizes [${sizes.join(", ")}] do not add up to ${String(size)}`);
  let start: Dim = 0;
  return sizes.slice(0, n.outputs.length).map((part) => {
    const piece = sliceAxis(n.b, x, axis, start, part);
    start = dimAdd(start, part);
    return piece;
  });
};

/** Equal parts; since opset 18 the last one may be smaller. */
function evenSizes(n: OnnxNode, size: Dim, parts: number): Dim[] {
  if (parts < 1 || parts > 2 ** 20) return n.fail(`cannot split into ${parts} parts`);
  if (typeof size !== "number") return Array.from({ length: parts }, () => dimFloorDiv(size, parts));
  const part = Math.ceil(size / parts);
  const last = size - part * (parts - 1);
  if (last < 0 || (n.opset < 18 && last !== part))
    return n.fail(`an axis of size ${size} does not split into ${parts} equal parts`);
  return Array.from({ length: parts }, (_, i) => (i === parts - 1 ? last : part));
}

export const DepthToSpace: OpFunction = (n) =>
  apply(n.b, "depthToSpace", [n.input(0)], {
    block: blockSize(n),
    mode: n.choice("mode", ["DCR", "CRD"], "DCR").toLowerCase(),
  });

export const SpaceToDepth: OpFunction = (n) => apply(n.b, "spaceToDepth", [n.input(0)], { block: blockSize(n) });

function blockSize(n: OnnxNode): number {
  const block = n.int("blocksize");
  return block >= 1 && block <= 2 ** 20 ? block : n.fail(`block size ${block}`);
}

export const ReverseSequence: OpFunction = (n) => {
  const timeAxis = n.axis(n.int("time_axis", 0), n.input(0).type.shape.length);
  const batchAxis = n.axis(n.int("batch_axis", 1), n.input(0).type.shape.length);
  return apply(n.b, "reverseSequence", [n.input(0), n.input(1)], { timeAxis, batchAxis });
};

export const Trilu: OpFunction = (n) => {
  const k = n.optional(1);
  const diagonal = k === undefined ? undefined : reshape(n.b, cast(n.b, k, "i64"), []);
  return apply(n.b, "trilu", [n.input(0), diagonal], { upper: n.flag("upper", true) });
};

/** Overlapping blocks of columns summed into an image: the inverse of unfolding. */
export const Col2Im: OpFunction = (n) => {
  const sizes = n.constantNumbers(1, "image shape");
  const block = n.constantNumbers(2, "block shape");
  const rank = sizes.length;
  const pads = n.ints("pads") ?? [...sizes, ...sizes].map(() => 0);
  const list = (name: string): readonly number[] => n.ints(name) ?? sizes.map(() => 1);
  const attrs = {
    sizes,
    block,
    strides: list("strides"),
    dilations: list("dilations"),
    padsBefore: pads.slice(0, rank),
    padsAfter: pads.slice(rank),
  };
  if (block.some((size) => !(size >= 1)) || Object.values(attrs).some((values) => values.length !== rank))
    return n.fail("image, block and window arguments differ in length");
  return apply(n.b, "col2im", [n.input(0)], attrs);
};
