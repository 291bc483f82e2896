/** Op versions, shape arithmetic, control flow and functions, on models made in memory and run by the interpreter. */

import { describe, expect, it } from "vitest";
import { type Graph, Tensor, UnsupportedError, printShape, referenceDevice } from "@quern/core";
import { type ImportOptions, importOnnx } from "./import.ts";
import { type Partially, encodeMessage } from "./proto/encode.ts";
import {
  type AttributeProto,
  type FunctionProto,
  type GraphProto,
  type ModelProto,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
  modelSpec,
} from "./proto/schema.ts";

type Part<T> = Partially<T>;

function attribute(
  name: string,
  value:
    | number
    | string
    | readonly number[]
    | Part<GraphProto>
    | { readonly float: number }
    | { readonly floats: readonly number[] },
): Part<AttributeProto> {
  if (typeof value === "number") return { name, type: 2, i: value };
  if (typeof value === "string") return { name, type: 3, s: new TextEncoder().encode(value) };
  if (Array.isArray(value)) return { name, type: 7, ints: value as number[] };
  if ("float" in value) return { name, type: 1, f: value.float };
  if ("floats" in value) return { name, type: 6, floats: value.floats };
  return { name, type: 5, g: value as Part<GraphProto> };
}

function node(
  opType: string,
  input: readonly string[],
  output: readonly string[],
  attributes: Readonly<Record<string, Parameters<typeof attribute>[1]>> = {},
): Part<NodeProto> {
  return {
    opType,
    name: `${opType} of ${output[0]}`,
    input,
    output,
    attribute: Object.entries(attributes).map(([name, value]) => attribute(name, value)),
  };
}

function f32(name: string, dims: readonly number[], values: readonly number[]): Part<TensorProto> {
  return { name, dims, dataType: 1, floatData: Float32Array.from(values) };
}

function i64(name: string, values: readonly number[], dims: readonly number[] = [values.length]): Part<TensorProto> {
  return { name, dims, dataType: 7, int64Data: BigInt64Array.from(values, BigInt) };
}

function input(name: string, shape: readonly (number | string)[], elemType: number = 1): Part<ValueInfoProto> {
  return {
    name,
    type: {
      tensorType: {
        elemType,
        shape: { dim: shape.map((dim) => (typeof dim === "number" ? { dimValue: dim } : { dimParam: dim })) },
      },
    },
  };
}

function model(opset: number, graph: Part<GraphProto>, more: Part<ModelProto> = {}): Uint8Array {
  return encodeMessage(modelSpec, {
    irVersion: 8,
    opsetImport: [{ domain: "", version: opset }],
    graph: { name: "g", ...graph },
    ...more,
  } as Part<ModelProto>);
}

function load(opset: number, graph: Part<GraphProto>, more: Part<ModelProto> = {}, options: ImportOptions = {}): Graph {
  return importOnnx(model(opset, graph, more), options).graph;
}

function ops(graph: Graph): string[] {
  return graph.nodes.map((entry) => entry.op).filter((op) => op !== "input" && op !== "constant");
}

/** Outputs of a graph as plain numbers. */
function run(
  graph: Graph,
  inputs: Readonly<Record<string, Tensor>> = {},
): Record<string, { shape: readonly number[]; values: number[] }> {
  const outputs = referenceDevice().compile(graph).runSync(inputs);
  return Object.fromEntries(
    Object.entries(outputs).map(([name, tensor]) => [name, { shape: tensor.shape, values: tensor.toArray() }]),
  );
}

/** One node over constants: its first output. */
function apply(
  opset: number,
  opType: string,
  tensors: readonly Part<TensorProto>[],
  attributes: Parameters<typeof node>[3] = {},
): { shape: readonly number[]; values: number[] } {
  const names = tensors.map((tensor) => tensor.name ?? "");
  const graph = load(opset, {
    node: [node(opType, names, ["y"], attributes)],
    initializer: tensors.filter((tensor) => tensor.name !== ""),
    output: [{ name: "y" }],
  });
  return run(graph)["y"] as { shape: readonly number[]; values: number[] };
}

const none: Part<TensorProto> = { name: "" };
const six = f32("x", [2, 3], [1, 2, 3, 4, 5, 6]);

describe("op versions", () => {
  it("Slice takes attributes before opset 10, inputs since", () => {
    expect(apply(9, "Slice", [six], { starts: [0, 1], ends: [2, 1000], axes: [0, 1] })).toEqual({
      shape: [2, 2],
      values: [2, 3, 5, 6],
    });
    expect(apply(13, "Slice", [six, i64("s", [-1]), i64("e", [-1000]), i64("a", [1]), i64("t", [-2])])).toEqual({
      shape: [2, 2],
      values: [3, 1, 6, 4],
    });
    expect(apply(13, "Slice", [six, i64("s", [5]), i64("e", [9]), i64("a", [1])])).toEqual({
      shape: [2, 0],
      values: [],
    });
  });

  it("Squeeze and Unsqueeze take axes as attribute before opset 13, as input since", () => {
    const x = f32("x", [1, 2, 1], [7, 8]);
    expect(apply(11, "Squeeze", [x], { axes: [0] }).shape).toEqual([2, 1]);
    expect(apply(13, "Squeeze", [x, i64("a", [-1])]).shape).toEqual([1, 2]);
    expect(apply(13, "Squeeze", [x]).shape).toEqual([2]);
    expect(apply(11, "Unsqueeze", [six], { axes: [0, 3] }).shape).toEqual([1, 2, 3, 1]);
    expect(apply(13, "Unsqueeze", [six, i64("a", [-1])]).shape).toEqual([2, 3, 1]);
  });

  it("reductions take axes as attribute at first, as input later", () => {
    expect(apply(11, "ReduceSum", [six], { axes: [1], keepdims: 0 }).values).toEqual([6, 15]);
    expect(apply(13, "ReduceSum", [six, i64("a", [0])], { keepdims: 0 }).values).toEqual([5, 7, 9]);
    expect(apply(13, "ReduceSum", [six, i64("a", [])], { noop_with_empty_axes: 1 }).shape).toEqual([2, 3]);
    expect(apply(13, "ReduceMax", [six], { axes: [1], keepdims: 0 }).values).toEqual([3, 6]);
    expect(apply(18, "ReduceMax", [six, i64("a", [-1])], { keepdims: 0 }).values).toEqual([3, 6]);
  });

  it("Clip takes bounds as attributes before opset 11, as optional inputs since", () => {
    expect(apply(6, "Clip", [six], { min: { float: 2 }, max: { float: 4 } }).values).toEqual([2, 2, 3, 4, 4, 4]);
    expect(apply(13, "Clip", [six, none, f32("max", [], [3])]).values).toEqual([1, 2, 3, 3, 3, 3]);
  });

  it("Pad takes attributes before opset 11, inputs since, axes since 18", () => {
    const x = f32("x", [3], [1, 2, 3]);
    expect(apply(2, "Pad", [x], { pads: [1, 1], value: { float: 9 } }).values).toEqual([9, 1, 2, 3, 9]);
    expect(apply(11, "Pad", [x, i64("p", [2, 0])], { mode: "reflect" }).values).toEqual([3, 2, 1, 2, 3]);
    expect(apply(18, "Pad", [six, i64("p", [0, 1]), none, i64("a", [-1])], { mode: "edge" })).toEqual({
      shape: [2, 4],
      values: [1, 2, 3, 3, 4, 5, 6, 6],
    });
    expect(apply(13, "Pad", [x, i64("p", [-1, 1])]).values).toEqual([2, 3, 0]);
  });

  it("Split takes sizes as attribute or input, and uneven parts since opset 18", () => {
    const parts = (
      opset: number,
      attributes: Parameters<typeof node>[3],
      more: Part<TensorProto>[] = [],
    ): number[][] => {
      const x = f32("x", [5], [1, 2, 3, 4, 5]);
      const graph = load(opset, {
        node: [node("Split", ["x", ...more.map((t) => t.name ?? "")], ["a", "b"], attributes)],
        initializer: [x, ...more],
        output: [{ name: "a" }, { name: "b" }],
      });
      return Object.values(run(graph)).map(({ values }) => values);
    };
    expect(parts(11, { split: [2, 3] })).toEqual([
      [1, 2],
      [3, 4, 5],
    ]);
    expect(parts(13, {}, [i64("s", [4, 1])])).toEqual([[1, 2, 3, 4], [5]]);
    expect(parts(18, { num_outputs: 2 })).toEqual([
      [1, 2, 3],
      [4, 5],
    ]);
    expect(() => parts(13, {})).toThrow("does not split into 2 equal parts");
  });

  it("Softmax flattens before opset 13", () => {
    const x = f32("x", [1, 2, 2], [0, 0, 0, 0]);
    expect(apply(11, "Softmax", [x]).values).toEqual([0.25, 0.25, 0.25, 0.25]);
    expect(apply(13, "Softmax", [x], { axis: 1 }).values).toEqual([0.5, 0.5, 0.5, 0.5]);
  });

  it("binary ops broadcast along `axis` before opset 7", () => {
    expect(apply(6, "Add", [six, f32("b", [2], [10, 20])], { broadcast: 1, axis: 0 }).values).toEqual([
      11, 12, 13, 24, 25, 26,
    ]);
    expect(apply(7, "Add", [six, f32("b", [3], [10, 20, 30])]).values).toEqual([11, 22, 33, 14, 25, 36]);
  });

  it("Reshape takes its shape as attribute before opset 5; 0 copies and -1 is inferred", () => {
    expect(apply(1, "Reshape", [six], { shape: [3, 2] }).shape).toEqual([3, 2]);
    expect(apply(13, "Reshape", [six, i64("s", [0, -1, 1])]).shape).toEqual([2, 3, 1]);
    expect(() => apply(13, "Reshape", [six, i64("s", [4, -1])])).toThrow("does not reshape");
  });

  it("Upsample and Resize of opset 10 take scales", () => {
    const x = f32("x", [1, 1, 1, 2], [1, 2]);
    expect(apply(7, "Upsample", [x], { mode: "nearest", scales: { floats: [1, 1, 2, 2] } }).values).toEqual([
      1, 1, 2, 2, 1, 1, 2, 2,
    ]);
    expect(apply(9, "Upsample", [x, f32("s", [4], [1, 1, 1, 2])]).values).toEqual([1, 1, 2, 2]);
    expect(apply(10, "Resize", [x, f32("s", [4], [1, 1, 1, 2])]).values).toEqual([1, 1, 2, 2]);
    expect(apply(13, "Resize", [x, none, none, i64("z", [1, 1, 1, 4])]).shape).toEqual([1, 1, 1, 4]);
  });

  it("Cast names its type before opset 6; TopK takes k as attribute before 10; Gemm scales", () => {
    expect(apply(1, "Cast", [f32("x", [2], [1.7, -1.7])], { to: "INT32" }).values).toEqual([1, -1]);
    expect(apply(1, "TopK", [six], { k: 1, axis: 1 }).values).toEqual([3, 6]);
    const square = f32("w", [2, 2], [1, 2, 3, 4]);
    expect(
      apply(13, "Gemm", [f32("x", [1, 2], [1, 1]), square, f32("c", [2], [1, 1])], {
        transB: 1,
        alpha: { float: 2 },
        beta: { float: 3 },
      }).values,
    ).toEqual([9, 17]);
  });

  it("integers that floats cannot hold stay exact, and INT64_MAX means the end", () => {
    const graph = load(13, {
      node: [node("Slice", ["x", "s", "e"], ["y"])],
      initializer: [{ ...i64("e", [0]), int64Data: BigInt64Array.of(2n ** 63n - 1n) }, i64("s", [1])],
      input: [input("x", ["n"])],
      output: [{ name: "y" }],
    });
    expect(printShape(graph.outputs[0]?.value.type.shape ?? [])).toBe("[n - 1]");
  });
});

describe("shape arithmetic", () => {
  it("folds Shape, Gather and Concat into a static reshape with symbols", () => {
    const graph = load(13, {
      node: [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["n"]),
        node("Unsqueeze", ["n", "axes"], ["n1"]),
        node("Concat", ["n1", "rest"], ["to"], { axis: 0 }),
        node("Reshape", ["x", "to"], ["y"]),
      ],
      initializer: [i64("zero", [0], []), i64("axes", [0]), i64("rest", [-1])],
      input: [input("x", ["batch", 3, 4])],
      output: [{ name: "y" }],
    });
    expect(ops(graph)).toEqual(["reshape"]);
    expect(printShape(graph.outputs[0]?.value.type.shape ?? [])).toBe("[batch, 12]");
  });

  it("computes scales through floats from static shapes", () => {
    const graph = load(11, {
      node: [
        node("Shape", ["x"], ["s"]),
        node("Cast", ["s"], ["f"], { to: 1 }),
        node("Mul", ["f", "by"], ["g"]),
        node("Cast", ["g"], ["sizes"], { to: 7 }),
        node("Resize", ["x", "", "", "sizes"], ["y"], { mode: "nearest" }),
      ],
      initializer: [f32("by", [4], [1, 1, 2.5, 2])],
      input: [input("x", [1, 1, 4, 4])],
      output: [{ name: "y" }],
    });
    expect(printShape(graph.outputs[0]?.value.type.shape ?? [])).toBe("[1, 1, 10, 8]");
  });

  it("reads dim_param expressions where all their names occur on their own", () => {
    const graph = load(13, {
      node: [node("Relu", ["z"], ["y"])],
      input: [input("a", ["past"]), input("b", ["n"]), input("z", ["past + n", "odd name!"])],
      output: [{ name: "y" }],
    });
    expect(printShape(graph.outputs[0]?.value.type.shape ?? [])).toBe("[n + past, odd_name_]");
  });

  it("leaves huge constants symbolic", () => {
    const graph = load(13, {
      node: [node("ConstantOfShape", ["s"], ["y"])],
      initializer: [i64("s", [2 ** 20, 2 ** 20])],
      output: [{ name: "y" }],
    });
    expect(ops(graph)).toEqual(["expand"]);
  });
});

describe("control flow", () => {
  const branch = (op: string): Part<GraphProto> => ({
    name: op,
    node: [node(op, ["x"], [`${op}_y`])],
    output: [{ name: `${op}_y` }],
  });
  const branches = { then_branch: branch("Relu"), else_branch: branch("Neg") };

  it("takes the branch of a constant condition at import", () => {
    const graph = load(13, {
      node: [node("If", ["c"], ["y"], branches)],
      initializer: [{ name: "c", dims: [], dataType: 9, rawData: Uint8Array.of(0) }],
      input: [input("x", [2])],
      output: [{ name: "y" }],
    });
    expect(ops(graph)).toEqual(["neg"]);
  });

  it("keeps a condition that is known at run time only", () => {
    const graph = load(13, {
      node: [node("If", ["c"], ["y"], branches)],
      input: [input("c", [], 9), input("x", [2])],
      output: [{ name: "y" }],
    });
    expect(ops(graph)).toEqual(["if"]);
    const x = Tensor.from("f32", [-1, 2]);
    expect(run(graph, { c: Tensor.from("bool", [1], []), x })["y"]?.values).toEqual([0, 2]);
    expect(run(graph, { c: Tensor.from("bool", [0], []), x })["y"]?.values).toEqual([1, -2]);
  });

  const body: Part<GraphProto> = {
    name: "body",
    node: [
      node("Add", ["state", "x"], ["next"]),
      node("Identity", ["going"], ["still"]),
      node("Mul", ["next", "two"], ["row"]),
    ],
    initializer: [f32("two", [], [2])],
    input: [{ name: "i" }, { name: "going" }, { name: "state" }],
    output: [{ name: "still" }, { name: "next" }, { name: "row" }],
  };

  it("unrolls loops of few turns and keeps the others", () => {
    const parts = {
      node: [node("Loop", ["count", "", "x"], ["last", "rows"], { body })],
      output: [{ name: "last" }, { name: "rows" }],
    };
    // Starts at x and adds it in every turn.
    const unrolled = load(16, { ...parts, initializer: [i64("count", [3], []), f32("x", [1], [1])] });
    expect(ops(unrolled)).not.toContain("loop");
    expect(run(unrolled)).toEqual({ last: { shape: [1], values: [4] }, rows: { shape: [3, 1], values: [4, 6, 8] } });
    const kept = load(16, { ...parts, input: [input("count", [], 7)], initializer: [f32("x", [1], [1])] });
    expect(ops(kept)).toContain("loop");
    expect(run(kept, { count: Tensor.from("i64", [3], []) })).toEqual({
      last: { shape: [1], values: [4] },
      rows: { shape: [3, 1], values: [4, 6, 8] },
    });
  });

  it("scans an axis", () => {
    const step: Part<GraphProto> = {
      name: "step",
      node: [node("Add", ["sum", "item"], ["sum2"]), node("Identity", ["sum2"], ["out"])],
      input: [{ name: "sum" }, { name: "item" }],
      output: [{ name: "sum2" }, { name: "out" }],
    };
    const graph = load(16, {
      node: [node("Scan", ["zero", "x"], ["total", "sums"], { body: step, num_scan_inputs: 1 })],
      initializer: [f32("zero", [], [0])],
      input: [input("x", [4])],
      output: [{ name: "total" }, { name: "sums" }],
    });
    expect(run(graph, { x: Tensor.from("f32", [1, 2, 3, 4]) })).toEqual({
      total: { shape: [], values: [10] },
      sums: { shape: [4], values: [1, 3, 6, 10] },
    });
  });

  it("scans an axis of unknown length, backwards too", () => {
    const step: Part<GraphProto> = {
      name: "step",
      node: [node("Add", ["sum", "item"], ["sum2"]), node("Mul", ["sum2", "outside"], ["out"])],
      input: [{ name: "sum" }, { name: "item" }],
      output: [{ name: "sum2" }, { name: "out" }],
    };
    const scan = (attributes: Parameters<typeof node>[3]): number[] => {
      const graph = load(16, {
        node: [node("Scan", ["zero", "x"], ["total", "sums"], { body: step, num_scan_inputs: 1, ...attributes })],
        initializer: [f32("zero", [], [0])],
        input: [input("x", ["n"]), input("outside", [])],
        output: [{ name: "total" }, { name: "sums" }],
      });
      expect(ops(graph)).toContain("loop");
      const outputs = run(graph, { x: Tensor.from("f32", [1, 2, 4]), outside: Tensor.from("f32", [10], []) });
      expect(outputs["total"]?.values).toEqual([7]);
      return outputs["sums"]?.values ?? [];
    };
    expect(scan({})).toEqual([10, 30, 70]);
    expect(scan({ scan_input_directions: [1] })).toEqual([40, 60, 70]);
    expect(scan({ scan_output_directions: [1] })).toEqual([70, 30, 10]);
  });
});

describe("functions", () => {
  const scale: Part<FunctionProto> = {
    name: "Scaled",
    domain: "own",
    input: ["a", "bias"],
    output: ["y"],
    attribute: [],
    attributeProto: [{ name: "alpha", type: 1, f: 0.5 }],
    opsetImport: [{ domain: "", version: 17 }],
    node: [
      { ...node("LeakyRelu", ["a"], ["t"]), attribute: [{ name: "alpha", type: 1, refAttrName: "alpha" }] },
      node("Sum", ["t", "a"], ["y"]),
    ],
  };
  const more = (...functions: Part<FunctionProto>[]): Part<ModelProto> => ({
    opsetImport: [
      { domain: "", version: 17 },
      { domain: "own", version: 1 },
    ],
    functions,
  });

  it("are inlined, with attributes of the call or their defaults", () => {
    const call = (attributes: Parameters<typeof node>[3]): Graph =>
      load(
        17,
        {
          node: [{ ...node("Scaled", ["x"], ["y"], attributes), domain: "own" }],
          input: [input("x", [1])],
          output: [{ name: "y" }],
        },
        more(scale),
      );
    const x = Tensor.from("f32", [-2]);
    expect(run(call({}), { x })["y"]?.values).toEqual([-3]);
    expect(run(call({ alpha: { float: 2 } }), { x })["y"]?.values).toEqual([-6]);
    expect(call({}).nodes.find((entry) => entry.op === "leakyRelu")?.name).toBe("Scaled/LeakyRelu of t");
  });

  it("that call themselves are refused", () => {
    const loop: Part<FunctionProto> = {
      name: "F",
      domain: "own",
      input: ["a"],
      output: ["b"],
      opsetImport: [{ domain: "own", version: 1 }],
      node: [{ ...node("F", ["a"], ["b"]), domain: "own" }],
    };
    expect(() =>
      load(
        17,
        { node: [{ ...node("F", ["x"], ["y"]), domain: "own" }], input: [input("x", [1])], output: [{ name: "y" }] },
        more(loop),
      ),
    ).toThrow("calls itself");
  });

  it("that call each other twice over do not grow without bound", () => {
    const doubling = Array.from({ length: 40 }, (_, i): Part<FunctionProto> => ({
      name: `F${i}`,
      domain: "own",
      input: ["a"],
      output: ["c"],
      opsetImport: [
        { domain: "", version: 17 },
        { domain: "own", version: 1 },
      ],
      node:
        i === 0
          ? [node("Relu", ["a"], ["c"])]
          : [
              { ...node(`F${i - 1}`, ["a"], ["b"]), domain: "own" },
              { ...node(`F${i - 1}`, ["b"], ["c"]), domain: "own" },
            ],
    }));
    expect(() =>
      load(
        17,
        { node: [{ ...node("F39", ["x"], ["y"]), domain: "own" }], input: [input("x", [1])], output: [{ name: "y" }] },
        more(...doubling),
      ),
    ).toThrow("after inlining functions");
  });
});

describe("inputs and constants", () => {
  it("weights are views on the file", () => {
    const bytes = model(13, {
      node: [node("Add", ["x", "w"], ["y"])],
      initializer: [{ name: "w", dims: [64], dataType: 1, rawData: new Uint8Array(256) }],
      input: [input("x", [64])],
      output: [{ name: "y" }],
    });
    const weights = importOnnx(bytes).graph.nodes.find((entry) => entry.op === "constant")?.attrs["value"] as {
      bytes: Uint8Array;
    };
    expect(weights.bytes.buffer).toBe(bytes.buffer);
  });

  it("initialisers that are also inputs are constants, unless given at import", () => {
    const bytes = model(13, {
      node: [node("Add", ["x", "w"], ["y"])],
      initializer: [f32("w", [1], [5])],
      input: [input("x", [1]), input("w", [1])],
      output: [{ name: "y" }],
    });
    const x = Tensor.from("f32", [1]);
    expect(run(importOnnx(bytes).graph, { x })["y"]?.values).toEqual([6]);
    const constants = { w: { dtype: "f32" as const, shape: [1], bytes: new Uint8Array(Float32Array.of(7).buffer) } };
    expect(run(importOnnx(bytes, { constants }).graph, { x })["y"]?.values).toEqual([8]);
  });

  it("unused initialisers are not looked at", () => {
    const graph = load(13, {
      node: [node("Relu", ["x"], ["y"])],
      initializer: [{ name: "broken", dims: [5], dataType: 1 }],
      input: [input("x", [1])],
      output: [{ name: "y" }],
    });
    expect(ops(graph)).toEqual(["relu"]);
  });

  it("every unsupported node is reported at once, those in sub-graphs too", () => {
    const inner: Part<GraphProto> = { name: "b", node: [node("Missing", ["x"], ["z"])], output: [{ name: "z" }] };
    const bytes = model(
      13,
      {
        node: [
          node("Nowhere", ["x"], ["a"]),
          node("Relu", ["a"], ["b"]),
          { ...node("Elsewhere", ["b"], ["c"]), domain: "other" },
          node("If", ["p"], ["d"], { then_branch: inner, else_branch: inner }),
        ],
        input: [input("x", [1]), input("p", [], 9)],
        output: [{ name: "c" }, { name: "d" }],
      },
      {
        opsetImport: [
          { domain: "", version: 13 },
          { domain: "other", version: 1 },
        ],
      },
    );
    const error = (() => {
      try {
        importOnnx(bytes, { name: "net.onnx" });
        return undefined;
      } catch (thrown) {
        return thrown as UnsupportedError;
      }
    })();
    expect(error).toBeInstanceOf(UnsupportedError);
    expect(error?.items.map(({ op, where }) => `${op} ${where}`)).toEqual([
      'Nowhere (opset 13) Nowhere "Nowhere of a", net.onnx',
      'other.Elsewhere (opset 1) Elsewhere "Elsewhere of c", net.onnx',
      'Missing (opset 13) Missing "Missing of z", net.onnx',
    ]);
  });
});
