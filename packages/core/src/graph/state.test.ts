import { describe, expect, test } from "vitest";
import type { PassTarget } from "../passes/pass.ts";
import { optimise } from "../passes/pipeline.ts";
import { referenceDevice } from "../runtime/reference.ts";
import { Tensor } from "../runtime/tensor.ts";
import { InternalError, UserError } from "../errors.ts";
import { CaseGraph } from "../ops/case-graphs.ts";
import { findOp } from "../ops/registry.ts";
import type { Graph, Value } from "./graph.ts";
import { type GraphScope, type Var, graph } from "./methods.ts";
import type { AttentionCache } from "./op-methods.ts";
import { stateOf } from "./state.ts";
import { verifyGraph } from "./verify.ts";

const [heads, head, pageSize] = [2, 4, 16];

function inputs(g: GraphScope, layer = ""): { token: Var; cache: AttentionCache } {
  return {
    token: g.input(`token${layer}`, "f32", ["t", heads, head]),
    cache: {
      keys: g.input(`keys${layer}`, "f32", ["n", heads, head, pageSize]),
      values: g.input(`values${layer}`, "f32", ["n", heads, pageSize, head]),
      runs: g.input(`runs${layer}`, "i32", ["r", 4]),
      pages: g.input(`pages${layer}`, "i32", ["s", "p"]),
    },
  };
}

function onePrompt(count: number): Record<string, Tensor> {
  const ramp = Float32Array.from({ length: count * heads * head }, (_, i) => Math.sin(i));
  return {
    token: Tensor.from("f32", ramp, [count, heads, head]),
    keys: Tensor.zeros("f32", [2, heads, head, pageSize]),
    values: Tensor.zeros("f32", [2, heads, pageSize, head]),
    runs: Tensor.from("i32", [0, count, 0, 3], [1, 4]),
    pages: Tensor.from("i32", [1, 0], [1, 2]),
  };
}

/** A device that would let work follow anything. */
const target: PassTarget = {
  keeps: () => true,
  convLayout: "nhwc",
  takesEpilogue: ({ op }) => op === "attention",
};

describe("state", () => {
  test("is updated in the caller's tensors, by run and by runSync", async () => {
    const g = graph("step");
    const { token, cache } = inputs(g);
    const model = g.output("y", g.attention(token, token, token, cache)).build();
    const executable = referenceDevice().compile(model);
    const [first, second] = [onePrompt(2), onePrompt(2)];
    executable.runSync(first);
    await executable.run(second);
    // Head 1, element 2 of token 1 is at position 4 of page 1.
    const expected = Math.fround(Math.sin((1 * heads + 1) * head + 2));
    for (const { keys, values } of [first, second] as { keys: Tensor; values: Tensor }[]) {
      expect(keys.data[((1 * heads + 1) * head + 2) * pageSize + 4]).toBe(expected);
      expect(values.data[((1 * heads + 1) * pageSize + 4) * head + 2]).toBe(expected);
      expect(keys.toArray().filter((x) => x !== 0)).toHaveLength(2 * heads * head - 1);
    }
  });

  test("is a matter of graph inputs that one node reads", () => {
    const twice = graph("twice");
    const { token, cache } = inputs(twice);
    twice.output("a", twice.attention(token, token, token, cache));
    twice.output("b", twice.attention(token.add(1), token, token, cache));
    expect(() => twice.build()).toThrow(
      new UserError('graph "twice": attention updates input "keys", which is read more than once'),
    );

    const shown = graph("shown");
    const other = inputs(shown);
    shown.output("y", shown.attention(other.token, other.token, other.token, other.cache));
    shown.output("keys", other.cache.keys);
    expect(() => shown.build()).toThrow('updates input "keys", which is an output as well');

    const made = graph("made");
    const { token: x, cache: own } = inputs(made);
    expect(() => made.attention(x, x, x, { ...own, keys: own.keys.mul(2) })).toThrow(
      'attention: "keys" is state and must be an input of the graph, got the result of mul',
    );
  });

  test("belongs to the outermost graph", () => {
    const inner = graph("inner");
    const { token, cache } = inputs(inner);
    const body = inner.output("y", inner.attention(token, token, token, cache)).build();
    const outer = graph("outer");
    const own = inputs(outer);
    const operands = [own.token, own.cache.keys, own.cache.values, own.cache.runs, own.cache.pages];
    outer.output("y", outer.apply("group", operands, { body })[0] as Var);
    expect(() => outer.build()).toThrow('group: its graph "inner" updates state, which only the outermost graph may');
  });

  test("stays, whether or not the result is read, and through every pass", () => {
    const g = graph("unread");
    const { token, cache } = inputs(g);
    g.attention(token, token, token, cache);
    const next = inputs(g, "2");
    const y = g.attention(next.token.mul(2), next.token, next.token, next.cache).add(1).mul(3);
    const model = g.output("y", y).build();
    const { graph: optimised } = optimise(model, { target, bindings: {} });
    for (const each of [model, optimised]) {
      expect(each.nodes.filter(({ op }) => op === "attention")).toHaveLength(2);
      expect([...stateOf(each)].map(({ node }) => node.attrs["name"])).toEqual(["keys", "values", "keys2", "values2"]);
    }
  });

  test("rules are verified between passes", () => {
    const g = new CaseGraph();
    const attention = findOp("attention");
    const [opCase] = attention.cases();
    const args = (opCase?.inputs ?? []).map((input, i) =>
      g.input(`x${i}`, { dtype: input?.dtype ?? "f32", shape: input?.shape ?? [] }),
    );
    const type = (args[0] as Value).type;
    const results = [0, 1].map(() => g.node("attention", args, {}, [type])[0] as Value);
    const broken: Graph = g.build("broken", { a: results[0] as Value, b: results[1] as Value });
    expect(() => verifyGraph(broken, "pass")).toThrow(InternalError);
    expect(() => verifyGraph(broken, "pass")).toThrow('pass: graph "broken": attention updates input "x5"');
  });
});

describe("attention", () => {
  const build = (
    change: (cache: AttentionCache, g: GraphScope) => Partial<AttentionCache>,
    options = {},
  ): (() => Var) => {
    const g = graph("wrong");
    const { token, cache } = inputs(g);
    return () => g.attention(token, token, token, { ...cache, ...change(cache, g) }, options);
  };

  test("says what is wrong with its inputs", () => {
    expect(build((_, g) => ({ keys: g.input("k2", "f32", ["n", heads, head, 20]) }))).toThrow(
      "attention: pages of 20 tokens\n  give a multiple of 16",
    );
    expect(build((_, g) => ({ values: g.input("v2", "f16", ["n", heads, pageSize, head]) }))).toThrow(
      'attention: input "values" must be f32, got f16',
    );
    expect(build((_, g) => ({ runs: g.input("r2", "i32", ["r", 3]) }))).toThrow('axis 1 of "runs" must be 4, got 3');
    expect(build((_, g) => ({ keyScales: g.input("s", "f16", ["n", heads, 1, pageSize]) }))).toThrow(
      'input "keyScales" belongs to a cache of i8, not f32',
    );
    expect(
      build((_, g) => ({
        keys: g.input("k2", "i8", ["n", heads, head, pageSize]),
        values: g.input("v2", "i8", ["n", heads, pageSize, head]),
      })),
    ).toThrow("a cache of i8 has a scale for every 32 elements of a head, which has 4");
    expect(build(() => ({}), { window: 1.5 })).toThrow('attribute "window" is 1.5');
    expect(build(() => ({}), { scale: 0 })).toThrow('attribute "scale" is 0, expected a positive number');
  });

  test("says what is wrong with runs and pages", () => {
    const g = graph("step");
    const { token, cache } = inputs(g);
    const executable = referenceDevice().compile(g.output("y", g.attention(token, token, token, cache)).build());
    const run = (changes: Record<string, Tensor>): (() => unknown) => {
      return () => executable.runSync({ ...onePrompt(3), ...changes });
    };
    expect(run({ runs: Tensor.from("i32", [0, 2, 0, 0], [1, 4]) })).toThrow('"runs" cover 2 of 3 tokens');
    expect(run({ runs: Tensor.from("i32", [1, 2, 0, 0], [1, 4]) })).toThrow("the next token is 0");
    expect(run({ runs: Tensor.from("i32", [0, 3, 0, 30], [1, 4]) })).toThrow("position 32 of sequence 0 has no entry");
    expect(run({ pages: Tensor.from("i32", [2, 0], [1, 2]) })).toThrow("page 2 of sequence 0 is not among the 2");
  });
});
