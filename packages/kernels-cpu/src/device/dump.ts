/**
 * `QUERN_DUMP=folder` and `QUERN_TRACE=file`: what a compilation made and how long it took, as files.
 *
 * The dump is a numbered file per stage: graphs and kernels as text that can be parsed again, machine code as listing
 * and bytes. The trace is Chrome's JSON array of complete events (opens in Perfetto), written when the process ends.
 */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Graph, type PassReport, printGraph, printKernel, readEnv } from "@quern/core";
import type { Program } from "./program.ts";

let dumped = 0;

/** Writes the stages of one compilation below `QUERN_DUMP`; nothing when it is unset. */
export function dumpProgram(source: Graph, unfused: Graph, program: Program): void {
  const root = readEnv("QUERN_DUMP");
  if (root === undefined) return;
  const name = source.name.replace(/[^\w.-]+/g, "_").slice(0, 60);
  const folder = join(root, `${String(dumped++).padStart(3, "0")}-${name}`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "00-graph.ir"), printGraph(source));
  writeFileSync(join(folder, "01-optimised.ir"), printGraph(unfused));
  writeFileSync(join(folder, "02-fused.ir"), printGraph(program.graph));
  const written = new Set<unknown>();
  program.steps.forEach((step, i) => {
    if (step.kind !== "native" || written.has(step.code)) return;
    written.add(step.code);
    const { source, bytes } = step.code;
    const stem = join(folder, `kernel-${String(i).padStart(3, "0")}`);
    writeFileSync(`${stem}.bin`, bytes);
    if (source === undefined) return;
    writeFileSync(`${stem}.ir`, printKernel(source.recorded));
    writeFileSync(`${stem}.legal.ir`, printKernel(source.kernel));
    writeFileSync(`${stem}.s`, source.code?.listing() ?? "");
  });
  const launches = program.launches.map((launch) => ({ ...launch }));
  writeFileSync(
    join(folder, "program.json"),
    `${JSON.stringify({ launches, codeBytes: program.codeBytes }, undefined, 2)}\n`,
  );
}

interface TraceEvent {
  readonly name: string;
  readonly cat: string;
  readonly ph: "X";
  /** Microseconds. */
  readonly ts: number;
  readonly dur: number;
  readonly pid: number;
  readonly tid: number;
}

const events: TraceEvent[] = [];
let registered = false;

let traceFile: string | false | undefined;

/** Whether there is a trace to write; the environment is read once. */
export function tracing(): boolean {
  traceFile ??= readEnv("QUERN_TRACE") ?? false;
  return traceFile !== false;
}

/** Notes one stretch of work: `startMs` on the clock of `performance.now()`. */
export function trace(category: string, name: string, startMs: number, ms: number): void {
  if (!tracing()) return;
  if (!registered) {
    registered = true;
    const file = traceFile as string;
    process.once("exit", () => writeFileSync(file, `${JSON.stringify(events)}\n`));
  }
  events.push({ name, cat: category, ph: "X", ts: startMs * 1000, dur: ms * 1000, pid: process.pid, tid: 0 });
}

/** Passes and code generation of a compilation which began at `startMs`. */
export function traceCompilation(startMs: number, passes: readonly PassReport[], compileMs: number): void {
  if (!tracing()) return;
  let at = startMs;
  for (const pass of passes) {
    trace("pass", pass.name, at, pass.ms);
    at += pass.ms;
  }
  trace("compile", "kernels to machine code", at, startMs + compileMs - at);
}
