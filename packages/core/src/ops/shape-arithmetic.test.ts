import { expect, test } from "vitest";
import { type Dim, printDim, printShape } from "../dim.ts";
import { GraphBuilder } from "../graph/builder.ts";
import { graph } from "../graph/methods.ts";
import type { Size } from "../graph/op-methods.ts";
import type { Attrs, Value } from "../graph/graph.ts";
import { symbol } from "../dim.ts";
import { Tensor } from "../runtime/tensor.ts";

/** Chains of shape arithmetic as exporters write them, on symbolic sizes. */

class Chain {
  readonly b: GraphBuilder = new GraphBuilder();

  input(shape: readonly Size[]): Value {
    return this.b.input(
      "x",
      "f32",
      shape.map((size): Dim => (typeof size === "string" ? symbol(size) : size)),
    );
  }

  list(...values: number[]): Value {
    return this.b.constant({ dtype: "i64", shape: [values.length], bytes: Tensor.from("i64", values).bytes() });
  }

  scalar(value: number, dtype: "i64" | "f32" = "i64"): Value {
    return this.b.constant({ dtype, shape: [], bytes: Tensor.from(dtype, [value], []).bytes() });
  }

  apply(op: string, inputs: readonly Value[], attrs: Attrs = {}): Value {
    return this.b.apply(op, inputs, attrs)[0] as Value;
  }

  text(value: Value): string | undefined {
    return this.b.dims(value)?.map(printDim).join(", ");
  }
}

test("shape, gather, concat, reshape", () => {
  const c = new Chain();
  const x = c.input(["batch", "length", 64]);
  const shape = c.apply("shapeOf", [x]);
  const size = (axis: number): Value =>
    c.apply("reshape", [c.apply("gather", [shape, c.scalar(axis)], { axis: 0 })], { shape: [1] });
  const target = c.apply("concat", [size(0), size(1), c.list(8, -1)], { axis: 0 });
  expect(c.text(target)).toBe("batch, length, 8, -1");
  const heads = c.apply("reshapeDynamic", [x, target], { allowZero: false });
  expect(printShape(heads.type.shape)).toBe("[batch, length, 8, 8]");
  const merged = c.apply("reshapeDynamic", [heads, c.list(0, 0, -1)], { allowZero: false });
  expect(printShape(merged.type.shape)).toBe("[batch, length, 64]");
});

test("expand by a shape with -1 chosen away", () => {
  const c = new Chain();
  const x = c.input(["n", 1]);
  const wanted = c.apply(
    "concat",
    [c.apply("slice", [c.apply("shapeOf", [x])], { starts: [0], sizes: [1], steps: [1] }), c.list(-1)],
    { axis: 0 },
  );
  const ones = c.apply("expand", [c.list(1)], { shape: [2] });
  const isOpen = c.apply("equal", [wanted, c.apply("mul", [ones, c.scalar(-1)])]);
  // n is at least 0, so it is not -1.
  expect(c.text(isOpen)).toBe("0, 1");
  const shape = c.apply("where", [isOpen, ones, wanted]);
  expect(printShape(c.apply("expandDynamic", [x, shape]).type.shape)).toBe("[n, 1]");
});

test("positions up to a symbolic length, from a table of known size", () => {
  const c = new Chain();
  const x = c.input(["batch", "length"]);
  const length = c.apply("gather", [c.apply("shapeOf", [x]), c.scalar(1)], { axis: 0 });
  const positions = c.apply("range", [c.scalar(0), length, c.scalar(1)]);
  expect(printShape(positions.type.shape)).toBe("[length]");
  const table = c.apply("expand", [c.scalar(0)], { shape: [1, 512] });
  const ends = c.apply("reshape", [length], { shape: [1] });
  const cut = c.apply("sliceDynamic", [table, c.list(0), ends, c.list(1)]);
  expect(printShape(cut.type.shape)).toBe("[1, length]");
});

test("sizes that pass through floats", () => {
  const c = new Chain();
  const x = c.input([1, 3, "h", 25]);
  const sizes = c.apply("slice", [c.apply("shapeOf", [x])], { starts: [2], sizes: [2], steps: [1] });
  const doubled = c.apply("floor", [c.apply("mul", [c.apply("cast", [sizes], { to: "f32" }), c.scalar(2, "f32")])]);
  expect(c.text(c.apply("cast", [doubled], { to: "i64" }))).toBe("2*h, 50");
  const halved = c.apply("floor", [c.apply("mul", [c.apply("cast", [sizes], { to: "f32" }), c.scalar(0.5, "f32")])]);
  // Half of h may be no size: better unknown than wrong.
  expect(c.text(halved)).toBeUndefined();
});

test("integer division, remainders, products and conditions", () => {
  const c = new Chain();
  const x = c.input(["n", 6]);
  const n = c.apply("gather", [c.apply("shapeOf", [x]), c.scalar(0)], { axis: 0 });
  const text = (op: string, ...inputs: Value[]): string | undefined => c.text(c.apply(op, inputs));
  expect(text("div", c.apply("mul", [n, c.scalar(6)]), c.scalar(3))).toBe("2*n");
  expect(text("div", n, c.scalar(2))).toBe("floordiv(n, 2)");
  expect(text("div", c.apply("sub", [n, c.scalar(5)]), c.scalar(2))).toBeUndefined();
  expect(text("mod", n, c.scalar(2))).toBe("mod(n, 2)");
  expect(c.text(c.apply("reduceProd", [c.apply("shapeOf", [x])], { axes: [0], keepDims: false }))).toBe("6*n");
  expect(text("less", c.apply("add", [n, c.scalar(3)]), c.scalar(2))).toBe("0");
  expect(text("less", n, c.scalar(2))).toBeUndefined();
  expect(text("maximum", n, c.scalar(-1))).toBe("n");
  expect(text("minimum", n, c.scalar(8))).toBe("min(8, n)");
});

test("shapes of hand-written graphs stay symbolic", () => {
  const g = graph("symbols");
  const x = g.input("x", "f32", ["n", "length", 32]);
  const scores = x.matmul(x.transpose([0, 2, 1])).softmax();
  expect(printShape(scores.shape)).toBe("[n, length, length]");
  expect(printShape(scores.matmul(x).mean({ axes: 1 }).shape)).toBe("[n, 32]");
  expect(printShape(x.concat([x], 1).shape)).toBe("[n, 2*length, 32]");
  expect(printShape(x.slice(1, 1).shape)).toBe("[n, length - 1, 32]");
});
