/**
 * Times of single launches: for `QUERN_DEBUG=2` a line each, for `QUERN_TRACE` an event each, and for profiles.
 */

import { type DimBindings, debug, debugLevel, evaluateDim, storageBytes } from "@quern/core";
import { type NativeHost, ticksPerNs } from "../host/index.ts";
import type { Segment } from "./binding.ts";
import { trace, tracing } from "./dump.ts";
import type { NativeStep, Program, Step } from "./program.ts";

export interface LaunchTime {
  readonly step: NativeStep;
  /** On the clock of `performance.now()`. */
  readonly startMs: number;
  /** Waiting at the barrier behind the launch included. */
  readonly ms: number;
}

/** Whether somebody wants to know about launches. */
export function watching(): boolean {
  return debugLevel() >= 2 || tracing();
}

/** Makes the next run of a segment note times; the function returned reads them when it is over. */
export function timeSegment(host: NativeHost, program: Program, { first, table }: Segment): () => LaunchTime[] {
  if (table === undefined) return () => [];
  const ticksPerMs = ticksPerNs(host) * 1e6;
  table.setTimed(true);
  const startMs = performance.now();
  return () => {
    table.setTimed(false);
    const timings = table.timings();
    const origin = timings[0]?.started ?? 0n;
    return timings.map(({ started, ended }, i) => ({
      step: program.steps[first + i] as NativeStep,
      startMs: startMs + Number(started - origin) / ticksPerMs,
      ms: Number(ended - started) / ticksPerMs,
    }));
  };
}

/** The line and the event of a step. */
export function noteStep(step: Step, startMs: number, ms: number, symbols: DimBindings): void {
  const name = step.kind === "native" ? step.kernel.name : `host:${step.node.op}`;
  trace("launch", name, startMs, ms);
  debug(2, () => launchLine(name, ms, step.kind === "native" ? workOf(step, symbols) : {}));
}

/** What a launch has to do, where known. */
interface Work {
  readonly flops?: number;
  readonly bytes?: number;
}

/** Kernels that count operations read each operand and write each result once at least. */
function workOf({ launch, storages }: NativeStep, symbols: DimBindings): Work {
  if (launch.flops === undefined)
    return launch.bytes === undefined ? {} : { bytes: evaluateDim(launch.bytes, symbols) };
  let bytes = 0;
  for (const storage of new Set(storages)) bytes += storageBytes(storage, evaluateDim(storage.size, symbols));
  return { flops: evaluateDim(launch.flops, symbols), bytes };
}

/** `cpu   matmul_f32_m1024n1024k1024   10.2 ms  211 GFLOP/s  1.23 GB/s`; without the figures that are not known. */
export function launchLine(name: string, ms: number, { flops, bytes }: Work): string {
  const time = ms < 0.1 ? `${short(ms * 1000)} µs` : `${short(ms)} ms`;
  const rates = [
    flops === undefined || ms <= 0 ? "" : `  ${short(flops / ms / 1e6)} GFLOP/s`,
    bytes === undefined || ms <= 0 ? "" : `  ${short(bytes / ms / 1e6)} GB/s`,
  ];
  return `cpu   ${name}   ${time}${rates.join("")}`;
}

/** Three significant digits, never an exponent for large numbers. */
function short(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
