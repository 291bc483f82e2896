/**
 * Ops that move elements: reshapes, slices, pads, concatenation, splitting.
 *
 * Arguments that shape arithmetic knows, symbolic or not, become static attributes; the others take the form with
 * run-time arguments.
 */

import {
  type Dim,
  type Value,
  dimAdd,
  dimCeilDiv,
  dimEqual,
  dimFloorDiv,
  dimMax,
  dimMin,
  dimSub,
  shapeSize,
} from "@quern/core";
import {
  apply,
  cast,
  concat,
  dimTensor,
  expand,
  flatten,
  reshape,
  slice,
  sliceAxis,
  squeeze,
  transpose,
  unsqueeze,
} from "../build.ts";
import type { OnnxNode, OpFunction } from "../node.ts";

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

/** Most axes that a shape computed at run time may have. */
const MAX_AXES = 64;

/** A shape that is known at run time only; its number of axes must be known and sensible. */
function shapeArgument(n: OnnxNode, index: number): Value {
  const value = n.input(index);
  const axes = value.type.shape[0];
  if (value.type.shape.length !== 1 || typeof axes !== "number") return n.unsupported("a shape of unknown length");
  return axes <= MAX_AXES ? value : n.fail(`a shape of ${axes} axes`);
}

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

export const Slice: OpFunction = (n) => {
  const x = n.input(0);
  const { shape } = x.type;
  const rank = shape.length;
  const starts = n.opset < 10 ? n.ints("starts") : n.dims(1);
  const ends = n.opset < 10 ? n.ints("ends") : n.dims(2);
  const count = starts?.length ?? ends?.length;
  const axes = n.opset < 10 ? n.ints("axes") : n.optional(3) === undefined ? undefined : n.numbers(3);
  const steps = n.opset < 10 ? undefined : n.optional(4) === undefined ? undefined : n.numbers(4);
  const axesKnown = n.opset < 10 || n.optional(3) === undefined || axes !== undefined;
  const stepsKnown = n.opset < 10 || n.optional(4) === undefined || steps !== undefined;
  if (starts === undefined || ends === undefined || !axesKnown || !stepsKnown) {
    if (n.opset < 10) return n.fail('attributes "starts" and "ends" are needed');
    return apply(n.b, "sliceDynamic", [x, n.input(1), n.input(2), n.optional(3), n.optional(4)]);
  }
  if (starts.length !== ends.length) return n.fail(`${starts.length} starts and ${ends.length} ends`);
  const chosen = n.axes(axes ?? Array.from({ length: count ?? 0 }, (_, i) => i), rank);
  if (chosen.length !== starts.length || (steps !== undefined && steps.length !== starts.length))
    return n.fail("starts, ends, axes and steps differ in length");
  const from: Dim[] = shape.map(() => 0);
  const sizes: Dim[] = [...shape];
  const by: number[] = shape.map(() => 1);
  chosen.forEach((axis, i) => {
    const step = steps?.[i] ?? 1;
    if (step === 0) return n.fail(`the step of axis ${axis} is 0`);
    // A step beyond every size picks one element, as does any other of that kind.
    by[axis] = Math.max(Math.min(step, 2 ** 31 - 1), -(2 ** 31 - 1));
    const range = sliceRange(shape[axis] as Dim, starts[i] as Dim, ends[i] as Dim, by[axis] as number);
    from[axis] = range.start;
    sizes[axis] = range.size;
    return undefined;
  });
  return slice(n.b, x, from, sizes, by);
};

/**
 * First element and number of elements, negative and out-of-range bounds resolved as NumPy does. Bounds that are
 * symbolic are taken to lie inside, so that sizes stay simple; a device finds out when the sizes of a run break that.
 */
function sliceRange(size: Dim, start: Dim, end: Dim, step: number): { start: Dim; size: Dim } {
  const low = step > 0 ? 0 : -1;
  const high = step > 0 ? size : dimSub(size, 1);
  const first = bounded(start, size, 0, high);
  const last = bounded(end, size, low, high);
  const distance = step > 0 ? dimSub(last, first) : dimSub(first, last);
  const count = dimCeilDiv(distance, Math.abs(step));
  if (typeof count === "number") return { start: count <= 0 ? 0 : first, size: Math.max(count, 0) };
  const given = typeof start === "number" && typeof end === "number";
  return { start: first, size: given && leastValue(count) < 0 ? dimMax(count, 0) : count };
}

/** Bounds that exporters write for "to the end". */
const NO_BOUND = 2 ** 31 - 1;

/** A bound counted from the first element and, where it is a number, brought into low..high. */
function bounded(bound: Dim, size: Dim, low: number, high: Dim): Dim {
  // A symbolic bound counts from the end where all its terms are negative.
  const negative = typeof bound === "number" ? bound < 0 : bound.terms.every(({ coefficient }) => coefficient < 0);
  const value = negative ? dimAdd(bound, size) : bound;
  if (typeof bound !== "number") {
    const beyond = dimSub(value, high);
    return typeof beyond === "number" && beyond > 0 ? high : value;
  }
  if (typeof value !== "number")
    return bound <= -NO_BOUND ? low : leastValue(value) >= low ? value : dimMax(value, low);
  if (typeof high === "number") return Math.min(Math.max(value, low), high);
  if (value >= NO_BOUND) return high;
  return value <= low ? low : leastValue(high) >= value ? value : dimMin(value, high);
}

/** Smallest value with every symbol at least 1; an axis of size 0 is left to the checks of the run. */
function leastValue(dim: Dim): number {
  if (typeof dim === "number") return dim;
  let least = 0;
  for (const { coefficient, atoms } of dim.terms) {
    if (atoms.length === 0) least += coefficient;
    else if (coefficient < 0 || atoms.some((atom) => atom.kind !== "symbol")) return -Infinity;
    else least += coefficient;
  }
  return least;
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

const PAD_MODES = ["constant", "reflect", "edge", "wrap"] as const;

export const Pad: OpFunction = (n) => {
  const x = n.input(0);
  const { shape } = x.type;
  const rank = shape.length;
  const mode = n.choice("mode", PAD_MODES, "constant");
  const pads = n.opset < 11 ? (n.ints("pads") ?? n.ints("paddings")) : n.dims(1);
  const axes = n.opset < 18 || n.optional(3) === undefined ? shape.map((_, i) => i) : n.numbers(3);
  const value = n.opset < 11 ? n.float("value", 0) : n.optional(2) === undefined ? 0 : n.number(2);
  if (pads === undefined || axes === undefined || value === undefined) {
    if (n.opset < 11) return n.fail('attribute "pads" is missing');
    return apply(n.b, "padDynamic", [x, n.input(1), n.optional(2), n.optional(3)], { mode });
  }
  const chosen = n.axes(axes, rank);
  if (pads.length !== 2 * chosen.length) return n.fail(`${pads.length} pads for ${chosen.length} axes`);
  const before: Dim[] = shape.map(() => 0);
  const after: Dim[] = shape.map(() => 0);
  chosen.forEach((axis, i) => {
    before[axis] = pads[i] as Dim;
    after[axis] = pads[chosen.length + i] as Dim;
  });
  return padBy(n, x, before, after, mode, value);
};

/** Pads; negative amounts remove elements first. */
function padBy(
  n: OnnxNode,
  x: Value,
  before: readonly Dim[],
  after: readonly Dim[],
  mode: (typeof PAD_MODES)[number],
  value: number,
): Value {
  const cut = (amount: Dim): number => (typeof amount === "number" && amount < 0 ? -amount : 0);
  const grow = (amount: Dim): Dim => (typeof amount === "number" && amount < 0 ? 0 : amount);
  const sizes = x.type.shape.map((dim, i) => dimSub(dim, cut(before[i] as Dim) + cut(after[i] as Dim)));
  if (sizes.some((dim) => typeof dim === "number" && dim < 0)) return n.fail("negative pads remove more than there is");
  const kept = slice(
    n.b,
    x,
    before.map(cut),
    sizes,
    before.map(() => 1),
  );
  if ([...before, ...after].every((amount) => grow(amount) === 0)) return kept;
  return apply(n.b, "pad", [kept], { before: before.map(grow), after: after.map(grow), mode, value });
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

/** Crops or pads every given axis to a size, about its centre. */
export const CenterCropPad: OpFunction = (n) => {
  const x = n.input(0);
  const { shape } = x.type;
  const axes = n.axes(n.ints("axes") ?? shape.map((_, i) => i), shape.length);
  const target = n.constantNumbers(1, "shape");
  if (target.length !== axes.length) return n.fail(`${target.length} sizes for ${axes.length} axes`);
  const before: number[] = shape.map(() => 0);
  const after: number[] = shape.map(() => 0);
  axes.forEach((axis, i) => {
    const size = shape[axis];
    if (typeof size !== "number") return n.unsupported("axes must have fixed sizes");
    const change = (target[i] as number) - size;
    // An odd element is cut or added at the end.
    const first = Math.trunc(change / 2);
    before[axis] = change < 0 ? -Math.floor(-change / 2) : first;
    after[axis] = change - (before[axis] as number);
    return undefined;
  });
  return padBy(n, x, before, after, "constant", 0);
};

export const Shape: OpFunction = (n) => {
  const { shape } = n.input(0).type;
  const rank = shape.length;
  const bound = (index: number): number => Math.max(0, Math.min(rank, index < 0 ? index + rank : index));
  const start = bound(n.int("start", 0));
  const end = n.has("end") ? bound(n.int("end")) : rank;
  return dimTensor(n.b, shape.slice(start, Math.max(start, end)));
};

export const Size: OpFunction = (n) => dimTensor(n.b, [shapeSize(n.input(0).type.shape)], []);

export const ConstantOfShape: OpFunction = (n) => {
  const value = n.tensor("value") ?? { dtype: "f32" as const, shape: [1], bytes: new Uint8Array(4) };
  const element = n.b.constant({ ...value, shape: [] });
  const shape = n.dims(0);
  if (shape === undefined) return apply(n.b, "expandDynamic", [element, shapeArgument(n, 0)]);
  if (shape.some((dim) => typeof dim === "number" && dim < 0))
    return n.fail(`shape [${shape.join(", ")}] has a negative size`);
  return expand(n.b, element, shape);
};

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

export const Range: OpFunction = (n) => apply(n.b, "range", [n.input(0), n.input(1), n.input(2)]);

/** Crop of opset 1: `border` is left, top, right, bottom. */
export const Crop: OpFunction = (n) => {
  const x = n.input(0);
  const [left = 0, top = 0, right = 0, bottom = 0] = n.ints("border") ?? [];
  const scale = n.ints("scale");
  const [height, width] = [x.type.shape[2] ?? n.fail("needs 4 axes"), x.type.shape[3] ?? n.fail("needs 4 axes")];
  const rows = sliceAxis(n.b, x, 2, top, scale?.[0] ?? dimSub(height, top + bottom));
  return sliceAxis(n.b, rows, 3, left, scale?.[1] ?? dimSub(width, left + right));
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
