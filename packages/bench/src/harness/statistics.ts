/**
 * Statistics of benchmark samples: robust centres and honest intervals. Pure functions, no I/O.
 *
 * Times of one engine are summarised by their median with a distribution-free interval. Two engines are compared by
 * paired log-ratios of adjacent slices; the unit of inference is the process, because slices of one process share
 * its memory layout and its code. References: Yuen 1974 (trimmed t), Conover ch. 3.2 (order statistics).
 */

import { UserError } from "@quern/core";
import { Random } from "./random.ts";

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

/**
 * Median with its distribution-free interval: the order statistics between which the binomial(n, 1/2) puts at least
 * 95 %. With fewer than six samples no such pair exists, and the ends are the extremes.
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

/**
 * 20 %-trimmed mean with Yuen's interval: Student's t on winsorised deviations. Made for few (three or more)
 * heavy-tailed values; below eight values nothing is trimmed and it is the plain t interval.
 */
export function trimmedInterval(values: readonly number[], confidence = 0.95): Estimate {
  const n = values.length;
  const sorted = ascending(values);
  const cut = n < 8 ? 0 : Math.floor(0.2 * n);
  const kept = sorted.slice(cut, n - cut);
  const centre = mean(kept);
  if (n < 3) return { centre, low: null, high: null, method: "none" };
  const first = kept[0] as number;
  const last = kept[kept.length - 1] as number;
  const winsorised = sorted.map((value) => Math.min(Math.max(value, first), last));
  const error = standardDeviation(winsorised) / ((1 - (2 * cut) / n) * Math.sqrt(n));
  const reach = studentQuantile(1 - (1 - confidence) / 2, kept.length - 1) * error;
  return { centre, low: centre - reach, high: centre + reach, method: "trimmed-t" };
}

function standardDeviation(values: readonly number[]): number {
  const centre = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1));
}

/** Percentile bootstrap interval of the median, seeded; for display beside the interval that decides. */
export function bootstrapMedian(values: readonly number[], seed: number, rounds = 2000, confidence = 0.95): Estimate {
  const centre = median(values);
  if (values.length < 2) return { centre, low: null, high: null, method: "none" };
  const random = Random.of(seed, "bootstrap");
  const medians = ascending(
    Array.from({ length: rounds }, () => median(values.map(() => values[random.below(values.length)] as number))),
  );
  const at = (share: number): number => medians[Math.min(rounds - 1, Math.floor(share * rounds))] as number;
  return { centre, low: at((1 - confidence) / 2), high: at((1 + confidence) / 2), method: "bootstrap" };
}

/** Times of adjacent slices of two engines, one array per process pair, in the order they were measured. */
export interface PairedTimes {
  readonly engine: readonly number[];
  readonly baseline: readonly number[];
}

/**
 * How many times faster `engine` is than `baseline` (> 1: faster). Each process pair gives one number, the median of
 * the log-ratios of its adjacent slices. From three pairs on the interval is Yuen's over these numbers; with one
 * or two pairs it is the order-statistic interval over slices, which does not see what differs between processes.
 */
export function ratioInterval(pairs: readonly PairedTimes[]): Estimate {
  const logs = pairs.map(({ engine, baseline }) =>
    engine.slice(0, baseline.length).map((time, i) => Math.log((baseline[i] as number) / time)),
  );
  const used = logs.filter((log) => log.length > 0);
  if (used.length === 0) throw new UserError("statistics: no paired slices to compare");
  const estimate = used.length >= 3 ? trimmedInterval(used.map(median)) : medianInterval(used.flat());
  return {
    centre: Math.exp(estimate.centre),
    low: estimate.low === null ? null : Math.exp(estimate.low),
    high: estimate.high === null ? null : Math.exp(estimate.high),
    method: estimate.method,
  };
}

/** Quantile of Student's t with `df` degrees of freedom, by bisection on its distribution function. */
export function studentQuantile(probability: number, df: number): number {
  if (probability === 0.5) return 0;
  if (probability < 0.5) return -studentQuantile(1 - probability, df);
  let low = 0;
  let high = 1;
  while (studentCdf(high, df) < probability) high *= 2;
  for (let step = 0; step < 80; step++) {
    const middle = (low + high) / 2;
    if (studentCdf(middle, df) < probability) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/**
 * P(T <= t) for integer `df`, by the finite sums for odd and even degrees of freedom (Abramowitz and Stegun 26.7.3
 * and 26.7.4), exact but for rounding.
 */
function studentCdf(t: number, df: number): number {
  const angle = Math.atan2(t, Math.sqrt(df));
  const cosine = Math.cos(angle);
  const sine = Math.sin(angle);
  let term = df % 2 === 1 ? cosine : 1;
  let sum = df === 1 ? 0 : term;
  for (let k = df % 2 === 1 ? 2 : 1; k <= df - 3; k += 2) {
    term *= (k / (k + 1)) * cosine * cosine;
    sum += term;
  }
  const central = df % 2 === 1 ? (2 / Math.PI) * (angle + sine * sum) : sine * sum;
  return (1 + central) / 2;
}
