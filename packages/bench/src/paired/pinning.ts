/**
 * Puts both processes of a pair on one processor while they are timed.
 *
 * Left alone, the scheduler keeps one process on one processor and the other on another, for as long as a pair takes. On
 * shared machines these two are not equally fast: where the other half of a core belongs to somebody who is busy, code
 * takes 1.7 times as long, and the pair says what the processors are and not what the builds are. Slices of both on the
 * same processor, one right after the other, see the same neighbours.
 *
 * Only the main thread is pinned: collectors and compilers of the engine stay free to use the other processors.
 */

import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { UserError } from "@quern/core/errors";

/** `auto`: one of all processors that this process may use; a list: one of those; `none`: the scheduler decides. */
export type Pinning = "auto" | "none" | readonly number[];

/** Processors of a list as Linux writes it, such as `0-3,8`. */
export function processorsOf(list: string): number[] {
  return list
    .split(",")
    .filter((part) => /^\d+(-\d+)?$/.test(part.trim()))
    .flatMap((part) => {
      const [first, last = first] = part.split("-").map(Number) as [number, number?];
      return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i);
    });
}

/** Processors that this process may use; none where the system does not say. */
export function allowedProcessors(): number[] {
  try {
    const status = readFileSync("/proc/self/status", "utf8");
    return processorsOf(/^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? "");
  } catch {
    return [];
  }
}

/** Pins the main thread of a process. False where that cannot be done here: no `taskset` (util-linux), not allowed. */
export function pinMainThread(pid: number, processor: number): Promise<boolean> {
  return taskset("-p", "-c", String(processor), String(pid));
}

/** Pins all threads that a process has now: for engines that compute in one of their own. */
export function pinAllThreads(pid: number, processor: number): Promise<boolean> {
  return taskset("-a", "-p", "-c", String(processor), String(pid));
}

/** Short options: those of util-linux and of BusyBox are the same. */
function taskset(...args: readonly string[]): Promise<boolean> {
  return new Promise((resolve) => {
    execFile("taskset", args, (error) => resolve(error === null));
  });
}

/** What processes are pinned to, or why not. */
export interface PinPlan {
  readonly processors: readonly number[];
  /** For people and for the fingerprint. */
  readonly text: string;
}

/**
 * Finds out what `pinning` means here. Throws a `UserError` for listed processors that this process may not use, or that
 * nothing can be pinned to.
 */
export async function planPinning(pinning: Pinning): Promise<PinPlan> {
  if (pinning === "none") return { processors: [], text: "none" };
  const allowed = allowedProcessors();
  const obstacle = allowed.length === 0 ? UNKNOWN_PROCESSORS : await whyNotPinned(allowed);
  if (pinning === "auto") {
    return obstacle === undefined ? pinnedTo(allowed) : { processors: [], text: `none: ${obstacle}` };
  }
  if (obstacle !== undefined) {
    throw new UserError(`pairs cannot be pinned: ${obstacle}`, { where: "pin", hint: "Use --pin none." });
  }
  const beyond = pinning.filter((processor) => !allowed.includes(processor));
  if (beyond.length > 0) {
    throw new UserError(`processor ${beyond.join(", ")} is not one of those that this process may use`, {
      where: "pin",
      hint: `It may use ${allowed.join(", ")}.`,
    });
  }
  return pinnedTo(pinning);
}

const UNKNOWN_PROCESSORS = "the system does not say which processors there are";
const NO_TASKSET = "there is no taskset (package util-linux)";
const FORBIDDEN = "processes may not be put on processors here";

function pinnedTo(processors: readonly number[]): PinPlan {
  return { processors, text: `both processes of a pair on one of ${processors.join(", ")}` };
}

/** Starts a program on `processors`: where setting them is forbidden, asking for them may still work. */
function whyNotPinned(processors: readonly number[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile("taskset", ["-c", processors.join(","), "true"], (error) => {
      if (error === null) resolve(undefined);
      else resolve(error.code === "ENOENT" ? NO_TASKSET : FORBIDDEN);
    });
  });
}
