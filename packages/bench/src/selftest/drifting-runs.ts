/**
 * AT14: a machine that becomes 20 % slower in the course of a run moves no ratio.
 *
 * The drift is work that grows in both arms alike, beside controls that it does not touch; a quota that shrinks would need rights
 * over the machine. A first run without drift tells how long a run takes, so that the drift fills the others.
 *
 * Every bench is looked at by itself, since biases of opposite signs must not cancel. Its bias is the trimmed mean over the pairs of
 * the screening of all runs: later stages choose what they measure. The written bar, 0.5 %, is about as fine as the noise of one
 * bench, so that three things are asked. No bench has an interval that lies beyond the bar as a whole; it is widened for as many
 * benches as there are (Bonferroni), so that no more than 5 % of series have one where every bias is within the bar. The root mean
 * square over all benches, less what noise alone gives, is below the bar: it sees biases that no single bench shows. And intervals
 * reach 1 % at most, or a series that is too noisy to see anything would pass: then nothing is said.
 */

import { pairLogRatios } from "../gate/samples.ts";
import type { Results } from "../results/schema.ts";
import { mean, median } from "../statistics/basics.ts";
import { intervalReach, trimmed } from "../statistics/trimmed.ts";
import { gateSuite, type MeasuredOptions, type MeasuredTest } from "./measured.ts";
import { decision, percent, scaled, tooFew, type SelftestResult } from "./result.ts";
import { accusedIn, factsOf, isError, isValid, type RunFacts } from "./run-facts.ts";

const TEST = "AT14";
const DRIFT = 0.2;
const BAR = 0.005;
const WIDEST = 0.01;
const RUNS = 3;
const CONFIDENCE = 0.95;

export interface DriftingRun {
  readonly facts: RunFacts;
  /** Medians of the log-ratios of the pairs of the screening, by bench. */
  readonly pairs: ReadonlyMap<string, readonly number[]>;
  /** Share of the drift that came about while it was measured. */
  readonly covered: number;
}

export const drifting: MeasuredTest = async (options: MeasuredOptions) => {
  const wanted = options.runs ?? scaled(RUNS, options);
  const measure = async (run: number, ms: number, share: number): Promise<{ facts: RunFacts; results: Results }> => {
    const from = Date.now();
    const drift = { from, to: from + ms, share };
    const made = await gateSuite(TEST, run, { base: { drift }, head: { drift } }, options, {
      // Another try would begin when the drift has ended.
      repeatInvalid: () => false,
    });
    return { facts: factsOf(run, made), results: made.results };
  };
  let shortestMs = (await measure(0, 1, 0)).facts.wallMs;
  const runs: DriftingRun[] = [];
  const most = wanted + Math.ceil(wanted / 2);
  while (runs.length < most && runs.filter(({ facts }) => isValid(facts)).length < wanted) {
    const { facts, results } = await measure(runs.length + 1, shortestMs, DRIFT);
    runs.push({ facts, pairs: screenedPairs(results), covered: Math.min(1, facts.wallMs / shortestMs) });
    shortestMs = Math.min(shortestMs, facts.wallMs);
  }
  return judgeDrift(runs);
};

function screenedPairs({ benches = [] }: Results): Map<string, number[]> {
  return new Map(benches.map(({ id, stages }) => [id, pairLogRatios(stages, ["screen"], new Map()).map(median)]));
}

export function judgeDrift(all: readonly DriftingRun[]): SelftestResult {
  const runs = all.filter(({ facts }) => isValid(facts));
  const errors = all.filter(({ facts }) => isError(facts.exitCode)).length;
  const failed = runs.filter(({ facts }) => accusedIn(facts).length > 0);
  const ids = [...new Set(runs.flatMap(({ pairs }) => [...pairs.keys()]))];
  const found = ids.flatMap((id) => {
    const logs = runs.flatMap(({ pairs }) => pairs.get(id) ?? []);
    return logs.length < 3 ? [] : [{ id, ...trimmed(logs) }];
  });
  const alone = 1 - (1 - CONFIDENCE) / Math.max(1, found.length);
  const benches = found.map((bench) => ({ ...bench, reach: intervalReach(bench, alone) }));
  const limit = Math.log1p(BAR);
  const biased = benches.filter(({ centre, reach }) => Math.abs(centre) - reach > limit);
  const spread = Math.sqrt(Math.max(0, mean(benches.map(({ centre, error }) => centre ** 2 - error ** 2)))) || 0;
  const largest = Math.max(0, ...benches.map(({ centre }) => Math.abs(centre)));
  const reach = benches.length === 0 ? Infinity : median(benches.map((bench) => bench.reach));
  const isFine = reach <= WIDEST;
  const missing =
    tooFew(runs.length, 1) ??
    (isFine
      ? undefined
      : `too noisy to say: the median interval reaches ±${percent(reach)}, more than ±${percent(WIDEST)}; more runs narrow it`);
  return {
    test: TEST,
    title: "a machine that becomes 20 % slower moves no ratio",
    ...decision(errors > 0 || failed.length > 0 || biased.length > 0 || (isFine && spread >= limit), missing),
    detail: [
      `${biased.length} of ${benches.length} benches have a bias beyond ±${percent(BAR)}; over all of them it is ${percent(spread)} ` +
        `(root mean square less noise)`,
      `largest single one ${percent(largest)}, median interval ±${percent(reach)}: of ${runs.length} valid runs of ${all.length}, ` +
        `${failed.length} failed, ${errors} had errors`,
      ...biased.map(({ id, centre, reach: own }) => `${id}: ${percent(centre)} ± ${percent(own)}`),
    ].join("\n"),
    numbers: {
      runs: all.length,
      valid: runs.length,
      failed: failed.length,
      errors,
      biased: biased.length,
      rootMeanSquare: spread,
      largest,
      ...(Number.isFinite(reach) ? { medianReach: reach } : {}),
      drift: DRIFT * Math.min(1, ...runs.map(({ covered }) => covered)),
      ...Object.fromEntries(benches.map(({ id, centre }) => [`bias ${id}`, centre])),
    },
  };
}
