import { expect, test } from "vitest";
import { Tensor } from "../runtime/tensor.ts";
import { transposeConstant } from "./move-constant.ts";

test.each([
  ["f32", [2, 3, 4], [2, 0, 1]],
  ["i64", [3, 5], [1, 0]],
  ["u8", [2, 2, 2, 3], [3, 1, 0, 2]],
  ["f16", [4, 0, 2], [1, 2, 0]],
  ["f64", [7], [0]],
] as const)("transposes %s %j by %j", (dtype, shape, perm) => {
  const size = shape.reduce<number>((n, dim) => n * dim, 1);
  const tensor = Tensor.from(
    dtype,
    Array.from({ length: size }, (_, i) => i),
    shape,
  );
  const moved = transposeConstant({ dtype, shape, bytes: tensor.bytes() }, perm);
  expect(moved.shape).toEqual(perm.map((axis) => shape[axis]));
  const strideOf = (axis: number): number => shape.slice(axis + 1).reduce<number>((n, dim) => n * dim, 1);
  const expected: number[] = [];
  const visit = (at: number, offset: number): void => {
    const axis = perm[at];
    if (axis === undefined) expected.push(offset);
    else for (let i = 0; i < (shape[axis] as number); i++) visit(at + 1, offset + i * strideOf(axis));
  };
  visit(0, 0);
  const copy = Tensor.zeros(dtype, moved.shape);
  copy.bytes().set(moved.bytes);
  expect(copy.toArray()).toEqual(expected);
});
