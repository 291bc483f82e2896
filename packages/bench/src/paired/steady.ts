/**
 * Has a warm-up come to a steady speed? At most 43.5 % of programs reach a steady peak at all (Barrett et al., "Virtual
 * machine warmup blows hot and cold", OOPSLA 2017), so it is checked and not assumed.
 */

import { median, medianAbsoluteDeviation } from "../statistics/basics.ts";

const STEADY_WITHIN = 0.01;
/** Of normal values: standard deviation over median absolute deviation, standard error of a median over that of a mean. */
const SD_OF_MAD = 1.4826;
const ERROR_OF_MEDIAN = 1.2533;

/** Variance of the median of `values`, from their median absolute deviation. */
function varianceOfMedian(values: readonly number[]): number {
  const sd = SD_OF_MAD * medianAbsoluteDeviation(values);
  return (ERROR_OF_MEDIAN * sd) ** 2 / values.length;
}

/**
 * True if the median of the last `third` times is within 1 % of the median of the `third` before them, or no further from it
 * than the standard error of the difference: on a noisy machine two medians of the same speed differ by more than 1 %.
 */
export function steadyTail(times: readonly number[], third: number): boolean {
  const late = times.slice(-third);
  const early = times.slice(-2 * third, -third);
  const last = median(late);
  const before = median(early);
  const error = Math.sqrt(varianceOfMedian(late) + varianceOfMedian(early));
  return Math.abs(last - before) <= Math.max(STEADY_WITHIN * before, error);
}
