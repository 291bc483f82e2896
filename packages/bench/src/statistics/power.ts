/** What a number of pairs can find: minimum detectable effect, and the pairs that a smaller one needs. */

import { UserError } from "@quern/core/errors";
import { studentQuantile } from "./distributions.ts";
import { errorFactor, trimCount } from "./trimmed.ts";

/** A planned or finished one-sided Yuen test. */
export interface Design {
  /** Standard deviation of the winsorised log-ratios of pairs. */
  readonly sw: number;
  readonly pairs: number;
  /** Margin of the null hypothesis, as a share: 0.01 is 1 %. */
  readonly delta0: number;
  /** Chance of a false alarm. */
  readonly alpha: number;
  /** Chance of a miss at the detectable effect. */
  readonly beta: number;
}

/**
 * Smallest slow-down, as a share, that the test rejects its null hypothesis for with probability 1 - beta:
 * exp(ln(1 + delta0) + (t[1-alpha] + t[1-beta]) SE) - 1, with h - 1 degrees of freedom. Infinity below two pairs.
 */
export function minimumDetectableEffect({ sw, pairs, delta0, alpha, beta }: Design): number {
  const df = pairs - 2 * trimCount(pairs) - 1;
  if (df < 1) return Infinity;
  const reach = (studentQuantile(1 - alpha, df) + studentQuantile(1 - beta, df)) * sw * errorFactor(pairs);
  return Math.expm1(Math.log1p(delta0) + reach);
}

/**
 * Pairs with which an effect of `wanted` would be detectable when `pairs` detect `now` (both shares above `delta0`): the
 * distance from the margin shrinks with the square root of their number.
 */
export function pairsNeeded(pairs: number, now: number, wanted: number, delta0: number): number {
  const margin = Math.log1p(delta0);
  if (!(wanted > delta0)) throw new UserError(`statistics: no number of pairs detects ${wanted} beyond ${delta0}`);
  return Math.ceil(pairs * ((Math.log1p(now) - margin) / (Math.log1p(wanted) - margin)) ** 2);
}
