/**
 * The minimum detectable effect of the whole gate: the smallest change that a run reports as one with probability 1 - beta.
 *
 * It is more than that of one test (`minimumDetectableEffect`): the screening must not clear the bench, the confirmation must
 * reject its null hypothesis, and the estimate must exceed the threshold. Each is a bound on the estimate of its stage, and
 * the stages are independent, so the chances multiply.
 */

import { mean } from "../statistics/basics.ts";
import { normalCdf, normalQuantile, studentQuantile, studentTail } from "../statistics/distributions.ts";
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

function stageChance(effect: number, sw: number, pairs: number, bounds: Bounds): number {
  const df = pairs - 2 * trimCount(pairs) - 1;
  const error = sw * errorFactor(pairs);
  if (error === 0) return effect >= boundAt(0, df, bounds) ? 1 : 0;
  const { open } = bounds;
  if (open === undefined) return studentTail((boundAt(error, df, bounds) - effect) / error, df);
  // A wide interval leads on and so does a narrow one far from zero: the spread of the error itself decides.
  const chances = errorSpread(df).map((factor) => {
    const found = factor * error;
    const rejects = boundAt(found, df, bounds);
    const clears = open - studentQuantile(0.975, df) * found;
    // Left open whatever the estimate, on either side of zero; or a suspect of the right direction.
    if (clears <= 0) return normalCdf((effect + rejects) / error);
    const below = (bound: number): number => normalCdf((bound - effect) / error);
    const openBelow = clears < rejects ? below(-clears) - below(-rejects) : 0;
    return 1 - below(Math.min(rejects, clears)) + openBelow;
  });
  return mean(chances);
}

/** The least estimate that rejects the null hypothesis, where its standard error was found to be `error`. */
function boundAt(error: number, df: number, { margin, alpha, least }: Bounds): number {
  return Math.max(least, margin + studentQuantile(1 - alpha, df) * error);
}

const POINTS = 16;
/** Middles of equal shares of a normal distribution. */
const NORMAL_POINTS: readonly number[] = Array.from({ length: POINTS }, (_, i) => normalQuantile((i + 0.5) / POINTS));

/**
 * Estimates of a standard deviation over its true value, equally likely ones: the root of chi-squared over its degrees of freedom,
 * by Wilson and Hilferty (The distribution of chi-square, PNAS 17, 1931).
 */
function errorSpread(df: number): number[] {
  const variance = 2 / (9 * df);
  return NORMAL_POINTS.map((z) => Math.max(0, 1 - variance + z * Math.sqrt(variance)) ** 1.5);
}
