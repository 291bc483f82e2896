/**
 * The frozen control kernels, measured beside the benches of a run in both arms, and the speed of the machine before and
 * after it.
 *
 * The controls lie outside of `src`, since nothing may rebuild them; a changed file is refused. Who judges a run decides
 * what a moved control means.
 */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { InternalError } from "@quern/core/errors";
import { ArmProcess } from "./arm-process.ts";
import type { BenchRef } from "./plan.ts";

const file = fileURLToPath(new URL("../../controls/controls-1.mjs", import.meta.url));

/** SHA-256 of the control file. It changes only with its name. */
export const CONTROLS_SHA256 = "31566f7dbb697935ac37e0576a099982308e67227162c19271740b7203ceb47f";

export const CONTROL_IDS = ["ctl.fma", "ctl.triad", "ctl.spawn"] as const;

/** The controls as benches of a plan. Throws an `InternalError` if the file is not the frozen one. */
export function controlBenches(): BenchRef[] {
  const found = createHash("sha256").update(readFileSync(file)).digest("hex");
  if (found !== CONTROLS_SHA256) throw new InternalError(`the control kernels were changed: ${file} is ${found}`);
  return CONTROL_IDS.map((id) => ({ id, file, control: true }));
}

/** How fast the machine was before and after a run. */
export interface SpeedIndex {
  /** Time of a call of ctl.fma, ns, in its fast slices. */
  readonly startNs: number;
  readonly endNs: number;
  /** Speed at the end over speed at the start. */
  readonly ratio: number;
  /** The machine became slower by a tenth or more: of clock or quota, not for moments. */
  readonly throttled: boolean;
}

const SLICES = 60;
const SLICE_MS = 4;
const THROTTLED_BELOW = 0.9;
const TIMEOUT_MS = 60_000;

/**
 * Time of a call of ctl.fma, ns: the tenth percentile of slices that take a third of a second in all. Fast slices show
 * the clock; slow ones show neighbours, which the pairs of a run bear.
 */
export async function measureSpeed(seed = 1): Promise<number> {
  // The control writes nothing; a folder of its own could not be made at the end of a run that has filled the disk.
  const folder = dirname(file);
  const id = "ctl.fma";
  const process = new ArmProcess({ name: "base", directory: folder, project: folder }, "the speed control", {});
  try {
    const [{ file: path }] = controlBenches() as [BenchRef];
    await process.ask([id], { kind: "load", file: path, reserved: true }, TIMEOUT_MS);
    await process.ask([id], { kind: "open", id, index: 0, seed, directory: folder, collect: "full" }, TIMEOUT_MS);
    const warm = { kind: "warm", id, mode: "call", warmUpMs: 100, sliceMs: SLICE_MS } as const;
    await process.ask([id], warm, TIMEOUT_MS);
    const times: number[] = [];
    for (let i = 0; i < SLICES; i++) {
      const slice = { kind: "slice", id, first: 0, renew: 1, collect: "none" } as const;
      times.push((await process.ask([id], slice, TIMEOUT_MS)).callNs);
    }
    return times.sort((a, b) => a - b)[Math.floor(SLICES / 10)] as number;
  } finally {
    process.kill();
  }
}

/** Compares the speeds before and after a run. */
export function speedIndex(startNs: number, endNs: number): SpeedIndex {
  const ratio = startNs / endNs;
  return { startNs, endNs, ratio, throttled: ratio < THROTTLED_BELOW };
}
