/**
 * Recurrent layers, in the layouts and gate orders of ONNX: lstm i o f c, gru z r h.
 *
 * x is [time, batch, features] (layout 0) or [batch, time, features] (layout 1); w is [directions, gates·hidden,
 * features], r is [directions, gates·hidden, hidden], the bias holds that of w, then that of r. Entries of a batch that
 * end early give zeros from there on, and their last state is that of their last step.
 */

import { type Dim, dimEqual } from "../dim.ts";
import type { Attrs, TensorType } from "../graph/graph.ts";
import { printTensorType } from "../graph/print.ts";
import { booleanAttr, choiceAttr, numberAttr, numbersAttr, stringsAttr } from "./attrs.ts";
import { constant, of, opCase, values } from "./cases.ts";
import { type Types, checkRank, checkSameDType, given, reject, typed } from "./check.ts";
import type { Op, OpCase, RefTensor } from "./op.ts";
import { input, newRef } from "./ref-tensor.ts";
import { sigmoidReference, softplusReference } from "./special.ts";
import { sumTolerance } from "./tolerance.ts";

const DIRECTIONS = ["forward", "reverse", "bidirectional"] as const;

/** Activation functions by name, with the defaults of their parameters. */
const ACTIVATIONS: Readonly<
  Record<
    string,
    {
      readonly alpha?: number;
      readonly beta?: number;
      readonly rule: (x: number, alpha: number, beta: number) => number;
    }
  >
> = {
  sigmoid: { rule: sigmoidReference },
  tanh: { rule: Math.tanh },
  relu: { rule: (x) => Math.max(x, 0) },
  affine: { alpha: 1, beta: 0, rule: (x, alpha, beta) => alpha * x + beta },
  leakyRelu: { alpha: 0.01, rule: (x, alpha) => (x < 0 ? alpha * x : x) },
  thresholdedRelu: { alpha: 1, rule: (x, alpha) => (x > alpha ? x : 0) },
  scaledTanh: { alpha: 1, beta: 1, rule: (x, alpha, beta) => alpha * Math.tanh(beta * x) },
  hardSigmoid: { alpha: 0.2, beta: 0.5, rule: (x, alpha, beta) => Math.max(0, Math.min(1, alpha * x + beta)) },
  elu: { alpha: 1, rule: (x, alpha) => (x < 0 ? alpha * Math.expm1(x) : x) },
  softsign: { rule: (x) => x / (1 + Math.abs(x)) },
  softplus: { rule: softplusReference },
};

/** The activations of all directions, parameters taken in order by those that have them. */
function activationsOf(
  op: string,
  attrs: Attrs,
  defaults: readonly string[],
  directions: number,
): ((x: number) => number)[] {
  const names = stringsAttr(op, attrs, "activations", Array.from({ length: directions }, () => defaults).flat());
  if (names.length !== defaults.length * directions)
    reject(op, `needs ${defaults.length * directions} activations, got ${names.length}`);
  const alphas = [...numbersAttr(op, attrs, "activationAlpha", [])];
  const betas = [...numbersAttr(op, attrs, "activationBeta", [])];
  return names.map((name) => {
    const known =
      ACTIVATIONS[name] ??
      reject(op, `no activation is called "${name}"`, `known: ${Object.keys(ACTIVATIONS).join(", ")}`);
    const alpha = known.alpha === undefined ? 0 : (alphas.shift() ?? known.alpha);
    const beta = known.beta === undefined ? 0 : (betas.shift() ?? known.beta);
    return (x) => known.rule(x, alpha, beta);
  });
}

/** Everything about one layer that does not depend on the kind of cell. */
interface Layer {
  readonly hidden: number;
  readonly directions: number;
  readonly batchFirst: boolean;
}

function layerOf(
  op: string,
  types: Types,
  attrs: Attrs,
  gates: number,
): Layer & { readonly x: TensorType; readonly time: Dim; readonly batch: Dim } {
  const x = typed(op, types, 0, "x", "float");
  checkRank(op, x, "x", 3);
  const hidden = numberAttr(op, attrs, "hidden");
  const directions = choiceAttr(op, attrs, "direction", DIRECTIONS, "forward") === "bidirectional" ? 2 : 1;
  const batchFirst = numberAttr(op, attrs, "layout", 0) === 1;
  const [first, second, features] = x.shape as [Dim, Dim, Dim];
  const [time, batch] = batchFirst ? [second, first] : [first, second];
  const expect = (index: number, name: string, shape: readonly Dim[]): void => {
    const type = types[index];
    if (type === undefined) return;
    checkSameDType(op, x, type);
    const fits =
      type.shape.length === shape.length &&
      shape.every((dim, axis) => dimEqual(dim, type.shape[axis] as Dim) !== false);
    if (!fits)
      reject(op, `input "${name}" must be ${printTensorType({ dtype: x.dtype, shape })}, got ${printTensorType(type)}`);
  };
  given(op, types, 1, "w");
  given(op, types, 2, "r");
  expect(1, "w", [directions, gates * hidden, features]);
  expect(2, "r", [directions, gates * hidden, hidden]);
  expect(3, "b", [directions, 2 * gates * hidden]);
  const state = batchFirst ? [batch, directions, hidden] : [directions, batch, hidden];
  expect(5, "initialH", state);
  if (op === "lstm") {
    expect(6, "initialC", state);
    expect(7, "p", [directions, 3 * hidden]);
  }
  return { x, hidden, directions, batchFirst, time, batch };
}

function outputTypes(
  { x, hidden, directions, batchFirst, time, batch }: ReturnType<typeof layerOf>,
  states: number,
): TensorType[] {
  const y = batchFirst ? [batch, time, directions, hidden] : [time, directions, batch, hidden];
  const state = batchFirst ? [batch, directions, hidden] : [directions, batch, hidden];
  return [{ dtype: x.dtype, shape: y }, ...Array.from({ length: states }, () => ({ dtype: x.dtype, shape: state }))];
}

/** Products of one step for one entry: w·x + bw and r·h + br, per gate row. */
interface Step {
  readonly fromInput: Float64Array;
  readonly fromState: Float64Array;
}

/** Weights of one direction. */
interface Weights {
  readonly w: Float64Array;
  readonly r: Float64Array;
  readonly bias: Float64Array;
  readonly features: number;
  readonly hidden: number;
}

function multiplyRows(
  matrix: Float64Array,
  row: number,
  rows: number,
  vector: Float64Array,
  bias: Float64Array,
  biasStart: number,
): Float64Array {
  const { length } = vector;
  return Float64Array.from({ length: rows }, (_, i) => {
    let sum = bias[biasStart + i] ?? 0;
    const start = (row + i) * length;
    for (let j = 0; j < length; j++) sum += (matrix[start + j] as number) * (vector[j] as number);
    return sum;
  });
}

/** One step of a cell: gets the products, the direction and the state, and returns the new state (h first). */
type Cell = (step: Step, direction: number, state: readonly Float64Array[], weights: Weights) => Float64Array[];

/** Runs a cell over all steps, entries and directions; gives y and the last states. */
function runLayer(
  op: string,
  inputs: readonly (RefTensor | undefined)[],
  attrs: Attrs,
  gates: number,
  states: number,
  cell: Cell,
): RefTensor[] {
  const layer = layerOf(op, inputs, attrs, gates);
  const { hidden, directions, batchFirst } = layer;
  const [time, batch] = [layer.time, layer.batch] as [number, number];
  const [x, w, r] = [input(inputs, 0), input(inputs, 1), input(inputs, 2)];
  const features = x.shape[2] as number;
  const rows = gates * hidden;
  const types = outputTypes(layer, states);
  const results = types.map(({ dtype, shape }) => newRef(dtype, shape as number[]));
  const reversedFirst = choiceAttr(op, attrs, "direction", DIRECTIONS, "forward") === "reverse";
  const stateAt = (direction: number, entry: number): number =>
    (batchFirst ? entry * directions + direction : direction * batch + entry) * hidden;
  for (let direction = 0; direction < directions; direction++) {
    const weights: Weights = {
      w: w.data.subarray(direction * rows * features, (direction + 1) * rows * features),
      r: r.data.subarray(direction * rows * hidden, (direction + 1) * rows * hidden),
      bias: inputs[3]?.data.subarray(direction * 2 * rows, (direction + 1) * 2 * rows) ?? new Float64Array(2 * rows),
      features,
      hidden,
    };
    const reversed = direction === 1 || reversedFirst;
    for (let entry = 0; entry < batch; entry++) {
      const length = inputs[4]?.data[entry] ?? time;
      let state: Float64Array[] = Array.from({ length: states }, (_, i) => {
        const initial = inputs[5 + i];
        const at = stateAt(direction, entry);
        return initial === undefined ? new Float64Array(hidden) : initial.data.slice(at, at + hidden);
      });
      for (let step = 0; step < length; step++) {
        const t = reversed ? length - 1 - step : step;
        const from = (batchFirst ? entry * time + t : t * batch + entry) * features;
        const products = {
          fromInput: multiplyRows(weights.w, 0, rows, x.data.subarray(from, from + features), weights.bias, 0),
          fromState: multiplyRows(weights.r, 0, rows, state[0] as Float64Array, weights.bias, rows),
        };
        state = cell(products, direction, state, weights);
        const to =
          (batchFirst ? (entry * time + t) * directions + direction : (t * directions + direction) * batch + entry) *
          hidden;
        results[0]?.data.set(state[0] as Float64Array, to);
      }
      state.forEach((vector, i) => results[i + 1]?.data.set(vector, stateAt(direction, entry)));
    }
  }
  return results;
}

function clipper(op: string, attrs: Attrs): (x: number) => number {
  const clip = numberAttr(op, attrs, "clip", 0);
  return clip === 0 ? (x) => x : (x) => Math.min(Math.max(x, -clip), clip);
}

function tolerance(): ReturnType<typeof sumTolerance> {
  return sumTolerance(128);
}

export const lstm: Op = {
  name: "lstm",
  summary: "Long short-term memory layer; gates i o f c, peepholes i o f",
  inputs: ["x", "w", "r", "b?", "sequenceLens?", "initialH?", "initialC?", "p?"],
  infer: (types, attrs) => {
    const layer = layerOf("lstm", types, attrs, 4);
    activationsOf("lstm", attrs, ["sigmoid", "tanh", "tanh"], layer.directions);
    return outputTypes(layer, 2);
  },
  reference: (inputs, attrs) => {
    const { directions, hidden } = layerOf("lstm", inputs, attrs, 4);
    const activations = activationsOf("lstm", attrs, ["sigmoid", "tanh", "tanh"], directions);
    const clip = clipper("lstm", attrs);
    const coupled = booleanAttr("lstm", attrs, "inputForget", false);
    const peepholes = inputs[7]?.data ?? new Float64Array(directions * 3 * hidden);
    return runLayer("lstm", inputs, attrs, 4, 2, ({ fromInput, fromState }, direction, [, oldC]) => {
      const [f, g, h] = activations.slice(3 * direction) as [
        (x: number) => number,
        (x: number) => number,
        (x: number) => number,
      ];
      const gate = (index: number, i: number): number =>
        (fromInput[index * hidden + i] as number) + (fromState[index * hidden + i] as number);
      const peephole = (index: number, i: number): number => peepholes[(direction * 3 + index) * hidden + i] as number;
      const [newH, newC] = [new Float64Array(hidden), new Float64Array(hidden)];
      for (let i = 0; i < hidden; i++) {
        const c = oldC?.[i] as number;
        const inputGate = f(clip(gate(0, i) + peephole(0, i) * c));
        const forgetGate = coupled ? 1 - inputGate : f(clip(gate(2, i) + peephole(2, i) * c));
        const memory = forgetGate * c + inputGate * g(clip(gate(3, i)));
        newC[i] = memory;
        newH[i] = f(clip(gate(1, i) + peephole(1, i) * memory)) * h(memory);
      }
      return [newH, newC];
    });
  },
  toleranceFor: tolerance,
  cases: () =>
    recurrentCases(4, (extra) => [...extra, undefined, undefined], [
      opCase(
        "peepholes",
        [...recurrentInputs(4, 3, 2, 5, 4, 1), undefined, of("f32", 1, 2, 4), of("f32", 1, 2, 4), of("f32", 1, 12)],
        { hidden: 4, direction: "forward" },
      ),
      opCase(
        "initial state, bidirectional",
        [...recurrentInputs(4, 3, 2, 5, 4, 2), undefined, of("f32", 2, 2, 4), of("f32", 2, 2, 4)],
        { hidden: 4, direction: "bidirectional" },
      ),
      opCase("coupled gates", recurrentInputs(4, 3, 2, 5, 4, 1), { hidden: 4, inputForget: true }),
    ]),
};

export const gru: Op = {
  name: "gru",
  summary: "Gated recurrent unit layer; gates z r h",
  inputs: ["x", "w", "r", "b?", "sequenceLens?", "initialH?"],
  infer: (types, attrs) => {
    const layer = layerOf("gru", types, attrs, 3);
    activationsOf("gru", attrs, ["sigmoid", "tanh"], layer.directions);
    return outputTypes(layer, 1);
  },
  reference: (inputs, attrs) => {
    const { directions, hidden } = layerOf("gru", inputs, attrs, 3);
    const activations = activationsOf("gru", attrs, ["sigmoid", "tanh"], directions);
    const clip = clipper("gru", attrs);
    const linearBeforeReset = booleanAttr("gru", attrs, "linearBeforeReset", false);
    return runLayer("gru", inputs, attrs, 3, 1, ({ fromInput, fromState }, direction, [oldH], { r, bias }) => {
      const [f, g] = activations.slice(2 * direction) as [(x: number) => number, (x: number) => number];
      const old = oldH as Float64Array;
      const gate = (index: number, i: number): number =>
        f(clip((fromInput[index * hidden + i] as number) + (fromState[index * hidden + i] as number)));
      const [update, reset] = [0, 1].map((index) => Float64Array.from(old, (_, i) => gate(index, i))) as [
        Float64Array,
        Float64Array,
      ];
      // The reset gate applies to the state before the product, or to the product.
      const candidate = linearBeforeReset
        ? fromState.slice(2 * hidden).map((value, i) => value * (reset[i] as number))
        : multiplyRows(
            r,
            2 * hidden,
            hidden,
            old.map((value, i) => value * (reset[i] as number)),
            bias,
            5 * hidden,
          );
      return [
        old.map((value, i) => {
          const fresh = g(clip((fromInput[2 * hidden + i] as number) + (candidate[i] as number)));
          return (1 - (update[i] as number)) * fresh + (update[i] as number) * value;
        }),
      ];
    });
  },
  toleranceFor: tolerance,
  cases: () =>
    recurrentCases(3, (extra) => extra, [
      opCase("linear before reset", recurrentInputs(3, 3, 2, 5, 4, 1), { hidden: 4, linearBeforeReset: true }),
    ]),
};

export const rnn: Op = {
  name: "rnn",
  summary: "Simple recurrent layer",
  inputs: ["x", "w", "r", "b?", "sequenceLens?", "initialH?"],
  infer: (types, attrs) => {
    const layer = layerOf("rnn", types, attrs, 1);
    activationsOf("rnn", attrs, ["tanh"], layer.directions);
    return outputTypes(layer, 1);
  },
  reference: (inputs, attrs) => {
    const { directions } = layerOf("rnn", inputs, attrs, 1);
    const activations = activationsOf("rnn", attrs, ["tanh"], directions);
    const clip = clipper("rnn", attrs);
    return runLayer("rnn", inputs, attrs, 1, 1, ({ fromInput, fromState }, direction) => {
      const f = activations[direction] as (x: number) => number;
      return [fromInput.map((value, i) => f(clip(value + (fromState[i] as number))))];
    });
  },
  toleranceFor: tolerance,
  cases: () =>
    recurrentCases(1, (extra) => extra, [
      opCase("relu", recurrentInputs(1, 3, 2, 5, 4, 1), { hidden: 4, activations: ["relu"] }),
      opCase("affine", recurrentInputs(1, 3, 2, 5, 4, 1), {
        hidden: 4,
        activations: ["affine"],
        activationAlpha: [0.5],
        activationBeta: [0.25],
      }),
    ]),
};

/** x, w, r and b for `gates` gates. */
function recurrentInputs(
  gates: number,
  time: number,
  batch: number,
  features: number,
  hidden: number,
  directions: number,
): OpCase["inputs"][0][] {
  return [
    of("f32", time, batch, features),
    constant(of("f32", directions, gates * hidden, features)),
    constant(of("f32", directions, gates * hidden, hidden)),
    constant(of("f32", directions, 2 * gates * hidden)),
  ];
}

function recurrentCases(
  gates: number,
  rest: (inputs: OpCase["inputs"][0][]) => OpCase["inputs"][0][],
  extra: readonly OpCase[],
): OpCase[] {
  const batchFirst = [of("f32", 2, 3, 5), ...recurrentInputs(gates, 3, 2, 5, 4, 1).slice(1)];
  return [
    opCase("forward", recurrentInputs(gates, 7, 3, 17, 9, 1), { hidden: 9, direction: "forward" }),
    opCase("reverse", recurrentInputs(gates, 5, 2, 3, 4, 1), { hidden: 4, direction: "reverse" }),
    opCase("bidirectional", recurrentInputs(gates, 5, 2, 3, 4, 2), { hidden: 4, direction: "bidirectional" }),
    opCase("no bias", recurrentInputs(gates, 4, 1, 3, 5, 1).slice(0, 3), { hidden: 5 }),
    opCase("initial state", rest([...recurrentInputs(gates, 3, 2, 5, 4, 1), undefined, of("f32", 1, 2, 4)]), {
      hidden: 4,
    }),
    opCase("lengths", [...recurrentInputs(gates, 4, 3, 2, 3, 2), values("i32", [4, 1, 2])], {
      hidden: 3,
      direction: "bidirectional",
    }),
    opCase("batch first", batchFirst, { hidden: 4, layout: 1 }),
    opCase("clip", recurrentInputs(gates, 3, 2, 5, 4, 1), { hidden: 4, clip: 0.5 }),
    opCase("no steps", recurrentInputs(gates, 0, 2, 3, 4, 1), { hidden: 4 }),
    ...extra,
  ];
}
