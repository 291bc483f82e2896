/**
 * How long a run takes, and how it fits into a budget. Pure.
 *
 * Predictions are for planning: what really counts is the deadline, after which no pair is begun.
 */

import type { BenchRef } from "../paired/plan.ts";
import { groupBenches, type BenchGroup } from "../paired/groups.ts";
import { FEWEST_PAIRS } from "../define/settings.ts";
import { PATIENCE_BENCHES, type GatePolicy } from "./policy.ts";
import type { StageName } from "./samples.ts";

/** What the time of a pair depends on. */
export interface PairShape {
  readonly rounds: number;
  readonly sliceMs: number;
  readonly warmUpMs: number;
}

/** Starting both processes of a pair side by side, loading the harness and a bench file, pinning. */
const START_MS = 170;
/** The first inputs and calls of one bench, side by side, and the verification of kept outputs. */
const OPEN_MS = 45;
/** A warm-up is extended now and then, and both of them share the machine. */
const WARM_UP_SHARE = 1.3;
/** Messages, inputs renewed, untimed calls before each slice, garbage collection: of one slice. */
const BETWEEN_SLICES_MS = 2.3;

/** Longer warm-ups follow where the speed still changes. */
export const WARM_UP_MS = 150;

/**
 * A quick run is for a developer who waits. With less, code of V8's last compiler is still to come in some processes; where the
 * machine is slow for a while, with this too: such a bench is too noisy to be cleared, and is measured again.
 */
const QUICK_WARM_UP_MS = 75;

/** Later stages decide, and measure few benches: beside starting processes for them, more rounds cost little. */
const LATER_ROUNDS = 12;

export function warmUpOf({ profile }: GatePolicy, stage: StageName): number {
  return profile === "quick" && stage === "screen" ? QUICK_WARM_UP_MS : WARM_UP_MS;
}

/** What decides how long a pair of a stage takes. */
export function shapeOf(policy: GatePolicy, stage: StageName): PairShape {
  const rounds = stage === "screen" ? policy.rounds : Math.max(policy.rounds, LATER_ROUNDS);
  return { rounds, sliceMs: policy.sliceMs, warmUpMs: warmUpOf(policy, stage) };
}

/** Predicted time of one pair of processes for every bench, ms. */
export function pairMs(benches: readonly BenchRef[], { rounds, sliceMs, warmUpMs }: PairShape): number {
  const benchMs = OPEN_MS + WARM_UP_SHARE * warmUpMs + 2 * rounds * (sliceMs + BETWEEN_SLICES_MS);
  const groupMs = ({ benches: members }: BenchGroup): number => START_MS + members.length * benchMs;
  return groupBenches(benches).reduce((sum, group) => sum + groupMs(group) / (group.benches[0]?.every ?? 1), 0);
}

export interface StagePlan {
  readonly pairs: number;
  /** When no further pair is begun, ms from the start of the run; undefined: none. */
  readonly untilMs: number | undefined;
}

/** Share of a budget that screening may take: a suspect that cannot be confirmed is of no use to anybody. */
const SCREEN_SHARE = 0.6;
/** Share of patience, after which nothing fails, that screening may take beyond its first pairs. */
const SCREEN_PATIENCE = 0.75;
/** What is kept for the last pair, the reports and the machine's last look at itself. */
const RESERVE_MS = 3000;

/** How long after the beginning of measuring later stages go on where there is no budget, ms; null: without an end. */
export function patienceMs({ patienceS }: GatePolicy, benches: number): number | null {
  return patienceS === 0 ? null : 1000 * patienceS * Math.max(PATIENCE_BENCHES, benches);
}

/**
 * Pairs of the screening that a budget has room for, and when it must end: all that are wanted without a budget. At least
 * `fewest` are planned, whatever the budget: the deadline ends them.
 */
export function planScreen(
  wanted: number,
  fewest: number,
  onePairMs: number,
  budgetMs: number | null,
  spentMs: number,
): StagePlan {
  if (budgetMs === null) return { pairs: wanted, untilMs: undefined };
  const room = SCREEN_SHARE * (budgetMs - RESERVE_MS - spentMs);
  const pairs = Math.min(wanted, Math.max(fewest, Math.floor(room / onePairMs)));
  return { pairs, untilMs: Math.max(spentMs, budgetMs - RESERVE_MS) };
}

/** What the screening begins with, and whether a budget has cut it short. */
export function beginScreen(
  policy: GatePolicy,
  onePairMs: number,
  budgetMs: number | null,
  spentMs: number,
): StagePlan & { readonly cut: boolean } {
  const wanted = budgetMs === null ? firstScreenPairs(policy) : policy.screenPairs;
  const plan = planScreen(wanted, FEWEST_PAIRS, onePairMs, budgetMs, spentMs);
  return { ...plan, cut: plan.pairs < wanted };
}

/** Pairs that the screening begins with where there is no budget. */
function firstScreenPairs({ screenPairs, screenAtLeast, patienceS }: GatePolicy): number {
  return patienceS === 0 || screenAtLeast === 0 ? screenPairs : Math.min(screenPairs, screenAtLeast);
}

/**
 * Pairs that the screening goes on with after `done`, each of which took `onePairMs`, as far as patience with `benches` has
 * room for them: the clock decides, and nothing that was measured. An even number, so that the orders stay balanced.
 */
export function furtherScreenPairs(policy: GatePolicy, benches: number, done: number, onePairMs: number): number {
  const patience = patienceMs(policy, benches);
  if (patience === null) return 0;
  const room = Math.floor((SCREEN_PATIENCE * patience) / onePairMs);
  return Math.max(0, 2 * Math.floor((Math.min(policy.screenPairs, room) - done) / 2));
}

/** Pairs of a later stage in what is left of the budget; none where that are fewer than `fewest`. */
export function planConfirm(
  wanted: number,
  fewest: number,
  onePairMs: number,
  budgetMs: number | null,
  spentMs: number,
): StagePlan {
  if (budgetMs === null) return { pairs: wanted, untilMs: undefined };
  const room = Math.floor((budgetMs - RESERVE_MS - spentMs) / onePairMs);
  return { pairs: room < fewest ? 0 : Math.min(wanted, room), untilMs: budgetMs - RESERVE_MS };
}
