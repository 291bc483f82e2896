/**
 * The second stage: suspects, and what the screening left open, are judged by fresh pairs alone. The correction for many tests
 * is over those of one direction; what was not measured counts as accepted.
 *
 * With an extension there are two looks, decided in advance and each at half the rate: at the pairs of the confirmation,
 * and, for suspects that this leaves open, at all fresh pairs.
 */

import { adjustedPValues } from "../statistics/multiple.ts";
import { analyse, extent, isInside, pBeyond, type Analysis } from "./estimate.ts";
import type { GatePolicy } from "./policy.ts";
import { pairLogRatios, type DroppedRounds, type StageName } from "./samples.ts";
import { isSuspicious, type Screened } from "./screen.ts";
import type { Direction } from "./types.ts";

export type Outcome = "changed" | "unchanged" | "open";

/** What fresh pairs say about a suspect. */
export interface Confirmed {
  readonly analysis: Analysis;
  readonly stage: "confirm" | "extension";
  /** The null hypothesis was rejected, whether or not the change is large enough to matter. */
  readonly rejected: boolean;
  /** Adjusted for all suspects of the direction. */
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
  for (const direction of ["slower", "faster"] as const) {
    const suspects = screened.filter(({ suspect }) => suspect === direction);
    const looks: readonly (readonly StageName[])[] =
      policy.extensionPairs > 0 ? [["confirm"], ["confirm", "extension"]] : [["confirm"]];
    for (const stages of looks) {
      const left = suspects.filter(({ bench }) => (found.get(bench.id)?.outcome ?? "open") === "open");
      const judged = look(left, stages, dropped, { direction, policy, hypotheses: suspects.length });
      for (const [id, confirmed] of judged) found.set(id, confirmed);
    }
  }
  return found;
}

interface Family {
  readonly direction: Direction;
  readonly policy: GatePolicy;
  /** All suspects of the direction, those decided earlier too: fewer would make the look too lenient. */
  readonly hypotheses: number;
}

function look(
  suspects: readonly Screened[],
  stages: readonly StageName[],
  dropped: DroppedRounds,
  { direction, policy, hypotheses }: Family,
): [string, Confirmed][] {
  const last = stages.at(-1) as StageName;
  const tested = suspects.flatMap(({ bench, open }) => {
    if (!bench.stages.some(({ stage }) => stage === last)) return [];
    const analysis = analyse(pairLogRatios(bench.stages, stages, dropped));
    return analysis === null ? [] : [{ bench, open, analysis }];
  });
  const adjusted = adjustedPValues(
    tested.map(({ analysis }) => pBeyond(analysis, direction, policy.delta0)),
    policy.fdr,
    hypotheses,
  );
  const q = lookRate(policy);
  return tested.map(({ bench, open, analysis }, i): [string, Confirmed] => {
    const adjustedP = adjusted[i] as number;
    const rejected = adjustedP <= q;
    const matters = extent(analysis, direction) >= Math.log1p(bench.delta);
    // What was only too noisy is cleared as in the screening; a suspect must lie within its threshold.
    const clears = open && !isSuspicious(analysis, direction, policy) ? policy.screenBand : 1;
    const within = isInside(analysis, clears * bench.delta);
    const outcome = rejected && matters ? "changed" : within ? "unchanged" : "open";
    return [bench.id, { analysis, stage: last === "extension" ? last : "confirm", rejected, adjustedP, outcome }];
  });
}

/** Rate of one look. */
export function lookRate({ q, extensionPairs }: GatePolicy): number {
  return extensionPairs > 0 ? q / 2 : q;
}
