/**
 * Products with experts in panels against the float64 reference: every spread of rows over experts that a kernel tells
 * apart, every encoding, vectors of each width, one thread and two. Rows that bytes represent exactly must come out as
 * exact as f32 sums are; random ones within the rounding of x to bytes.
 */

import {
  type ConstantData,
  type Executable,
  type Graph,
  GraphBuilder,
  Tensor,
  UserError,
  type Value,
  randomNumbers,
  referenceDevice,
} from "@quern/core";
import { afterAll, describe, expect, test } from "vitest";
import { cpu } from "../../device/cpu.ts";
import { cpuInfo, nativeHost } from "../../host/index.ts";
import type { CpuTarget } from "../../host/cpu-target.ts";
import { SIMULATED_AMX, SIMULATED_AVX2, SIMULATED_AVX512, simulated } from "../simulated-trial.ts";
import { interpreted, trial } from "../site-trial.ts";
import { expertMatmulBlocks } from "./expert-matmul.ts";
import { FLOAT_ENCODINGS } from "./float-panels.ts";
import { BLOCK_FORMATS, formatOf } from "./formats.ts";
import { randomBlocks } from "./random-blocks.test-support.ts";

const seed = Number(process.env["QUERN_SEED"] ?? Date.now() % 2 ** 31);
const uniform = randomNumbers(seed);

const { features } = cpuInfo(nativeHost());
const TARGETS = ["avx2", "avx512", "avx512+vnni"].filter((name) =>
  name === "avx2" ? true : name === "avx512" ? features.has("avx512f") : features.has("avx512vnni"),
);
const NAMES = [...FLOAT_ENCODINGS.keys(), ...BLOCK_FORMATS.map(({ name }) => name)];

const EXPERTS = 6;
const depthOf = (name: string): number => 2 * (formatOf(name)?.blockWeights ?? 37);

interface Shape {
  readonly columns?: number;
  readonly slots?: number;
  readonly tokens?: number | "n";
  /** A row of x for each slot. */
  readonly apart?: boolean;
}

function expertsGraph(name: string, { columns = 48, slots = 2, tokens = "n", apart = false }: Shape = {}): Graph {
  const depth = depthOf(name);
  const b = new GraphBuilder();
  const size = tokens === "n" ? new GraphBuilder().freshDim("n") : tokens;
  const x = b.input("x", "f32", apart ? [size, slots, depth] : [size, depth]);
  const ids = b.input("ids", "i32", [size, slots]);
  const y = b.apply("expertMatmul", [x, ids, b.constant(stackedBlocks(name, columns, depth))])[0] as Value;
  // A little work behind the product, on another operand of its shape.
  const other = b.input("other", "f32", [size, slots, columns]);
  b.output("y", b.apply("add", [b.apply("relu", [y])[0] as Value, other])[0] as Value);
  return b.build("experts");
}

function stackedBlocks(name: string, columns: number, depth: number): ConstantData {
  return { ...randomBlocks(name, EXPERTS * columns, depth, uniform), shape: [EXPERTS, columns, depth] };
}

/** Numbers that are multiples of a 127th of the greatest one in each 16. */
const exact = (at: number): number => (at % 16 === 0 ? 127 : Math.floor(uniform() * 255) - 127);
const anyNumber = (): number => uniform() - 0.5;

function inputsFor(
  graph: Graph,
  ids: readonly (readonly number[])[],
  element: (at: number) => number,
): Record<string, Tensor> {
  const [x, , other] = graph.inputs.map(({ value }) => value.type.shape.slice(1) as number[]) as [
    number[],
    number[],
    number[],
  ];
  const floats = (shape: number[], one: (at: number) => number): Tensor => {
    const full = [ids.length, ...shape];
    return Tensor.from(
      "f32",
      Float32Array.from({ length: full.reduce((n, dim) => n * dim, 1) }, (_, at) => one(at)),
      full,
    );
  };
  const slots = other[0] as number;
  return {
    x: floats(x, element),
    ids: Tensor.from("i32", Int32Array.from(ids.flat()), [ids.length, slots]),
    other: floats(other, anyNumber),
  };
}

function errorsOf(
  graph: Graph,
  executable: Executable,
  inputs: Record<string, Tensor>,
): { worst: number; rms: number; names: string[] } {
  const errors = compare(graph, executable.runSync(inputs)["y"] as Tensor, inputs);
  return { ...errors, names: executable.report.launches.map(({ kernel }) => kernel) };
}

function compare(graph: Graph, y: Tensor, inputs: Record<string, Tensor>): { worst: number; rms: number } {
  const expected = (referenceDevice().compile(graph).runSync(inputs)["y"] as Tensor).data as Float32Array;
  const actual = y.data as Float32Array;
  expect(actual).toHaveLength(expected.length);
  const scale = Math.sqrt(expected.reduce((sum, y) => sum + y * y, 0) / Math.max(1, expected.length));
  const errors = Array.from(expected, (y, i) => Math.abs((actual[i] as number) - y) / scale);
  const rms = Math.sqrt(errors.reduce((sum, error) => sum + error * error, 0) / Math.max(1, errors.length));
  const worst = errors.reduce((most, error) => (error <= most ? most : error), 0);
  return { worst, rms };
}

/** Experts of each token: groups of 1, 2, 3 to 4, 5 to 8 and more rows, and experts that nobody wants. */
const SPREADS: Readonly<Record<string, readonly (readonly [number, number])[]>> = {
  "one token": [[4, 1]],
  "one token, one expert twice": [[5, 5]],
  "no tokens": [],
  "groups of each kind": [...Array.from({ length: 11 }, () => [0, 4] as const), [2, 3], [2, 3], [3, 5], [3, 0]],
  "all rows to one expert": Array.from({ length: 9 }, () => [5, 5] as const),
  "groups of 8 and 5": [...Array.from({ length: 5 }, () => [1, 2] as const), [1, 3], [1, 3], [1, 0]],
};

describe.each(TARGETS)("%s", (target) => {
  const devices = [1, 2].map((threads) => cpu({ features: target, threads, cache: false, matmulPrecision: "medium" }));
  afterAll(() => devices.forEach((device) => device.dispose()));

  test.each(NAMES)(`%s: spreads of rows over experts (seed ${seed})`, (name) => {
    const graph = expertsGraph(name);
    for (const device of devices) {
      using executable = device.compile(graph);
      for (const [spread, ids] of Object.entries(SPREADS)) {
        const { worst, names } = errorsOf(graph, executable, inputsFor(graph, ids, exact));
        expect(names.at(-1)).toMatch(new RegExp(`^expert_matmul_${name}_`));
        expect(worst, spread).toBeLessThan(3e-6);
      }
      const ids = Array.from({ length: 33 }, () => [0, 1].map(() => Math.floor(uniform() ** 2 * EXPERTS)));
      const rounded = errorsOf(graph, executable, inputsFor(graph, ids, anyNumber));
      expect(rounded.rms).toBeLessThan(FLOAT_ENCODINGS.has(name) ? 1e-6 : 2e-2);
    }
  });

  test.each(["Q4_K", "Q8_0", "F16"])(`%s: a row for each slot, an odd number of vectors (seed ${seed})`, (name) => {
    for (const shape of [
      { columns: 16, slots: 3 },
      { slots: 3, tokens: 5 },
      { columns: 80, slots: 1, tokens: 1 },
    ]) {
      const graph = expertsGraph(name, { ...shape, apart: true });
      using executable = (devices[1] as (typeof devices)[0]).compile(graph);
      const ids = Array.from({ length: shape.tokens ?? 4 }, () =>
        Array.from({ length: shape.slots }, () => Math.floor(uniform() * EXPERTS)),
      );
      expect(errorsOf(graph, executable, inputsFor(graph, ids, exact)).worst).toBeLessThan(3e-6);
    }
  });
});

describe.each([
  ["interpreter", interpreted(seed)],
  ["simulator", simulated()],
] as const)("%s", (_where, execute) => {
  const targets = [SIMULATED_AVX2, SIMULATED_AVX512, { ...SIMULATED_AMX, name: "avx512+vnni" }];
  test.each(["Q8_0", "Q4_K", "Q6_K", "IQ4_XS"])(`%s (seed ${seed})`, (name) => {
    // The targets take turns; together the spreads have groups of every kind.
    ["one token", "groups of each kind", "groups of 8 and 5"].forEach((spread, at) => {
      const target = targets[(at + NAMES.indexOf(name)) % targets.length] as CpuTarget;
      const ids = SPREADS[spread] as readonly (readonly [number, number])[];
      const graph = expertsGraph(name, { columns: 32, tokens: ids.length });
      const inputs = inputsFor(graph, ids, exact);
      const environment = { target, threads: 2, precision: "medium" } as const;
      const { outputs, used, refusals } = trial(graph, inputs, expertMatmulBlocks, environment, execute);
      expect(used, refusals.join()).toBe(1);
      expect(compare(graph, outputs["y"] as Tensor, inputs).worst, spread).toBeLessThan(6e-6);
    });
  });
});

test(`experts that no row goes to are not read (seed ${seed})`, () => {
  using device = cpu({ threads: 2, cache: false, matmulPrecision: "medium" });
  const graph = expertsGraph("Q8_0");
  const data = graph.nodes.find(({ op }) => op === "constant")?.attrs["value"] as ConstantData;
  // Scales of no number everywhere but in the second expert.
  const view = new DataView(data.bytes.buffer);
  const perExpert = data.bytes.length / EXPERTS;
  for (let block = 0; block < data.bytes.length; block += 34)
    if (Math.floor(block / perExpert) !== 1) view.setFloat16(block, NaN, true);
  using executable = device.compile(graph);
  for (const ids of [[[1, 1]], Array.from({ length: 9 }, () => [1, 1])])
    expect(errorsOf(graph, executable, inputsFor(graph, ids, exact)).worst).toBeLessThan(3e-6);
});

test(`experts whose rows share panels, and blocks at the highest precision, become f32 (seed ${seed})`, () => {
  using device = cpu({ threads: 2, cache: false, matmulPrecision: "medium" });
  const ids = [
    [1, 4],
    [4, 0],
  ];
  for (const [shape, precision] of [
    [{ columns: 24 }, "medium"],
    [{}, "highest"],
  ] as const) {
    const graph = expertsGraph("Q4_0", shape);
    using executable = device.compile(graph, { matmulPrecision: precision });
    const { worst, names } = errorsOf(graph, executable, inputsFor(graph, ids, anyNumber));
    expect(names).toEqual([expect.stringMatching(/^expert_matmul_n/)]);
    expect(worst).toBeLessThan(1e-6);
  }
});

test("experts that do not exist are an error of the reference, and no harm on the device", () => {
  const graph = expertsGraph("Q8_0");
  for (const wrong of [EXPERTS, -1]) {
    const inputs = inputsFor(
      graph,
      [
        [0, 1],
        [2, wrong],
      ],
      exact,
    );
    expect(() => referenceDevice().compile(graph).runSync(inputs)).toThrow(
      new UserError(`expertMatmul: expert ${wrong} of token 1, slot 1, is outside of 0..5`),
    );
    using device = cpu({ threads: 1, cache: false, matmulPrecision: "medium" });
    using executable = device.compile(graph);
    const y = (executable.runSync(inputs)["y"] as Tensor).data as Float32Array;
    expect(y.every(Number.isFinite)).toBe(true);
  }
});

test(`checked runs find nothing wrong (seed ${seed})`, () => {
  using device = cpu({ threads: 1, check: true, matmulPrecision: "medium" });
  for (const name of ["Q6_K", "IQ4_XS", "Q8_0", "BF16"]) {
    const graph = expertsGraph(name);
    using executable = device.compile(graph);
    for (const [spread, ids] of Object.entries(SPREADS))
      expect(errorsOf(graph, executable, inputsFor(graph, ids, exact)).worst, spread).toBeLessThan(3e-6);
  }
});
