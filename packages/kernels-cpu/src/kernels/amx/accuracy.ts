/**
 * The error of a result as precisions promise it, for tests: relative to the root mean square of the reference.
 */

import type { MatmulPrecision, Tensor } from "@quern/core";

/**
 * Largest error allowed at a precision, in units of the root mean square of the result, for sums of a hundred random
 * products or so: the distribution of the error has longer tails for short sums (2.1e-5 for one of 35 in "high").
 */
export const ERROR_LIMIT: Readonly<Record<MatmulPrecision, { readonly rms: number; readonly max: number }>> = {
  highest: { rms: 1e-6, max: 1e-5 },
  high: { rms: 6e-6, max: 2e-5 },
  medium: { rms: 3e-3, max: 1e-2 },
};

export interface ErrorOf {
  readonly rms: number;
  readonly max: number;
}

/** Root mean square and largest difference, both divided by the root mean square of `expected`. */
export function relativeError(actual: Tensor, expected: Tensor): ErrorOf {
  const [got, want] = [actual.toArray(), expected.toArray()];
  let [squares, errors, max] = [0, 0, 0];
  want.forEach((y, i) => {
    const difference = Math.abs((got[i] as number) - y);
    squares += y * y;
    errors += difference * difference;
    // NaN must not pass for a small error.
    max = difference <= max ? max : difference;
  });
  const scale = Math.sqrt(squares / want.length);
  return { rms: Math.sqrt(errors / want.length) / scale, max: max / scale };
}
