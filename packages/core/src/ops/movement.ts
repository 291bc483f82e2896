/**
 * Movement with static arguments: each output element is one input element, or a fill value. All but `concat` are
 * views, which cost nothing once fused.
 */

import { type Dim, dimAdd, dimEqual, dimMul, printDim, printShape, sameDim, shapeSize } from "../dim.ts";
import type { Attrs, TensorType } from "../graph/graph.ts";
import { printTensorType } from "../graph/print.ts";
import type { KValue } from "../kernel/ir.ts";
import { axisAttr, choiceAttr, dimsAttr, numberAttr, numbersAttr } from "./attrs.ts";
import { of, opCase, values } from "./cases.ts";
import { broadcastShapes, checkSameDType, given, reject } from "./check.ts";
import { dimLess } from "./dim-facts.ts";
import type { Op, RefContext, RefTensor } from "./op.ts";
import { broadcastTo, gatherAt, input, newRef, pick, positions, refOf, stridesOf } from "./ref-tensor.ts";
import { PAD_MODES, padReference, tileReference } from "./movement-reference.ts";
import { broadcastIndex, reshapeIndex } from "./view-index.ts";

function sizesFor(context: RefContext, dims: readonly Dim[]): number[] {
  return dims.map((dim) => {
    const size = context.dim(dim);
    return size >= 0
      ? size
      : reject("shape", `${printDim(dim)} is ${size} for these inputs, a size cannot be negative`);
  });
}

export const reshape: Op = {
  name: "reshape",
  summary: "The same elements in row-major order with another shape",
  inputs: ["x"],
  infer: (types, attrs) => {
    const x = given("reshape", types, 0, "x");
    const shape = dimsAttr("reshape", attrs, "shape");
    if (dimEqual(shapeSize(x.shape), shapeSize(shape)) === false) {
      reject("reshape", `${printTensorType(x)} has another number of elements than ${printShape(shape)}`);
    }
    return [{ dtype: x.dtype, shape }];
  },
  reference: (inputs, attrs, _outputs, context) => {
    const x = input(inputs, 0);
    const shape = sizesFor(context, dimsAttr("reshape", attrs, "shape"));
    if (shape.reduce((n, dim) => n * dim, 1) !== x.data.length)
      reject("reshape", `[${x.shape.join(", ")}] has another number of elements than [${shape.join(", ")}]`);
    return [refOf(x.dtype, shape, x.data)];
  },
  view: { map: (k, index, from, to) => ({ index: reshapeIndex(k, index, to.shape, from.shape) }) },
  dims: ([x]) => x,
  cases: () => [
    opCase("merge", [of("f32", 3, 4, 5)], { shape: [12, 5] }),
    opCase("split", [of("f32", 2, 18)], { shape: [2, 3, 1, 6] }),
    opCase("across", [of("f32", 4, 6)], { shape: [3, 8] }),
    opCase("to scalar", [of("i64", 1, 1)], { shape: [] }),
    opCase("from scalar", [of("f16")], { shape: [1, 1] }),
    opCase("empty", [of("f32", 0, 3)], { shape: [3, 0, 2] }),
    opCase("u8", [of("u8", 17)], { shape: [17, 1] }),
  ],
};

export const transpose: Op = {
  name: "transpose",
  summary: "Axes in another order: output axis i is input axis perm[i]",
  inputs: ["x"],
  infer: (types, attrs) => {
    const x = given("transpose", types, 0, "x");
    const perm = numbersAttr("transpose", attrs, "perm");
    const valid = perm.length === x.shape.length && perm.toSorted((a, b) => a - b).every((axis, i) => axis === i);
    if (!valid) reject("transpose", `perm [${perm.join(", ")}] is no permutation of the axes of ${printTensorType(x)}`);
    return [{ dtype: x.dtype, shape: perm.map((axis) => x.shape[axis] as Dim) }];
  },
  reference: (inputs, attrs) => {
    const x = input(inputs, 0);
    const perm = numbersAttr("transpose", attrs, "perm");
    const shape = pick(x.shape, perm);
    return [gatherAt(x, shape, positions(shape, pick(stridesOf(x.shape), perm)))];
  },
  view: {
    map: (_k, index, _from, _to, attrs) => {
      const source: KValue[] = [];
      numbersAttr("transpose", attrs, "perm").forEach((axis, i) => (source[axis] = index[i] as KValue));
      return { index: source };
    },
  },
  cases: () => [
    opCase("matrix", [of("f32", 17, 33)], { perm: [1, 0] }),
    opCase("to channels last", [of("f32", 2, 3, 5, 7)], { perm: [0, 2, 3, 1] }),
    opCase("rotate", [of("i64", 2, 3, 4)], { perm: [2, 0, 1] }),
    opCase("scalar", [of("f32")], { perm: [] }),
    opCase("empty", [of("f32", 0, 3)], { perm: [1, 0] }),
    opCase("f16", [of("f16", 5, 4)], { perm: [1, 0] }),
    opCase("u8", [of("u8", 5, 1, 4)], { perm: [2, 1, 0] }),
  ],
};

export const expand: Op = {
  name: "expand",
  summary: "x repeated along axes of size 1, and along new leading axes",
  inputs: ["x"],
  infer: (types, attrs) => {
    const x = given("expand", types, 0, "x");
    const shape = dimsAttr("expand", attrs, "shape");
    const result = broadcastShapes("expand", [x.shape, shape]);
    const kept = result.length === shape.length && result.every((dim, i) => dimEqual(dim, shape[i] as Dim) !== false);
    if (!kept) reject("expand", `${printTensorType(x)} does not expand to ${printShape(shape)}`);
    return [{ dtype: x.dtype, shape }];
  },
  reference: (inputs, attrs, _outputs, context) => {
    const x = input(inputs, 0);
    const shape = sizesFor(context, dimsAttr("expand", attrs, "shape"));
    broadcastShapes("expand", [x.shape, shape]);
    return [broadcastTo(x, shape)];
  },
  view: {
    map: (k, index, from, to) => {
      const skipped = to.shape.length - from.shape.length;
      return {
        index: from.shape.map((own, axis) =>
          broadcastIndex(k, index[axis + skipped] as KValue, own, to.shape[axis + skipped] as Dim),
        ),
      };
    },
  },
  dims: ([x], attrs) => {
    const shape = dimsAttr("expand", attrs, "shape");
    const size = shapeSize(shape);
    return x?.length === 1 && typeof size === "number" ? new Array<Dim>(size).fill(x[0] as Dim) : undefined;
  },
  cases: () => [
    opCase("row", [of("f32", 1, 17)], { shape: [3, 17] }),
    opCase("column", [of("f32", 5, 1)], { shape: [2, 5, 4] }),
    opCase("scalar", [of("i64")], { shape: [2, 3] }),
    opCase("same", [of("f32", 2, 3)], { shape: [2, 3] }),
    opCase("to empty", [of("f32", 1, 3)], { shape: [0, 3] }),
    opCase("bool", [of("bool", 1, 5)], { shape: [4, 5] }),
  ],
};

export const slice: Op = {
  name: "slice",
  summary: "Element i of an axis is input element starts + i·steps",
  inputs: ["x"],
  infer: (types, attrs) => {
    const x = given("slice", types, 0, "x");
    const starts = dimsAttr("slice", attrs, "starts");
    const sizes = dimsAttr("slice", attrs, "sizes");
    const steps = numbersAttr("slice", attrs, "steps");
    const rank = x.shape.length;
    if (starts.length !== rank || sizes.length !== rank || steps.length !== rank) {
      reject(
        "slice",
        `needs one start, size and step per axis of ${printTensorType(x)}, got ${starts.length}, ${sizes.length} and ${steps.length}`,
      );
    }
    sizes.forEach((size, axis) => checkSliceAxis(x, axis, starts[axis] as Dim, size, steps[axis] as number));
    return [{ dtype: x.dtype, shape: sizes }];
  },
  reference: (inputs, attrs, _outputs, context) => {
    const x = input(inputs, 0);
    const starts = dimsAttr("slice", attrs, "starts").map((dim) => context.dim(dim));
    const sizes = sizesFor(context, dimsAttr("slice", attrs, "sizes"));
    const steps = numbersAttr("slice", attrs, "steps");
    const concrete: TensorType = { dtype: x.dtype, shape: x.shape };
    sizes.forEach((size, axis) => checkSliceAxis(concrete, axis, starts[axis] as number, size, steps[axis] as number));
    const strides = stridesOf(x.shape);
    const start = starts.reduce((sum, at, axis) => sum + at * (strides[axis] as number), 0);
    return [
      gatherAt(
        x,
        sizes,
        positions(
          sizes,
          strides.map((stride, axis) => stride * (steps[axis] as number)),
          start,
        ),
      ),
    ];
  },
  view: {
    map: (k, index, _from, _to, attrs) => {
      const starts = dimsAttr("slice", attrs, "starts");
      const steps = numbersAttr("slice", attrs, "steps");
      return { index: index.map((at, axis) => k.add(k.mul(at, steps[axis] as number), k.index(starts[axis] as Dim))) };
    },
  },
  dims: ([x], attrs, types) => {
    const starts = dimsAttr("slice", attrs, "starts");
    const sizes = dimsAttr("slice", attrs, "sizes");
    const rank = types[0]?.shape.length;
    if (x === undefined || rank !== 1 || typeof starts[0] !== "number" || typeof sizes[0] !== "number")
      return undefined;
    const [start, step] = [starts[0], numbersAttr("slice", attrs, "steps")[0] as number];
    return Array.from({ length: sizes[0] }, (_, i) => x[start + i * step] as Dim);
  },
  cases: () => [
    opCase("list", [of("i64", 9)], { starts: [1], sizes: [3], steps: [2] }),
    opCase("middle", [of("f32", 9, 17)], { starts: [2, 5], sizes: [4, 11], steps: [1, 1] }),
    opCase("steps", [of("f32", 9, 17)], { starts: [1, 0], sizes: [3, 6], steps: [3, 3] }),
    opCase("backwards", [of("i64", 4, 5)], { starts: [3, 4], sizes: [4, 3], steps: [-1, -2] }),
    opCase("empty", [of("f32", 4, 5)], { starts: [4, 0], sizes: [0, 5], steps: [1, 1] }),
    opCase("from empty", [of("f32", 0, 5)], { starts: [0, 1], sizes: [0, 2], steps: [1, 2] }),
    opCase("scalar", [of("f32")], { starts: [], sizes: [], steps: [] }),
    opCase("u8", [of("u8", 33)], { starts: [1], sizes: [16], steps: [2] }),
  ],
};

/** All elements that one axis of a slice reads must exist, where the sizes tell. */
function checkSliceAxis(x: TensorType, axis: number, start: Dim, size: Dim, step: number): void {
  if (!Number.isInteger(step) || step === 0)
    reject("slice", `step ${step} of axis ${axis} must be an integer other than 0`);
  if (dimEqual(size, 0) === true) return;
  const last = dimAdd(start, dimMul(dimAdd(size, -1), step));
  for (const at of [start, last]) {
    const below = dimLess(at, 0) === true && typeof size === "number";
    const beyond = dimLess(at, x.shape[axis] as Dim) === false && typeof size === "number";
    if (below || beyond) reject("slice", `axis ${axis} of ${printTensorType(x)} has no element ${printDim(at)}`);
  }
}

export const pad: Op = {
  name: "pad",
  summary: "x with elements added before and after each axis: a value, or copies of x",
  inputs: ["x"],
  infer: (types, attrs) => {
    const x = given("pad", types, 0, "x");
    choiceAttr("pad", attrs, "mode", PAD_MODES, "constant");
    const { before, after } = padAttrs(x.shape.length, attrs);
    return [
      {
        dtype: x.dtype,
        shape: x.shape.map((dim, axis) => dimAdd(dim, dimAdd(before[axis] as Dim, after[axis] as Dim))),
      },
    ];
  },
  reference: (inputs, attrs, _outputs, context) => {
    const { before, after } = padAttrs(input(inputs, 0).shape.length, attrs);
    const mode = choiceAttr("pad", attrs, "mode", PAD_MODES, "constant");
    return [
      padReference(
        input(inputs, 0),
        sizesFor(context, before),
        sizesFor(context, after),
        mode,
        numberAttr("pad", attrs, "value", 0),
      ),
    ];
  },
  view: {
    map: (k, index, from, _to, attrs) => {
      const mode = choiceAttr("pad", attrs, "mode", PAD_MODES, "constant");
      const { before, after } = padAttrs(from.shape.length, attrs);
      const source: KValue[] = [];
      let valid: KValue | undefined;
      index.forEach((at, axis) => {
        const [low, high, size] = [before[axis] as Dim, after[axis] as Dim, k.index(from.shape[axis] as Dim)];
        let place = k.sub(at, k.index(low));
        if (low !== 0 || high !== 0) {
          if (mode === "constant") {
            if (low !== 0) valid = both(k.ge(place, 0));
            if (high !== 0) valid = both(k.lt(place, size));
          } else if (mode === "edge") {
            place = k.min(k.max(place, 0), k.sub(size, 1));
          } else if (mode === "wrap") {
            // Padding may exceed the size: the remainder of a shifted, non-negative index.
            const rest = k.rem(place, size);
            place = k.select(k.lt(rest, 0), k.add(rest, size), rest);
          } else {
            const last = k.sub(size, 1);
            const period = k.max(k.mul(last, 2), 1);
            const rest = k.rem(k.abs(place), period);
            place = k.min(rest, k.sub(period, rest));
            place = k.select(k.gt(size, 1), place, k.index(0));
          }
        }
        source.push(place);
      });
      return valid === undefined
        ? { index: source }
        : { index: source, valid, fill: numberAttr("pad", attrs, "value", 0) };

      function both(condition: KValue): KValue {
        return valid === undefined ? condition : k.and(valid, condition);
      }
    },
  },
  cases: () => [
    ...PAD_MODES.map((mode) =>
      opCase(mode, [of("f32", 3, 5, 7)], { mode, before: [0, 2, 1], after: [0, 1, 3], value: 0 }),
    ),
    opCase("value", [of("f32", 2, 3)], { mode: "constant", before: [1, 0], after: [0, 2], value: -7.5 }),
    opCase("-infinity", [of("f32", 4)], { mode: "constant", before: [1], after: [1], value: -Infinity }),
    opCase("i64", [of("i64", 4)], { mode: "constant", before: [1], after: [0], value: 5 }),
    opCase("long reflection", [of("f32", 3)], { mode: "reflect", before: [7], after: [8], value: 0 }),
    opCase("long wrap", [of("f32", 3)], { mode: "wrap", before: [7], after: [8], value: 0 }),
    opCase("one element", [of("f32", 1)], { mode: "reflect", before: [2], after: [1], value: 0 }),
    opCase("empty", [of("f32", 0, 2)], { mode: "constant", before: [1, 0], after: [2, 1], value: 3 }),
    opCase("nothing", [of("f32", 2, 2)], { mode: "constant", before: [0, 0], after: [0, 0], value: 0 }),
  ],
};

function padAttrs(rank: number, attrs: Attrs): { before: readonly Dim[]; after: readonly Dim[] } {
  const before = dimsAttr("pad", attrs, "before");
  const after = dimsAttr("pad", attrs, "after");
  if (before.length !== rank || after.length !== rank)
    reject("pad", `needs ${rank} widths before and after, got ${before.length} and ${after.length}`);
  for (const width of [...before, ...after])
    if (dimLess(width, 0) === true) reject("pad", `width ${printDim(width)} is negative`, "slice instead");
  return { before, after };
}

export const concat: Op = {
  name: "concat",
  summary: "The inputs one after another along an axis",
  inputs: ["x..."],
  infer: (types, attrs) => {
    const first = given("concat", types, 0, "x");
    const axis = axisAttr("concat", attrs, first.shape.length);
    let total: Dim = 0;
    types.forEach((type, i) => {
      const x = type ?? given("concat", types, i, `x[${i}]`);
      checkSameDType("concat", first, x);
      const fits =
        x.shape.length === first.shape.length &&
        x.shape.every((dim, j) => j === axis || dimEqual(dim, first.shape[j] as Dim) !== false);
      if (!fits) reject("concat", `${printTensorType(x)} does not fit to ${printTensorType(first)} along axis ${axis}`);
      total = dimAdd(total, x.shape[axis] as Dim);
    });
    // A number beside a symbol is the better fact.
    const shape = first.shape.map(
      (dim, j) => types.map((type) => type?.shape[j] as Dim).find((other) => typeof other === "number") ?? dim,
    );
    return [{ dtype: first.dtype, shape: shape.with(axis, total) }];
  },
  reference: (inputs, attrs) => {
    const tensors = inputs.map((_, i) => input(inputs, i));
    const first = tensors[0] as RefTensor;
    const axis = axisAttr("concat", attrs, first.shape.length);
    const total = tensors.reduce((sum, x) => sum + (x.shape[axis] as number), 0);
    const shape = [...first.shape].with(axis, total);
    const result = newRef(first.dtype, shape);
    const strides = stridesOf(shape);
    let start = 0;
    for (const x of tensors) {
      const where = positions(x.shape, strides, start * (strides[axis] as number));
      for (let i = 0; i < where.length; i++) result.data[where[i] as number] = x.data[i] as number;
      start += x.shape[axis] as number;
    }
    return [result];
  },
  dims: (known, _attrs, types) => {
    if (types[0]?.shape.length !== 1 || known.some((dims) => dims === undefined)) return undefined;
    return known.flatMap((dims) => dims as readonly Dim[]);
  },
  cases: () => [
    opCase("lists", [values("i64", [1, 2]), values("i64", [3]), values("i64", [])], { axis: 0 }),
    opCase("columns", [of("f32", 3, 5), of("f32", 3, 17), of("f32", 3, 1)], { axis: 1 }),
    opCase("middle", [of("f32", 2, 3, 4), of("f32", 2, 1, 4)], { axis: 1 }),
    opCase("one", [of("f32", 2, 3)], { axis: 0 }),
    opCase("empty parts", [of("f32", 0, 3), of("f32", 2, 3), of("f32", 0, 3)], { axis: 0 }),
    opCase("u8", [of("u8", 3), of("u8", 14)], { axis: 0 }),
    opCase("f16", [of("f16", 2, 3), of("f16", 2, 2)], { axis: 1 }),
  ],
};

export const tile: Op = {
  name: "tile",
  summary: "x repeated as a whole along each axis",
  inputs: ["x"],
  infer: (types, attrs) => {
    const x = given("tile", types, 0, "x");
    const repeats = dimsAttr("tile", attrs, "repeats");
    if (repeats.length !== x.shape.length)
      reject("tile", `needs ${x.shape.length} repeats for ${printTensorType(x)}, got ${repeats.length}`);
    return [{ dtype: x.dtype, shape: x.shape.map((dim, axis) => dimMul(dim, repeats[axis] as Dim)) }];
  },
  reference: (inputs, attrs, _outputs, context) => [
    tileReference(input(inputs, 0), sizesFor(context, dimsAttr("tile", attrs, "repeats"))),
  ],
  view: {
    map: (k, index, from, to) => ({
      index: index.map((at, axis) => {
        const size = from.shape[axis] as Dim;
        if (sameDim(size, to.shape[axis] as Dim)) return at;
        return size === 1 ? k.index(0) : k.rem(at, k.index(size));
      }),
    }),
  },
  cases: () => [
    opCase("matrix", [of("f32", 2, 5)], { repeats: [3, 2] }),
    opCase("one axis", [of("f32", 17)], { repeats: [3] }),
    opCase("none", [of("i64", 2, 3)], { repeats: [0, 2] }),
    opCase("once", [of("f32", 1, 3)], { repeats: [1, 1] }),
    opCase("scalar", [of("f32")], { repeats: [] }),
  ],
};
