/**
 * Weights of any graph in blocks: each form that exporters give a linear layer or an embedding computes what the decoded
 * blocks give, and everything that cannot be quantised stays, with the reason.
 */

import { describe, expect, it, test } from "vitest";
import type { BlockType } from "../encoding/block.ts";
import { weightEncodingNamed, weightEncodings } from "../encoding/weight-encodings.ts";
import { UserError } from "../errors.ts";
import { GraphBuilder } from "../graph/builder.ts";
import { type Attrs, type Graph, type Value, someNode } from "../graph/graph.ts";
import { caseInput, randomNumbers } from "../ops/case-inputs.ts";
import { referenceDevice } from "../runtime/reference.ts";
import { Tensor, elementCount } from "../runtime/tensor.ts";
import { constantOf } from "./fold-constants.ts";
import { type EncodingChoice, type QuantiseReport, quantiseWeights } from "./quantise-weights.ts";

const seed = Number(process.env["QUERN_SEED"] ?? Date.now() % 2 ** 31);
const next = randomNumbers(seed);
const ALL = { minWeights: 0 };

const floats = (...shape: number[]): Float32Array =>
  caseInput({ dtype: "f32", shape }, next).data.slice(0, elementCount(shape)) as Float32Array;

const one = (b: GraphBuilder, op: string, inputs: readonly Value[], attrs: Attrs = {}): Value =>
  b.apply(op, inputs, attrs)[0] as Value;

function constant(b: GraphBuilder, values: ArrayLike<number>, shape: readonly number[]): Value {
  return b.constant({ dtype: "f32", shape, bytes: Tensor.from("f32", values, shape).bytes() });
}

function graphOf(make: (b: GraphBuilder) => Value): Graph {
  const b = new GraphBuilder();
  b.output("y", make(b));
  return b.build("g");
}

const run = (graph: Graph, inputs: Readonly<Record<string, Tensor>>): Float32Array =>
  referenceDevice().compile(graph).runSync(inputs)["y"]!.data as Float32Array;

const encodedConstants = (graph: Graph): BlockType[] =>
  graph.nodes.flatMap((node) => constantOf(node.outputs[0] as Value)?.encoding ?? []);

/** [N, K] from [K, N]. */
function turned(values: Float32Array, k: number, n: number): Float32Array {
  return Float32Array.from({ length: k * n }, (_, at) => values[(at % k) * n + Math.floor(at / k)] as number);
}

function throughBlocks(type: BlockType, values: Float32Array): Float32Array {
  const bytes = new Uint8Array((values.length / type.blockWeights) * type.blockBytes);
  type.quantise!(values, bytes);
  const decoded = new Float32Array(values.length);
  type.dequantise(bytes, decoded);
  return decoded;
}

/** x [M, K] times rows of w [N, K], in double precision. */
function product(x: Float32Array, w: Float32Array, k: number): number[] {
  const [m, n] = [x.length / k, w.length / k];
  return Array.from({ length: m * n }, (_, at) => {
    let sum = 0;
    for (let i = 0; i < k; i++) sum += x[Math.floor(at / n) * k + i]! * w[(at % n) * k + i]!;
    return sum;
  });
}

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  expect(actual.length).toBe(expected.length);
  const worst = Math.max(...Array.from(actual, (value, i) => Math.abs(value - (expected[i] as number))));
  expect(worst, `seed ${seed}`).toBeLessThan(1e-4);
}

describe(`the forms of a linear layer (seed ${seed})`, () => {
  const [M, K, N] = [6, 64, 5];
  const x = floats(M, K);
  const w = floats(K, N);
  const wT = turned(w, K, N);
  type Form = (b: GraphBuilder) => { y: Value; x: Value };
  const input = (b: GraphBuilder, ...shape: number[]): Value => b.input("x", "f32", shape);
  const forms: Readonly<Record<string, Form>> = {
    "[K, N]": (b) => {
      const left = input(b, M, K);
      return { x: left, y: one(b, "matmul", [left, constant(b, w, [K, N])]) };
    },
    "[N, K], transposeB": (b) => {
      const left = input(b, M, K);
      return { x: left, y: one(b, "matmul", [left, constant(b, wT, [N, K])], { transposeB: true }) };
    },
    "[N, K] through a transpose, as of Gemm": (b) => {
      const left = input(b, M, K);
      const right = one(b, "transpose", [constant(b, wT, [N, K])], { perm: [1, 0] });
      return { x: left, y: one(b, "matmul", [left, right]) };
    },
    "through identity and reshape": (b) => {
      const left = input(b, M, K);
      const right = one(b, "reshape", [constant(b, w, [K * N])], { shape: [K, N] });
      return { x: left, y: one(b, "matmul", [left, one(b, "identity", [right])]) };
    },
    "x of three axes": (b) => {
      const left = input(b, 2, M / 2, K);
      return { x: left, y: one(b, "matmul", [left, constant(b, w, [K, N])]) };
    },
    "x and weights of three axes": (b) => {
      const left = input(b, 2, M / 2, K);
      const right = one(b, "transpose", [constant(b, wT, [1, N, K])], { perm: [0, 2, 1] });
      return { x: left, y: one(b, "matmul", [left, right]) };
    },
    transposeA: (b) => {
      const left = input(b, M, K);
      const swapped = one(b, "transpose", [left], { perm: [1, 0] });
      return { x: left, y: one(b, "matmul", [swapped, constant(b, w, [K, N])], { transposeA: true }) };
    },
  };

  it.each(Object.entries(forms))("%s", (_, form) => {
    let shape: readonly number[] = [];
    const graph = graphOf((b) => {
      const made = form(b);
      shape = made.x.type.shape as number[];
      return made.y;
    });
    const { graph: quantised, report } = quantiseWeights(graph, "q4_0", ALL);
    expect(report.kept).toEqual([]);
    expect(report.quantised).toMatchObject([{ op: "matmul", rows: N, columns: K, encoding: "Q4_0" }]);
    expect(quantised.outputs[0]!.value.type).toEqual(graph.outputs[0]!.value.type);
    expect(encodedConstants(quantised).map(({ name }) => name)).toEqual(["Q4_0"]);
    const expected = product(x, throughBlocks(weightEncodingNamed("Q4_0"), wT), K);
    expectClose(run(quantised, { x: Tensor.from("f32", x, shape) }), expected);
  });

  test("a vector times a matrix", () => {
    const graph = graphOf((b) => one(b, "matmul", [b.input("x", "f32", [K]), constant(b, w, [K, N])]));
    const { graph: quantised } = quantiseWeights(graph, "Q8_0", ALL);
    const row = x.subarray(0, K);
    expect(quantised.outputs[0]!.value.type.shape).toEqual([N]);
    const expected = product(row, throughBlocks(weightEncodingNamed("Q8_0"), wT), K);
    expectClose(run(quantised, { x: Tensor.from("f32", row) }), expected);
  });
});

describe("tables", () => {
  const [V, D] = [7, 96];
  const ids = Tensor.from("i64", [3, 0, -1, 6], [2, 2]);

  test(`an embedding reads decoded rows (seed ${seed})`, () => {
    const values = floats(V, D);
    const graph = graphOf((b) => one(b, "gather", [constant(b, values, [V, D]), b.input("x", "i64", [2, 2])]));
    const { graph: quantised, report } = quantiseWeights(graph, "Q5_1", ALL);
    expect(report.quantised).toMatchObject([{ op: "gather", rows: V, columns: D, bytesAfter: (V * D * 24) / 32 }]);
    const decoded = throughBlocks(weightEncodingNamed("Q5_1"), values);
    const expected = [3, 0, 6, 6].flatMap((row) => [...decoded.subarray(row * D, (row + 1) * D)]);
    expect([...run(quantised, { x: ids })]).toEqual(expected);
  });

  test("an embedding that is the head too is quantised once", () => {
    const values = floats(V, D);
    const graph = graphOf((b) => {
      const table = constant(b, values, [V, D]);
      const states = one(b, "gather", [table, b.input("x", "i64", [2, 2])]);
      return one(b, "matmul", [states, one(b, "transpose", [table], { perm: [1, 0] })]);
    });
    const { graph: quantised, report } = quantiseWeights(graph, "Q4_0", ALL);
    expect(report.quantised).toHaveLength(1);
    expect(encodedConstants(quantised)).toHaveLength(1);
  });

  test("other axes, and rows that are known already, are left alone", () => {
    const values = floats(V, D);
    const graph = graphOf((b) => {
      const table = constant(b, values, [V, D]);
      const columns = one(b, "gather", [table, b.input("x", "i64", [1])], { axis: 1 });
      const known = one(b, "gather", [table, b.constant({ dtype: "i64", shape: [1], bytes: new Uint8Array(8) })]);
      return one(b, "mul", [known, columns]);
    });
    const { report } = quantiseWeights(graph, "Q4_0", ALL);
    expect(report).toEqual({ quantised: [], kept: [], bytesBefore: 0, bytesAfter: 0 });
  });
});

describe("what does not fit", () => {
  const layer = (k: number, n: number, values: Float32Array = floats(k, n)): Graph =>
    graphOf((b) => one(b, "matmul", [b.input("x", "f32", [2, k]), constant(b, values, [k, n])]));
  const reportOf = (graph: Graph, choice: EncodingChoice, options: object = ALL): QuantiseReport =>
    quantiseWeights(graph, choice, options).report;

  it.each([
    ["Q4_K", 512, "Q4_K"],
    ["Q4_K", 384, "Q5_0"],
    ["Q5_K", 32, "Q5_1"],
    ["Q6_K", 96, "Q8_0"],
    ["Q2_K", 96, "IQ4_NL"],
    ["IQ4_XS", 96, "IQ4_NL"],
    ["Q8_0", 96, "Q8_0"],
    ["F16", 7, "F16"],
  ])("%s for rows of %i: %s", (wanted, columns, encoding) => {
    const [weight] = reportOf(layer(columns, 3), wanted).quantised;
    expect(weight?.encoding).toBe(encoding);
    expect(weight?.insteadOf).toBe(wanted === encoding ? undefined : wanted);
  });

  it("keeps rows that no block fills", () => {
    expect(reportOf(layer(100, 3), "Q4_K").kept).toMatchObject([
      { columns: 100, reason: "rows of 100 weights are no multiple of a block of Q4_K (256)" },
    ]);
  });

  it("keeps small matrices", () => {
    expect(reportOf(layer(32, 511), "Q4_0", {}).kept).toMatchObject([{ reason: "16352 weights are fewer than 16384" }]);
    expect(reportOf(layer(32, 512), "Q4_0", {}).quantised).toHaveLength(1);
  });

  it("keeps weights that are no f32, that are no numbers, or in blocks already", () => {
    const half = graphOf((b) => {
      const bytes = new Uint8Array(2 * 64);
      return one(b, "matmul", [b.input("x", "f16", [2, 32]), b.constant({ dtype: "f16", shape: [32, 2], bytes })]);
    });
    expect(reportOf(half, "Q8_0").kept).toMatchObject([{ reason: "the weights are f16" }]);
    const damaged = floats(32, 2);
    damaged[40] = NaN;
    expect(reportOf(layer(32, 2, damaged), "Q8_0").kept[0]?.reason).toContain("is NaN");
    const { graph } = quantiseWeights(layer(32, 2), "Q8_0", ALL);
    expect(reportOf(graph, "Q4_0").kept).toMatchObject([{ reason: "stored as Q8_0 already" }]);
  });

  it("takes f16 weights that are cast to f32", () => {
    const graph = graphOf((b) => {
      const bytes = Tensor.from("f16", floats(32, 2), [32, 2]).bytes();
      const weights = one(b, "cast", [b.constant({ dtype: "f16", shape: [32, 2], bytes })], { to: "f32" });
      return one(b, "matmul", [b.input("x", "f32", [2, 32]), weights]);
    });
    expect(reportOf(graph, "Q8_0").quantised).toHaveLength(1);
  });
});

test("a function chooses for each matrix", () => {
  const graph = graphOf((b) => {
    b.sourceName = "first";
    const hidden = one(b, "matmul", [b.input("x", "f32", [1, 32]), constant(b, floats(32, 64), [32, 64])]);
    b.sourceName = "second";
    const state = one(b, "matmul", [hidden, constant(b, floats(64, 32), [64, 32])]);
    b.sourceName = "head";
    return one(b, "matmul", [state, constant(b, floats(32, 4), [32, 4])]);
  });
  const choice: EncodingChoice = ({ name, rows }) =>
    name === "head" ? undefined : rows === 64 ? "Q4_1" : weightEncodingNamed("Q8_0");
  const { report } = quantiseWeights(graph, choice, ALL);
  expect(report.quantised).toMatchObject([
    { name: "first", encoding: "Q4_1" },
    { name: "second", encoding: "Q8_0" },
  ]);
  expect(report.kept).toMatchObject([{ name: "head", reason: "not chosen" }]);
  expect(report.bytesBefore).toBe(4 * 2 * 64 * 32);
  expect(report.bytesAfter).toBe(64 * 20 + 64 * 34);
});

test("weights in sub-graphs", () => {
  const values = floats(32, 3);
  const branch = (factor: number): Graph => {
    const b = new GraphBuilder();
    const x = b.input("x", "f32", [2, 32]);
    const product_ = one(b, "matmul", [x, constant(b, values, [32, 3])]);
    b.output("y", one(b, "mul", [product_, constant(b, [factor], [])]));
    return b.build("branch");
  };
  const graph = graphOf((b) =>
    one(b, "if", [b.input("c", "bool", []), b.input("x", "f32", [2, 32])], { then: branch(1), else: branch(-1) }),
  );
  const { graph: quantised } = quantiseWeights(graph, "Q4_0", ALL);
  expect(someNode(quantised, (node) => constantOf(node.outputs[0] as Value)?.encoding?.name === "Q4_0")).toBe(true);
  const x = floats(2, 32);
  const expected = product(x, throughBlocks(weightEncodingNamed("Q4_0"), turned(values, 32, 3)), 32);
  const inputs = { c: Tensor.from("bool", [0], []), x: Tensor.from("f32", x, [2, 32]) };
  expectClose(
    run(quantised, inputs),
    expected.map((value) => -value),
  );
});

describe("names of encodings", () => {
  it("finds them in any case", () => expect(weightEncodingNamed("q4_k").name).toBe("Q4_K"));

  it.each([
    ["Q9_Z", 'there is no encoding "Q9_Z"'],
    ["Q8_K", "weights cannot be quantised to Q8_K"],
    ["F32", "there is no encoding"],
  ])("%s: an error that lists those there are", (name, message) => {
    const attempt = (): unknown =>
      quantiseWeights(
        graphOf((b) => b.input("x", "f32", [1])),
        name,
      );
    expect(attempt).toThrow(UserError);
    expect(attempt).toThrow(message);
    for (const type of weightEncodings) expect(attempt).toThrow(type.name);
  });
});
