/**
 * Rates that no right measurement has: above the peaks that the same machine, with as many threads, was measured at. They are
 * errors of the measurement, not speed.
 *
 * A bound must never accuse a right measurement, so it is the most that could be: of two ways to know a peak the higher
 * one, and of a working set as much in the nearest caches as they hold.
 */

import type { Machine, RooflinePoint } from "../results/schema.ts";
import { IMPOSSIBLE } from "../results/notes.ts";
import { IMPOSSIBLE_SHARE } from "./roofline.ts";

/** What rows are measured against. */
export interface Peaks {
  readonly point: RooflinePoint;
  /** One thread's peaks: n threads reach at most n times as much. */
  readonly single: RooflinePoint | undefined;
  readonly caches: Machine["cpu"]["caches"];
}

/** Data that move faster than this share of the measured bandwidths allows cannot be true. */
const IMPOSSIBLE_BANDWIDTH_SHARE = 1.05;

/** Bytes count that are written too: a cache takes no more of them than it gives at the same time, memory does one or the other. */
const READ_AND_WRITTEN = 2;

/** Fewest cores that share a third-level cache, in processors that have several of them. */
const CORES_PER_L3 = 4;

type PeakOf = (point: RooflinePoint) => number | null | undefined;

/** A peak measured beside a busy neighbour is no bound; as many single ones are. */
function higherOf({ point, single }: Peaks, peakOf: PeakOf): number | null {
  const peak = peakOf(point) ?? null;
  const alone = single === undefined ? null : (peakOf(single) ?? null);
  return peak === null && alone === null ? null : Math.max(peak ?? 0, point.threads * (alone ?? 0));
}

/** GFLOP/s that no right measurement exceeds, where `peakOf` is the peak of the arithmetic that may be used. */
export function highestGflops(peaks: Peaks, peakOf: PeakOf): number | null {
  const peak = higherOf(peaks, peakOf);
  return peak === null ? null : IMPOSSIBLE_SHARE * peak;
}

/**
 * GB/s at which `workingSet` bytes, which come round again and again, could be moved at most: what fits into caches there, the
 * rest from and to memory. How much of a third-level cache a virtual machine gets is not known, so that all caches behind
 * the first are taken to be as fast as the second. Null where nothing bounds it: sizes or rates are not known.
 */
export function highestBandwidth(peaks: Peaks, workingSet: number): number | null {
  const { point, caches } = peaks;
  const memory = higherOf(peaks, ({ readGBps }) => readGBps);
  if (memory === null || caches.length === 0) return null;
  // What is kept where no rate is known costs no time.
  const cached = (rate: PeakOf): number => READ_AND_WRITTEN * (higherOf(peaks, rate) ?? Infinity);
  const sizeOf = (level: number): number =>
    caches.find((cache) => cache.level === level && cache.type !== "instruction")?.bytes ?? 0;
  const first = point.threads * sizeOf(1);
  const others = point.threads * sizeOf(2) + Math.ceil(point.threads / CORES_PER_L3) * (sizeOf(3) + sizeOf(4));
  const inFirst = Math.min(1, first / workingSet);
  const inOthers = Math.min(1 - inFirst, others / workingSet);
  const nsPerByte =
    inFirst / cached(({ l1ReadGBps }) => l1ReadGBps) +
    inOthers / cached(({ l2ReadGBps }) => l2ReadGBps) +
    (1 - inFirst - inOthers) / memory;
  return nsPerByte > 0 ? IMPOSSIBLE_BANDWIDTH_SHARE / nsPerByte : null;
}

/** What was measured, and the most that could be; null: not known. */
export interface Rates {
  readonly gflops: number | null;
  readonly highestGflops: number | null;
  /** Of bytes that had to be moved. */
  readonly gbps: number | null;
  readonly highestGbps: number | null;
}

/** Why rates cannot be true; undefined where they can. */
export function impossibleRate({ gflops, highestGflops: arithmetic, gbps, highestGbps }: Rates): string | undefined {
  if (gflops !== null && arithmetic !== null && gflops > arithmetic)
    return `${IMPOSSIBLE}${gflops.toFixed(0)} GFLOP/s is above the ${arithmetic.toFixed(0)} that the measured peak allows`;
  if (gbps !== null && highestGbps !== null && gbps > highestGbps)
    return `${IMPOSSIBLE}${gbps.toFixed(1)} GB/s is above the ${highestGbps.toFixed(1)} that the measured bandwidths allow`;
  return undefined;
}
