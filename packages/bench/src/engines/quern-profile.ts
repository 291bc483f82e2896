/**
 * Time per launch of a compiled graph, where the device can tell: medians over several runs, in program order.
 */

import type { Executable } from "@quern/core";
import type { TensorSet } from "../cases/inputs.ts";
import { median } from "../statistics/basics.ts";

export interface LaunchTime {
  /** Position in the program and kernel name. */
  readonly name: string;
  readonly ms: number;
}

/** What the CPU device's executables have beyond the interface. */
interface Profiling {
  profile(inputs: TensorSet): readonly { readonly kernel: string; readonly ns: number }[];
}

function canProfile(executable: object): executable is Profiling {
  return "profile" in executable && typeof executable.profile === "function";
}

const RUNS = 15;
/** A program that takes longer than this per run is profiled once. */
const SLOW_MS = 500;

/** Undefined where the device does not measure launches. */
export function profileLaunches(executable: Executable, inputs: TensorSet): LaunchTime[] | undefined {
  if (!canProfile(executable)) return undefined;
  const runs = [executable.profile(inputs)];
  const totalMs = (runs[0] ?? []).reduce((sum, { ns }) => sum + ns / 1e6, 0);
  if (totalMs < SLOW_MS) while (runs.length < RUNS) runs.push(executable.profile(inputs));
  return (runs[0] ?? []).map(({ kernel }, i) => ({
    name: `${i} ${kernel}`,
    ms: median(runs.map((run) => (run[i]?.ns ?? 0) / 1e6)),
  }));
}
