/**
 * Scales for blocks: least squares over candidates.
 *
 * A candidate scale rounds the weights to quants; for these quants the best scale (and offset) is the solution of a linear
 * least squares problem, and so is the error. The best of all candidates wins. Weights count by their magnitude: large
 * ones matter more to products.
 *
 * The functions take `count` values from `x[from]` on, finite ones. They run for every group of a model's weights, so
 * they allocate nothing and keep sums in local variables.
 */

/** Adding and subtracting 1.5 · 2^52 rounds a double of moderate size to an integer, half to even. */
export const ROUNDER: number = 6_755_399_441_055_744;

/** Candidates on either side of the plain scale, and their distance in quants of the largest weight. */
const SYMMETRIC_STEPS = 4;
const SYMMETRIC_STEP = 0.22;

/** The value of largest magnitude, with its sign. */
export function extreme(x: Float32Array, from: number, count: number): number {
  let most = 0;
  let value = 0;
  for (let i = from; i < from + count; i++) {
    const magnitude = Math.abs(x[i]!);
    if (magnitude > most) {
      most = magnitude;
      value = x[i]!;
    }
  }
  return value;
}

/**
 * The scale d for which d · q, with integers q from `-reach` to `reach - 1`, is closest to the values; they are weighted by
 * their squares. 0 where all values are. The sign is such that the largest value is negative in quants, where the range
 * is larger.
 */
export function symmetricScale(x: Float32Array, from: number, count: number, reach: number): number {
  const largest = extreme(x, from, count);
  if (largest === 0) return 0;
  let best = 0;
  let scale = -largest / reach;
  for (let step = -SYMMETRIC_STEPS; step <= SYMMETRIC_STEPS; step++) {
    const inverse = -(reach + SYMMETRIC_STEP * step) / largest;
    let products = 0;
    let squares = 0;
    for (let i = from; i < from + count; i++) {
      const value = x[i]!;
      let q = value * inverse + ROUNDER - ROUNDER;
      if (q < -reach) q = -reach;
      else if (q > reach - 1) q = reach - 1;
      const weighted = value * value * q;
      products += weighted * value;
      squares += weighted * q;
    }
    if (products * products > best * squares) {
      best = (products * products) / squares;
      scale = products / squares;
    }
  }
  return scale;
}

/** A scale and an offset: weights are `scale` · q + `offset`. */
export interface Affine {
  scale: number;
  offset: number;
}

/** First candidate, number and distance of candidates, in quants of the range of values. */
export interface AffineSearch {
  readonly first: number;
  readonly step: number;
  readonly count: number;
  /** The offset may be positive. */
  readonly free: boolean;
}

/**
 * Scale and offset for quants from 0 to `levels - 1`, put into `fit`. Values are weighted by their magnitude plus the root
 * of their mean square.
 */
export function affineFit(
  x: Float32Array,
  from: number,
  count: number,
  levels: number,
  search: AffineSearch,
  fit: Affine,
): void {
  const top = levels - 1;
  let least = x[from]!;
  let most = least;
  let squares = 0;
  for (let i = from; i < from + count; i++) {
    const value = x[i]!;
    if (value < least) least = value;
    if (value > most) most = value;
    squares += value * value;
  }
  if (!search.free && least > 0) least = 0;
  fit.scale = (most - least) / top;
  fit.offset = least;
  if (most === least) return;
  const base = Math.sqrt(squares / count);
  let sumW = 0;
  let sumX = 0;
  let sumXX = 0;
  for (let i = from; i < from + count; i++) {
    const value = x[i]!;
    const weight = base + Math.abs(value);
    sumW += weight;
    sumX += weight * value;
    sumXX += weight * value * value;
  }
  let best = Infinity;
  for (let candidate = 0; candidate < search.count; candidate++) {
    const inverse = (top + search.first + search.step * candidate) / (most - least);
    let sumQ = 0;
    let sumQQ = 0;
    let sumQX = 0;
    for (let i = from; i < from + count; i++) {
      const value = x[i]!;
      let q = (value - least) * inverse + ROUNDER - ROUNDER;
      if (q > top) q = top;
      else if (q < 0) q = 0;
      const weighted = (base + Math.abs(value)) * q;
      sumQ += weighted;
      sumQQ += weighted * q;
      sumQX += weighted * value;
    }
    const determinant = sumW * sumQQ - sumQ * sumQ;
    if (!(determinant > 0)) continue;
    let scale = (sumW * sumQX - sumX * sumQ) / determinant;
    let offset = (sumQQ * sumX - sumQ * sumQX) / determinant;
    if (!search.free && offset > 0) {
      offset = 0;
      scale = sumQX / sumQQ;
    }
    const error =
      sumXX + scale * (scale * sumQQ - 2 * sumQX) + offset * (offset * sumW - 2 * sumX) + 2 * scale * offset * sumQ;
    if (error < best) {
      best = error;
      fit.scale = scale;
      fit.offset = offset;
    }
  }
}
