/**
 * CPU kernels as machine code on the simulated processor: AVX-512 code against the reference on machines that do not
 * have it, and the simulator against the processor, bit for bit, on those that do.
 */

import { expect, test } from "vitest";
import { CPU_KERNELS } from "./index.ts";
import { machine, machineTargets } from "./machine-trial.ts";
import { runRecordCases } from "./record-cases.ts";
import { SIMULATED_AVX2, SIMULATED_AVX512, simulated } from "./simulated-trial.ts";
import type { Execute } from "./site-trial.ts";

const SEED = 20271;
/** Their cases are constants, folded before any kernel. */
const FOLDED = ["range"];
/** Compute at precision "medium" only: `blocks/blocks.test.ts`, `blocks/expert-matmul.test.ts`. */
const MEDIUM = ["matmul_blocks", "expert_matmul_blocks"];
/** The processor runs their cases; here they take too long. */
const LONG = ["attention", "conv_f32", "matmul_f32_dynamic", "recurrent_f32"];
const native = machine();
const runnable = machineTargets().map(({ name }) => name);

const compared: Execute = (kernel, inputs, target) => {
  const copies = Object.fromEntries(
    Object.entries(inputs.buffers).map(([name, bytes]) => [name, (bytes as Uint8Array).slice()]),
  );
  simulated()(kernel, inputs, target);
  if (!runnable.includes(target.name)) return;
  native(kernel, { ...inputs, buffers: copies }, target);
  for (const [name, bytes] of Object.entries(inputs.buffers)) {
    const at = (bytes as Uint8Array).findIndex((byte, i) => byte !== copies[name]?.[i]);
    if (at >= 0) throw new Error(`${kernel.name}, ${name}: the simulator differs from the processor at byte ${at}`);
  }
};

test.each(
  CPU_KERNELS.filter(
    ({ name, unit }) => unit === undefined && !FOLDED.includes(name) && !MEDIUM.includes(name) && !LONG.includes(name),
  ).map((kernel) => [kernel.name, kernel] as const),
)("%s", (_, kernel) => {
  const { failures, used } = runRecordCases(kernel, [SIMULATED_AVX2, SIMULATED_AVX512], compared, SEED);
  expect(failures, failures.join("\n")).toEqual([]);
  expect(used).toBeGreaterThan(0);
});
