import { describe, expect, test } from "vitest";
import { UserError } from "../errors.ts";
import { GraphBuilder } from "../graph/builder.ts";
import { graph } from "../graph/methods.ts";
import { decompose } from "../passes/decompose.ts";
import { referenceDevice } from "../runtime/reference.ts";
import { Tensor } from "../runtime/tensor.ts";

const WEIGHTS = [1, 0, 0, 1, 1, 1, 2, 0, 0, 3, 1, -1];

function model(shape: readonly number[] = []): ReturnType<ReturnType<typeof graph>["build"]> {
  const g = graph("experts");
  const tokens = new GraphBuilder().freshDim("tokens");
  const x = g.input("x", "f32", [tokens, ...shape, 2]);
  const ids = g.input("ids", "i32", [tokens, 2]);
  // Two experts of three rows.
  return g.output("y", x.expertMatmul(ids, g.constant("f32", WEIGHTS, [2, 3, 2]))).build();
}

const ids = (...list: number[]): Tensor => Tensor.from("i32", Int32Array.from(list), [list.length / 2, 2]);
const floats = (list: readonly number[], ...shape: number[]): Tensor =>
  Tensor.from("f32", Float32Array.from(list), shape);

test("every slot is a product with the matrix of its expert", () => {
  const shared = referenceDevice().compile(model());
  const y = shared.runSync({ x: floats([10, 1, 20, 2], 2, 2), ids: ids(0, 1, 1, 1) })["y"] as Tensor;
  expect(y.shape).toEqual([2, 2, 3]);
  expect(y.toArray()).toEqual([10, 1, 11, 20, 3, 9, 40, 6, 18, 40, 6, 18]);
  const apart = referenceDevice().compile(model([2]));
  const rows = { x: floats([10, 1, 20, 2], 1, 2, 2), ids: ids(1, 0) };
  expect(apart.runSync(rows)["y"]?.toArray()).toEqual([20, 3, 9, 20, 2, 22]);
});

test("its decomposition takes any number of tokens", () => {
  const target = {
    keeps: (op: string) => op !== "expertMatmul",
    convLayout: "nchw",
    takesEpilogue: () => false,
  } as const;
  for (const shape of [[], [2]]) {
    const whole = model(shape);
    const parts = decompose(whole, { target, bindings: {} });
    expect(parts.nodes.map(({ op }) => op)).not.toContain("expertMatmul");
    for (const tokens of [0, 1, 3]) {
      const size = tokens * (shape[0] ?? 1) * 2;
      const inputs = {
        x: floats(
          Array.from({ length: size }, (_, i) => i - 3),
          tokens,
          ...shape,
          2,
        ),
        ids: ids(...[0, 1, 1, 1, 1, 0].slice(0, 2 * tokens)),
      };
      const [expected, actual] = [whole, parts].map((each) => referenceDevice().compile(each).runSync(inputs)["y"]);
      expect(actual?.toArray()).toEqual(expected?.toArray());
      expect(actual?.shape).toEqual([tokens, 2, 3]);
    }
  }
});

describe("mistakes", () => {
  test.each([2, -1])("expert %s of two", (wrong) => {
    const inputs = { x: floats([1, 2], 1, 2), ids: ids(0, wrong) };
    expect(() => referenceDevice().compile(model()).runSync(inputs)).toThrow(
      new UserError(`expertMatmul: expert ${wrong} of token 0, slot 1, is outside of 0..1`),
    );
  });

  test.each([
    [
      [5, 2, 1, 2],
      [5, 2],
      [2, 3, 2],
      'input "x" must be [tokens, depth] or [tokens, slots, depth], got f32[5, 2, 1, 2]',
    ],
    [[5, 3], [5, 2], [2, 3, 2], 'axis 1 of "x" must be 2, got 3'],
    [[4, 2], [5, 2], [2, 3, 2], 'axis 0 of "x" must be 5, got 4'],
    [[5, 3, 2], [5, 2], [2, 3, 2], 'axis 1 of "x" must be 2, got 3'],
    [[5, 2], [5], [2, 3, 2], 'input "ids" must have 2 axes, got i32[5]'],
    [[5, 2], [5, 2], [3, 2], 'input "w" must have 3 axes, got f32[3, 2]'],
  ])("x %j, ids %j, w %j", (x, which, w, message) => {
    const g = graph("mistake");
    const rows = g.input("x", "f32", x);
    expect(() => rows.expertMatmul(g.input("ids", "i32", which), g.input("w", "f32", w))).toThrow(
      `expertMatmul: ${message}`,
    );
  });

  test("ids of f32", () => {
    const g = graph("mistake");
    const [x, w] = [g.input("x", "f32", [5, 2]), g.input("w", "f32", [2, 3, 2])];
    expect(() => x.expertMatmul(g.input("ids", "f32", [5, 2]), w)).toThrow('input "ids" must be i64 or i32');
  });
});
