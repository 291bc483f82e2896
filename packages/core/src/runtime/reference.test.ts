import { describe, expect, test } from "vitest";
import { dimAdd, dimFloorDiv, dimMul, symbol } from "../dim.ts";
import { UserError } from "../errors.ts";
import { GraphBuilder } from "../graph/builder.ts";
import { graph } from "../graph/methods.ts";
import type { Graph, Value } from "../graph/graph.ts";
import type { Tensors } from "./device.ts";
import { bindInputs } from "./inputs.ts";
import { evaluateConstantNode, referenceDevice } from "./reference.ts";
import { Tensor } from "./tensor.ts";

function sumModel(): Graph {
  const g = graph("sum");
  const [a, b] = [g.input("a", "f32", ["n", 3]), g.input("b", "f32", ["n", 3])];
  return g.output("y", a.add(b)).build();
}

function run(model: Graph, inputs: Tensors): Record<string, Tensor> {
  return referenceDevice().compile(model).runSync(inputs);
}

function f32(values: readonly number[], ...shape: number[]): Tensor {
  return Tensor.from("f32", values, shape.length > 0 ? shape : [values.length]);
}

describe("inputs are checked before anything runs", () => {
  const model = sumModel();
  const good = f32([1, 2, 3], 1, 3);

  test.each([
    ["a missing input", { a: good }, 'input "b" is missing, expected f32[n, 3]'],
    ["an unknown input", { a: good, b: good, c: good }, 'there is no input "c"; the inputs are "a", "b"'],
    [
      "a wrong dtype",
      { a: good, b: Tensor.zeros("i64", [1, 3]) },
      'input "b" has dtype i64, expected f32 (given i64[1, 3], expected f32[n, 3])',
    ],
    [
      "a wrong rank",
      { a: good, b: f32([1, 2, 3]) },
      'input "b" has 1 axes, expected 2 (given f32[3], expected f32[n, 3])',
    ],
    [
      "a wrong size",
      { a: good, b: f32([1, 2], 1, 2) },
      'input "b" axis 1 has size 2, expected 3 (given [1, 2], expected [n, 3])',
    ],
    [
      "symbols that disagree",
      { a: good, b: Tensor.zeros("f32", [2, 3]) },
      'input "b" axis 0 has size 2, expected 1 = n from input "a" axis 0 (given [2, 3], expected [n, 3])',
    ],
  ])("%s", (_what, inputs, message) => {
    expect(() => run(model, inputs as unknown as Tensors)).toThrow(new UserError(message));
  });

  test("a disposed tensor", () => {
    const gone = f32([1, 2, 3], 1, 3);
    gone.dispose();
    expect(() => run(model, { a: gone, b: good })).toThrow('input "a" was disposed');
  });

  test("all problems at once", () => {
    expect(() => run(model, { a: f32([1]), c: good })).toThrow(
      /there is no input "c".*\n.*"a" has 1 axes.*\n.*"b" is missing/,
    );
  });

  test("values of compiled bindings", () => {
    const executable = referenceDevice().compile(model, { bindings: { n: 2 } });
    expect(() => executable.runSync({ a: good, b: good })).toThrow("expected 2 = n from the compiled bindings");
  });
});

test("symbols are solved from sizes linear in them", () => {
  const n = symbol("n");
  const spec = (shape: Parameters<typeof dimAdd>[0][]): { name: string; dtype: "f32"; shape: typeof shape } => ({
    name: "x",
    dtype: "f32",
    shape,
  });
  expect(bindInputs([spec([dimAdd(dimMul(n, 2), 1), n])], { x: Tensor.zeros("f32", [7, 3]) }).bindings).toEqual({
    n: 3,
  });
  expect(bindInputs([spec([dimAdd(dimMul(n, 2), 1)])], { x: Tensor.zeros("f32", [7]) }).bindings).toEqual({ n: 3 });
  expect(() => bindInputs([spec([dimMul(n, 2)])], { x: Tensor.zeros("f32", [7]) })).toThrow(
    'input "x" axis 0 has size 7, which 2*n cannot be',
  );
  expect(() => bindInputs([spec([n, dimFloorDiv(n, 2)])], { x: Tensor.zeros("f32", [7, 4]) })).toThrow(
    "expected 3 = floordiv(n, 2)",
  );
});

test("results are rounded to their dtype once", () => {
  const g = graph("rounding");
  const x = g.input("x", "f32", [1]);
  // 1 + 2^-30 has no f32: rounding in between would lose it.
  const model = g.output("y", x.add(2 ** -30).sub(1)).build();
  expect(run(model, { x: f32([1]) })["y"]?.toArray()).toEqual([2 ** -30]);
});

test("executables end with dispose", () => {
  const executable = referenceDevice().compile(sumModel());
  executable.dispose();
  expect(() => executable.runSync({ a: f32([1, 2, 3], 1, 3), b: f32([1, 2, 3], 1, 3) })).toThrow("used after dispose");
});

test("run gives what runSync gives", async () => {
  const executable = referenceDevice().compile(sumModel());
  const inputs = { a: f32([1, 2, 3], 1, 3), b: f32([4, 5, 6], 1, 3) };
  expect((await executable.run(inputs))["y"]?.toArray()).toEqual([5, 7, 9]);
  expect(executable.dump("graph")).toContain("add(%0, %1)");
  expect(() => executable.dump("machine")).toThrow('has no stage "machine"');
});

test("errors name the node of the model", () => {
  const builder = new GraphBuilder();
  const [x, indices] = [builder.input("x", "f32", [3]), builder.input("i", "i64", [1])];
  builder.sourceName = "lookup";
  builder.output("y", builder.apply("gather", [x, indices], { axis: 0 })[0] as Value);
  const model = builder.build("named");
  expect(() => run(model, { x: f32([1, 2, 3]), i: Tensor.from("i64", [7]) })).toThrow(
    /gather: index 7 is outside of an axis of 3\n {2}at %2 "lookup"/,
  );
});

test("data-dependent sizes flow through later ops", () => {
  const builder = new GraphBuilder();
  const x = builder.input("x", "f32", [5]);
  const [where] = builder.apply("nonZero", [x]) as [Value];
  const [picked] = builder.apply(
    "gather",
    [x, builder.apply("reshape", [where], { shape: [where.type.shape[1] as never] })[0]],
    { axis: 0 },
  ) as [Value];
  builder.output("y", builder.apply("mul", [picked, picked])[0] as Value);
  const model = builder.build("nonzero");
  expect(run(model, { x: f32([0, 2, 0, -3, 0]) })["y"]?.toArray()).toEqual([4, 9]);
  expect(run(model, { x: f32([0, 0, 0, 0, 0]) })["y"]?.shape).toEqual([0]);
});

test("64-bit integers at the ends of their range survive", () => {
  const g = graph("wide");
  const x = g.input("x", "i64", [2]);
  const y = run(g.output("y", g.apply("identity", [x])[0] as typeof x).build(), {
    x: Tensor.from("i64", [2n ** 63n - 1n, -(2n ** 63n)]),
  })["y"];
  expect(Array.from(y?.data as BigInt64Array)).toEqual([2n ** 63n - 1n, -(2n ** 63n)]);
});

test("constant folding by the reference", () => {
  const builder = new GraphBuilder();
  const two = { dtype: "f32" as const, shape: [2], bytes: f32([1.5, -2]).bytes() };
  const value = builder.constant(two);
  const { node } = builder.apply("exp", [value])[0] as Value;
  const [folded] = evaluateConstantNode(node, [two]);
  expect(Array.from(new Float32Array(folded?.bytes.slice().buffer as ArrayBuffer))).toEqual([
    Math.fround(Math.exp(1.5)),
    Math.fround(Math.exp(-2)),
  ]);
});
