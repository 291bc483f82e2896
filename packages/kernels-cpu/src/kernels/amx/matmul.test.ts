/**
 * Matrix products on the matrix unit: on the kernel interpreter (error against float64 sums, no access out of bounds,
 * no race, no read of memory that nobody wrote), as machine code on the simulated processor, and on the processor at
 * hand where it has AVX-512 with bf16, its tiles emulated where it has none.
 */

import {
  type MatmulPrecision,
  type Value,
  GraphBuilder,
  Tensor,
  randomNumbers,
  referenceDevice,
  symbol,
} from "@quern/core";
import { describe, expect, test } from "vitest";
import { AMX } from "../../select/index.ts";
import { runnableTargets } from "../../select/kernel-trial.ts";
import { machine } from "../machine-trial.ts";
import { SIMULATED_AMX, SIMULATED_AVX512, simulated } from "../simulated-trial.ts";
import { type Execute, interpreted, trial } from "../site-trial.ts";
import { ERROR_LIMIT, type ErrorOf, relativeError } from "./accuracy.ts";
import { MATMUL_CASES, type MatmulCase, PRECISIONS, buildMatmul } from "./amx-trial.ts";
import { matmulAmx } from "./matmul.ts";

const SEED = 20270;

const executions: readonly (readonly [string, Execute])[] = [
  ["interpreter", interpreted(SEED)],
  ["simulator", simulated()],
  ...(runnableTargets().includes(AMX) ? [["processor", machine()] as const] : []),
];

function errorOf(one: MatmulCase, precision: MatmulPrecision, execute: Execute, whole: boolean): ErrorOf {
  const { graph, inputs } = buildMatmul(one, SEED, whole);
  const expected = referenceDevice().compile(graph).runSync(inputs);
  const result = trial(
    graph,
    inputs,
    matmulAmx,
    { target: SIMULATED_AMX, threads: one.threads ?? 1, precision },
    execute,
  );
  expect(result.used, result.refusals.join()).toBe(1);
  return relativeError(result.outputs["y"] as Tensor, expected["y"] as Tensor);
}

describe.each(
  PRECISIONS.flatMap((precision) => executions.map(([name, execute]) => [name, precision, execute] as const)),
)("%s, %s", (_where, precision, execute) => {
  test.each(MATMUL_CASES.map((one) => [one.name, one] as const))("%s", (_name, one) => {
    const error = errorOf(one, precision, execute, false);
    expect(error.rms, `rms error, seed ${SEED}`).toBeLessThan(ERROR_LIMIT[precision].rms);
    expect(error.max, `largest error, seed ${SEED}`).toBeLessThan(ERROR_LIMIT[precision].max);
    expect(errorOf(one, precision, execute, true), `small integers are exact, seed ${SEED}`).toEqual({
      rms: 0,
      max: 0,
    });
  });
});

test("sums wait in the result where A does not fit the second-level cache at once", () => {
  const one: MatmulCase = { name: "slabs", a: [130, 2100], b: [2100, 20], constant: true, bias: true };
  for (const [name, execute] of executions.filter(([where]) => where !== "simulator")) {
    const error = errorOf(one, "high", execute, false);
    expect(error.rms, `rms error, ${name}, seed ${SEED}`).toBeLessThan(ERROR_LIMIT.high.rms);
    expect(error.max, `largest error, ${name}, seed ${SEED}`).toBeLessThan(ERROR_LIMIT.high.max);
  }
});

test.each(executions)("rows known at run time, %s", (_where, execute) => {
  const random = randomNumbers(SEED);
  const tensor = (shape: readonly number[]): Tensor =>
    Tensor.from(
      "f32",
      Array.from({ length: (shape[0] as number) * (shape[1] as number) }, () => Math.floor(random() * 9) - 4),
      shape,
    );
  const builder = new GraphBuilder();
  const weights = builder.constant({ dtype: "f32", shape: [75, 41], bytes: tensor([75, 41]).bytes() });
  builder.output("y", builder.apply("matmul", [builder.input("a", "f32", [symbol("n"), 75]), weights])[0] as Value);
  const graph = builder.build("symbolic");
  for (const n of [1, 33, 300]) {
    const inputs = { a: tensor([n, 75]) };
    const expected = referenceDevice().compile(graph).runSync(inputs);
    const result = trial(graph, inputs, matmulAmx, { target: SIMULATED_AMX, threads: 2, precision: "high" }, execute, {
      n,
    });
    expect(result.used, result.refusals.join()).toBe(1);
    // Small integers are exact.
    expect(relativeError(result.outputs["y"] as Tensor, expected["y"] as Tensor), `${n} rows, seed ${SEED}`).toEqual({
      rms: 0,
      max: 0,
    });
  }
});

test("where it does not apply", () => {
  const [first] = MATMUL_CASES as [MatmulCase];
  const { graph, inputs } = buildMatmul(first, SEED);
  const refusal = (precision: MatmulPrecision, target = SIMULATED_AMX): string =>
    trial(graph, inputs, matmulAmx, { target, threads: 1, precision }, interpreted(SEED)).refusals.join();
  expect(refusal("highest")).toBe('precision "highest" wants f32 products');
  expect(refusal("high", SIMULATED_AVX512)).toBe('no matrix unit for precision "high": computed at "highest"');
});
