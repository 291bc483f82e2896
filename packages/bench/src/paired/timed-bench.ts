/** How a bench is timed in one pair: decided from the first calls of both arms, and the same for both. */

import { POOL_SETS } from "./input-pool.ts";
import { BATCH_BELOW, type LoopMode } from "./loops.ts";
import type { PairSettings } from "./pair-context.ts";
import type { BenchRef } from "./plan.ts";
import type { Opened } from "./protocol.ts";

/** Inputs are renewed for this share of the time of slices, but at least so often in a pair. */
const RENEWAL_SHARE = 0.25;
const LEAST_RENEWALS = 2;
/** Bodies below the time of one reading of the clock, or this, say more about the loop than about themselves. */
const TIMER_BOUND_NS = 25;
/** A body is empty if it takes no longer than this many empty calls. */
const EMPTY_CALLS = 1.5;
const CLOCK_NOISE_NS = 0.5;
/** Benches whose call fills several slices get fewer rounds. */
const LONG_SLICES = 2;
const LEAST_ROUNDS = 5;

/** Why a body is too short to be evaluated. */
export type Bound = "timer-bound" | "empty-body";

export interface TimedBench {
  readonly ref: BenchRef;
  readonly mode: LoopMode;
  /** Sets renewed before a slice, in every how many rounds. */
  readonly renew: number;
  readonly renewEvery: number;
  /** Time of a reading of the clock, ns. */
  readonly readingNs: number;
  /** Time of an empty call; 0 where the bench is far slower. */
  readonly emptyNs: number;
  rounds: number;
  unsteady: number;
  readonly base: number[];
  readonly head: number[];
}

/** A bench that both arms have opened. Its mode is kept in `modes` for later pairs. */
export function timedBench(
  ref: BenchRef,
  base: Opened,
  head: Opened,
  { modes, sliceMs, rounds }: Pick<PairSettings, "modes" | "sliceMs" | "rounds">,
): TimedBench {
  const shortest = Math.min(base.callNs, head.callNs);
  const readingNs = Math.max(base.timerNs, head.timerNs);
  const mode = modes.get(ref.id) ?? (shortest < BATCH_BELOW * readingNs ? "batch" : "call");
  modes.set(ref.id, mode);
  const makeMs = Math.max(base.makeMs, head.makeMs, 1e-3);
  const budgetMs = RENEWAL_SHARE * sliceMs;
  const renew = Math.max(1, Math.min(POOL_SETS, Math.floor(budgetMs / makeMs)));
  const renewEvery = Math.max(1, Math.min(Math.ceil(makeMs / budgetMs), Math.floor(rounds / LEAST_RENEWALS)));
  const emptyNs = Math.max(base.emptyNs ?? 0, head.emptyNs ?? 0);
  return { ref, mode, renew, renewEvery, readingNs, emptyNs, rounds, unsteady: 0, base: [], head: [] };
}

/** What keeps a bench from being evaluated, given the time of a call; undefined: nothing. */
export function boundBy(
  { readingNs, emptyNs }: Pick<TimedBench, "readingNs" | "emptyNs">,
  callNs: number,
): Bound | undefined {
  if (callNs <= EMPTY_CALLS * emptyNs + CLOCK_NOISE_NS) return "empty-body";
  return callNs >= Math.max(readingNs, TIMER_BOUND_NS) ? undefined : "timer-bound";
}

/** Rounds for a bench whose call takes `callMs`, of those that were asked for. */
export function affordableRounds(rounds: number, sliceMs: number, callMs: number): number {
  return Math.min(rounds, Math.max(LEAST_ROUNDS, Math.floor((rounds * LONG_SLICES * sliceMs) / callMs)));
}
