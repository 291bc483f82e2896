/**
 * Distribution functions: Student's t with any positive degrees of freedom, normal, Kolmogorov.
 *
 * The numbers come from `cephes`, Moshier's library (the one under SciPy's special functions) compiled to WebAssembly:
 * the same digits on every machine, which replayed verdicts need. It compiles asynchronously, hence the wait below.
 */

import { compiled, incbet, incbi, kolmogorov, ndtr, ndtri } from "cephes";
import { UserError } from "@quern/core/errors";

await compiled;

/** P(T > t). Small tails keep their relative accuracy. */
export function studentTail(t: number, df: number): number {
  requireDegrees(df);
  if (Number.isNaN(t)) return Number.NaN;
  if (df === Infinity) return ndtr(-t);
  if (t < 0) return 1 - studentTail(-t, df);
  if (t === Infinity) return 0;
  return incbet(df / 2, 0.5, df / (df + t * t)) / 2;
}

/** P(T <= t). */
export function studentCdf(t: number, df: number): number {
  return studentTail(-t, df);
}

const quantiles = new Map<number, Map<number, number>>();

/** t with P(T <= t) = `probability`; `df` may be Infinity. Remembered, because the inverse is slow and asked for often. */
export function studentQuantile(probability: number, df: number): number {
  requireDegrees(df);
  requireProbability(probability);
  let known = quantiles.get(df);
  if (known === undefined) quantiles.set(df, (known = new Map()));
  let quantile = known.get(probability);
  if (quantile === undefined) known.set(probability, (quantile = computeQuantile(probability, df)));
  return quantile;
}

function computeQuantile(probability: number, df: number): number {
  if (probability === 0) return -Infinity;
  if (probability === 1) return Infinity;
  if (df === Infinity) return ndtri(probability);
  if (probability < 0.5) return -computeQuantile(1 - probability, df);
  const inside = 2 * probability - 1;
  if (inside < 0.5) {
    const share = incbi(0.5, df / 2, inside); // t² / (df + t²): the accurate one of the two near the centre
    return Math.sqrt((df * share) / (1 - share));
  }
  const share = incbi(df / 2, 0.5, 2 * (1 - probability)); // df / (df + t²)
  return Math.sqrt((df * (1 - share)) / share);
}

export function normalCdf(x: number): number {
  return ndtr(x);
}

export function normalQuantile(probability: number): number {
  requireProbability(probability);
  if (probability === 0) return -Infinity;
  return probability === 1 ? Infinity : ndtri(probability);
}

/** P(K > x), K the limit of sqrt(n) times the largest distance of an empirical distribution function. */
export function kolmogorovTail(x: number): number {
  return x <= 0 ? 1 : Math.min(1, kolmogorov(x));
}

function requireDegrees(df: number): void {
  if (!(df > 0)) throw new UserError(`statistics: degrees of freedom must be positive: ${df}`);
}

function requireProbability(probability: number): void {
  if (!(probability >= 0 && probability <= 1)) {
    throw new UserError(`statistics: a probability lies between 0 and 1: ${probability}`);
  }
}
