/**
 * From the comparisons made so far to what they answer. All that a bisection knows follows from this list, so that one
 * that was interrupted goes on where it was.
 */

import type { Answer } from "./search.ts";

/** What comparing one build with the good one gave. */
export interface Comparison {
  /** Time over that of the good build, with its 95 % interval; null where nothing could be measured. */
  readonly ratio: number | null;
  readonly low: number | null;
  readonly high: number | null;
  /**
   * "measured": the interval decides. "invalid": the machine was disturbed, the same again may succeed. "error": the build
   * fails, or lacks the bench.
   */
  readonly verdict: "measured" | "invalid" | "error";
  readonly reason?: string;
}

/** One comparison as it is stored. */
export interface Probe extends Comparison {
  /** Place in the list after the good build, from 0. */
  readonly index: number;
  readonly pairs: number;
}

export interface Rules {
  readonly count: number;
  /** Pairs of a first comparison; each further one of the same undecided build has twice as many. */
  readonly pairs: number;
  /** Undecided comparisons on end, after which a build is left out. */
  readonly maxAttempts: number;
  /** Disturbed comparisons on end, after which a build is left out. */
  readonly maxDisturbed: number;
  /** A build is slow when its ratio lies above; undefined: halfway to that of the bad build. */
  readonly threshold?: number | undefined;
  /** The bad build must be slower than this to be worth a search. */
  readonly least: number;
}

export interface Known {
  readonly answers: readonly Answer[];
  /** Builds that are not compared again. */
  readonly closed: ReadonlySet<number>;
  /** Builds that cannot be measured at all, and why. */
  readonly errors: ReadonlyMap<number, string>;
  /** Ratio above which a build is slow; undefined until the bad one has been measured. */
  readonly threshold: number | undefined;
  /** Undecided comparisons of a build since its last answer. */
  readonly undecided: ReadonlyMap<number, number>;
}

/** What the comparisons say, in their order. */
export function readProbes(probes: readonly Probe[], rules: Rules): Known {
  const last = rules.count - 1;
  const answers: Answer[] = [];
  const closed = new Set<number>();
  const errors = new Map<number, string>();
  const undecided = new Map<number, number>();
  const disturbed = new Map<number, number>();
  const count = (times: Map<number, number>, index: number, most: number): void => {
    const now = (times.get(index) ?? 0) + 1;
    times.set(index, now);
    if (now >= most) closed.add(index);
  };
  let threshold = rules.threshold;
  for (const { index, ratio, low, high, verdict, reason } of probes) {
    if (verdict === "error") {
      closed.add(index);
      errors.set(index, reason ?? "it cannot be measured");
      continue;
    }
    if (verdict === "invalid" || ratio === null || low === null || high === null) {
      count(disturbed, index, rules.maxDisturbed);
      continue;
    }
    // Before there is a threshold only the bad build is compared, and it must be slower than anything to speak of.
    const slow = decide(low, high, threshold ?? rules.least);
    disturbed.delete(index);
    if (slow === undefined) {
      count(undecided, index, rules.maxAttempts);
      continue;
    }
    undecided.delete(index);
    answers.push({ index, slow });
    if (index === last && slow && threshold === undefined) threshold = Math.sqrt(ratio);
  }
  return { answers, closed, errors, threshold, undecided };
}

function decide(low: number, high: number, threshold: number): boolean | undefined {
  if (low > threshold) return true;
  return high < threshold ? false : undefined;
}

const MOST_DOUBLINGS = 3;

/** Pairs that the next comparison of a build should have. */
export function pairsFor(index: number, { undecided }: Known, { pairs }: Rules): number {
  return pairs * 2 ** Math.min(undecided.get(index) ?? 0, MOST_DOUBLINGS);
}
