/**
 * Products of rows with the matrices of experts, of which an index tensor picks one for each row: the linear layers of a
 * mixture of experts (Shazeer et al., 2017), where a router sends every token to a few of many.
 *
 * Shapes: x [T, K], one row for all slots of a token, or [T, U, K]; ids [T, U], the expert of each slot; w [E, N, K], all
 * experts. Result: y[t, u] = w[ids[t, u]] · x[t] or x[t, u], [T, U, N]. Ids outside of 0..E-1 are a `UserError` when the
 * reference runs.
 */

import type { Dim, Shape } from "../dim.ts";
import type { GraphBuilder } from "../graph/builder.ts";
import type { Attrs, TensorType, Value } from "../graph/graph.ts";
import { printTensorType } from "../graph/print.ts";
import { constant, of, opCase, stored, values, within } from "./cases.ts";
import { type Types, checkRank, checkSize, indexTyped, reject, typedAs } from "./check.ts";
import type { Op, OpCase, RefTensor } from "./op.ts";
import { input, newRef } from "./ref-tensor.ts";
import { sumTolerance } from "./tolerance.ts";

const OP = "expertMatmul";

interface Sizes {
  readonly tokens: Dim;
  readonly slots: Dim;
  readonly experts: Dim;
  readonly columns: Dim;
  readonly depth: Dim;
  /** Whether the slots of a token read one row of x. */
  readonly shared: boolean;
}

function sizesOf(types: Types): Sizes {
  const x = typedAs(OP, types, 0, "x", ["f32"]);
  const ids = indexTyped(OP, types, 1, "ids");
  const w = typedAs(OP, types, 2, "w", ["f32"]);
  checkRank(OP, ids, "ids", 2);
  checkRank(OP, w, "w", 3);
  const shared = x.shape.length === 2;
  if (!shared && x.shape.length !== 3)
    reject(OP, `input "x" must be [tokens, depth] or [tokens, slots, depth], got ${printTensorType(x)}`);
  const [tokens, slots] = ids.shape as readonly [Dim, Dim];
  const [experts, columns, depth] = w.shape as readonly [Dim, Dim, Dim];
  const expected: Shape = shared ? [tokens, depth] : [tokens, slots, depth];
  expected.forEach((size, axis) => checkSize(OP, `axis ${axis} of "x"`, x.shape[axis] as Dim, size));
  return { tokens, slots, experts, columns, depth, shared };
}

/** The product of each row with the matrix of its expert. */
function multiply(x: RefTensor, ids: RefTensor, w: RefTensor): RefTensor {
  const { shared } = sizesOf([x, ids, w]);
  const [tokens, slots] = ids.shape as [number, number];
  const [experts, columns, depth] = w.shape as [number, number, number];
  const result = newRef("f32", [tokens, slots, columns]);
  for (let row = 0; row < tokens * slots; row++) {
    const token = Math.floor(row / slots);
    const expert = ids.data[row] as number;
    if (!(expert >= 0 && expert < experts))
      reject(OP, `expert ${expert} of token ${token}, slot ${row % slots}, is outside of 0..${experts - 1}`);
    const from = (shared ? token : row) * depth;
    for (let column = 0; column < columns; column++) {
      const weights = (expert * columns + column) * depth;
      let sum = 0;
      for (let i = 0; i < depth; i++) sum += (x.data[from + i] as number) * (w.data[weights + i] as number);
      result.data[row * columns + column] = sum;
    }
  }
  return result;
}

/** Gathers a matrix for every row. Where memory matters a device has a kernel. */
function gathered(b: GraphBuilder, [x, ids, w]: readonly [Value, Value, Value]): readonly Value[] {
  const { tokens, slots, columns, depth, shared } = sizesOf([x.type, ids.type, w.type]);
  const one = (op: string, inputs: readonly Value[], attrs: Attrs = {}): Value =>
    b.apply(op, inputs, attrs)[0] as Value;
  const matrices = one("gather", [w, ids], { axis: 0 });
  const rows = one("reshape", [x], { shape: [tokens, shared ? 1 : slots, depth, 1] });
  return [one("reshape", [one("matmul", [matrices, rows])], { shape: [tokens, slots, columns] })];
}

/** Cases of `tokens` tokens with `slots` slots each. */
function expertCase(
  name: string,
  x: readonly number[],
  [tokens, slots]: readonly [number, number],
  [experts, columns, depth]: readonly [number, number, number],
): OpCase {
  return opCase(name, [
    of("f32", ...x),
    within("i32", 0, experts, tokens, slots),
    constant(of("f32", experts, columns, depth)),
  ]);
}

export const expertMatmul: Op = {
  name: OP,
  summary: "Product of every row with the matrix of the expert that its index picks",
  inputs: ["x", "ids", "w"],
  infer: (types) => {
    const { tokens, slots, columns } = sizesOf(types);
    return [{ dtype: "f32", shape: [tokens, slots, columns] }];
  },
  reference: (inputs) => [multiply(input(inputs, 0), input(inputs, 1), input(inputs, 2))],
  decompose: (b, inputs) => gathered(b, inputs as unknown as readonly [Value, Value, Value]),
  toleranceFor: ([x]) => sumTolerance(Number((x as TensorType | undefined)?.shape.at(-1) ?? 1)),
  cases: () => [
    expertCase("one row for all slots", [5, 37], [5, 2], [4, 19, 37]),
    expertCase("a row for each slot", [3, 4, 33], [3, 4], [6, 17, 33]),
    expertCase("one token", [1, 64], [1, 3], [9, 48, 64]),
    expertCase("many tokens", [40, 16], [40, 2], [3, 16, 16]),
    expertCase("no tokens", [0, 16], [0, 2], [3, 16, 16]),
    expertCase("one expert", [4, 1, 16], [4, 1], [1, 5, 16]),
    opCase("unused experts", [of("f32", 3, 17), values("i64", [6, 1, 1, 6, 6, 1], 3, 2), of("f32", 8, 5, 17)]),
    opCase("the same expert twice", [of("f32", 2, 32), values("i32", [2, 2, 0, 0], 2, 2), of("f32", 3, 16, 32)]),
    opCase("stored as f16", [of("f32", 5, 37), within("i32", 0, 4, 5, 3), stored("F16", 4, 32, 37)]),
    opCase("stored as bf16, many rows", [of("f32", 12, 3, 40), within("i64", 0, 2, 12, 3), stored("BF16", 2, 16, 40)]),
    opCase("stored in blocks", [of("f32", 4, 64), within("i32", 0, 4, 4, 2), stored("Q4_0", 4, 16, 64)]),
    opCase("stored in blocks, odd rows", [of("f32", 4, 64), within("i32", 0, 4, 4, 2), stored("Q8_0", 4, 9, 64)]),
  ],
};
