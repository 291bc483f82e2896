/** Kolmogorov and Smirnov's test of one sample against a distribution that is known completely. */

import { UserError } from "@quern/core/errors";
import { ascending } from "./basics.ts";
import { kolmogorovTail } from "./distributions.ts";

export interface KolmogorovSmirnov {
  /** Largest distance between the empirical and the given distribution function. */
  readonly distance: number;
  readonly p: number;
}

/**
 * Two-sided; `cdf` is the uniform distribution unless given. The p-value is that of the limiting distribution with
 * Stephens' correction for the size of the sample (J. R. Stat. Soc. B 32, 1970): good to two digits from five values on.
 */
export function kolmogorovSmirnov(
  values: readonly number[],
  cdf: (value: number) => number = (value) => Math.min(1, Math.max(0, value)),
): KolmogorovSmirnov {
  const n = values.length;
  if (n === 0) throw new UserError("statistics: Kolmogorov and Smirnov's test of no samples");
  let distance = 0;
  ascending(values).forEach((value, rank) => {
    const expected = cdf(value);
    distance = Math.max(distance, expected - rank / n, (rank + 1) / n - expected);
  });
  const root = Math.sqrt(n);
  return { distance, p: kolmogorovTail((root + 0.12 + 0.11 / root) * distance) };
}
