/** Robust centres and spreads, and the distribution-free interval of a median. Pure functions, no I/O. */

import { UserError } from "@quern/core/errors";

/** A centre with the ends of its 95 % interval; `null` ends mean that the data cannot give an interval. */
export interface Estimate {
  readonly centre: number;
  readonly low: number | null;
  readonly high: number | null;
  readonly method: IntervalMethod;
}

export const INTERVAL_METHODS = ["order-statistics", "trimmed-t", "bootstrap", "none"] as const;
export type IntervalMethod = (typeof INTERVAL_METHODS)[number];

export function ascending(values: readonly number[]): number[] {
  return [...values].sort((a, b) => a - b);
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Of a sample: divided by n - 1. NaN for fewer than two values. */
export function standardDeviation(values: readonly number[]): number {
  const centre = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1));
}

export function median(values: readonly number[]): number {
  if (values.length === 0) throw new UserError("statistics: the median of no samples");
  return medianOfSorted(ascending(values));
}

function medianOfSorted(sorted: readonly number[]): number {
  const half = sorted.length >> 1;
  const upper = sorted[half] as number;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] as number) + upper) / 2;
}

/** Median absolute deviation from the median, not scaled. */
export function medianAbsoluteDeviation(values: readonly number[]): number {
  const centre = median(values);
  return median(values.map((value) => Math.abs(value - centre)));
}

export function geometricMean(values: readonly number[]): number {
  return Math.exp(mean(values.map(Math.log)));
}

/** Quantile of ascending values, between neighbours by proportion (Hyndman and Fan's type 7). NaN of none. */
export function quantile(sorted: readonly number[], share: number): number {
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  const low = sorted[below] ?? NaN;
  const high = sorted[Math.min(below + 1, sorted.length - 1)] ?? NaN;
  return low + (place - below) * (high - low);
}

/**
 * Median with its distribution-free interval: the order statistics between which the binomial(n, 1/2) puts at least
 * 95 % (Conover, Practical Nonparametric Statistics, 3.2). With fewer than six samples no such pair exists, and the
 * ends are the extremes.
 */
export function medianInterval(values: readonly number[], confidence = 0.95): Estimate {
  const sorted = ascending(values);
  const centre = median(sorted);
  const n = sorted.length;
  if (n < 2) return { centre, low: null, high: null, method: "none" };
  const rank = lowerRank(n, (1 - confidence) / 2);
  return { centre, low: sorted[rank] as number, high: sorted[n - 1 - rank] as number, method: "order-statistics" };
}

/** Largest zero-based rank r with P(Binomial(n, 1/2) <= r) <= tail; 0 if there is none. */
function lowerRank(n: number, tail: number): number {
  let logTerm = -n * Math.LN2; // of C(n, rank) / 2^n
  let cumulative = Math.exp(logTerm);
  let rank = 0;
  while (cumulative <= tail) {
    logTerm += Math.log((n - rank) / (rank + 1));
    cumulative += Math.exp(logTerm);
    rank += 1;
  }
  return Math.max(0, rank - 1);
}
