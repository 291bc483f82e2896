import { describe, expect, test } from "vitest";
import { GraphBuilder } from "../graph/builder.ts";
import type { Graph } from "../graph/graph.ts";
import { verifyGraph } from "../graph/verify.ts";
import { randomNumbers } from "../ops/case-inputs.ts";
import { runReference } from "../runtime/reference.ts";
import { simplify, simplifyRules } from "./simplify.ts";

/** The example of a rule as a graph of input x: f32[3, 4]. */
function exampleOf(rule: (typeof simplifyRules)[number]): Graph {
  const builder = new GraphBuilder();
  const x = builder.input("x", "f32", [3, 4]);
  builder.output("y", rule.example(builder, x));
  return builder.build(rule.identity);
}

describe("simplification rules", () => {
  test.each(simplifyRules.map((rule) => [rule.identity, rule] as const))("%s", (_identity, rule) => {
    const before = exampleOf(rule);
    const after = simplify(before);
    verifyGraph(after, "simplify");
    const count = (graph: Graph): string =>
      graph.nodes
        .map((node) => node.op)
        .sort()
        .join();
    expect(count(after)).not.toBe(count(before));
    const x = {
      dtype: "f32" as const,
      shape: [3, 4],
      data: new Float64Array(Float32Array.from({ length: 12 }, randomNumbers(7))),
    };
    const [expected] = runReference(before, [x]);
    const [actual] = runReference(after, [x]);
    expect(actual?.shape).toEqual(expected?.shape);
    expect(Array.from(actual?.data ?? [])).toEqual(Array.from(expected?.data ?? []));
  });
});
