/**
 * Peak resident memory of this process between two points, from /proc (Linux).
 *
 * Writing 5 to clear_refs makes the kernel forget the old peak, so that what was there before (the runtime, the
 * engine's code, the inputs) is the floor and only what compiling and running added remains.
 */

import { readFileSync, writeFileSync } from "node:fs";

function statusBytes(field: string): number | null {
  try {
    const line = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(readFileSync("/proc/self/status", "utf8"))?.[1];
    return line === undefined ? null : Number(line) * 1024;
  } catch {
    return null;
  }
}

/** Starts a measurement; the returned function gives the bytes that the peak rose above the start, or null. */
export function startPeakMemory(): () => number | null {
  const floor = statusBytes("VmRSS");
  let reset = true;
  try {
    writeFileSync("/proc/self/clear_refs", "5");
  } catch {
    reset = false;
  }
  const before = statusBytes("VmHWM");
  return () => {
    const peak = statusBytes("VmHWM");
    if (floor === null || peak === null) return null;
    // Without the reset only a peak above the old one says anything.
    return reset || peak > (before ?? 0) ? Math.max(0, peak - floor) : null;
  };
}
