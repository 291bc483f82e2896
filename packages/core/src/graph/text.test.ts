import { describe, expect, test } from "vitest";
import { symbol } from "../dim.ts";
import { Tensor } from "../runtime/tensor.ts";
import { GraphBuilder } from "./builder.ts";
import { parseGraph } from "./parse.ts";
import { type ConstantTable, printGraph } from "./print.ts";

function sample(): GraphBuilder {
  const b = new GraphBuilder();
  const x = b.input('x "quoted"', "f32", [symbol("n"), 8]);
  const weights = Tensor.from(
    "f32",
    Array.from({ length: 64 }, (_, i) => i / 7),
    [8, 8],
  );
  const w = b.constant({ dtype: "f32", shape: [8, 8], bytes: weights.bytes() });
  const half = b.constant({ dtype: "f32", shape: [], bytes: Tensor.from("f32", [0.5], []).bytes() });
  b.sourceName = "layer/1";
  const product = b.apply("matmul", [x, w])[0];
  const scaled = b.apply("mul", [product, half])[0];
  b.output("y", b.apply("clamp", [scaled], { min: -0, max: Infinity })[0] as never);
  b.output("t", b.apply("transpose", [scaled], { perm: [1, 0] })[0] as never);
  return b;
}

describe("graph text", () => {
  test("prints as documented", () => {
    const table: ConstantTable = { constants: [] };
    expect(printGraph(sample().build("m"), table)).toBe(`graph @"m"(%0 "x \\"quoted\\"": f32[n, 8]) {
  %1 = constant {value = f32[8, 8] @0} : f32[8, 8]
  %2 = constant {value = f32[] x"0000003f"} : f32[]
  %3 = matmul(%0, %1) : f32[n, 8] // "layer/1"
  %4 = mul(%3, %2) : f32[n, 8] // "layer/1"
  %5 = clamp(%4) {min = -0, max = +inf} : f32[n, 8] // "layer/1"
  %6 = transpose(%4) {perm = [1, 0]} : f32[8, n] // "layer/1"
  return %5 "y", %6 "t"
}
`);
    expect(table.constants).toHaveLength(1);
  });

  test("parses back to the same text", () => {
    const table: ConstantTable = { constants: [] };
    const text = printGraph(sample().build("m"), table);
    const again: ConstantTable = { constants: [] };
    expect(printGraph(parseGraph(text, table), again)).toBe(text);
  });

  test("malformed text is a user error with a place", () => {
    expect(() => parseGraph('graph @"m"() {\n  %0 = relu(%7) : f32[1]\n  return\n}')).toThrow("line 2");
    expect(() => parseGraph('graph @"m"(%0 "x": f32[2]) {\n  %1 = relu(%0) : f32[3]\n  return %1 "y"\n}')).toThrow(
      "the inferred types f32[2]",
    );
    expect(() => parseGraph('graph @"m"(%0 "x": f32[2]) { return %0 "y" } rest')).toThrow("expected the end");
  });
});
