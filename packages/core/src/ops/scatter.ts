/**
 * Writing elements by index tensors into a copy of x. Where indices repeat, "none" keeps the last update in row-major
 * order; the other reductions combine all of them with the element of x.
 */

import { type Dim, dimEqual, sameShape } from "../dim.ts";
import { isFloat } from "../dtype.ts";
import type { Attrs } from "../graph/graph.ts";
import { printTensorType } from "../graph/print.ts";
import { axisAttr, choiceAttr } from "./attrs.ts";
import { of, opCase, values, within } from "./cases.ts";
import { checkSameDType, given, indexTyped, reject } from "./check.ts";
import { normaliseIndex, tuplePosition } from "./indices.ts";
import type { Op, RefTensor } from "./op.ts";
import { input, positions, stridesOf, wrapInteger } from "./ref-tensor.ts";
import { sumTolerance } from "./tolerance.ts";

const REDUCTIONS = ["none", "add", "mul", "max", "min"] as const;

function combiner(op: string, attrs: Attrs): (old: number, update: number) => number {
  switch (choiceAttr(op, attrs, "reduction", REDUCTIONS, "none")) {
    case "none":
      return (_old, update) => update;
    case "add":
      return (old, update) => old + update;
    case "mul":
      return (old, update) => old * update;
    case "max":
      return Math.max;
    case "min":
      return Math.min;
  }
}

/** Writes `updates` one by one at `where`. */
function scatterAt(
  x: RefTensor,
  where: ArrayLike<number>,
  updates: Float64Array,
  combine: (old: number, update: number) => number,
): RefTensor {
  const data = x.data.slice();
  for (let i = 0; i < updates.length; i++) {
    const at = where[i] as number;
    const value = combine(data[at] as number, updates[i] as number);
    data[at] = isFloat(x.dtype) ? value : wrapInteger(x.dtype, value);
  }
  return { ...x, data };
}

export const scatterElements: Op = {
  name: "scatterElements",
  summary: "x with single elements replaced or combined: the inverse of gatherElements",
  inputs: ["x", "indices", "updates"],
  infer: (types, attrs) => {
    const x = given("scatterElements", types, 0, "x");
    const indices = indexTyped("scatterElements", types, 1, "indices");
    const updates = given("scatterElements", types, 2, "updates");
    checkSameDType("scatterElements", x, updates);
    axisAttr("scatterElements", attrs, x.shape.length);
    combiner("scatterElements", attrs);
    const fits =
      indices.shape.length === x.shape.length &&
      updates.shape.length === x.shape.length &&
      indices.shape.every((dim, axis) => dimEqual(dim, updates.shape[axis] as Dim) !== false);
    if (!fits)
      reject(
        "scatterElements",
        `indices ${printTensorType(indices)} and updates ${printTensorType(updates)} must have the same shape, with the axes of ${printTensorType(x)}`,
      );
    return [x];
  },
  reference: (inputs, attrs) => {
    const [x, indices, updates] = [input(inputs, 0), input(inputs, 1), input(inputs, 2)];
    const axis = axisAttr("scatterElements", attrs, x.shape.length);
    const strides = stridesOf(x.shape);
    const [size, stride] = [x.shape[axis] as number, strides[axis] as number];
    const where = positions(indices.shape, strides.with(axis, 0));
    where.forEach(
      (base, i) => (where[i] = base + normaliseIndex("scatterElements", indices.data[i] as number, size) * stride),
    );
    return [scatterAt(x, where, updates.data, combiner("scatterElements", attrs))];
  },
  toleranceFor: () => sumTolerance(32),
  cases: () => [
    opCase("rows", [of("f32", 5, 4), values("i64", [0, 2, 4, 1, -1, 0, 3, 2], 2, 4), of("f32", 2, 4)], {
      axis: 0,
      reduction: "none",
    }),
    opCase("columns", [of("f32", 3, 9), values("i64", [8, 0, 3, 3, 1, 5], 3, 2), of("f32", 3, 2)], {
      axis: 1,
      reduction: "none",
    }),
    opCase("repeated", [of("f32", 1, 4), values("i64", [1, 1, 1], 1, 3), of("f32", 1, 3)], {
      axis: 1,
      reduction: "none",
    }),
    ...(["add", "mul", "max", "min"] as const).map((reduction) =>
      opCase(reduction, [of("f32", 3, 5), within("i64", 0, 3, 4, 5), of("f32", 4, 5)], { axis: 0, reduction }),
    ),
    opCase("i64", [of("i64", 7), values("i32", [6, 0, 6]), of("i64", 3)], { axis: 0, reduction: "add" }),
    opCase("no updates", [of("f32", 3), values("i64", [], 0), of("f32", 0)], { axis: 0, reduction: "none" }),
  ],
};

export const scatterND: Op = {
  name: "scatterND",
  summary: "x with slices named by index tuples replaced or combined",
  inputs: ["x", "indices", "updates"],
  infer: (types, attrs) => {
    const x = given("scatterND", types, 0, "x");
    const indices = indexTyped("scatterND", types, 1, "indices");
    const updates = given("scatterND", types, 2, "updates");
    checkSameDType("scatterND", x, updates);
    combiner("scatterND", attrs);
    const depth = indices.shape.at(-1);
    if (typeof depth !== "number")
      return reject("scatterND", `the last axis of indices ${printTensorType(indices)} must have a known size`);
    if (depth > x.shape.length)
      reject("scatterND", `tuples of ${depth} indices are too long for ${printTensorType(x)}`);
    const expected = [...indices.shape.slice(0, -1), ...x.shape.slice(depth)];
    const fits =
      updates.shape.length === expected.length &&
      expected.every((dim, axis) => dimEqual(dim, updates.shape[axis] as Dim) !== false);
    if (!fits && !sameShape(updates.shape, expected)) {
      reject(
        "scatterND",
        `updates ${printTensorType(updates)} must be ${printTensorType({ dtype: x.dtype, shape: expected })} for ${printTensorType(x)} at ${printTensorType(indices)}`,
      );
    }
    return [x];
  },
  reference: (inputs, attrs) => {
    const [x, indices, updates] = [input(inputs, 0), input(inputs, 1), input(inputs, 2)];
    const depth = indices.shape.at(-1) as number;
    const inner = x.shape.slice(depth).reduce((n, size) => n * size, 1);
    const where = new Float64Array(updates.data.length);
    for (let tuple = 0; tuple * inner < where.length; tuple++) {
      const start = tuplePosition("scatterND", indices.data, tuple * depth, x.shape, 0, depth);
      for (let j = 0; j < inner; j++) where[tuple * inner + j] = start + j;
    }
    return [scatterAt(x, where, updates.data, combiner("scatterND", attrs))];
  },
  toleranceFor: () => sumTolerance(32),
  cases: () => [
    opCase("elements", [of("f32", 9), values("i64", [4, 3, 1, -2], 4, 1), of("f32", 4)], { reduction: "none" }),
    opCase("rows", [of("f32", 4, 17), values("i64", [2, 0], 2, 1), of("f32", 2, 17)], { reduction: "none" }),
    opCase("tuples", [of("f32", 4, 5, 3), values("i64", [0, 1, 3, 4], 2, 2), of("f32", 2, 3)], { reduction: "none" }),
    ...(["add", "mul", "max", "min"] as const).map((reduction) =>
      opCase(reduction, [of("f32", 4, 3), values("i64", [0, 2, 0], 3, 1), of("f32", 3, 3)], { reduction }),
    ),
    opCase("no updates", [of("f32", 4, 3), values("i64", [], 0, 1), of("f32", 0, 3)], { reduction: "none" }),
  ],
};
