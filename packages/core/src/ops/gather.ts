/**
 * Reading elements by index tensors. Negative indices count from the end; others out of range are a `UserError` when
 * the reference runs.
 */

import { type Dim, dimEqual } from "../dim.ts";
import { printTensorType } from "../graph/print.ts";
import { axisAttr, numberAttr } from "./attrs.ts";
import { constant, of, opCase, scalar, stored, values, within } from "./cases.ts";
import { checkRankAtLeast, given, indexTyped, reject } from "./check.ts";
import { normaliseIndex, tuplePosition } from "./indices.ts";
import type { Op } from "./op.ts";
import { gatherAt, input, positions, stridesOf } from "./ref-tensor.ts";

export const gather: Op = {
  name: "gather",
  summary: "Slices of x along an axis, picked by an index tensor whose axes take the place of that axis",
  inputs: ["x", "indices"],
  infer: (types, attrs) => {
    const x = given("gather", types, 0, "x");
    checkRankAtLeast("gather", x, "x", 1);
    const indices = indexTyped("gather", types, 1, "indices");
    const axis = axisAttr("gather", attrs, x.shape.length, "axis", 0);
    return [{ dtype: x.dtype, shape: [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)] }];
  },
  reference: (inputs, attrs) => {
    const [x, indices] = [input(inputs, 0), input(inputs, 1)];
    const axis = axisAttr("gather", attrs, x.shape.length, "axis", 0);
    const strides = stridesOf(x.shape);
    const [size, stride] = [x.shape[axis] as number, strides[axis] as number];
    const picked = Array.from(indices.data, (index) => normaliseIndex("gather", index, size) * stride);
    const outer = positions(x.shape.slice(0, axis), strides.slice(0, axis));
    const inner = positions(x.shape.slice(axis + 1), strides.slice(axis + 1));
    const where = new Float64Array(outer.length * picked.length * inner.length);
    let at = 0;
    for (const base of outer) for (const offset of picked) for (const rest of inner) where[at++] = base + offset + rest;
    return [gatherAt(x, [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)], where)];
  },
  dims: ([x, indices], _attrs, types) => {
    if (x === undefined || indices === undefined || types[0]?.shape.length !== 1) return undefined;
    const result: Dim[] = [];
    for (const index of indices) {
      const element = typeof index === "number" ? x[index < 0 ? index + x.length : index] : undefined;
      if (element === undefined) return undefined;
      result.push(element);
    }
    return result;
  },
  cases: () => [
    opCase("rows", [of("f32", 9, 17), values("i64", [0, 8, 3, 3, -1, -9])], { axis: 0 }),
    opCase("embedding", [constant(of("f32", 33, 16)), within("i64", 0, 33, 2, 5)], { axis: 0 }),
    opCase("embedding stored in blocks", [stored("Q6_K", 33, 256), within("i64", 0, 33, 5)], { axis: 0 }),
    opCase("embedding stored as f16", [stored("F16", 33, 7), within("i32", 0, 33, 2, 3)], { axis: 0 }),
    opCase("columns", [of("f32", 5, 7), values("i32", [6, 0, -7, 2], 2, 2)], { axis: 1 }),
    opCase("scalar index", [of("f32", 5, 7), scalar("i64", -2)], { axis: 0 }),
    opCase("list", [values("i64", [3, 5, 7]), values("i64", [2, 0])], { axis: 0 }),
    opCase("element", [values("i64", [3, 5, 7]), scalar("i64", 1)], { axis: 0 }),
    opCase("no indices", [of("f32", 5, 7), values("i64", [], 0)], { axis: 0 }),
    opCase("middle", [of("f16", 2, 5, 3), values("i64", [4, 1])], { axis: 1 }),
    opCase("u8", [of("u8", 9, 4), values("i64", [7, 1, 0])], { axis: 0 }),
    opCase("bool", [of("bool", 9), values("i64", [7, 1, 0])], { axis: 0 }),
  ],
};

export const gatherElements: Op = {
  name: "gatherElements",
  summary: "Element by element along an axis: the index tensor has the shape of the result",
  inputs: ["x", "indices"],
  infer: (types, attrs) => {
    const x = given("gatherElements", types, 0, "x");
    const indices = indexTyped("gatherElements", types, 1, "indices");
    axisAttr("gatherElements", attrs, x.shape.length);
    if (indices.shape.length !== x.shape.length)
      reject("gatherElements", `indices ${printTensorType(indices)} must have as many axes as ${printTensorType(x)}`);
    return [{ dtype: x.dtype, shape: indices.shape }];
  },
  reference: (inputs, attrs) => {
    const [x, indices] = [input(inputs, 0), input(inputs, 1)];
    const axis = axisAttr("gatherElements", attrs, x.shape.length);
    const strides = stridesOf(x.shape);
    const [size, stride] = [x.shape[axis] as number, strides[axis] as number];
    // Where the other axes lead; the axis itself does not move.
    const where = positions(indices.shape, strides.with(axis, 0));
    where.forEach(
      (base, i) => (where[i] = base + normaliseIndex("gatherElements", indices.data[i] as number, size) * stride),
    );
    return [gatherAt(x, indices.shape, where)];
  },
  cases: () => [
    opCase("rows", [of("f32", 4, 17), within("i64", -4, 4, 3, 17)], { axis: 0 }),
    opCase("columns", [of("f32", 4, 9), within("i64", 0, 9, 4, 5)], { axis: 1 }),
    opCase("smaller", [of("f32", 4, 9, 3), within("i32", 0, 9, 2, 5, 1)], { axis: 1 }),
    opCase("empty", [of("f32", 4, 9), of("i64", 0, 9)], { axis: 0 }),
    opCase("i64", [of("i64", 5), within("i64", 0, 5, 9)], { axis: 0 }),
  ],
};

export const gatherND: Op = {
  name: "gatherND",
  summary: "Slices of x named by index tuples, the last axis of `indices`; the first batchDims axes go together",
  inputs: ["x", "indices"],
  infer: (types, attrs) => {
    const x = given("gatherND", types, 0, "x");
    const indices = indexTyped("gatherND", types, 1, "indices");
    const batch = numberAttr("gatherND", attrs, "batchDims", 0);
    const depth = indices.shape.at(-1);
    if (typeof depth !== "number")
      return reject("gatherND", `the last axis of indices ${printTensorType(indices)} must have a known size`);
    if (batch >= Math.min(indices.shape.length, x.shape.length + 1))
      reject("gatherND", `${batch} batch axes are too many for ${printTensorType(x)} and ${printTensorType(indices)}`);
    if (batch + depth > x.shape.length)
      reject("gatherND", `tuples of ${depth} indices are too long for ${printTensorType(x)} with ${batch} batch axes`);
    for (let axis = 0; axis < batch; axis++) {
      if (dimEqual(x.shape[axis] as Dim, indices.shape[axis] as Dim) === false)
        reject("gatherND", `batch axes of ${printTensorType(x)} and ${printTensorType(indices)} differ`);
    }
    return [{ dtype: x.dtype, shape: [...indices.shape.slice(0, -1), ...x.shape.slice(batch + depth)] }];
  },
  reference: (inputs, attrs) => {
    const [x, indices] = [input(inputs, 0), input(inputs, 1)];
    const batch = numberAttr("gatherND", attrs, "batchDims", 0);
    const depth = indices.shape.at(-1) as number;
    const strides = stridesOf(x.shape);
    const tuples = indices.shape.slice(0, -1);
    const batchStarts = positions(
      tuples,
      tuples.map((_, axis) => (axis < batch ? (strides[axis] as number) : 0)),
    );
    const inner = positions(x.shape.slice(batch + depth), strides.slice(batch + depth));
    const where = new Float64Array(batchStarts.length * inner.length);
    batchStarts.forEach((base, i) => {
      const start = base + tuplePosition("gatherND", indices.data, i * depth, x.shape, batch, depth);
      inner.forEach((offset, j) => (where[i * inner.length + j] = start + offset));
    });
    return [gatherAt(x, [...tuples, ...x.shape.slice(batch + depth)], where)];
  },
  cases: () => [
    opCase("elements", [of("f32", 4, 5), values("i64", [0, 1, 3, 4, -1, -5], 3, 2)], { batchDims: 0 }),
    opCase("rows", [of("f32", 4, 17), values("i64", [3, 0, -4], 3, 1)], { batchDims: 0 }),
    opCase("batch", [of("f32", 2, 4, 5), values("i64", [3, 1], 2, 1)], { batchDims: 1 }),
    opCase("nested", [of("f32", 2, 3, 4), values("i64", [1, 0, 0, 2, 1, 1, 0, 0], 2, 2, 2)], { batchDims: 0 }),
    opCase("no tuples", [of("f32", 4, 5), values("i64", [], 0, 2)], { batchDims: 0 }),
  ],
};
