/**
 * Kernels of moving data and of recurrent layers with sizes that are known only at run time, and with sizes that the
 * cases of the op records leave out: on the kernel interpreter and as machine code, against the reference.
 */

import {
  type Attrs,
  type DType,
  type Dim,
  type Graph,
  type Value,
  GraphBuilder,
  Tensor,
  caseInput,
  evaluateShape,
  findOp,
  randomNumbers,
  referenceDevice,
  symbol,
  toleranceOf,
} from "@quern/core";
import { describe, expect, test } from "vitest";
import { CPU_KERNELS } from "./index.ts";
import type { CpuKernel } from "./kernel.ts";
import { machine, machineTargets } from "./machine-trial.ts";
import { difference } from "./record-cases.ts";
import { type Execute, TRIAL_TARGETS, interpreted, trial } from "./site-trial.ts";

const SEED = 20266;

type Tolerance = ReturnType<typeof toleranceOf>;

interface InputSpec {
  readonly dtype?: DType;
  readonly shape: readonly Dim[];
  readonly high?: number;
  readonly low?: number;
  readonly constant?: boolean;
}

interface Case {
  readonly name: string;
  readonly op: string;
  readonly inputs: readonly (InputSpec | undefined)[];
  readonly attrs?: Attrs;
  /** Values of the symbols, one run each. */
  readonly runs: readonly Readonly<Record<string, number>>[];
}

const [n, m, c] = ["n", "m", "c"].map((name) => symbol(name)) as [Dim, Dim, Dim];
const x = (...shape: Dim[]): InputSpec => ({ shape });
const sizes = [{ n: 1 }, { n: 3 }, { n: 17 }, { n: 40 }];

const CASES: readonly Case[] = [
  {
    name: "concat of symbolic rows",
    op: "concat",
    inputs: [x(n, 5), x(3, 5), x(n, 5)],
    attrs: { axis: 0 },
    runs: sizes,
  },
  {
    name: "concat of symbolic columns",
    op: "concat",
    inputs: [x(3, n), x(3, 7), x(3, n)],
    attrs: { axis: 1 },
    runs: sizes,
  },
  {
    name: "concat of channels",
    op: "concat",
    inputs: [x(n, 33, 24), x(n, 33, 3), x(n, 33, 18)],
    attrs: { axis: 2 },
    runs: [{ n: 2 }],
  },
  ...Array.from({ length: 11 }, (_, i): Case => ({
    name: `concat of ${i + 8} bytes`,
    op: "concat",
    inputs: [
      { dtype: "u8", shape: [i + 8] },
      { dtype: "u8", shape: [3] },
    ],
    attrs: { axis: 0 },
    runs: [{}],
  })),
  {
    name: "transpose of a symbolic matrix",
    op: "transpose",
    inputs: [x(n, m)],
    attrs: { perm: [1, 0] },
    runs: [
      { n: 1, m: 9 },
      { n: 16, m: 16 },
      { n: 33, m: 18 },
      { n: 7, m: 40 },
      { n: 40, m: 3 },
    ],
  },
  {
    name: "channels last",
    op: "transpose",
    inputs: [x(n, 19, 9, 7)],
    attrs: { perm: [0, 2, 3, 1] },
    runs: [{ n: 1 }, { n: 2 }],
  },
  {
    name: "channels first",
    op: "transpose",
    inputs: [x(n, 9, 7, 19)],
    attrs: { perm: [0, 3, 1, 2] },
    runs: [{ n: 1 }, { n: 2 }],
  },
  { name: "three channels last", op: "transpose", inputs: [x(1, 3, 8, 9)], attrs: { perm: [0, 2, 3, 1] }, runs: [{}] },
  { name: "whole tiles", op: "transpose", inputs: [x(32, 48)], attrs: { perm: [1, 0] }, runs: [{}] },
  { name: "many columns", op: "transpose", inputs: [x(20, 2100)], attrs: { perm: [1, 0] }, runs: [{}] },
  {
    name: "i64 matrix",
    op: "transpose",
    inputs: [{ dtype: "i64", shape: [19, n] }],
    attrs: { perm: [1, 0] },
    runs: sizes,
  },
  { name: "heads", op: "transpose", inputs: [x(2, n, 4, 24)], attrs: { perm: [0, 2, 1, 3] }, runs: sizes },
  {
    name: "heads, keys transposed",
    op: "transpose",
    inputs: [x(2, n, 4, 24)],
    attrs: { perm: [0, 2, 3, 1] },
    runs: sizes,
  },
  { name: "five axes", op: "transpose", inputs: [x(2, 3, 4, 5, 6)], attrs: { perm: [4, 1, 3, 0, 2] }, runs: [{}] },
  {
    name: "narrow elements, last axis kept",
    op: "transpose",
    inputs: [{ dtype: "f16", shape: [n, 5, 9] }],
    attrs: { perm: [1, 0, 2] },
    runs: sizes,
  },
  {
    name: "rows by index",
    op: "gather",
    inputs: [x(50, 24), { dtype: "i64", shape: [n], high: 50 }],
    attrs: { axis: 0 },
    runs: sizes,
  },
  {
    name: "symbolic rows by index",
    op: "gather",
    inputs: [x(m, c), { dtype: "i32", shape: [n], high: 4 }],
    attrs: { axis: 0 },
    runs: [
      { n: 3, m: 5, c: 1 },
      { n: 7, m: 4, c: 33 },
    ],
  },
  {
    name: "tuples",
    op: "gatherND",
    inputs: [x(4, 5, m), { dtype: "i64", shape: [n, 2], high: 4 }],
    runs: [
      { n: 3, m: 1 },
      { n: 2, m: 21 },
    ],
  },
  {
    name: "elements",
    op: "gatherElements",
    inputs: [x(5, n), { dtype: "i64", shape: [5, n], high: 5 }],
    attrs: { axis: 0 },
    runs: sizes,
  },
  {
    name: "scatter tuples",
    op: "scatterND",
    inputs: [x(9, m), { dtype: "i64", shape: [n, 1], high: 9 }, x(n, m)],
    attrs: { reduction: "add" },
    runs: [
      { n: 20, m: 5 },
      { n: 3, m: 17 },
    ],
  },
  { name: "argMax of long rows", op: "argMax", inputs: [x(3, n)], attrs: { axis: 1 }, runs: [...sizes, { n: 1000 }] },
  {
    name: "argMin of integers",
    op: "argMin",
    inputs: [{ dtype: "i64", shape: [n, 5] }],
    attrs: { axis: 0, selectLast: true },
    runs: sizes,
  },
  {
    name: "seven largest",
    op: "topK",
    inputs: [x(3, n), { dtype: "i64", shape: [1], high: 8, low: 7, constant: true }],
    attrs: { axis: 1, largest: true, sorted: true },
    runs: [{ n: 7 }, { n: 33 }, { n: 100 }],
  },
  {
    name: "smallest of each column",
    op: "topK",
    inputs: [
      { dtype: "i32", shape: [20, 3] },
      { dtype: "i64", shape: [1], high: 10, low: 9, constant: true },
    ],
    attrs: { axis: 0, largest: false, sorted: true },
    runs: [{}],
  },
  {
    name: "running sum",
    op: "cumSum",
    inputs: [x(2, n, m)],
    attrs: { axis: 1, reverse: true },
    runs: [
      { n: 5, m: 1 },
      { n: 3, m: 20 },
    ],
  },
  { name: "triangle", op: "trilu", inputs: [x(n, n)], attrs: { upper: false }, runs: sizes },
  { name: "one step", op: "lstm", inputs: recurrent(4, 1, 1, 24, 24), attrs: { hidden: 24 }, runs: [{}] },
  { name: "one step of a batch", op: "lstm", inputs: recurrent(4, 1, n, 9, 20), attrs: { hidden: 20 }, runs: sizes },
  {
    name: "one step backwards",
    op: "gru",
    inputs: recurrent(3, 1, 5, 9, 20),
    attrs: { hidden: 20, linearBeforeReset: true, direction: "reverse" },
    runs: [{}],
  },
  { name: "one step, reset first", op: "gru", inputs: recurrent(3, 1, 5, 9, 20), attrs: { hidden: 20 }, runs: [{}] },
  {
    name: "symbolic steps and batch",
    op: "lstm",
    inputs: recurrent(4, n, m, 7, 17),
    attrs: { hidden: 17 },
    runs: [
      { n: 1, m: 1 },
      { n: 4, m: 3 },
      { n: 3, m: 9 },
    ],
  },
  {
    name: "symbolic steps, reset first",
    op: "gru",
    inputs: recurrent(3, n, 7, 7, 33),
    attrs: { hidden: 33 },
    runs: [{ n: 3 }],
  },
  {
    name: "weights at run time",
    op: "lstm",
    inputs: recurrent(4, 3, 2, 7, 17, false),
    attrs: { hidden: 17 },
    runs: [{}],
  },
  {
    name: "large weights, a launch per step",
    op: "rnn",
    inputs: recurrent(1, 3, 2, 5, 520),
    attrs: { hidden: 520 },
    runs: [{}],
  },
  {
    name: "large weights, reverse",
    op: "gru",
    inputs: recurrent(3, 3, 1, 5, 300),
    attrs: { hidden: 300, linearBeforeReset: true, direction: "reverse" },
    runs: [{}],
  },
];

function recurrent(
  gates: number,
  steps: Dim,
  batch: Dim,
  features: number,
  hidden: number,
  constant = true,
): (InputSpec | undefined)[] {
  const state: InputSpec = { shape: [1, batch, hidden] };
  return [
    { shape: [steps, batch, features] },
    { shape: [1, gates * hidden, features], constant },
    { shape: [1, gates * hidden, hidden], constant },
    { shape: [1, 2 * gates * hidden], constant },
    undefined,
    state,
    ...(gates === 4 ? [state] : []),
  ];
}

/** Weights are scaled so that sums stay around 1. */
function tensorOf(spec: InputSpec, symbols: Readonly<Record<string, number>>, random: () => number): Tensor {
  const shape = evaluateShape(spec.shape, symbols);
  const spread = spec.constant === true || shape.length === 3 ? 0.3 : 2;
  const fill = spec.high === undefined ? { low: -spread, high: spread } : { low: spec.low ?? 0, high: spec.high };
  const { dtype = "f32" } = spec;
  return caseInput(dtype === "f32" || spec.high !== undefined ? { dtype, shape, fill } : { dtype, shape }, random);
}

function build(one: Case, tensors: readonly (Tensor | undefined)[]): Graph {
  const builder = new GraphBuilder();
  const inputs = one.inputs.map((spec, i): Value | undefined => {
    const tensor = tensors[i];
    if (spec === undefined || tensor === undefined) return undefined;
    if (spec.constant === true)
      return builder.constant({ dtype: tensor.dtype, shape: tensor.shape, bytes: tensor.bytes() });
    return builder.input(`x${i}`, tensor.dtype, spec.shape);
  });
  builder.apply(one.op, inputs, one.attrs ?? {}).forEach((value, i) => builder.output(`y${i}`, value));
  return builder.build(one.name);
}

function runAll(one: Case, targets: typeof TRIAL_TARGETS, execute: Execute): { failures: string[]; used: number } {
  const failures: string[] = [];
  let used = 0;
  const kernels = CPU_KERNELS.filter((kernel) => kernel.ops.includes(one.op));
  for (const symbols of one.runs) {
    const random = randomNumbers(SEED);
    const tensors = one.inputs.map((spec) => spec && tensorOf(spec, symbols, random));
    const graph = build(one, tensors);
    const inputs = Object.fromEntries(
      tensors.flatMap((tensor, i) =>
        tensor === undefined || one.inputs[i]?.constant === true ? [] : [[`x${i}`, tensor]],
      ),
    );
    const expected = referenceDevice().compile(graph).runSync(inputs);
    const tolerance = (dtype: DType): Tolerance =>
      toleranceOf(
        findOp(one.op),
        tensors.map((tensor) => tensor && { dtype: tensor.dtype, shape: tensor.shape }),
        one.attrs ?? {},
        dtype,
      );
    for (const kernel of kernels) {
      for (const target of targets) {
        const result = trial(graph, inputs, kernel, { target, threads: 2, precision: "highest" }, execute, symbols);
        used += result.used;
        for (const { name, value } of graph.outputs) {
          const wrong = difference(
            result.outputs[name] as Tensor,
            expected[name] as Tensor,
            tolerance(value.type.dtype),
          );
          if (wrong !== undefined)
            failures.push(`${one.name}, ${JSON.stringify(symbols)}, ${target.name}, seed ${SEED}: ${name} ${wrong}`);
        }
      }
    }
  }
  return { failures, used };
}

describe.each([
  ["interpreter", TRIAL_TARGETS, interpreted(SEED)],
  ["machine code", machineTargets(), machine()],
] as const)("%s", (_name, targets, execute) => {
  test.each(CASES.map((one) => [one.op, one.name, one] as const))("%s: %s", (_op, _label, one) => {
    const { failures, used } = runAll(one, targets, execute);
    expect(failures, failures.join("\n")).toEqual([]);
    expect(used).toBeGreaterThan(0);
  });

  test("range of a symbolic size", () => {
    const builder = new GraphBuilder();
    const input = builder.input("x", "f32", [n]);
    const [shape] = builder.apply("shapeOf", [input]);
    const scalar = (value: number): Value =>
      builder.constant({ dtype: "i64", shape: [], bytes: Tensor.from("i64", [value], []).bytes() });
    const [limit] = builder.apply("reshape", [shape], { shape: [] });
    builder.output("y", builder.apply("range", [scalar(3), limit, scalar(2)])[0] as Value);
    const graph = builder.build("range");
    for (const target of targets) {
      const result = trial(
        graph,
        { x: Tensor.zeros("f32", [40]) },
        CPU_KERNELS.find(({ name }) => name === "range") as CpuKernel,
        { target, threads: 1, precision: "highest" },
        execute,
        { n: 40 },
      );
      expect(result.outputs["y"]?.toArray()).toEqual(Array.from({ length: 19 }, (_, i) => 3 + 2 * i));
      expect(result.used).toBe(1);
    }
  });
});
