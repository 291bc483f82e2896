/**
 * Whether instructions can be counted. `perf` is asked to count those of a command of its own, in user mode, by the full name of
 * the event: what it prints for machines that count nothing is told apart from a number.
 */

import { spawnSync } from "node:child_process";
import { type Finding, finding } from "./finding.ts";
import { readNumber, systemFiles, type SystemFiles } from "./system-files.ts";

/** What `perf stat` said: its standard error, or why it could not be run. */
export type PerfAnswer = { readonly output: string } | { readonly missing: true } | { readonly failed: string };

export function askPerf(): PerfAnswer {
  const { env } = process;
  const { error, status, stderr } = spawnSync("perf", ["stat", "-x,", "-e", "instructions:u", "--", "true"], {
    encoding: "utf8",
    env: { ...env, LC_ALL: "C" },
    timeout: 10_000,
  });
  if (error !== undefined)
    return (error as NodeJS.ErrnoException).code === "ENOENT" ? { missing: true } : { failed: error.message };
  return status === 0 ? { output: stderr } : { failed: stderr.trim().split("\n")[0] ?? "" };
}

const NAME = "counters";
const PARANOID = "/proc/sys/kernel/perf_event_paranoid";

/** Counting is of use and never needed: nothing here is worse than a note. */
export function counterFinding(answer: PerfAnswer, files: SystemFiles = systemFiles): Finding {
  const paranoid = readNumber(files, PARANOID);
  const permission = paranoid !== null && paranoid > 2;
  const allow = permission ? "sudo sysctl kernel.perf_event_paranoid=2" : undefined;
  if ("missing" in answer) return finding(NAME, "note", "perf is not installed: instructions are not counted", allow);
  if ("failed" in answer) return finding(NAME, "note", `perf does not work (${answer.failed})`, allow);
  const line = answer.output.split("\n").find((each) => /\binstructions(:u)?\b/.test(each)) ?? "";
  const [count = ""] = line.split(",");
  if (/^\d+$/.test(count) && Number(count) > 0)
    return finding(NAME, "fine", "instructions can be counted (instructions:u)");
  if (/not counted|permission/i.test(line)) return finding(NAME, "note", "instructions may not be counted here", allow);
  return finding(NAME, "note", "this machine counts no instructions; virtual ones rarely do", allow);
}
