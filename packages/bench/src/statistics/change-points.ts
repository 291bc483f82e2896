/**
 * Change points of a series: where the level of a benchmark changed, found over its history.
 *
 * E-divisive (Matteson and James 2014, J. Am. Stat. Assoc. 109) with the changes of Hunter (Fleming et al. 2023, ICPE):
 * a sliding window, so that an old change does not hide a new one; Student's t-test in place of permutations, so that the
 * answer is deterministic; first a lenient pass that keeps weak points, then the weakest are removed one by one and their
 * neighbours tested again, until all that stay are significant and large enough. A large change next to a small one would
 * otherwise hide it, because the segments tested would hold both.
 */

import { UserError } from "@quern/core/errors";
import { mean } from "./basics.ts";
import { studentTail } from "./distributions.ts";

export interface ChangePointOptions {
  /** Points that one search sees. */
  readonly window: number;
  /** Largest p-value of a change point that stays. */
  readonly maxP: number;
  /** Smallest change of level that stays, as a share. */
  readonly minMagnitude: number;
}

/**
 * Window as in Hunter. Its limit of p, 0.001, is that of one split chosen in advance; the split tested is the best of all,
 * and 3 % of series of 100 points without any change would be flagged (bar of acceptance test AT17: 1 %). A tenth of it
 * flags less than half a per cent.
 */
export const CHANGE_POINT_DEFAULTS: ChangePointOptions = { window: 50, maxP: 0.0001, minMagnitude: 0.015 };

export interface ChangePoint {
  /** First point of the new level. */
  readonly index: number;
  /** New level over old. */
  readonly ratio: number;
  /** Two-sided p-value of the t-test of the segments on either side. */
  readonly p: number;
}

/** Weak points are kept in the first pass up to this multiple of the final limit. */
const LENIENCY = 10;

/** Change points of a series of logarithms, in order. */
export function changePoints(
  series: readonly number[],
  options: Partial<ChangePointOptions> = {},
): readonly ChangePoint[] {
  const { window, maxP, minMagnitude } = { ...CHANGE_POINT_DEFAULTS, ...options };
  if (!Number.isInteger(window) || window < 4) {
    throw new UserError(`statistics: the window of a change point search has at least 4 points: ${window}`);
  }
  const broken = series.findIndex((value) => !Number.isFinite(value));
  if (broken >= 0) throw new UserError(`statistics: point ${broken} of the series is not a number: ${series[broken]}`);
  const weak = candidates(series, window, Math.min(1, maxP * LENIENCY));
  return merge(series, weak, maxP, Math.log1p(minMagnitude));
}

/** Splits found in overlapping windows; each starts at the last split found, or half a window further. */
function candidates(series: readonly number[], window: number, maxP: number): number[] {
  const found = new Set<number>();
  let start = 0;
  while (start < series.length) {
    const splits = divide(series.slice(start, start + window), maxP);
    for (const split of splits) found.add(start + split);
    if (start + window >= series.length) break;
    start = Math.max(start + (window >> 1), start + (splits.at(-1) ?? 0));
  }
  return [...found].sort((a, b) => a - b);
}

/** Divides a window at its best split as long as that is significant; returns the splits in order. */
function divide(values: readonly number[], maxP: number): number[] {
  const splits: number[] = [];
  for (;;) {
    let best: { split: number; energy: number } | undefined;
    const ends = [0, ...splits, values.length];
    for (let i = 1; i < ends.length; i++) {
      const from = ends[i - 1] as number;
      const split = bestSplit(values.slice(from, ends[i]));
      if (split !== undefined && (best === undefined || split.energy > best.energy)) {
        best = { split: from + split.split, energy: split.energy };
      }
    }
    if (best === undefined) return splits;
    const place = ends.findIndex((end) => end > best.split);
    if (levelChange(values, ends[place - 1] as number, best.split, ends[place] as number).p > maxP) return splits;
    splits.splice(place - 1, 0, best.split);
  }
}

/**
 * The split t and the end k <= n of the right part that maximise the scaled energy distance of the values before and after:
 * Q(t, k) = t (k - t) / k * (2 mean |X - Y| - mean |X - X'| - mean |Y - Y'|). Both parts have two values at least.
 */
function bestSplit(values: readonly number[]): { split: number; energy: number } | undefined {
  const n = values.length;
  const sum = distanceSums(values);
  let best: { split: number; energy: number } | undefined;
  for (let split = 2; split <= n - 2; split++) {
    const left = sum(split, split); // every pair counts twice in a square
    for (let end = split + 2; end <= n; end++) {
      const right = end - split;
      const between = sum(split, end) - left;
      const insideRight = sum(end, end) - left - 2 * between;
      const energy =
        ((split * right) / end) *
        ((2 * between) / (split * right) - left / (split * (split - 1)) - insideRight / (right * (right - 1)));
      if (best === undefined || energy > best.energy) best = { split, energy };
    }
  }
  return best;
}

/** Sums of |x_i - x_j| over all i below the first and j below the second argument, from a table. */
function distanceSums(values: readonly number[]): (rows: number, columns: number) => number {
  const width = values.length + 1;
  const table = new Float64Array(width * width);
  values.forEach((value, i) => {
    let row = 0;
    values.forEach((other, j) => {
      row += Math.abs(value - other);
      table[(i + 1) * width + j + 1] = (table[i * width + j + 1] as number) + row;
    });
  });
  return (rows, columns) => table[rows * width + columns] as number;
}

/** Removes the least significant split, then the smallest, until all that stay pass; neighbours are tested again. */
function merge(series: readonly number[], splits: readonly number[], maxP: number, minStep: number): ChangePoint[] {
  let kept = [...splits];
  for (;;) {
    const ends = [0, ...kept, series.length];
    const changes = kept.map((split, i) => ({
      split,
      ...levelChange(series, ends[i] as number, split, ends[i + 2] as number),
    }));
    const weakest = largest(changes, ({ p }) => p);
    const smallest = largest(changes, ({ step }) => -Math.abs(step));
    let drop: number | undefined;
    if (weakest !== undefined && weakest.p > maxP) drop = weakest.split;
    else if (smallest !== undefined && Math.abs(smallest.step) < minStep) drop = smallest.split;
    if (drop === undefined) return changes.map(({ split, step, p }) => ({ index: split, ratio: Math.exp(step), p }));
    kept = kept.filter((split) => split !== drop);
  }
}

function largest<T>(items: readonly T[], by: (item: T) => number): T | undefined {
  let best: T | undefined;
  for (const item of items) if (best === undefined || by(item) > by(best)) best = item;
  return best;
}

/** Step between the means of [from, split) and [split, to), and Student's two-sided p-value with pooled variance. */
function levelChange(
  series: readonly number[],
  from: number,
  split: number,
  to: number,
): { readonly step: number; readonly p: number } {
  const left = series.slice(from, split);
  const right = series.slice(split, to);
  const step = mean(right) - mean(left);
  const df = left.length + right.length - 2;
  if (df < 1) return { step, p: 1 };
  const pooled = (squares(left) + squares(right)) / df;
  if (pooled === 0) return { step, p: step === 0 ? 1 : 0 };
  const t = Math.abs(step) / Math.sqrt(pooled * (1 / left.length + 1 / right.length));
  return { step, p: Math.min(1, 2 * studentTail(t, df)) };
}

function squares(values: readonly number[]): number {
  const centre = mean(values);
  return values.reduce((sum, value) => sum + (value - centre) ** 2, 0);
}
