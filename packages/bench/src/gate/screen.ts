/** The first stage: which benches look slower or faster. Nothing is concluded from it against a bench. */

import { analyse, extent, pBeyond, type Analysis } from "./estimate.ts";
import type { GatePolicy } from "./policy.ts";
import { pairLogRatios, sampleFault, type DroppedRounds } from "./samples.ts";
import type { Direction, MeasuredBench } from "./types.ts";

export interface Screened {
  readonly bench: MeasuredBench;
  /** null: too few pairs. */
  readonly analysis: Analysis | null;
  readonly suspect: Direction | null;
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
  if (faultOf(bench) !== undefined || !isEvaluated(bench)) return { bench, analysis: null, suspect: null };
  const analysis = analyse(pairLogRatios(bench.stages, ["screen"], dropped));
  return { bench, analysis, suspect: analysis === null ? null : suspicion(analysis, policy) };
}

function suspicion(analysis: Analysis, { screenAlpha, screenEffect }: GatePolicy): Direction | null {
  const direction: Direction = analysis.found.centre < 0 ? "faster" : "slower";
  const far = extent(analysis, direction) > Math.log1p(screenEffect);
  return far && pBeyond(analysis, direction, 0) < screenAlpha ? direction : null;
}
