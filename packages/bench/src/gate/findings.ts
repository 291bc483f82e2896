/** What is found about one bench, in plain words. */

import type { Verdict } from "../results/schema.ts";
import { studentQuantile } from "../statistics/distributions.ts";
import { lookRate, type Confirmed } from "./confirm.ts";
import { extent, isInside, type Analysis } from "./estimate.ts";
import type { GatePolicy } from "./policy.ts";
import { isEvaluated, type Screened } from "./screen.ts";
import type { Direction, GateRecord } from "./types.ts";
import { change, interval, pValue, share } from "./wording.ts";

export interface Finding {
  readonly verdict: Verdict;
  readonly reason: string;
}

const inconclusive = (reason: string): Finding => ({ verdict: "INCONCLUSIVE", reason });

/** A bench that the screening did not suspect. */
export function unsuspected({ bench, analysis }: Screened, record: GateRecord, policy: GatePolicy): Finding {
  if (!isEvaluated(bench)) {
    const what = bench.flags.includes("empty-body")
      ? "nothing is left of its body"
      : "a call is shorter than the timer";
    return inconclusive(`${what}: not evaluated`);
  }
  if (analysis === null) {
    const pairs = bench.stages.reduce((sum, stage) => sum + stage.pairs.length, 0);
    if (record.aborted === true) return inconclusive("not measured: the run was interrupted");
    if (record.outOfTime === true) return inconclusive("not measured: the budget was spent");
    if (pairs === 0) return { verdict: "ERROR", reason: "it gave no samples" };
    return inconclusive(`${pairs} pairs are too few to say anything`);
  }
  const ends = ratios(analysis);
  if (isInside(analysis, bench.delta)) {
    return { verdict: "EQUIVALENT", reason: `95 % interval ${interval(ends)}, inside ±${share(bench.delta)}` };
  }
  const band = policy.screenBand * bench.delta;
  if (isInside(analysis, band)) {
    const reason = `no suspect: 95 % interval ${interval(ends)}, inside ±${share(band)}`;
    return { verdict: "EQUIVALENT", reason };
  }
  const width = `no suspect, but not cleared: 95 % interval ${interval(ends)}, beyond ±${share(band)}`;
  return inconclusive(`${width}; ${pairsToClear(analysis, band)}`);
}

/** A suspect, or what the screening left open; `confirmed` is missing where it was not measured again. */
export function suspected(
  { bench, analysis, suspect, open }: Screened,
  confirmed: Confirmed | undefined,
  record: GateRecord,
  policy: GatePolicy,
): Finding {
  const before = suspect === null ? "not cleared by the screening" : `suspected to be ${suspect}`;
  if (confirmed === undefined) {
    const seen = analysis === null ? "" : ` (${change(Math.exp(analysis.found.centre))} in the screening)`;
    const why =
      record.aborted === true
        ? "the run was interrupted"
        : record.outOfTime === true
          ? "the budget was spent"
          : record.cutShort === true
            ? `${policy.profile} takes no more time for it`
            : "there are no fresh pairs";
    return inconclusive(`${before}${seen}, ${open ? "nor measured again" : "not confirmed"}: ${why}`);
  }
  const { direction } = confirmed;
  const { found } = confirmed.analysis;
  const ends = ratios(confirmed.analysis);
  const evidence = `95 % interval ${interval(ends)}, ${found.count} fresh pairs, ${pValue(confirmed.adjustedP)}`;
  const size = change(Math.exp(found.centre));
  if (confirmed.outcome === "changed") {
    return {
      verdict: direction === "slower" ? "REGRESSED" : "IMPROVED",
      reason: `${direction} by ${size.slice(1)}: ${evidence}`,
    };
  }
  if (confirmed.outcome === "unchanged") {
    const limit = isInside(confirmed.analysis, bench.delta) ? bench.delta : policy.screenBand * bench.delta;
    const inside = `95 % interval ${interval(ends)} of ${found.count} fresh pairs, inside ±${share(limit)}`;
    const reason = confirmed.rejected
      ? `${direction}, but by too little to matter`
      : open
        ? "left open by the screening, cleared"
        : `${before}, not confirmed`;
    return { verdict: "EQUIVALENT", reason: `${reason}: ${inside}` };
  }
  if (confirmed.rejected) {
    return inconclusive(
      `${direction} by ${size.slice(1)}, less than its threshold of ${share(bench.delta)}: ${evidence}`,
    );
  }
  return inconclusive(
    `${before}, ${size}, ${open ? "nor by fresh pairs" : "not confirmed"}: ${evidence}; ${pairsToDecide(confirmed.analysis, direction, bench.delta, policy)}`,
  );
}

/** Beyond this a number of pairs is no advice. */
const MOST_PAIRS = 2000;

/** How many more pairs would clear a bench, if its centre stays: its interval must fit into the band. */
function pairsToClear(analysis: Analysis, band: number): string {
  const room = Math.log1p(band) - Math.abs(analysis.found.centre);
  return morePairs(analysis, (analysis.high - analysis.low) / 2, room);
}

/** How many more pairs would decide about a suspect, one way or the other. */
function pairsToDecide(analysis: Analysis, direction: Direction, delta: number, policy: GatePolicy): string {
  const far = extent(analysis, direction);
  if (far < Math.log1p(delta)) return pairsToClear(analysis, delta);
  const { error, df } = analysis.found;
  return morePairs(analysis, studentQuantile(1 - lookRate(policy), df) * error, far - Math.log1p(policy.delta0));
}

/** A distance shrinks with the square root of the pairs. */
function morePairs({ found }: Analysis, distance: number, room: number): string {
  const more = room > 0 ? Math.ceil(found.count * ((distance / room) ** 2 - 1)) : Infinity;
  return more > MOST_PAIRS
    ? `more than ${MOST_PAIRS} more pairs would be needed`
    : `needs about ${Math.max(1, more)} more pairs`;
}

function ratios({ low, high }: Analysis): { readonly low: number; readonly high: number } {
  return { low: Math.exp(low), high: Math.exp(high) };
}
