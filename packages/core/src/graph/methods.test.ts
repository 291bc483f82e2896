import { expect, test } from "vitest";
import { blockTypeNamed } from "../encoding/registry.ts";
import { referenceDevice } from "../runtime/reference.ts";
import { Tensor } from "../runtime/tensor.ts";
import { graph } from "./methods.ts";
import { printGraph } from "./print.ts";
import { verifyGraph } from "./verify.ts";

test("a small classifier by hand", () => {
  const g = graph("classifier");
  const x = g.input("x", "f32", ["n", 3]);
  const weights = g.constant("f32", [1, 0, 0, 1, 1, 1], [3, 2]);
  const model = g
    .output(
      "y",
      g
        .matmul(x, weights)
        .add(g.constant("f32", [0, -10]))
        .relu(),
    )
    .build();
  verifyGraph(model, "test");
  expect(printGraph(model)).toContain("relu(%4) : f32[n, 2]");
  const { y } = referenceDevice()
    .compile(model)
    .runSync({ x: Tensor.from("f32", [1, 2, 3, 4, 5, 6], [2, 3]) });
  // [1, 2, 3] · W = [4, 5]; [4, 5, 6] · W = [10, 11]
  expect(y?.toArray()).toEqual([4, 0, 10, 1]);
});

test("weights may be blocks of an encoding", () => {
  const g = graph("blocks");
  const encoding = blockTypeNamed("F16")!;
  const bytes = new Uint8Array(Float16Array.of(1, 0, 0.5, 0, 1, -2).buffer);
  const x = g.input("x", "f32", ["n", 3]);
  const y = x.matmul(g.weights({ dtype: "f32", shape: [2, 3], bytes, encoding }), { transposeB: true });
  const model = g.output("y", y).build();
  const { y: result } = referenceDevice()
    .compile(model)
    .runSync({ x: Tensor.from("f32", [1, 2, 3], [1, 3]) });
  expect(result?.toArray()).toEqual([2.5, -4]);
});

test("numbers take the dtype of the other operand, equal nodes are shared", () => {
  const g = graph("numbers");
  const x = g.input("x", "i64", [4]);
  expect(x.mul(2).dtype).toBe("i64");
  expect(x.mul(2).value).toBe(x.mul(2).value);
  expect(g.where(x.greater(0), x, -1).dtype).toBe("i64");
});

test("axes count from the end where negative", () => {
  const g = graph("axes");
  const x = g.input("x", "f32", [2, 3, 5]);
  expect(x.sum({ axes: -1 }).shape).toEqual([2, 3]);
  expect(x.mean({ axes: [0, -1], keepDims: true }).shape).toEqual([1, 3, 1]);
  expect(x.unsqueeze([0, -1]).shape).toEqual([1, 2, 3, 5, 1]);
  expect(x.unsqueeze(-1).squeeze(-1).shape).toEqual([2, 3, 5]);
  expect(x.transpose([0, 2, -2]).shape).toEqual([2, 5, 3]);
  expect(x.slice(-1, 1, -1, 2).shape).toEqual([2, 3, 2]);
  expect(() => x.softmax(3)).toThrow("axis 3 is outside of f32[2, 3, 5]");
});

test("reshape works out -1, also beside symbols", () => {
  const g = graph("reshape");
  const x = g.input("x", "f32", ["n", 4, 6]);
  expect(x.reshape(["n", 24]).shape.map(String)).toEqual(["n", "24"]);
  expect(x.reshape([-1, 8]).shape.map(String)).toEqual(["3*n", "8"]);
  expect(x.flatten().shape.map(String)).toEqual(["n", "24"]);
  expect(() => g.input("y", "f32", [5]).reshape([-1, 2])).toThrow("reshape: f32[5] does not divide into [-1, 2]");
});

test("a convolution net", () => {
  const g = graph("net");
  const x = g.input("x", "f32", [1, 1, 8, 8]);
  const y = x
    .conv(g.constant("f32", new Float32Array(2 * 9).fill(1), [2, 1, 3, 3]), {
      padding: 1,
      bias: g.constant("f32", [0, 5]),
    })
    .relu()
    .maxPool([2, 2])
    .averagePool([4, 4])
    .flatten();
  expect(y.shape).toEqual([1, 2]);
  const model = g.output("y", y).build();
  const result = referenceDevice()
    .compile(model)
    .runSync({ x: Tensor.from("f32", new Float32Array(64).fill(1), [1, 1, 8, 8]) });
  // Every 2×2 window has an inner element with all nine neighbours.
  expect(result["y"]?.toArray()).toEqual([9, 14]);
});

test("values of another graph are refused", () => {
  const [a, b] = [graph("a"), graph("b")];
  const [x, y] = [a.input("x", "f32", [1]), b.input("y", "f32", [1])];
  expect(() => x.add(y)).toThrow("a value of another graph was given");
  expect(() => a.relu(y)).toThrow("a value of another graph was given");
});

test("no op gives a size that is none", () => {
  const g = graph("sizes");
  const x = g.input("x", "f32", [1]);
  expect(() => g.apply("expand", [x], { shape: [-3] })).toThrow("expand: the output would have shape [-3]");
  expect(() => g.apply("expand", [x], { shape: [1e300] })).toThrow("expand: the output would have shape");
});
