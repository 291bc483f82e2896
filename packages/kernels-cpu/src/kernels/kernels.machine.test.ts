/**
 * Every CPU kernel on every case of its ops, as machine code for AVX2 and AVX-512: every buffer ends at a page that
 * faults, and results are compared with the reference.
 */

import { describe, expect, test } from "vitest";
import { CPU_KERNELS } from "./index.ts";
import { machine, machineTargets } from "./machine-trial.ts";
import { runRecordCases } from "./record-cases.ts";

const SEED = 20265;
/** Their cases are constants, folded before any kernel; `symbolic.test.ts` runs them. */
const FOLDED = new Set(["range"]);
/** Compute at precision "medium" only: `blocks/blocks.test.ts`, `blocks/expert-matmul.test.ts`. */
const MEDIUM = new Set(["matmul_blocks", "expert_matmul_blocks"]);

describe.each(machineTargets().map((target) => [target.name, target] as const))("%s", (_name, target) => {
  const execute = machine();
  test.each(
    CPU_KERNELS.filter(({ name, unit }) => !FOLDED.has(name) && !MEDIUM.has(name) && unit === undefined).map(
      (kernel) => [kernel.name, kernel] as const,
    ),
  )("%s", (_, kernel) => {
    const { failures, used } = runRecordCases(kernel, [target], execute, SEED);
    expect(failures, failures.join("\n")).toEqual([]);
    expect(used, `cases of ${kernel.ops.join(", ")} that ${kernel.name} computes`).toBeGreaterThan(0);
  });
});
