/**
 * The second stage: suspects, and what the screening left open, are judged by fresh pairs alone. The correction for many tests
 * is over those of one direction; what was not measured counts as accepted. What was left open may have changed either way: it
 * is tested in the direction that fresh pairs show, and counts in the correction of both.
 *
 * With an extension there are two looks, decided in advance and each at half the rate: at the pairs of the confirmation,
 * and, for suspects that this leaves open, at all fresh pairs.
 */

import { adjustedPValues } from "../statistics/multiple.ts";
import { analyse, extent, isInside, pBeyond, type Analysis } from "./estimate.ts";
import type { GatePolicy } from "./policy.ts";
import { pairLogRatios, type DroppedRounds, type StageName } from "./samples.ts";
import { directionOf, isSuspicious, needsFreshPairs, type Screened } from "./screen.ts";
import type { Direction } from "./types.ts";

export type Outcome = "changed" | "unchanged" | "open";

/** What fresh pairs say about a suspect. */
export interface Confirmed {
  readonly analysis: Analysis;
  readonly direction: Direction;
  readonly stage: "confirm" | "extension";
  /** The null hypothesis was rejected, whether or not the change is large enough to matter. */
  readonly rejected: boolean;
  /** Adjusted for all that may have changed in the direction. */
  readonly adjustedP: number;
  readonly outcome: Outcome;
}

/** By id; suspects without enough fresh pairs are missing. */
export function confirmSuspects(
  screened: readonly Screened[],
  dropped: DroppedRounds,
  policy: GatePolicy,
): ReadonlyMap<string, Confirmed> {
  const found = new Map<string, Confirmed>();
  const looks: readonly (readonly StageName[])[] =
    policy.extensionPairs > 0 ? [["confirm"], ["confirm", "extension"]] : [["confirm"]];
  for (const stages of looks) {
    const left = screened.filter(({ bench }) => (found.get(bench.id)?.outcome ?? "open") === "open");
    const fresh = left.flatMap((bench) => freshOf(bench, stages, dropped));
    for (const direction of ["slower", "faster"] as const) {
      // All that may have changed this way, those decided earlier too: fewer would make the look too lenient.
      const hypotheses = screened.filter(({ suspect, open }) => suspect === direction || open).length;
      const family = fresh.filter((bench) => bench.direction === direction);
      for (const [id, confirmed] of judgeFamily(family, hypotheses, policy)) found.set(id, confirmed);
    }
  }
  return found;
}

interface Fresh extends Pick<Screened, "bench" | "open"> {
  readonly analysis: Analysis;
  readonly direction: Direction;
  readonly stage: Confirmed["stage"];
}

/** The fresh pairs of what needs them; none where the last of the stages was not measured. */
function freshOf(screened: Screened, stages: readonly StageName[], dropped: DroppedRounds): Fresh[] {
  const { bench, suspect, open } = screened;
  const last = stages.at(-1) === "extension" ? "extension" : "confirm";
  if (!needsFreshPairs(screened) || !bench.stages.some(({ stage }) => stage === last)) return [];
  const analysis = analyse(pairLogRatios(bench.stages, stages, dropped));
  return analysis === null ? [] : [{ bench, open, analysis, direction: suspect ?? directionOf(analysis), stage: last }];
}

/** Judges benches of one direction. */
function judgeFamily(family: readonly Fresh[], hypotheses: number, policy: GatePolicy): [string, Confirmed][] {
  const adjusted = adjustedPValues(
    family.map(({ analysis, direction }) => pBeyond(analysis, direction, policy.delta0)),
    policy.fdr,
    hypotheses,
  );
  const q = lookRate(policy);
  return family.map(({ bench, open, analysis, direction, stage }, i): [string, Confirmed] => {
    const adjustedP = adjusted[i] as number;
    const rejected = adjustedP <= q;
    const matters = extent(analysis, direction) >= Math.log1p(bench.delta);
    // What was only too noisy is cleared as in the screening; a suspect must lie within its threshold.
    const clears = open && !isSuspicious(analysis, direction, policy) ? policy.screenBand : 1;
    const within = isInside(analysis, clears * bench.delta);
    const outcome = rejected && matters ? "changed" : within ? "unchanged" : "open";
    return [bench.id, { analysis, direction, stage, rejected, adjustedP, outcome }];
  });
}

/** Rate of one look. */
export function lookRate({ q, extensionPairs }: GatePolicy): number {
  return extensionPairs > 0 ? q / 2 : q;
}
