/**
 * Sizes and attributes of lstm, gru and rnn in one record, and where elements lie in both layouts (time first, or
 * batch first), after the ONNX definitions.
 */

import {
  type Attrs,
  type Dim,
  type KernelBuilder,
  type KernelSite,
  type KValue,
  type Value,
  dimMul,
} from "@quern/core";

export type Cell = "lstm" | "gru" | "rnn";

export interface RecurrentProblem {
  readonly cell: Cell;
  /** Gates in the order of the weights: iofc, zrh, or one. */
  readonly gates: number;
  readonly x: Value;
  readonly w: Value;
  readonly r: Value;
  readonly bias: Value | undefined;
  readonly initialH: Value | undefined;
  readonly initialC: Value | undefined;
  readonly peephole: Value | undefined;
  readonly directions: number;
  readonly reverse: boolean;
  readonly steps: Dim;
  readonly batch: Dim;
  readonly inputSize: number;
  readonly hidden: number;
  readonly activations: readonly string[];
  readonly clip: number | undefined;
  readonly batchFirst: boolean;
  readonly inputForget: boolean;
  readonly linearBeforeReset: boolean;
}

const GATES: Readonly<Record<Cell, number>> = { lstm: 4, gru: 3, rnn: 1 };
const DEFAULT_ACTIVATIONS: Readonly<Record<Cell, readonly string[]>> = {
  lstm: ["sigmoid", "tanh", "tanh"],
  gru: ["sigmoid", "tanh"],
  rnn: ["tanh"],
};
const KNOWN_ACTIVATIONS: ReadonlySet<string> = new Set(["sigmoid", "tanh", "relu"]);

/** The problem of a site, or why no kernel computes it. */
export function recurrentProblem({ anchor }: KernelSite): RecurrentProblem | string {
  const cell = anchor.op as Cell;
  const { attrs } = anchor;
  const [x, w, r, bias, sequenceLens, initialH, initialC, peephole] = anchor.inputs as [
    Value,
    Value,
    Value,
    ...(Value | undefined)[],
  ];
  if (x.type.dtype !== "f32") return x.type.dtype;
  if (sequenceLens !== undefined) return "sequence lengths";
  const [directions, rows, inputSize] = w.type.shape;
  const hidden = r.type.shape[2];
  if (
    typeof directions !== "number" ||
    typeof inputSize !== "number" ||
    typeof hidden !== "number" ||
    typeof rows !== "number"
  ) {
    return "the weights have a symbolic size";
  }
  if (hidden === 0 || inputSize === 0) return "an axis is empty";
  const batchFirst = attrs["layout"] === 1;
  const activations = activationsOf(cell, attrs, directions);
  if (typeof activations === "string") return activations;
  const [first, second] = x.type.shape as [Dim, Dim];
  return {
    cell,
    gates: GATES[cell],
    x,
    w,
    r,
    bias,
    initialH,
    initialC,
    peephole,
    directions,
    inputSize,
    hidden,
    activations,
    batchFirst,
    reverse: attrs["direction"] === "reverse",
    steps: batchFirst ? second : first,
    batch: batchFirst ? first : second,
    // 0 stands for no clipping.
    clip: (attrs["clip"] as number | undefined) || undefined,
    inputForget: attrs["inputForget"] === true,
    linearBeforeReset: attrs["linearBeforeReset"] === true,
  };
}

/** Activations in lower case, the same for both directions; or why not. */
function activationsOf(cell: Cell, attrs: Attrs, directions: number): readonly string[] | string {
  const count = DEFAULT_ACTIVATIONS[cell].length;
  const given = ((attrs["activations"] as readonly string[] | undefined) ?? []).map((name) => name.toLowerCase());
  const all = given.length === 0 ? DEFAULT_ACTIVATIONS[cell] : given;
  const unknown = all.find((name) => !KNOWN_ACTIVATIONS.has(name));
  if (unknown !== undefined) return `activation ${unknown}`;
  const first = all.slice(0, count);
  const second = all.slice(count);
  if (directions === 2 && second.length > 0 && second.join() !== first.join())
    return "the directions differ in activations";
  return first;
}

/** Rows of X: steps · batch. */
export function projectedRows({ steps, batch }: RecurrentProblem): Dim {
  return dimMul(steps, batch);
}

/** Vectors of hidden units, the last one padded. */
export function unitVectors({ hidden }: RecurrentProblem, lanes: number): number {
  return Math.ceil(hidden / lanes);
}

/** Element offsets in the tensors of a problem. */
export class Places {
  readonly #k: KernelBuilder;
  readonly #p: RecurrentProblem;

  constructor(k: KernelBuilder, p: RecurrentProblem) {
    this.#k = k;
    this.#p = p;
  }

  /** Time of step `step`: backwards for the reverse direction. */
  time(step: KValue, direction: KValue): KValue {
    const k = this.#k;
    const { directions, reverse, steps } = this.#p;
    const backwards = k.sub(k.sub(k.index(steps), 1), step);
    if (directions === 2) return k.select(k.eq(direction, 0), step, backwards);
    return reverse ? backwards : step;
  }

  /** Row of X, and of its projection. */
  row(time: KValue, batch: KValue): KValue {
    const k = this.#k;
    const p = this.#p;
    return p.batchFirst ? k.add(k.mul(batch, k.index(p.steps)), time) : k.add(k.mul(time, k.index(p.batch)), batch);
  }

  /** First unit in an initial or final state. */
  state(direction: KValue, batch: KValue): KValue {
    const k = this.#k;
    const p = this.#p;
    const row = p.batchFirst
      ? k.add(k.mul(batch, p.directions), direction)
      : k.add(k.mul(direction, k.index(p.batch)), batch);
    return k.mul(row, p.hidden);
  }

  /** First unit of Y at a time. */
  result(time: KValue, direction: KValue, batch: KValue): KValue {
    const k = this.#k;
    const p = this.#p;
    const row = p.batchFirst
      ? k.add(k.mul(k.add(k.mul(batch, k.index(p.steps)), time), p.directions), direction)
      : k.add(k.mul(k.add(k.mul(time, p.directions), direction), k.index(p.batch)), batch);
    return k.mul(row, p.hidden);
  }
}
