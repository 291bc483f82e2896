/** Natural logarithms of the model's own probabilities, before any sampler. */

import { expOfNegative } from "./exponential.ts";
import { greatest, largest } from "./largest.ts";

export interface TokenLogProbability {
  readonly token: number;
  readonly logProbability: number;
}

/** log Σ exp(row). Subtracted from a logit it gives a log-probability. */
export function logSumExp(row: Float32Array): number {
  const max = greatest(row);
  if (max === Number.NEGATIVE_INFINITY) return max;
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += expOfNegative((row[i] as number) - max);
  return max + Math.log(sum);
}

/** The `count` most probable tokens, the most probable first. */
export function topLogProbabilities(
  row: Float32Array,
  count: number,
  normaliser: number = logSumExp(row),
): TokenLogProbability[] {
  const top = largest(row, row.length, Math.min(count, row.length));
  return Array.from(top, (token) => ({ token, logProbability: (row[token] as number) - normaliser }));
}
