/**
 * Every CPU kernel on every case of its ops, on the kernel interpreter, for both vector widths: results against the
 * reference, and no access out of bounds, no race, no read of memory that nobody wrote.
 */

import { expect, test } from "vitest";
import { CPU_KERNELS } from "./index.ts";
import { runRecordCases } from "./record-cases.ts";
import { interpreted, TRIAL_TARGETS } from "./site-trial.ts";

const SEED = 20263;
/** Their cases are constants, folded before any kernel; `symbolic.test.ts` runs them. */
const FOLDED = new Set(["range"]);
/** Compute at precision "medium" only: `blocks/blocks.test.ts`, `blocks/expert-matmul.test.ts`. */
const MEDIUM = new Set(["matmul_blocks", "expert_matmul_blocks"]);

test.each(
  CPU_KERNELS.filter(({ name, unit }) => !FOLDED.has(name) && !MEDIUM.has(name) && unit === undefined).map(
    (kernel) => [kernel.name, kernel] as const,
  ),
)("%s", (_, kernel) => {
  const { failures, used } = runRecordCases(kernel, TRIAL_TARGETS, interpreted(SEED), SEED);
  expect(failures, failures.join("\n")).toEqual([]);
  expect(used, `cases of ${kernel.ops.join(", ")} that ${kernel.name} computes`).toBeGreaterThan(0);
});
