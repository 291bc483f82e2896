/**
 * The roofline: how fast this machine can go at all, measured, and how near a result comes to it.
 *
 * The peaks come from generated kernels (multiply-add chains, matrix unit, reads of a large buffer); where no generator
 * runs on this machine there is no roofline, and shares are null. Reference: Williams, Waterman, Patterson 2009.
 */

import { UserError, type MatmulPrecision } from "@quern/core";
import type { Machine, RooflinePoint } from "../results/schema.ts";
import { withProcess } from "./engine-process.ts";

/** Faster than this share of a measured peak cannot be true: the measurement is wrong. */
export const IMPOSSIBLE_SHARE = 1.02;

/** Arithmetic ceiling in GFLOP/s of matrix products at a precision; `high` takes three products for one. */
export function arithmeticPeak(point: RooflinePoint, precision: MatmulPrecision): number | null {
  if (precision === "highest" || point.matrixGflops === null) return point.fmaGflops;
  const products = precision === "high" ? 3 : 1;
  return Math.max(point.matrixGflops / products, point.fmaGflops ?? 0);
}

/** The highest rate of products at which any of them could be computed: quantised weights allow the lowest precision. */
export function productPeak({ fmaGflops, matrixGflops, byteGops }: RooflinePoint): number | null {
  const known = [fmaGflops, matrixGflops, byteGops].filter((peak) => peak != null);
  return known.length === 0 ? null : Math.max(...known);
}

/** The most that products could reach by any means: a matrix unit multiplies bytes at twice its rate of bf16, which is not measured. */
export function fastestProducts(point: RooflinePoint): number | null {
  const peak = productPeak(point);
  return peak === null ? null : Math.max(peak, 2 * (point.matrixGflops ?? 0));
}

/** Read bandwidth for data of `workingSet` bytes that is used over and over: that of the level which holds it. */
export function bandwidthFor(
  point: RooflinePoint,
  caches: Machine["cpu"]["caches"],
  workingSet: number,
): number | null {
  const sizeOf = (level: number): number =>
    caches.find((cache) => cache.level === level && cache.type !== "instruction")?.bytes ?? 0;
  if (workingSet <= point.threads * sizeOf(2) && point.l2ReadGBps != null) return point.l2ReadGBps;
  if (workingSet <= sizeOf(3) && point.l3ReadGBps != null) return point.l3ReadGBps;
  return point.readGBps;
}

/** Attainable GFLOP/s: the lower of the ceilings of arithmetic and of memory. Null without peaks. */
export function attainableGflops(
  peak: number | null,
  bandwidth: number | null,
  flops: number,
  bytes: number | null,
): number | null {
  if (peak === null) return null;
  return bytes === null || bandwidth === null ? peak : Math.min(peak, (flops / bytes) * bandwidth);
}

/** To start, and to fill the buffer that is read. */
const START_MS = 20_000;
/** For the peaks at one thread count: twice as long as they take where nothing disturbs. */
const COUNT_MS = 4000;

/** Longest wait for the peaks at so many thread counts. */
export function peaksTimeoutMs(counts: number): number {
  return START_MS + COUNT_MS * counts;
}

/**
 * Measures the peaks at each thread count, in a process of its own. Throws a `UserError` where no generated kernel runs on
 * this machine, or where the measurement failed: a benchmark without a roofline is still one, and has to say so.
 */
export async function measureRoofline(threads: readonly number[]): Promise<RooflinePoint[]> {
  return withProcess("the calibration", async (process) => [
    ...(await process.ask({ kind: "peaks", threads }, peaksTimeoutMs(threads.length))).points,
  ]);
}

/** What `measure` finds; where it throws a `UserError`, no points and the reason in one line. */
export async function peaksOrReason(
  measure: () => Promise<RooflinePoint[]>,
): Promise<readonly [points: RooflinePoint[], reason: string | undefined]> {
  try {
    return [await measure(), undefined];
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return [[], error.message.split("\n", 1)[0]];
  }
}

/** A machine whose peak at the end of a run is below this share of that at its start was throttled, or shared with others. */
const STEADY_SHARE = 0.9;

/**
 * What became slower between two measurements of the peaks, in words. What became faster was disturbed for a moment at the start,
 * as all may be that is measured once; the engines have taken turns since. Of caches the bandwidth is not looked at: it depends on which pages a
 * buffer happens to get.
 */
export function throttledPeaks(first: readonly RooflinePoint[], second: readonly RooflinePoint[]): string[] {
  return first.flatMap((point) => {
    const other = second.find(({ threads }) => threads === point.threads);
    const peaks: readonly (readonly [what: string, unit: string, before: number | null, after: number | null])[] = [
      ["arithmetic", "GFLOP/s", point.fmaGflops, other?.fmaGflops ?? null],
      ["reads from memory", "GB/s", point.readGBps, other?.readGBps ?? null],
    ];
    return peaks.flatMap(([what, unit, before, after]) => {
      if (before === null || after === null) return [];
      if (after >= STEADY_SHARE * before) return [];
      const times = `${point.threads} thread${point.threads === 1 ? "" : "s"}`;
      return [`peak of ${what} with ${times}: ${before.toFixed(1)} ${unit} before, ${after.toFixed(1)} after`];
    });
  });
}

/** The higher of two measurements of each peak: what disturbs one only lowers it. */
export function higherPeaks(first: readonly RooflinePoint[], second: readonly RooflinePoint[]): RooflinePoint[] {
  const higher = (a: number | null, b: number | null | undefined): number | null =>
    a === null || b == null ? (a ?? b ?? null) : Math.max(a, b);
  return first.map((point) => {
    const other = second.find(({ threads }) => threads === point.threads);
    return {
      threads: point.threads,
      fmaGflops: higher(point.fmaGflops, other?.fmaGflops),
      matrixGflops: higher(point.matrixGflops, other?.matrixGflops),
      byteGops: higher(point.byteGops ?? null, other?.byteGops),
      readGBps: higher(point.readGBps, other?.readGBps),
      l1ReadGBps: higher(point.l1ReadGBps ?? null, other?.l1ReadGBps),
      l2ReadGBps: higher(point.l2ReadGBps ?? null, other?.l2ReadGBps),
      l3ReadGBps: higher(point.l3ReadGBps ?? null, other?.l3ReadGBps),
    };
  });
}
