/**
 * Random fused groups on the GPU: pointwise chains with broadcasting, comparisons, choices, transposes, reductions
 * and softmax over odd and empty sizes, against the reference interpreter.
 */

import { env } from "node:process";
import { type Graph, GraphBuilder, Tensor, type Value, randomNumbers } from "@quern/core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Opened, compare, openForTests } from "./gpu.test-support.ts";

const SEEDS = Array.from({ length: 16 }, (_, i) => 4100 + i);
const SIZES = [1, 3, 17, 33, 64, 0] as const;
const STEPS = 7;
/** Rounding errors of a dozen operations on values around 1, each within a few units of 2^-23. */
const TOLERANCE = { rtol: 2 ** -16, atol: 2 ** -16 };

let opened: Opened = { reason: "not opened" };
beforeAll(async () => {
  opened = await openForTests(env["QUERN_REQUIRE_GPU"]);
});
afterAll(() => {
  if ("device" in opened) opened.device.dispose();
});

/** Grows a graph from random ops whose results stay around 1. */
class RandomGroup {
  readonly builder: GraphBuilder = new GraphBuilder();
  readonly inputs: Record<string, Tensor> = {};
  readonly #random: () => number;
  readonly #rows: number;
  readonly #columns: number;

  constructor(seed: number) {
    this.#random = randomNumbers(seed);
    this.#rows = this.#pick(SIZES);
    this.#columns = this.#pick(SIZES);
  }

  build(): Graph {
    let value = this.#input([this.#rows, this.#columns]);
    for (let step = 0; step < STEPS; step++) value = this.#step(value);
    this.builder.output("y", value);
    return this.builder.build("group");
  }

  #pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.#random() * items.length)] as T;
  }

  #input(shape: readonly number[]): Value {
    const name = `x${Object.keys(this.inputs).length}`;
    const size = shape.reduce((n, dim) => n * dim, 1);
    this.inputs[name] = Tensor.from(
      "f32",
      Float32Array.from({ length: size }, () => 2 * this.#random() - 1),
      shape,
    );
    return this.builder.input(name, "f32", shape);
  }

  #one(op: string, inputs: readonly Value[], attrs: Parameters<GraphBuilder["apply"]>[2] = {}): Value {
    return this.builder.apply(op, inputs, attrs)[0] as Value;
  }

  #step(value: Value): Value {
    const [rows, columns] = value.type.shape as [number, number];
    const other = (): Value => this.#input(this.#pick([[rows, columns], [columns], [rows, 1], []]));
    const kinds: readonly (() => Value)[] = [
      () => this.#one(this.#pick(["tanh", "sigmoid", "abs", "erf", "sin"]), [value]),
      () => this.#one(this.#pick(["add", "mul", "sub", "maximum", "minimum"]), [this.#one("tanh", [value]), other()]),
      () => this.#one("where", [this.#one(this.#pick(["less", "greaterEqual"]), [other(), other()]), value, other()]),
      () =>
        this.#one("div", [
          value,
          this.#one("add", [this.#one("exp", [this.#one("tanh", [value])]), this.#one("abs", [other()])]),
        ]),
      () => this.#one("transpose", [value], { perm: [1, 0] }),
      () =>
        this.#one("sub", [
          value,
          this.#one(this.#pick(["reduceMax", "reduceMean"]), [value], { axes: [this.#pick([0, 1])], keepDims: true }),
        ]),
      () => this.#one("softmax", [value], { axis: this.#pick([0, 1]) }),
    ];
    // A maximum or mean of nothing is no number to compare.
    const usable = rows === 0 || columns === 0 ? kinds.slice(0, 5) : kinds;
    return this.#pick(usable)();
  }
}

for (const seed of SEEDS) {
  test(`seed ${seed}`, async (context) => {
    if ("reason" in opened) return context.skip(opened.reason);
    const group = new RandomGroup(seed);
    const graph = group.build();
    const problems = await compare(opened.device, graph, group.inputs, () => TOLERANCE);
    expect(problems, problems.join("\n")).toEqual([]);
  });
}
