/**
 * What others took from this machine in the course of a run, where the system says it. It is recorded beside the samples
 * and never decides: neighbours of a virtual machine may slow it without a trace here.
 */

import { resourceUsage } from "node:process";
import { systemFiles } from "../doctor/system-files.ts";

/** Counters since the start of the machine or the process; null where the system has none. */
export interface PressureCounters {
  /** Time that the hypervisor gave to others, in ticks of 10 ms over all cores. */
  readonly stealTicks: number | null;
  /** Periods in which the control group had used up its quota. */
  readonly throttledPeriods: number | null;
  /** Involuntary context switches of the orchestrator. */
  readonly involuntarySwitches: number;
  /** Time in which some task waited for a processor, µs. */
  readonly cpuStallUs: number | null;
}

function readNumber(path: string, pattern: RegExp): number | null {
  const found = pattern.exec(systemFiles.read(path) ?? "")?.[1];
  return found === undefined ? null : Number(found);
}

export function readPressure(): PressureCounters {
  return {
    stealTicks: readNumber("/proc/stat", /^cpu +(?:\d+ +){7}(\d+)/m),
    throttledPeriods: readNumber("/sys/fs/cgroup/cpu.stat", /^nr_throttled (\d+)/m),
    involuntarySwitches: resourceUsage().involuntaryContextSwitches,
    cpuStallUs: readNumber("/proc/pressure/cpu", /^some .*total=(\d+)/m),
  };
}

/** What a run added to the counters. */
export function pressureBetween(before: PressureCounters, after: PressureCounters): PressureCounters {
  const added = (from: number | null, to: number | null): number | null =>
    from === null || to === null ? null : to - from;
  return {
    stealTicks: added(before.stealTicks, after.stealTicks),
    throttledPeriods: added(before.throttledPeriods, after.throttledPeriods),
    involuntarySwitches: after.involuntarySwitches - before.involuntarySwitches,
    cpuStallUs: added(before.cpuStallUs, after.cpuStallUs),
  };
}
