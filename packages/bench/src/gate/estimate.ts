/** From the log-ratios of the pairs of one bench to its estimate: Yuen's inference on the medians of the pairs. */

import type { RatioEstimate } from "../results/schema.ts";
import { median } from "../statistics/basics.ts";
import { hierarchicalBootstrap } from "../statistics/bootstrap.ts";
import { intervalReach, pAbove, pBelow, trimmed, type Trimmed } from "../statistics/trimmed.ts";
import { detectableEffect } from "./detectable.ts";
import { FEWEST_PAIRS } from "../define/settings.ts";
import type { GatePolicy } from "./policy.ts";
import type { Direction } from "./types.ts";

/** Log-ratios of pairs and what they say together. */
export interface Analysis {
  readonly pairs: readonly (readonly number[])[];
  readonly found: Trimmed;
  /** Ends of the 95 % interval; logarithms. */
  readonly low: number;
  readonly high: number;
}

/** null: too few pairs for any inference. */
export function analyse(pairs: readonly (readonly number[])[]): Analysis | null {
  if (pairs.length < FEWEST_PAIRS) return null;
  const found = trimmed(pairs.map(median));
  const reach = intervalReach(found);
  return { pairs, found, low: found.centre - reach, high: found.centre + reach };
}

/** One-sided p-value of a change that way beyond `margin`, a share. */
export function pBeyond({ found }: Analysis, direction: Direction, margin: number): number {
  const limit = Math.log1p(margin);
  return direction === "slower" ? pAbove(found, limit) : pBelow(found, -limit);
}

/** How far the centre lies that way; a logarithm. */
export function extent({ found }: Analysis, direction: Direction): number {
  return direction === "slower" ? found.centre : -found.centre;
}

/** The whole interval lies inside plus and minus `margin`, a share; on the scale of logarithms, so that both ways match. */
export function isInside({ low, high }: Analysis, margin: number): boolean {
  const limit = Math.log1p(margin);
  return low > -limit && high < limit;
}

/** The whole interval lies outside plus and minus `margin`. */
export function isOutside({ low, high }: Analysis, margin: number): boolean {
  const limit = Math.log1p(margin);
  return low > limit || high < -limit;
}

/** What an estimate is of. */
export interface EstimateContext {
  readonly id: string;
  readonly stage: string;
  readonly delta: number;
  readonly direction: Direction;
  readonly seed: number;
  readonly policy: GatePolicy;
  /** Pairs that the screening had, and those that a confirmation has or would have. */
  readonly screenPairs: number;
  readonly confirmPairs: number;
}

/** As the result file has it. */
export function ratioEstimate(analysis: Analysis, context: EstimateContext): RatioEstimate {
  const { found, low, high, pairs } = analysis;
  const { policy, screenPairs, confirmPairs, delta } = context;
  return {
    ratio: Math.exp(found.centre),
    low: Math.exp(low),
    high: Math.exp(high),
    p: pBeyond(analysis, context.direction, policy.delta0),
    sw: found.sw,
    mde: detectableEffect({ sw: found.sw, delta, screenPairs, confirmPairs }, policy),
    pairs: pairs.length,
    stage: context.stage,
    ...(policy.bootstrap === 0 ? {} : { bootstrap: bootstrapOf(pairs, context) }),
  };
}

function bootstrapOf(
  pairs: readonly (readonly number[])[],
  { seed, id, stage, policy }: EstimateContext,
): { readonly low: number; readonly high: number } {
  const { centre, low, high } = hierarchicalBootstrap(pairs, [seed, id, stage], policy.bootstrap);
  return { low: Math.exp(low ?? centre), high: Math.exp(high ?? centre) };
}
