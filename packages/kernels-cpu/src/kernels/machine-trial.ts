/**
 * Runs kernels as machine code on guarded memory, for tests: every buffer ends at a page that faults.
 */

import { legaliseKernel } from "@quern/core";
import { type CpuTarget, cpuInfo, nativeHost, resolveTarget } from "../host/index.ts";
import { compileKernel } from "../select/index.ts";
import { Trials } from "../select/kernel-trial.ts";
import type { Execute } from "./site-trial.ts";

/** The vector widths that this processor can run. */
export function machineTargets(): readonly CpuTarget[] {
  const { features } = cpuInfo(nativeHost());
  const names = resolveTarget(features).vectorBytes === 64 ? ["avx2", "avx512"] : ["avx2"];
  return names.map((name) => resolveTarget(features, { features: name }));
}

/** Machine code, the tasks in two shares. */
export function machine(trials: Trials = new Trials()): Execute {
  return (kernel, inputs, target) => {
    const legal = legaliseKernel(kernel, {
      vectors: { vectorBytes: target.vectorBytes, masks: target.maskRegisters > 0 },
    });
    const results = trials.run(compileKernel(legal, target), legal, inputs);
    for (const { name, access } of kernel.buffers) {
      const memory = inputs.buffers[name] as Uint8Array;
      if (access !== "read") memory.set(results.get(name) as Uint8Array);
    }
  };
}
