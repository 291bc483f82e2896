/**
 * Many tests at once: step-up procedures that hold the false discovery rate at q.
 *
 * Benjamini and Hochberg 1995 (J. R. Stat. Soc. B 57) for independent or positively dependent tests; Benjamini and
 * Yekutieli 2001 (Ann. Stat. 29) for any dependence. While nothing is true to find, the rate is the chance of even one
 * false alarm.
 */

import { UserError } from "@quern/core/errors";

export const FDR_METHODS = ["bh", "by"] as const;
export type FdrMethod = (typeof FDR_METHODS)[number];

/**
 * Adjusted p-values in the order given: a test is rejected at rate q if its value is at most q. `hypotheses` is the size
 * of the family when it is larger than the list; the p-values that are missing count as 1.
 */
export function adjustedPValues(
  pValues: readonly number[],
  method: FdrMethod = "bh",
  hypotheses: number = pValues.length,
): number[] {
  for (const p of pValues) {
    if (!(p >= 0 && p <= 1)) throw new UserError(`statistics: a p-value lies between 0 and 1: ${p}`);
  }
  if (hypotheses < pValues.length) {
    throw new UserError(`statistics: ${pValues.length} p-values of only ${hypotheses} hypotheses`);
  }
  const family = hypotheses * (method === "by" ? harmonic(hypotheses) : 1);
  const descending = pValues.map((p, index) => ({ p, index })).sort((a, b) => b.p - a.p);
  const adjusted = new Array<number>(pValues.length);
  let smallest = 1;
  descending.forEach(({ p, index }, place) => {
    smallest = Math.min(smallest, (family * p) / (pValues.length - place));
    adjusted[index] = smallest;
  });
  return adjusted;
}

/** Which tests are rejected at false discovery rate `q`. */
export function rejected(
  pValues: readonly number[],
  q: number,
  method: FdrMethod = "bh",
  hypotheses: number = pValues.length,
): boolean[] {
  return adjustedPValues(pValues, method, hypotheses).map((p) => p <= q);
}

function harmonic(count: number): number {
  let sum = 0;
  for (let i = count; i >= 1; i--) sum += 1 / i;
  return sum;
}
