/**
 * Judges the outputs of one input set by whatever the workload names as its oracle.
 */

import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { MatmulPrecision, Tensor } from "@quern/core";
import { modelLimits, verifyTensors, type Verification } from "../harness/verify.ts";
import { Random } from "../harness/random.ts";
import { checkMatmul } from "./gemm.ts";
import type { TensorSet } from "./inputs.ts";
import { tensorFiles } from "./model.ts";
import { encodeNpy, readNpy } from "./npy.ts";
import { checkOp } from "./ops.ts";
import type { Workload } from "./workload.ts";

export interface CheckSettings {
  readonly precision: MatmulPrecision;
  readonly seed: number;
  /** Encoding that the weights of a model were quantised to. */
  readonly quantize?: string | undefined;
  /** Which of an engine's processes it is: where places are sampled, each looks at others. */
  readonly process?: number;
}

/** Null where there is nothing to compare this set with. */
export function checkOutputs(
  workload: Workload,
  set: number,
  inputs: TensorSet,
  outputs: TensorSet,
  { precision, seed, quantize, process = 0 }: CheckSettings,
): Verification | null {
  const { check } = workload;
  if (check.kind === "matmul") {
    const places = Random.of(seed, "matmul-check", set, process);
    return checkMatmul(check, workload.modelPath, inputs, outputs, precision, places);
  }
  if (check.kind === "op") return checkOp(check, inputs, outputs, seed);
  const limits = modelLimits(precision, quantize);
  const sources = [
    { folder: computedFolder(check.directory, set), oracle: check.oracle },
    { folder: goldenFolder(workload, set), oracle: "outputs beside the model" },
  ];
  const found = sources.flatMap(({ folder, oracle }) => {
    const expected = folder === undefined || !existsSync(folder) ? {} : readExpected(folder);
    // Nothing expected is nothing compared, which is no pass.
    return Object.keys(expected).length === 0 ? [] : [verifyTensors(outputs, expected, limits, oracle)];
  });
  return found.length === 0 ? null : found.reduce(together);
}

/** What two oracles say of the same outputs: the worse of both errors, and the first fault. */
function together(a: Verification, b: Verification): Verification {
  const worse = (x: number | null, y: number | null): number | null =>
    x === null || y === null ? null : Math.max(x, y);
  const cosines = [a, b].flatMap(({ cosine }) => cosine ?? []);
  const wrong = [a, b].find(({ ok }) => !ok);
  return {
    ok: a.ok && b.ok,
    maxError: worse(a.maxError, b.maxError),
    rmsError: worse(a.rmsError, b.rmsError),
    tolerance: a.tolerance,
    ...(cosines.length === 0 ? {} : { cosine: Math.min(...cosines) }),
    oracle: `${a.oracle} and ${b.oracle}`,
    ...(wrong === undefined ? {} : { message: `${wrong.message} (${wrong.oracle})` }),
  };
}

function computedFolder(directory: string, set: number): string {
  return join(directory, `set-${set}`);
}

/** The case folder whose inputs set `set` holds unchanged. */
function goldenFolder(workload: Workload, set: number): string | undefined {
  const { fill } = workload.inputs[0] ?? {};
  return fill?.kind === "files" && fill.files[set] !== undefined ? dirname(fill.files[set]) : undefined;
}

function readExpected(folder: string): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(tensorFiles(folder, "out-")).map(([name, file]) => [name, readNpy(file)]));
}

/** Writes the oracle's outputs of one set where `checkOutputs` finds them: all of them, or none. */
export function writeExpected(workload: Workload, set: number, outputs: TensorSet): void {
  if (workload.check.kind !== "files") return;
  const folder = computedFolder(workload.check.directory, set);
  // A writer that is killed leaves this one, which nobody reads.
  const part = `${folder}.part`;
  mkdirSync(part, { recursive: true });
  try {
    for (const [name, tensor] of Object.entries(outputs)) {
      writeFileSync(join(part, `out-${encodeURIComponent(name)}.npy`), encodeNpy(tensor));
    }
    renameSync(part, folder);
  } catch (error) {
    rmSync(part, { recursive: true, force: true });
    throw error;
  }
}
