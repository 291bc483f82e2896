import { GraphBuilder, symbol, type Graph, type Value } from "@quern/core";
import { describe, expect, it } from "vitest";
import { graphFlops, multipliesDequantised } from "./graph-flops.ts";

function graphOf(build: (b: GraphBuilder) => void): Graph {
  const builder = new GraphBuilder();
  build(builder);
  return builder.build("g");
}

/** A graph whose output is one op of the given inputs. */
function one(op: string, shapes: readonly (readonly (number | ReturnType<typeof symbol>)[])[], attrs = {}): Graph {
  return graphOf((b) => {
    const inputs = shapes.map((shape, i) => b.input(`x${i}`, "f32", shape));
    b.output("y", b.apply(op, inputs, attrs)[0]!);
  });
}

describe("the arithmetic of a graph", () => {
  it.each([
    [
      "matmul",
      [
        [3, 5],
        [5, 7],
      ],
      {},
      2 * 3 * 5 * 7,
    ],
    [
      "matmul",
      [
        [2, 5, 3],
        [5, 7],
      ],
      { transposeA: true },
      2 * 2 * 3 * 5 * 7,
    ],
    ["matmul", [[17], [17, 3]], {}, 2 * 17 * 3],
    [
      "conv",
      [
        [1, 8, 10, 10],
        [16, 4, 3, 3],
      ],
      { groups: 2 },
      2 * 16 * 8 * 8 * 4 * 9,
    ],
    [
      "convTranspose",
      [
        [1, 8, 10, 10],
        [8, 4, 3, 3],
      ],
      {},
      2 * 8 * 100 * 4 * 9,
    ],
    [
      "lstm",
      [
        [6, 2, 5],
        [1, 12, 5],
        [1, 12, 3],
      ],
      { hidden: 3 },
      2 * 6 * 2 * 12 * (5 + 3),
    ],
  ] as const)("of %s %j %j", (op, shapes, attrs, flops) => {
    expect(graphFlops(one(op, shapes, attrs), {})).toBe(flops);
  });

  it("follows the values of symbols, and is not known without them", () => {
    const graph = one("matmul", [
      [symbol("batch"), 5],
      [5, 7],
    ]);
    expect(graphFlops(graph, { batch: 3 })).toBe(2 * 3 * 5 * 7);
    expect(graphFlops(graph, {})).toBeNull();
  });

  it("counts neither elementwise work nor products of constants, and knows of none where there are no products", () => {
    const constant = { dtype: "f32", shape: [2, 2], bytes: new Uint8Array(16) } as const;
    const graph = graphOf((b) => {
      const x = b.input("x", "f32", [2, 2]);
      const folded = b.apply("matmul", [
        b.constant(constant),
        b.constant({ ...constant, bytes: new Uint8Array(16).fill(1) }),
      ])[0];
      b.output("y", b.apply("add", [b.apply("matmul", [x, x])[0], folded])[0]!);
    });
    expect(graphFlops(graph, {})).toBe(16);
    expect(graphFlops(one("add", [[2], [2]]), {})).toBeNull();
  });

  it("is not known of integer products", () => {
    const graph = graphOf((b) => {
      b.output("y", b.apply("matmulInteger", [b.input("a", "u8", [2, 3]), b.input("b", "i8", [3, 2])])[0]!);
    });
    expect(graphFlops(graph, {})).toBeNull();
  });
});

describe("products of dequantised integers", () => {
  const apply = (b: GraphBuilder, op: string, inputs: readonly Value[], attrs = {}): Value =>
    b.apply(op, inputs, attrs)[0] as Value;
  const dequantised = (b: GraphBuilder, name: string): Value =>
    apply(b, "dequantizeLinear", [b.input(name, "i8", [4, 4]), b.input(`${name}Scale`, "f32", [])], {
      axis: 0,
      blockSize: 0,
      to: "f32",
    });

  it("are found, whatever moves the operands on their way", () => {
    const direct = graphOf((b) => {
      b.output("y", apply(b, "matmul", [b.input("x", "f32", [4, 4]), dequantised(b, "w")]));
    });
    expect(multipliesDequantised(direct)).toBe(true);
    // What is counted is the work in floats all the same.
    expect(graphFlops(direct, {})).toBe(2 * 4 * 4 * 4);
    const moved = graphOf((b) => {
      const w = apply(b, "transpose", [dequantised(b, "w")], { perm: [1, 0] });
      b.output("y", apply(b, "matmul", [dequantised(b, "x"), w]));
    });
    expect(multipliesDequantised(moved)).toBe(true);
  });

  it("are none where floats are multiplied, before or beside", () => {
    expect(
      multipliesDequantised(
        one("matmul", [
          [4, 4],
          [4, 4],
        ]),
      ),
    ).toBe(false);
    const beside = graphOf((b) => {
      const x = b.input("x", "f32", [4, 4]);
      b.output("y", apply(b, "add", [apply(b, "matmul", [x, x]), dequantised(b, "w")]));
    });
    expect(multipliesDequantised(beside)).toBe(false);
  });
});
