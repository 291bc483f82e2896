/**
 * Runs kernels as machine code on the simulated processor, for tests: code for any target on any machine.
 */

import { legaliseKernel } from "@quern/core";
import type { CpuTarget } from "../host/index.ts";
import { compileKernel } from "../select/index.ts";
import { simulate } from "../select/simulate.ts";
import type { Execute } from "./site-trial.ts";

const AVX2 = ["sse4.2", "movbe", "popcnt", "lzcnt", "bmi1", "bmi2", "avx", "fma", "f16c", "avx2"] as const;
const AVX512 = [...AVX2, "avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl"] as const;
const AMX = [...AVX512, "avx512vnni", "avx512bf16", "avx512vbmi", "amx-tile", "amx-int8", "amx-bf16"] as const;

const wide = { vectorBytes: 64, vectorRegisters: 32, maskRegisters: 7 } as const;

/** Processors that the simulator stands for, whatever the one at hand is. */
export const SIMULATED_AVX2: CpuTarget = {
  name: "avx2",
  vectorBytes: 32,
  vectorRegisters: 16,
  maskRegisters: 0,
  tileRegisters: 0,
  features: new Set(AVX2),
};
export const SIMULATED_AVX512: CpuTarget = { ...wide, name: "avx512", tileRegisters: 0, features: new Set(AVX512) };
export const SIMULATED_AMX: CpuTarget = { ...wide, name: "avx512+vnni+amx", tileRegisters: 8, features: new Set(AMX) };

/** Machine code on the simulator, the tasks in two shares. */
export function simulated(): Execute {
  return (kernel, inputs, target) => {
    const legal = legaliseKernel(kernel, {
      vectors: { vectorBytes: target.vectorBytes, masks: target.maskRegisters > 0 },
    });
    const results = simulate(compileKernel(legal, target), legal, inputs);
    for (const { name, access } of kernel.buffers) {
      const memory = inputs.buffers[name] as Uint8Array;
      if (access !== "read") memory.set(results.get(name) as Uint8Array);
    }
  };
}
