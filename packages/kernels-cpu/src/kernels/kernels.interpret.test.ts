/**
 * Every CPU kernel on every case of its ops, on the kernel interpreter, for both vector widths: results against the
 * reference, and no access out of bounds, no race, no read of memory that nobody wrote.
 */

import { type Op, type OpCase, type Tensor, type TensorType, type Value, allOps, caseGraph, caseInputs, findOp, referenceDevice, toleranceOf } from "@quern/core";
import { describe, expect, test } from "vitest";
import { CPU_KERNELS } from "./index.ts";
import type { CpuKernel } from "./kernel.ts";
import { TRIAL_TARGETS, trial } from "./site-trial.ts";

const SEED = 20263;
const known = new Set(allOps().map((op) => op.name));

/** The layout stated, so that the layout pass moves it to the one that the kernels want. */
function withLayout(op: Op, opCase: OpCase): OpCase {
  const spatial = op.name === "conv" || op.name.endsWith("Pool");
  return spatial ? { ...opCase, attrs: { layout: "nchw", ...opCase.attrs } } : opCase;
}

function runCase(kernel: CpuKernel, op: Op, given: OpCase): { used: number; refusals: readonly string[] } {
  const opCase = withLayout(op, given);
  const { graph, inputs } = caseGraph(op, opCase, caseInputs(opCase, SEED));
  const expected = referenceDevice().compile(graph).runSync(inputs);
  const types = opCase.inputs.map((input): TensorType | undefined => input);
  let used = 0;
  const refusals: string[] = [];
  for (const target of TRIAL_TARGETS) {
    for (const threads of [1, 2]) {
      const result = trial(graph, inputs, kernel, { target, threads, precision: "highest" }, SEED);
      used += result.used;
      refusals.push(...result.refusals);
      graph.outputs.forEach(({ name, value }) => {
        const where = `${kernel.name}, ${opCase.name}, ${target.name}, ${threads} threads, seed ${SEED}, output ${name}`;
        compare(result.outputs[name] as Tensor, expected[name] as Tensor, toleranceOf(op, types, opCase.attrs, value.type.dtype), where, value);
      });
    }
  }
  return { used, refusals };
}

function compare(actual: Tensor, expected: Tensor, { rtol, atol }: { rtol: number; atol: number }, where: string, value: Value): void {
  expect(actual.shape, where).toEqual(expected.shape);
  const [got, want] = [actual.toArray(), expected.toArray()];
  const wrong = got.findIndex((x, i) => {
    const y = want[i] as number;
    return !(Object.is(x, y) || x === y || (Number.isNaN(x) && Number.isNaN(y)) || Math.abs(x - y) <= atol + rtol * Math.abs(y));
  });
  expect(wrong, `${where} (${value.type.dtype}${JSON.stringify(value.type.shape)}): element ${wrong} is ${got[wrong]}, not ${want[wrong]}`).toBe(-1);
}

describe.each(CPU_KERNELS.map((kernel) => [kernel.name, kernel] as const))("%s", (_, kernel) => {
  const cases = kernel.ops.filter((name) => known.has(name)).flatMap((name) => findOp(name).cases().map((opCase) => ({ op: findOp(name), opCase })));
  test("has cases that it computes", () => {
    let used = 0;
    const failures: string[] = [];
    for (const { op, opCase } of cases) {
      try {
        used += runCase(kernel, op, opCase).used;
      } catch (error) {
        failures.push(`${op.name} "${opCase.name}": ${(error as Error).message}`);
      }
    }
    expect(failures, failures.join("\n")).toEqual([]);
    expect(used, `cases of ${kernel.ops.join(", ")} that ${kernel.name} computes`).toBeGreaterThan(0);
  });
});
