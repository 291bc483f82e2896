/** Ops that cut from tensors or add to their edges. */

import { type Dim, type Value, dimAdd, dimCeilDiv, dimMax, dimMin, dimSub } from "@quern/core";
import { apply, slice, sliceAxis } from "../build.ts";
import type { OnnxNode, OpFunction } from "../node.ts";

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

/** Crop of opset 1: `border` is left, top, right, bottom. */
export const Crop: OpFunction = (n) => {
  const x = n.input(0);
  const [left = 0, top = 0, right = 0, bottom = 0] = n.ints("border") ?? [];
  const scale = n.ints("scale");
  const [height, width] = [x.type.shape[2] ?? n.fail("needs 4 axes"), x.type.shape[3] ?? n.fail("needs 4 axes")];
  const rows = sliceAxis(n.b, x, 2, top, scale?.[0] ?? dimSub(height, top + bottom));
  return sliceAxis(n.b, rows, 3, left, scale?.[1] ?? dimSub(width, left + right));
};
