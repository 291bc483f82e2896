/**
 * The benches of a gate run as reports show them: most severe first, with the times and ratios that their samples give.
 */

import { median } from "../statistics/basics.ts";
import { isAccepted } from "../results/accepted.ts";
import type { BenchRecord, PairRecord, Results, Verdict } from "../results/schema.ts";
import { shorten } from "./escape.ts";

/** How a verdict is shown without colour, and what it is to a reader. */
export interface VerdictFacts {
  readonly sign: string;
  /** Completes "n benches …". */
  readonly about: string;
}

/** Most severe first. */
export const VERDICTS: Readonly<Record<Verdict, VerdictFacts>> = {
  ERROR: { sign: "‼", about: "failed" },
  REGRESSED: { sign: "✗", about: "slower" },
  INVALID: { sign: "⊘", about: "not valid" },
  INCONCLUSIVE: { sign: "?", about: "undecided" },
  IMPROVED: { sign: "↓", about: "faster" },
  EQUIVALENT: { sign: "✓", about: "unchanged" },
};

const SEVERITY = Object.keys(VERDICTS) as Verdict[];

/** Whether the verdict fails the run. */
export function isFailure(bench: BenchRecord): boolean {
  return bench.verdict === "ERROR" || (bench.verdict === "REGRESSED" && !isAccepted(bench));
}

/** Rank of severity: 0 is worst. An accepted regression stands behind all that are not. */
function severity(bench: BenchRecord): number {
  return SEVERITY.indexOf(bench.verdict) + (isAccepted(bench) ? 0.5 : 0);
}

/** Most severe first; among equals the largest change first, then by name. */
export function bySeverity(benches: readonly BenchRecord[]): BenchRecord[] {
  const change = ({ estimate }: BenchRecord): number => (estimate === null ? 0 : Math.abs(Math.log(estimate.ratio)));
  return benches.toSorted(
    (a, b) => severity(a) - severity(b) || change(b) - change(a) || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0),
  );
}

/** The word for the verdict, with what allows it. */
export function verdictText(bench: BenchRecord): string {
  return isAccepted(bench) ? `${bench.verdict}, accepted` : bench.verdict;
}

/** How many benches have each verdict, most severe first; verdicts that none has are left out. */
export function totals(benches: readonly BenchRecord[]): { readonly verdict: Verdict; readonly count: number }[] {
  return SEVERITY.map((verdict) => ({
    verdict,
    count: benches.filter((bench) => bench.verdict === verdict).length,
  })).filter(({ count }) => count > 0);
}

/**
 * The pairs that the verdict rests on: those of the stage that the estimate names, else of the last stage. An extension goes on
 * from the confirmation.
 */
export function decidingPairs({ stages, estimate }: BenchRecord): readonly PairRecord[] {
  const last = estimate?.stage;
  const named = stages.filter(({ stage }) => stage === last || (last === "extension" && stage === "confirm"));
  return (named.length > 0 ? named : stages.slice(-1)).flatMap(({ pairs }) => pairs);
}

/** ln(head / base) of each pair: the median over its rounds. */
export function logRatios(pairs: readonly PairRecord[]): number[] {
  return pairs
    .filter(({ base }) => base.length > 0)
    .map(({ base, head }) => median(base.map((ns, round) => Math.log(head[round] ?? ns) - Math.log(ns))));
}

/** Median ns per iteration of one arm: the median over pairs of the medians over rounds. Null without samples. */
export function armNs(pairs: readonly PairRecord[], arm: "base" | "head"): number | null {
  const centres = pairs.filter((pair) => pair[arm].length > 0).map((pair) => median(pair[arm]));
  return centres.length === 0 ? null : median(centres);
}

/** "sort n=10000": the name with its parameters. */
export function benchName({ id, params }: BenchRecord): string {
  const values = Object.entries(params ?? {}).map(([name, value]) => `${name}=${value}`);
  return [id, ...values].join(" ");
}

/** More than a run writes; each of these texts is looked for in another one, and a stranger's may be of any length. */
const REASON_LENGTH = 2000;
const ACCEPTED_LENGTH = 400;
const FLAG_LENGTH = 80;
const MOST_FLAGS = 20;

/**
 * Reason, flags and what was accepted, as one text of bounded length; empty where there is nothing to say. A reason that the
 * report gives for the whole run, one of `said`, is not repeated.
 */
export function remarks(bench: BenchRecord, said: ReadonlySet<string> = new Set()): string {
  const { flags, accepted, check } = bench;
  const reason = shorten(bench.reason, REASON_LENGTH);
  const more = flags
    .slice(0, MOST_FLAGS)
    .map((flag) => shorten(flag, FLAG_LENGTH))
    .filter((flag) => !reason.includes(flag));
  const allowed = shorten(accepted?.reason ?? "", ACCEPTED_LENGTH);
  return [
    said.has(bench.reason) ? "" : reason,
    ...more,
    // The reason of a regression tells it already.
    ...(accepted === undefined || reason.includes(allowed)
      ? []
      : [`accepted up to ${(100 * accepted.limit).toFixed(1)} %: ${allowed}`]),
    ...(check !== null && !check.passed && !reason.includes("output") ? ["output differs"] : []),
  ]
    .filter((text) => text !== "")
    .join("; ");
}

/** Of a run whose builds are the same file by file. */
const NOTHING_MEASURED = "NOTHING WAS MEASURED, since base and head load the same files; this is neutral, and no pass";

/** Of a run whose base has no benches. */
const ALL_NEW =
  "NOTHING WAS MEASURED, since the base has no benches and those of head are all new; this is neutral, and no pass";

/** Of a run that has measured nothing and need not have; undefined of any other. */
export function nothingMeasured({ identical, allNew }: Neutral = {}): string | undefined {
  if (identical === true) return NOTHING_MEASURED;
  return allNew === true ? ALL_NEW : undefined;
}

/** Of `run`. */
interface Neutral {
  readonly identical?: boolean | undefined;
  readonly allNew?: boolean | undefined;
}

/** Of a run that Ctrl-C has ended. */
export const INTERRUPTED = "interrupted: not all that was asked for";

/** Why a run has no samples, the first line: "refused: the build failed"; undefined where it was not refused. */
export function refusal({ run }: Results): string | undefined {
  return run?.refused === undefined ? undefined : `refused: ${run.refused.split("\n", 1)[0]}`;
}

/** One sentence: what the run found. */
export function verdictSentence(results: Results): string {
  const { benches = [], run, summary } = results;
  const counts = totals(benches).map(({ verdict, count }) => `${count} ${VERDICTS[verdict].about}`);
  const outcome = summary === undefined ? "" : `${summary.verdict}: `;
  const nothing = nothingMeasured(run) ?? "no benchmark was measured";
  const failing = results.skipped.filter(({ failed }) => failed === true).length;
  const measured = benches.length === 0 ? nothing : `${counts.join(", ")} of ${benches.length}`;
  const found = refusal(results) ?? measured;
  const notes = [
    ...(failing === 0 ? [] : [`${failing} not compared: ${failing === 1 ? "it fails" : "they fail"} in the base`]),
    ...(run?.aborted === true ? [INTERRUPTED] : []),
    ...(run?.outOfTime === true ? ["the budget was spent before all was measured"] : []),
    ...(run?.cutShort === true ? [`${run.policy?.profile ?? "the profile"} takes no more time for what is open`] : []),
    ...(run?.advisory === true ? ["advisory: fails no build"] : []),
  ];
  return `${outcome}${[found, ...notes].join("; ")}`;
}
