/**
 * What others took from this machine in the course of a run, where the system says it. It is recorded beside the samples
 * and never decides: neighbours of a virtual machine may slow it without a trace here.
 */

import { resourceUsage } from "node:process";
import { controlLimits } from "../doctor/control-group.ts";
import { systemFiles, type SystemFiles } from "../doctor/system-files.ts";
import type { Pressure } from "../results/schema.ts";

/** Linux counts processor time for programs in these, whatever its own clock is. */
const TICK_MS = 10;

/** Counters since the start of the machine or the process; null where the system has none. */
export function readPressure(files: SystemFiles = systemFiles): Pressure {
  const stolen = /^cpu +(?:\d+ +){7}(\d+)/m.exec(files.read("/proc/stat") ?? "")?.[1];
  const stalled = /^some .*\btotal=(\d+)/m.exec(files.read("/proc/pressure/cpu") ?? "")?.[1];
  return {
    stealMs: stolen === undefined ? null : TICK_MS * Number(stolen),
    throttledPeriods: controlLimits(files).throttled,
    involuntarySwitches: resourceUsage().involuntaryContextSwitches,
    stalledMs: stalled === undefined ? null : Number(stalled) / 1000,
  };
}

/** What a run added to the counters. */
export function pressureBetween(before: Pressure, after: Pressure): Pressure {
  // A container that moves to another machine begins to count anew.
  const added = (from: number | null, to: number | null): number | null =>
    from === null || to === null ? null : Math.max(0, to - from);
  return {
    stealMs: added(before.stealMs, after.stealMs),
    throttledPeriods: added(before.throttledPeriods, after.throttledPeriods),
    involuntarySwitches: added(before.involuntarySwitches, after.involuntarySwitches),
    stalledMs: added(before.stalledMs, after.stalledMs),
  };
}
