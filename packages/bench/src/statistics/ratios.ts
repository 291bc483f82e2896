/**
 * Ratios of paired times. Adjacent slices share the speed of the machine, so only their ratio is used; slices of one
 * process share its memory layout and its code, so the process pair is the unit of inference.
 */

import { UserError } from "@quern/core/errors";
import { median, medianInterval, type Estimate } from "./basics.ts";
import { trimmedInterval } from "./trimmed.ts";

/** Times of adjacent slices of two engines, one array per process pair, in the order they were measured. */
export interface PairedTimes {
  readonly engine: readonly number[];
  readonly baseline: readonly number[];
}

/** Logarithms of time over time, round by round; the longer list is cut. */
export function logRatios(over: readonly number[], under: readonly number[]): number[] {
  return over.slice(0, under.length).map((time, i) => Math.log(time / (under[i] as number)));
}

/**
 * How many times faster `engine` is than `baseline` (> 1: faster). Each process pair gives one number, the median of
 * the log-ratios of its adjacent slices. From three pairs on the interval is Yuen's over these numbers; with one
 * or two pairs it is the order-statistic interval over slices, which does not see what differs between processes.
 */
export function ratioInterval(pairs: readonly PairedTimes[]): Estimate {
  const logs = pairs.map(({ engine, baseline }) => logRatios(baseline, engine));
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
