/**
 * The cases of a kernel's ops, run for tests: every case of the op records, for each target and number of threads.
 */

import {
  type Op,
  type OpCase,
  type Tensor,
  type TensorType,
  allOps,
  caseGraph,
  caseInputs,
  freshCase,
  referenceDevice,
  stateNames,
  toleranceOf,
} from "@quern/core";
import type { CpuTarget } from "../host/cpu-target.ts";
import type { CpuKernel } from "./kernel.ts";
import { type Execute, trial } from "./site-trial.ts";

export interface CasesResult {
  /** One line per wrong result or error. */
  readonly failures: readonly string[];
  /** Sites that the kernel computed. */
  readonly used: number;
}

/** Runs `kernel` on the cases of its ops. */
export function runRecordCases(
  kernel: CpuKernel,
  targets: readonly CpuTarget[],
  execute: Execute,
  seed: number,
): CasesResult {
  const failures: string[] = [];
  let used = 0;
  for (const op of allOps()) {
    if (!kernel.ops.includes(op.name)) continue;
    for (const opCase of op.cases()) {
      try {
        const result = runCase(kernel, op, withLayout(op, opCase), targets, execute, seed);
        used += result.used;
        failures.push(...result.failures);
      } catch (error) {
        failures.push(`${op.name} "${opCase.name}": ${(error as Error).message}`);
      }
    }
  }
  return { failures, used };
}

/** The layout stated, so that the layout pass moves it to the one that the kernels want. */
function withLayout(op: Op, opCase: OpCase): OpCase {
  const spatial = op.name === "conv" || op.name.endsWith("Pool");
  return spatial ? { ...opCase, attrs: { layout: "nchw", ...opCase.attrs } } : opCase;
}

export function runCase(
  kernel: CpuKernel,
  op: Op,
  opCase: OpCase,
  targets: readonly CpuTarget[],
  execute: Execute,
  seed: number,
): CasesResult {
  const run = caseGraph(op, opCase, caseInputs(opCase, seed));
  const { graph } = run;
  const { inputs: expectedInputs } = freshCase(run);
  const expected = referenceDevice().compile(graph).runSync(expectedInputs);
  const types = opCase.inputs.map((input): TensorType | undefined => input);
  const failures: string[] = [];
  let used = 0;
  for (const target of targets) {
    for (const threads of [1, 2]) {
      const { inputs } = freshCase(run);
      const result = trial(graph, inputs, kernel, { target, threads, precision: "highest" }, execute);
      used += result.used;
      for (const name of stateNames(graph)) {
        const wrong = difference(inputs[name] as Tensor, expectedInputs[name] as Tensor, { rtol: 0, atol: 0 });
        if (wrong !== undefined)
          failures.push(
            `${op.name} "${opCase.name}" on ${target.name}, ${threads} threads, seed ${seed}: new state ${name} ${wrong}`,
          );
      }
      for (const { name, value } of graph.outputs) {
        const wrong = difference(
          result.outputs[name] as Tensor,
          expected[name] as Tensor,
          toleranceOf(op, types, opCase.attrs, value.type.dtype),
        );
        if (wrong !== undefined)
          failures.push(
            `${op.name} "${opCase.name}" on ${target.name}, ${threads} threads, seed ${seed}: ${name} ${wrong}`,
          );
      }
    }
  }
  return { failures, used };
}

/** The first element outside the tolerance. */
export function difference(
  actual: Tensor,
  expected: Tensor,
  { rtol, atol }: { readonly rtol: number; readonly atol: number },
): string | undefined {
  if (actual.dtype !== expected.dtype || actual.shape.join() !== expected.shape.join()) {
    return `is ${actual.dtype}[${actual.shape.join()}], not ${expected.dtype}[${expected.shape.join()}]`;
  }
  const [got, want] = [actual.toArray(), expected.toArray()];
  const wrong = got.findIndex((x, i) => {
    const y = want[i] as number;
    return !(x === y || (Number.isNaN(x) && Number.isNaN(y)) || Math.abs(x - y) <= atol + rtol * Math.abs(y));
  });
  return wrong < 0 ? undefined : `element ${wrong} is ${got[wrong]}, not ${want[wrong]}`;
}
