import { describe, expect, test } from "vitest";
import type { DType } from "../dtype.ts";
import { GraphBuilder } from "../graph/builder.ts";
import type { Attrs, Graph, Value } from "../graph/graph.ts";
import { referenceDevice } from "../runtime/reference.ts";
import { Tensor } from "../runtime/tensor.ts";
import { CaseGraph } from "./case-graphs.ts";

/** Values worked out by hand, family by family; and what inference says about wrong inputs. */

type Input = readonly [dtype: DType, shape: readonly number[], values: readonly number[]];

function list(values: readonly number[], dtype: DType = "f32"): Input {
  return [dtype, [values.length], values];
}

function build(
  op: string,
  inputs: readonly (Input | undefined)[],
  attrs: Attrs,
): { graph: Graph; tensors: Record<string, Tensor> } {
  const builder = new GraphBuilder();
  const tensors: Record<string, Tensor> = {};
  const args = inputs.map((input, i) => {
    if (input === undefined) return undefined;
    tensors[`x${i}`] = Tensor.from(input[0], input[2], input[1]);
    return builder.input(`x${i}`, input[0], input[1]);
  });
  builder.apply(op, args, attrs).forEach((value, i) => builder.output(`y${i}`, value));
  return { graph: builder.build(op), tensors };
}

/** All results of one op. */
function run(op: string, inputs: readonly (Input | undefined)[], attrs: Attrs = {}): number[][] {
  const { graph, tensors } = build(op, inputs, attrs);
  return Object.values(referenceDevice().compile(graph).runSync(tensors)).map((tensor) => tensor.toArray());
}

function first(op: string, inputs: readonly (Input | undefined)[], attrs: Attrs = {}): number[] {
  return run(op, inputs, attrs)[0] as number[];
}

describe("elementwise", () => {
  test("integers wrap, divide towards zero, and their remainders follow the sign", () => {
    expect(first("add", [list([250, 3], "u8"), list([10, 4], "u8")])).toEqual([4, 7]);
    expect(first("mul", [list([2147483647], "i32"), list([2147483647], "i32")])).toEqual([1]);
    expect(first("div", [list([-7, 7], "i32"), list([2, -2], "i32")])).toEqual([-3, -3]);
    expect(first("mod", [list([-7, 7], "i32"), list([3, -3], "i32")])).toEqual([2, -2]);
    expect(first("fmod", [list([-7, 7], "i32"), list([3, -3], "i32")])).toEqual([-1, 1]);
    expect(first("shiftRight", [list([-8], "i32"), list([1], "i32")])).toEqual([-4]);
  });
  test("broadcasting repeats axes of size one", () => {
    expect(first("sub", [["f32", [2, 1], [10, 20]], list([1, 2, 3])])).toEqual([9, 8, 7, 19, 18, 17]);
  });
  test("NaN goes through maxima and fails comparisons", () => {
    expect(first("maximum", [list([NaN, 1, -Infinity]), list([1, NaN, 2])])).toEqual([NaN, NaN, 2]);
    expect(first("less", [list([NaN, 1]), list([1, NaN])])).toEqual([0, 0]);
    expect(first("notEqual", [list([NaN]), list([NaN])])).toEqual([1]);
    expect(first("relu", [list([NaN, -1, 2])])).toEqual([NaN, 0, 2]);
  });
  test("rounding goes to even, powers follow IEEE 754", () => {
    expect(first("round", [list([0.5, 1.5, 2.5, -2.5])])).toEqual([0, 2, 2, -2]);
    expect(first("pow", [list([1, NaN, -1]), list([NaN, 0, Infinity])])).toEqual([1, 1, 1]);
    expect(first("pow", [list([3, 2], "i32"), list([4, -1], "i32")])).toEqual([81, 0]);
  });
  test("casts truncate, saturate, wrap and round", () => {
    expect(first("cast", [list([1.9, -1.9, 300, NaN])], { to: "u8" })).toEqual([1, 0, 255, 0]);
    expect(first("cast", [list([257, -1], "i32")], { to: "u8" })).toEqual([1, 255]);
    expect(first("cast", [list([65520, 1.0009765625 + 2 ** -12])], { to: "f16" })).toEqual([Infinity, 1.0009765625]);
    expect(first("cast", [list([0, -0.25])], { to: "bool" })).toEqual([0, 1]);
  });
  test("erf to all digits of f32", () => {
    // Values of the error function from tables.
    const expected = [0, 0.112462916, 0.5204998778, 0.8427007929, 0.995322265, 0.9999779095, -0.8427007929];
    first("erf", [list([0, 0.1, 0.5, 1, 2, 3, -1])]).forEach((value, i) =>
      expect(value).toBeCloseTo(expected[i] as number, 7),
    );
  });
});

describe("movement", () => {
  const matrix: Input = ["i64", [2, 3], [1, 2, 3, 4, 5, 6]];
  test("transpose, slice, concat, tile", () => {
    expect(first("transpose", [matrix], { perm: [1, 0] })).toEqual([1, 4, 2, 5, 3, 6]);
    expect(first("slice", [matrix], { starts: [0, 2], sizes: [2, 2], steps: [1, -2] })).toEqual([3, 1, 6, 4]);
    expect(first("concat", [matrix, ["i64", [2, 1], [7, 8]]], { axis: 1 })).toEqual([1, 2, 3, 7, 4, 5, 6, 8]);
    expect(first("tile", [["i64", [1, 2], [1, 2]]], { repeats: [2, 2] })).toEqual([1, 2, 1, 2, 1, 2, 1, 2]);
  });
  test("pad in its modes", () => {
    const pad = (mode: string): number[] =>
      first("pad", [list([1, 2, 3])], { mode, before: [2], after: [4], value: 9 });
    expect(pad("constant")).toEqual([9, 9, 1, 2, 3, 9, 9, 9, 9]);
    expect(pad("edge")).toEqual([1, 1, 1, 2, 3, 3, 3, 3, 3]);
    expect(pad("reflect")).toEqual([3, 2, 1, 2, 3, 2, 1, 2, 3]);
    expect(pad("wrap")).toEqual([2, 3, 1, 2, 3, 1, 2, 3, 1]);
  });
  test("run-time slices clamp their bounds", () => {
    const args = [[-100], [100], [0], [2]].map((values) => list(values, "i64"));
    expect(first("sliceDynamic", [list([1, 2, 3, 4, 5]), ...args])).toEqual([1, 3, 5]);
    const back = [[100], [-100], [0], [-2]].map((values) => list(values, "i64"));
    expect(first("sliceDynamic", [list([1, 2, 3, 4, 5]), ...back])).toEqual([5, 3, 1]);
  });
});

describe("index", () => {
  test("gather and scatter", () => {
    expect(first("gather", [["f32", [3, 2], [1, 2, 3, 4, 5, 6]], list([-1, 0], "i64")], { axis: 0 })).toEqual([
      5, 6, 1, 2,
    ]);
    expect(
      first("scatterElements", [list([0, 0, 0]), list([1, 1], "i64"), list([2, 3])], { axis: 0, reduction: "add" }),
    ).toEqual([0, 5, 0]);
    expect(() => first("gather", [list([1]), list([1], "i64")], { axis: 0 })).toThrow(
      "gather: index 1 is outside of an axis of 1",
    );
  });
  test("topK orders ties by index", () => {
    expect(run("topK", [list([1, 3, 2, 3]), list([3], "i64")], { axis: 0, largest: true, sorted: true })).toEqual([
      [3, 3, 2],
      [1, 3, 2],
    ]);
  });
  test("nonZero, trilu, oneHot, cumSum", () => {
    expect(first("nonZero", [["bool", [2, 2], [0, 1, 1, 1]]])).toEqual([0, 1, 1, 1, 0, 1]);
    expect(
      first(
        "trilu",
        [
          ["i64", [2, 3], [1, 2, 3, 4, 5, 6]],
          ["i64", [], [1]],
        ],
        { upper: true },
      ),
    ).toEqual([0, 2, 3, 0, 0, 6]);
    expect(first("oneHot", [list([1, -1], "i64"), ["i64", [], [3]], list([0, 7])], { axis: 1 })).toEqual([
      0, 7, 0, 0, 0, 7,
    ]);
    expect(first("cumSum", [list([1, 2, 3])], { axis: 0, exclusive: true, reverse: true })).toEqual([5, 3, 0]);
  });
});

describe("reductions and products", () => {
  test("empty slices", () => {
    const empty: Input = ["f32", [1, 0], []];
    const results = ["reduceSum", "reduceProd", "reduceMax", "reduceMin", "reduceMean"].map(
      (op) => first(op, [empty], { axes: [1], keepDims: false })[0],
    );
    expect(results).toEqual([0, 1, -Infinity, Infinity, NaN]);
    expect(first("reduceMax", [["i32", [1, 0], []]], { axes: [1], keepDims: false })).toEqual([-(2 ** 31)]);
  });
  test("matmul with vectors and batches", () => {
    expect(first("matmul", [["f32", [2, 2], [1, 2, 3, 4]], list([1, 10])])).toEqual([21, 43]);
    expect(
      first("matmul", [
        ["f32", [2, 1, 2], [1, 2, 3, 4]],
        ["f32", [2, 1], [1, 10]],
      ]),
    ).toEqual([21, 43]);
    expect(
      first("matmulInteger", [["u8", [1, 2], [3, 5]], ["i8", [2, 1], [-1, 2]], ["u8", [], [1]], undefined]),
    ).toEqual([6]);
  });
  test("convolution with stride, padding and groups", () => {
    const x: Input = ["f32", [1, 1, 3, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9]];
    const ones: Input = ["f32", [1, 1, 3, 3], new Array<number>(9).fill(1)];
    expect(first("conv", [x, ones, list([0.5])], { padsBefore: [1, 1], padsAfter: [1, 1], strides: [2, 2] })).toEqual([
      12.5, 16.5, 24.5, 28.5,
    ]);
    expect(
      first(
        "conv",
        [
          ["f32", [1, 2, 1], [3, 4]],
          ["f32", [2, 1, 1], [10, 100]],
        ],
        { groups: 2 },
      ),
    ).toEqual([30, 400]);
    expect(
      first(
        "convTranspose",
        [
          ["f32", [1, 1, 2], [1, 2]],
          ["f32", [1, 1, 3], [1, 10, 100]],
        ],
        { strides: [2] },
      ),
    ).toEqual([1, 10, 102, 20, 200]);
  });
  test("pools ignore padding", () => {
    const x: Input = ["f32", [1, 1, 4], [-1, -2, -3, -4]];
    const window = { kernel: [3], strides: [2], padsBefore: [1], padsAfter: [1] };
    expect(first("maxPool", [x], window)).toEqual([-1, -2]);
    expect(first("averagePool", [x], window)).toEqual([-1.5, -3]);
    expect(first("averagePool", [x], { ...window, countIncludePad: true })).toEqual([-1, -3]);
  });
  test("softmax of masked rows and layer norm", () => {
    expect(first("softmax", [["f32", [2, 2], [0, -Infinity, 1000, 1000]]], { axis: 1 })).toEqual([1, 0, 0.5, 0.5]);
    expect(first("layerNorm", [["f32", [1, 2], [1, 3]]], { axis: 1, epsilon: 0 })).toEqual([-1, 1]);
  });
  test("einsum", () => {
    expect(first("einsum", [["f32", [2, 2], [1, 2, 3, 4]]], { equation: "ii->" })).toEqual([5]);
    expect(first("einsum", [list([1, 2]), list([3, 4, 5])], { equation: "i,j->ji" })).toEqual([3, 6, 4, 8, 5, 10]);
  });
});

describe("resampling, recurrence, quantisation, control", () => {
  test("resize doubles pixels, and interpolates between their centres", () => {
    const x: Input = ["f32", [1, 1, 1, 2], [0, 4]];
    const attrs = { sizes: [1, 1, 1, 4], scales: [1, 1, 1, 2] };
    expect(first("resize", [x], { ...attrs, mode: "nearest", coordinate: "asymmetric", nearest: "floor" })).toEqual([
      0, 0, 4, 4,
    ]);
    expect(first("resize", [x], { ...attrs, mode: "linear", coordinate: "half_pixel" })).toEqual([0, 1, 3, 4]);
  });
  test("an lstm cell with open gates adds up", () => {
    // Gates i, o, f saturate to 1, the candidate is tanh(x).
    const w: Input = ["f32", [1, 4, 1], [0, 0, 0, 1]];
    const b: Input = ["f32", [1, 8], [100, 100, 100, 0, 0, 0, 0, 0]];
    const [y, h, c] = run("lstm", [["f32", [2, 1, 1], [1, 2]], w, ["f32", [1, 4, 1], [0, 0, 0, 0]], b], { hidden: 1 });
    const cell = Math.tanh(1) + Math.tanh(2);
    expect(c?.[0]).toBeCloseTo(cell, 6);
    expect(h?.[0]).toBeCloseTo(Math.tanh(cell), 6);
    expect(y?.[1]).toBe(h?.[0]);
  });
  test("quantisation", () => {
    expect(
      first("quantizeLinear", [list([1, -1, 1000, 1.25]), list([0.5]), list([10], "u8")], { axis: 0, to: "u8" }),
    ).toEqual([12, 8, 255, 12]);
    expect(first("dequantizeLinear", [list([12, 8], "u8"), list([0.5]), list([10], "u8")], { axis: 0 })).toEqual([
      1, -1,
    ]);
    expect(run("dynamicQuantizeLinear", [list([0, 2.55])])).toEqual([[0, 255], [Math.fround(0.01)], [0]]);
  });
  test("a loop stacks what each turn gives", () => {
    const scalar = { dtype: "f32" as const, shape: [] };
    const body = new CaseGraph();
    body.input("turn", { dtype: "i64", shape: [] });
    const going = body.input("going", { dtype: "bool", shape: [] });
    const x = body.input("x", scalar);
    const [twice] = body.node("add", [x, x], {}, [scalar]) as [Value];
    const graph = body.build("body", { again: going, x: twice, history: twice });
    expect(
      run("loop", [["i64", [], [4]], undefined, ["f32", [], [1]]], { body: graph, carried: 1, captured: 0 }),
    ).toEqual([[16], [2, 4, 8, 16]]);
  });
});

describe("inference refuses what the rules forbid", () => {
  test.each<[string, readonly (Input | undefined)[], Attrs, string]>([
    ["add", [list([1]), list([1], "i32")], {}, "add: dtypes differ: f32[1] and i32[1]\n  cast one of them"],
    ["add", [list([1, 2]), list([1, 2, 3])], {}, "add: shapes do not broadcast: [2] and [3] (2 ≠ 3)"],
    [
      "add",
      [list([1], "bool"), list([1], "bool")],
      {},
      'add: input "a" must have a float or integer dtype, got bool[1]',
    ],
    ["add", [list([1]), undefined], {}, 'add: input "b" is missing'],
    ["exp", [list([1], "i32")], {}, 'exp: input "x" must have a float dtype, got i32[1]'],
    ["where", [list([1]), list([1]), list([1])], {}, 'where: input "condition" must be bool, got f32[1]'],
    ["reshape", [list([1, 2, 3])], { shape: [2, 2] }, "reshape: f32[3] has another number of elements than [2, 2]"],
    ["transpose", [list([1, 2, 3])], { perm: [1] }, "transpose: perm [1] is no permutation of the axes of f32[3]"],
    ["slice", [list([1, 2, 3])], { starts: [1], sizes: [3], steps: [1] }, "slice: axis 0 of f32[3] has no element 3"],
    [
      "concat",
      [["f32", [2, 2], [1, 2, 3, 4]], list([1])],
      { axis: 0 },
      "concat: f32[1] does not fit to f32[2, 2] along axis 0",
    ],
    [
      "reduceSum",
      [list([1, 2])],
      { axes: [-1], keepDims: false },
      "reduceSum: axis -1 is not in 0..0 of a tensor with 1 axes\n  write 0: axes of nodes count from the first",
    ],
    ["reduceSum", [["f32", [1, 1], [1]]], { axes: [1, 1] }, "reduceSum: an axis occurs twice in [1, 1]"],
    [
      "matmul",
      [
        ["f32", [2, 3], [1, 2, 3, 4, 5, 6]],
        ["f32", [4, 1], [1, 2, 3, 4]],
      ],
      {},
      "matmul: inner dimensions differ: [2, 3] × [4, 1] (3 ≠ 4)",
    ],
    [
      "conv",
      [
        ["f32", [1, 3, 2, 2], new Array<number>(12).fill(0)],
        ["f32", [1, 2, 1, 1], [1, 1]],
      ],
      {},
      "conv: weights f32[1, 2, 1, 1] in 1 groups take 2 channels, f32[1, 3, 2, 2] has 3",
    ],
    [
      "conv",
      [list([1]), list([1])],
      {},
      'conv: input "x" must have 3 to 5 axes (batch, channels, 1 to 3 spatial), got f32[1]',
    ],
    [
      "maxPool",
      [["f32", [1, 1, 2], [1, 2]]],
      { kernel: [3] },
      "maxPool: window of 3 does not fit into spatial axis 0 of 2 with padding 0 and 0",
    ],
    ["softmax", [["f32", [], [1]]], { axis: 0 }, "softmax: axis 0 is not in 0..-1 of a tensor with 0 axes"],
    ["gather", [list([1]), list([1])], { axis: 0 }, 'gather: input "indices" must be i64 or i32, got f32[1]'],
    ["cast", [list([1])], { to: "f31" }, 'cast: attribute "to" is "f31", which is not a dtype'],
    ["einsum", [list([1])], { equation: "ij->i" }, 'einsum: "ij" of "ij->i" has 2 axes, the operand 1'],
    [
      "lstm",
      [
        ["f32", [1, 1, 2], [1, 2]],
        ["f32", [1, 4, 3], new Array<number>(12).fill(0)],
        ["f32", [1, 4, 1], [0, 0, 0, 0]],
      ],
      { hidden: 1 },
      'lstm: input "w" must be f32[1, 4, 2], got f32[1, 4, 3]',
    ],
  ])("%s", (op, inputs, attrs, message) => {
    expect(() => build(op, inputs, attrs)).toThrow(expect.objectContaining({ name: "UserError", message }));
  });
});
