/**
 * The first stage: which benches look slower or faster, and which are too noisy to be cleared. Nothing is concluded from it
 * against a bench.
 */

import { analyse, extent, isInside, pBeyond, type Analysis } from "./estimate.ts";
import type { GatePolicy } from "./policy.ts";
import { pairLogRatios, sampleFault, type DroppedRounds } from "./samples.ts";
import type { Direction, MeasuredBench } from "./types.ts";

export interface Screened {
  readonly bench: MeasuredBench;
  /** null: too few pairs. */
  readonly analysis: Analysis | null;
  /** Which way it seems to have changed; null: neither. */
  readonly suspect: Direction | null;
  /** No suspect, and not cleared either. */
  readonly open: boolean;
}

/** Whether fresh pairs are to decide. */
export function needsFreshPairs({ suspect, open }: Screened): boolean {
  return suspect !== null || open;
}

/** Where the centre lies. */
export function directionOf({ found }: Analysis): Direction {
  return found.centre < 0 ? "faster" : "slower";
}

/** Flags of benches whose times say nothing about their bodies. */
const NOT_EVALUATED: readonly string[] = ["timer-bound", "empty-body"];

export function isEvaluated({ flags }: MeasuredBench): boolean {
  return !flags.some((flag) => NOT_EVALUATED.includes(flag));
}

/** What makes a bench an error, in plain words; undefined if nothing does. */
export function faultOf({ stages, check, failure }: MeasuredBench): string | undefined {
  if (failure !== undefined) return failure;
  if (check?.passed === false) return "its output is wrong";
  return sampleFault(stages);
}

export function screen(bench: MeasuredBench, dropped: DroppedRounds, policy: GatePolicy): Screened {
  const unknown = { bench, analysis: null, suspect: null, open: false };
  if (faultOf(bench) !== undefined || !isEvaluated(bench)) return unknown;
  const analysis = analyse(pairLogRatios(bench.stages, ["screen"], dropped));
  if (analysis === null) return unknown;
  const direction = directionOf(analysis);
  if (isSuspicious(analysis, direction, policy)) return { bench, analysis, suspect: direction, open: false };
  const open = policy.recheck && !isInside(analysis, policy.screenBand * bench.delta);
  return { bench, analysis, suspect: null, open };
}

export function isSuspicious(
  analysis: Analysis,
  direction: Direction,
  { screenAlpha, screenEffect }: GatePolicy,
): boolean {
  const far = extent(analysis, direction) > Math.log1p(screenEffect);
  return far && pBeyond(analysis, direction, 0) < screenAlpha;
}
