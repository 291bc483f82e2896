/**
 * Attention on the matrix unit, on the kernel interpreter, the simulated processor, and the one at hand where it has
 * AVX-512 with bf16 (its tiles emulated where it has none): caches full of NaN where nothing was written, errors as precision "medium" promises them.
 */

import {
  type DType,
  type DimBindings,
  type Graph,
  DTYPE_INFO,
  Tensor,
  graph,
  randomNumbers,
  referenceDevice,
} from "@quern/core";
import { describe, expect, test } from "vitest";
import { AMX } from "../../select/index.ts";
import { runnableTargets } from "../../select/kernel-trial.ts";
import { ERROR_LIMIT, relativeError } from "../amx/accuracy.ts";
import { machine } from "../machine-trial.ts";
import { SIMULATED_AMX, simulated } from "../simulated-trial.ts";
import { type Execute, interpreted, trial } from "../site-trial.ts";
import { attentionAmx } from "./attention.ts";

const SEED = 20282;

interface Scene {
  readonly name: string;
  readonly group?: number;
  readonly kvHeads?: number;
  readonly head?: number;
  readonly pageSize?: number;
  readonly cache?: DType;
  readonly runs: readonly (readonly [count: number, sequence: number, position: number])[];
  readonly options?: { readonly window?: number; readonly softcap?: number };
}

/** Every run begins at position 0 or continues one of the same step, so that all that is seen was written. */
const SCENES: readonly Scene[] = [
  { name: "a prompt", runs: [[33, 0, 0]] },
  {
    name: "runs of a prompt, and a token",
    group: 1,
    runs: [
      [32, 0, 0],
      [32, 0, 32],
      [1, 1, 0],
      [7, 0, 64],
    ],
  },
  { name: "blocks of tokens", group: 9, kvHeads: 1, head: 32, cache: "f16", runs: [[40, 0, 0]] },
  {
    name: "heads of 80",
    head: 80,
    cache: "bf16",
    runs: [
      [5, 1, 0],
      [9, 0, 0],
    ],
  },
  { name: "heads of 17", head: 17, pageSize: 32, runs: [[35, 0, 0]] },
  { name: "scaled integers", head: 96, cache: "i8", runs: [[20, 0, 0]] },
  {
    name: "a window",
    pageSize: 32,
    options: { window: 11 },
    runs: [
      [30, 0, 0],
      [30, 0, 30],
    ],
  },
  { name: "capped scores", cache: "f16", options: { softcap: 3 }, runs: [[18, 0, 0]] },
];

function build(scene: Scene): { model: Graph; inputs: Record<string, Tensor>; symbols: DimBindings } {
  const { group = 4, kvHeads = 2, head = 64, pageSize = 64, cache = "f32", runs, options } = scene;
  const queryHeads = group * kvHeads;
  const [pool, sequences, each] = [9, 2, 4];
  const tokens = runs.reduce((sum, [count]) => sum + count, 0);
  const random = randomNumbers(SEED);
  const g = graph(scene.name);
  const inputs: Record<string, Tensor> = {};
  const symbols: Record<string, number> = { t: tokens, r: runs.length, s: sequences, p: each, n: pool };
  const input = (
    name: string,
    dtype: DType,
    shape: (string | number)[],
    values?: number[],
  ): ReturnType<typeof g.input> => {
    const sizes = shape.map((size) => (typeof size === "string" ? (symbols[size] as number) : size));
    const count = sizes.reduce((a, b) => a * b, 1);
    inputs[name] = Tensor.from(dtype, values ?? Array.from({ length: count }, () => 2 * random() - 1), sizes);
    return g.input(name, dtype, shape);
  };
  const state = (name: string, dtype: DType, shape: (string | number)[]): ReturnType<typeof g.input> => {
    const value = input(name, dtype, shape, undefined);
    const { data } = inputs[name] as Tensor;
    if (dtype === "bf16") (data as Uint16Array).fill(0x7fc0);
    else (data as Float32Array).fill(DTYPE_INFO[dtype].kind === "float" ? NaN : -128);
    return value;
  };
  let first = 0;
  const rows = runs.flatMap(([count, sequence, position]) => {
    first += count;
    return [first - count, count, sequence, position];
  });
  const scaled = cache === "i8";
  const y = g.attention(
    input("q", "f32", ["t", queryHeads, head]),
    input("k", "f32", ["t", kvHeads, head]),
    input("v", "f32", ["t", kvHeads, head]),
    {
      runs: input("runs", "i32", ["r", 4], rows),
      pages: input("pages", "i32", ["s", "p"], [3, 0, 7, 2, 8, 1, 5, 4]),
      keys: state("keys", cache, ["n", kvHeads, head, pageSize]),
      values: state("values", cache, ["n", kvHeads, pageSize, head]),
      keyScales: scaled ? state("keyScales", "f16", ["n", kvHeads, head / 32, pageSize]) : undefined,
      valueScales: scaled ? state("valueScales", "f16", ["n", kvHeads, pageSize, head / 32]) : undefined,
    },
    options,
  );
  return { model: g.output("y", y).build(), inputs, symbols };
}

const executions: readonly (readonly [string, Execute])[] = [
  ["interpreter", interpreted(SEED)],
  ["simulator", simulated()],
  ...(runnableTargets().includes(AMX) ? [["processor", machine()] as const] : []),
];

describe.each(executions)("attention on the matrix unit, %s", (_where, execute) => {
  test.each(SCENES)("$name", (scene) => {
    const { model, inputs, symbols } = build(scene);
    const expected = referenceDevice().compile(model).runSync(build(scene).inputs);
    const { outputs, used } = trial(
      model,
      inputs,
      attentionAmx,
      { target: SIMULATED_AMX, threads: 2, precision: "medium" },
      execute,
      symbols,
    );
    expect(used).toBe(1);
    const error = relativeError(outputs["y"] as Tensor, expected["y"] as Tensor);
    // Weights and values are rounded once more than in a product: twice the error of one.
    expect(error.rms, `seed ${SEED}`).toBeLessThan(2 * ERROR_LIMIT.medium.rms);
    expect(error.max, `seed ${SEED}`).toBeLessThan(2 * ERROR_LIMIT.medium.max);
  });
});
