/**
 * Matrix products on the matrix unit, on the kernel interpreter: error against float64 sums, no access out of bounds,
 * no race, no read of memory that nobody wrote.
 */

import { type Tensor, referenceDevice } from "@quern/core";
import { describe, expect, test } from "vitest";
import { interpreted, trial } from "../site-trial.ts";
import { ERROR_LIMIT, relativeError } from "./accuracy.ts";
import { AMX_TARGET, MATMUL_CASES, PRECISIONS, buildMatmul } from "./amx-trial.ts";
import { matmulAmx } from "./matmul.ts";

const SEED = 20270;

describe.each(PRECISIONS.map((precision) => [precision] as const))("%s", (precision) => {
  test.each(MATMUL_CASES.map((one) => [one.name, one] as const))("%s", (_name, one) => {
    const { graph, inputs } = buildMatmul(one, SEED);
    const expected = referenceDevice().compile(graph).runSync(inputs);
    const result = trial(
      graph,
      inputs,
      matmulAmx,
      { target: AMX_TARGET, threads: one.threads ?? 1, precision },
      interpreted(SEED),
    );
    expect(result.used, result.refusals.join()).toBe(1);
    const error = relativeError(result.outputs["y"] as Tensor, expected["y"] as Tensor);
    expect(error.rms, `rms error, seed ${SEED}`).toBeLessThan(ERROR_LIMIT[precision].rms);
    expect(error.max, `largest error, seed ${SEED}`).toBeLessThan(ERROR_LIMIT[precision].max);
  });
});
