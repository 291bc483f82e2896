/**
 * The minimum detectable effect of the whole gate: the smallest change that a run reports as one with probability 1 - beta.
 *
 * It is more than that of one test (`minimumDetectableEffect`): the screening must not clear the bench, the confirmation must
 * reject its null hypothesis, and the estimate must exceed the threshold. Each is a bound on the estimate of its stage, and
 * the stages are independent, so the chances multiply.
 */

import { studentQuantile, studentTail } from "../statistics/distributions.ts";
import { errorFactor, trimCount } from "../statistics/trimmed.ts";
import type { GatePolicy } from "./policy.ts";

export interface Plan {
  /** Standard deviation of the winsorised log-ratios of pairs. */
  readonly sw: number;
  readonly delta: number;
  readonly screenPairs: number;
  /** All pairs of the last look. */
  readonly confirmPairs: number;
}

/** As a share. The plan has `FEWEST_PAIRS` at least in each stage. */
export function detectableEffect(plan: Plan, policy: GatePolicy): number {
  let low = 0;
  let high = 1;
  while (chance(high, plan, policy) < 1 - policy.beta && high < LARGEST) high *= 2;
  for (let step = 0; step < STEPS; step++) {
    const middle = (low + high) / 2;
    if (chance(middle, plan, policy) < 1 - policy.beta) low = middle;
    else high = middle;
  }
  return Math.expm1(high);
}

/** Logarithms beyond any sense; ends the search where a spread is absurd. */
const LARGEST = 64;
const STEPS = 30;

/** Chance that a change of `effect` (a logarithm) is reported. */
export function chance(effect: number, { sw, delta, screenPairs, confirmPairs }: Plan, policy: GatePolicy): number {
  const screen = stageChance(effect, sw, screenPairs, {
    margin: 0,
    alpha: policy.screenAlpha,
    least: Math.log1p(policy.screenEffect),
    ...(policy.recheck ? { open: Math.log1p(policy.screenBand * delta) } : {}),
  });
  const confirm = stageChance(effect, sw, confirmPairs, {
    margin: Math.log1p(policy.delta0),
    alpha: policy.extensionPairs > 0 ? policy.q / 2 : policy.q,
    least: Math.log1p(delta),
  });
  return screen * confirm;
}

interface Bounds {
  readonly margin: number;
  readonly alpha: number;
  readonly least: number;
  /** An interval that reaches beyond it leaves the bench open, which leads on as well. */
  readonly open?: number;
}

function stageChance(effect: number, sw: number, pairs: number, { margin, alpha, least, open }: Bounds): number {
  const df = pairs - 2 * trimCount(pairs) - 1;
  const error = sw * errorFactor(pairs);
  const rejects = Math.max(least, margin + studentQuantile(1 - alpha, df) * error);
  const isOpen = open === undefined ? Infinity : Math.max(0, open - studentQuantile(0.975, df) * error);
  const bound = Math.min(rejects, isOpen);
  if (error === 0) return effect >= bound ? 1 : 0;
  return studentTail((bound - effect) / error, df);
}
