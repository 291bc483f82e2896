/**
 * The kernels on the matrix unit on every case of their ops, each element against the bound that follows from the
 * splitting: with S = Σ |a| |b|, one term loses at most 2^-9 of each factor, so 2^-8 S; two lose 2^-18 of each factor and
 * the product of the second terms, so 3 · 2^-18 S; either way the sum in f32 adds less than 2^-16 S at these lengths.
 */

import { type MatmulPrecision, Tensor, allOps, caseGraph, caseInputs, referenceDevice } from "@quern/core";
import { describe, expect, test } from "vitest";
import { AMX } from "../../select/index.ts";
import { runnableTargets } from "../../select/kernel-trial.ts";
import { machine } from "../machine-trial.ts";
import { SIMULATED_AMX } from "../simulated-trial.ts";
import { type Execute, interpreted, trial } from "../site-trial.ts";
import { PRECISIONS } from "./amx-trial.ts";
import { convAmx } from "./conv.ts";
import { matmulAmx } from "./matmul.ts";

const SEED = 20273;
const BOUND: Readonly<Record<MatmulPrecision, number>> = {
  highest: 2 ** -16,
  high: 3 * 2 ** -18 + 2 ** -16,
  medium: 2 ** -8 + 2 ** -16,
};

const executions: readonly (readonly [string, Execute])[] = [
  ["interpreter", interpreted(SEED)],
  ...(runnableTargets().includes(AMX) ? [["processor", machine()] as const] : []),
];

function magnitudes(tensor: Tensor | undefined): Tensor | undefined {
  return tensor === undefined || tensor.dtype !== "f32"
    ? tensor
    : Tensor.from("f32", tensor.toArray().map(Math.abs), tensor.shape);
}

describe.each([matmulAmx, convAmx].map((kernel) => [kernel.name, kernel] as const))("%s", (_kernel, kernel) => {
  test.each(executions)("%s", (_where, execute) => {
    let used = 0;
    const failures: string[] = [];
    for (const op of allOps().filter(({ name }) => kernel.ops.includes(name))) {
      for (const recorded of op.cases()) {
        // Stated, so that the layout pass moves it.
        const opCase = op.name === "conv" ? { ...recorded, attrs: { layout: "nchw", ...recorded.attrs } } : recorded;
        const tensors = caseInputs(opCase, SEED);
        const { graph, inputs } = caseGraph(op, opCase, tensors);
        const bounds = caseGraph(op, opCase, tensors.map(magnitudes));
        const [expected, sums] = [
          referenceDevice().compile(graph).runSync(inputs),
          referenceDevice().compile(bounds.graph).runSync(bounds.inputs),
        ];
        for (const precision of PRECISIONS) {
          for (const threads of [1, 2]) {
            const result = trial(graph, inputs, kernel, { target: SIMULATED_AMX, threads, precision }, execute);
            used += result.used;
            if (result.used === 0) continue;
            for (const { name } of graph.outputs) {
              const [got, want, sum] = [result.outputs[name], expected[name], sums[name]].map((tensor) =>
                (tensor as Tensor).toArray(),
              ) as [number[], number[], number[]];
              const wrong = got.findIndex(
                (y, i) => !(Math.abs(y - (want[i] as number)) <= BOUND[precision] * (sum[i] as number)),
              );
              if (wrong >= 0)
                failures.push(
                  `${op.name} "${opCase.name}", ${precision}, ${threads} threads, seed ${SEED}: element ${wrong} is ${got[wrong]}, not ${want[wrong]}`,
                );
            }
          }
        }
      }
    }
    expect(failures, failures.join("\n")).toEqual([]);
    expect(used).toBeGreaterThan(0);
  });
});
