/**
 * Every CPU kernel on every case of its ops, as machine code for AVX2 and AVX-512: every buffer ends at a page that
 * faults, and results are compared with the reference.
 */

import { legaliseKernel } from "@quern/core";
import { describe, expect, test } from "vitest";
import { cpuInfo, nativeHost, resolveTarget } from "../host/index.ts";
import { compileKernel } from "../select/index.ts";
import { Trials } from "../select/kernel-trial.ts";
import { CPU_KERNELS } from "./index.ts";
import { runRecordCases } from "./record-cases.ts";
import type { Execute } from "./site-trial.ts";

const SEED = 20265;
const { features } = cpuInfo(nativeHost());
const targets = resolveTarget(features).vectorBytes === 64 ? ["avx2", "avx512"] : ["avx2"];

/** Machine code on guarded memory, the tasks in two shares. */
function machine(trials: Trials): Execute {
  return (kernel, inputs, target) => {
    const legal = legaliseKernel(kernel, { vectors: { vectorBytes: target.vectorBytes, masks: target.maskRegisters > 0 } });
    const results = trials.run(compileKernel(legal, target), legal, inputs);
    for (const { name, access } of kernel.buffers) {
      const memory = inputs.buffers[name] as Uint8Array;
      if (access !== "read") memory.set(results.get(name) as Uint8Array);
    }
  };
}

describe.each(targets)("%s", (name) => {
  const trials = new Trials();
  const target = resolveTarget(features, { features: name });
  test.each(CPU_KERNELS.map((kernel) => [kernel.name, kernel] as const))("%s", (_, kernel) => {
    const { failures, used } = runRecordCases(kernel, [target], machine(trials), SEED);
    expect(failures, failures.join("\n")).toEqual([]);
    expect(used, `cases of ${kernel.ops.join(", ")} that ${kernel.name} computes`).toBeGreaterThan(0);
  });
});
