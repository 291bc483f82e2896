/**
 * Finds the build that made a bench slow. Each step compares one build with the good one; the search itself knows neither
 * git nor npm nor how a comparison is made.
 *
 * A build counts as slow when it has lost more than half of what the bad one has lost (or more than a threshold that is
 * asked for). With several losses on the way, the one found is that which crosses the half.
 */

import { UserError } from "@quern/core/errors";
import type { Candidate, Candidates } from "./candidates.ts";
import { pairsFor, readProbes, type Comparison, type Known, type Probe, type Rules } from "./probes.ts";
import { likelyRange, nextStep, questionsLeft, SEARCH_DEFAULTS, type SearchOptions } from "./search.ts";
import { readState, writeState, type Question } from "./state.ts";

export interface CompareRequest {
  /** Process pairs to measure. */
  readonly pairs: number;
  /** Number of the comparison, from 0: every one draws its own orders and inputs. */
  readonly number: number;
}

/** Compares a build with the good one. Rejects only where the whole bisection cannot go on. */
export type Compare = (candidate: Candidate, request: CompareRequest) => Promise<Comparison>;

export interface BisectProgress {
  readonly text: string;
  /** Comparisons made, and about how many are still to come. */
  readonly done: number;
  readonly left: number;
}

export interface BisectPlan {
  readonly candidates: Candidates;
  /** Identifier of the bench. */
  readonly bench: string;
  readonly compare: Compare;
  /** Pairs of a first comparison. */
  readonly pairs: number;
  /** Ratio above which a build is slow. Default: halfway, in the logarithm, to that of the bad build. */
  readonly threshold?: number | undefined;
  readonly confidence?: number | undefined;
  /** How builds are measured, in any words: answers given under others are not used again. */
  readonly measured?: string | undefined;
  /** Path of the file that an interruption goes on from. */
  readonly stateFile?: string | undefined;
  /** Forget what the file holds. */
  readonly restart?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Time (ms since 1970) after which no comparison is begun. */
  readonly deadline?: number | undefined;
}

export interface BisectResult {
  /**
   * "found": one build. "range": the first slow build is one of several, those between cannot be measured or decided.
   * "not-slow": the bad build is not slower. "unclear": it cannot be said whether it is. "aborted", "out-of-time": the
   * range so far; the same call goes on.
   */
  readonly outcome: "found" | "range" | "not-slow" | "unclear" | "aborted" | "out-of-time";
  /** Builds of which one is the first slow one, oldest first; one build when it was found; empty when none is. */
  readonly first: readonly Candidate[];
  /** The last build before them. */
  readonly before: Candidate;
  /** Probability that this is right, as far as answers are wrong as often as assumed. */
  readonly probability: number;
  /** Times over that of the good build: of the last of `first`, and of `before`. Null where it was not measured. */
  readonly ratio: Level | null;
  readonly ratioBefore: Level | null;
  /** Ratio that a slow build exceeds. */
  readonly threshold: number | null;
  readonly probes: readonly (Probe & { readonly label: string })[];
}

export interface Level {
  readonly ratio: number;
  readonly low: number;
  readonly high: number;
}

const MAX_ATTEMPTS = 3;
const MAX_DISTURBED = 5;
/** Slower than this, or there is nothing to find: what identical code may show. */
const LEAST = 1.01;

/** Comparisons after which a search ends, whatever is known: far above what answers that are mostly right need. */
function mostProbes(count: number): number {
  return 20 + 6 * Math.ceil(Math.log2(count + 1));
}

/** Searches. Throws a `UserError` where the bad build cannot be measured or the state belongs to another question. */
export async function bisect(
  plan: BisectPlan,
  progress: (now: BisectProgress) => void = () => {},
): Promise<BisectResult> {
  const { candidates, bench, threshold, stateFile } = plan;
  const count = candidates.after.length;
  if (count === 0) throw new UserError("there is no build after the good one");
  if (threshold !== undefined && !(threshold > 1)) {
    throw new UserError(`a threshold of ${threshold} is none: slow builds have a ratio above 1`, {
      where: "--threshold",
    });
  }
  const rules: Rules = {
    count,
    pairs: plan.pairs,
    maxAttempts: MAX_ATTEMPTS,
    maxDisturbed: MAX_DISTURBED,
    threshold,
    least: LEAST,
  };
  const question: Question = {
    bench,
    good: candidates.good.source,
    after: candidates.after.map(({ source }) => source),
    measured: plan.measured ?? "",
    rules,
  };
  const resumed = stateFile === undefined || plan.restart === true ? [] : readState(stateFile, question);
  // What failed may have been a network or a full disk: it is tried again. Answers stay.
  const answers = resumed.filter(({ verdict }) => verdict !== "error");
  const failed = resumed.filter(({ verdict }) => verdict === "error");
  const search = new Search(plan, rules, answers, failed.length, progress);
  return await search.run((probes) => {
    // With what failed before: whoever goes on counts from there, so that no number is used twice.
    if (stateFile !== undefined) writeState(stateFile, question, [...failed, ...probes]);
  });
}

class Search {
  readonly #plan: BisectPlan;
  readonly #rules: Rules;
  readonly #options: SearchOptions;
  readonly #probes: Probe[];
  /** Comparisons that were made and are not counted: every one has a number of its own. */
  readonly #forgotten: number;
  readonly #progress: (now: BisectProgress) => void;

  constructor(
    plan: BisectPlan,
    rules: Rules,
    probes: Probe[],
    forgotten: number,
    progress: (now: BisectProgress) => void,
  ) {
    this.#plan = plan;
    this.#rules = rules;
    this.#probes = probes;
    this.#forgotten = forgotten;
    this.#progress = progress;
    const { errorRate, confidence } = SEARCH_DEFAULTS;
    this.#options = { count: rules.count, errorRate, confidence: plan.confidence ?? confidence };
  }

  async run(store: (probes: readonly Probe[]) => void): Promise<BisectResult> {
    const { deadline } = this.#plan;
    for (;;) {
      const known = readProbes(this.#probes, this.#rules);
      const step = this.#next(known);
      if (typeof step !== "number") return step;
      if (this.#aborted) return this.#early("aborted", known);
      if (deadline !== undefined && Date.now() >= deadline) return this.#early("out-of-time", known);
      if (this.#probes.length >= mostProbes(this.#rules.count)) return this.#early("range", known);
      try {
        this.#probes.push(await this.#probe(step, known));
      } catch (error) {
        // What was measured until then is kept; what was being measured is not.
        if (this.#aborted) return this.#early("aborted", known);
        throw error;
      }
      store(this.#probes);
    }
  }

  get #aborted(): boolean {
    return this.#plan.signal?.aborted === true;
  }

  async #probe(index: number, known: Known): Promise<Probe> {
    const candidate = this.#candidate(index);
    const pairs = pairsFor(index, known, this.#rules);
    const done = this.#probes.length;
    const left = questionsLeft(known.answers, this.#options);
    this.#progress({ text: `comparing ${candidate.label} with ${this.#plan.candidates.good.label}`, done, left });
    const number = done + this.#forgotten;
    const { ratio, low, high, verdict, reason } = await this.#plan.compare(candidate, { pairs, number });
    return { index, pairs, ratio, low, high, verdict, ...(reason === undefined ? {} : { reason }) };
  }

  /** The build to compare next, or the result. */
  #next(known: Known): number | BisectResult {
    const last = this.#rules.count - 1;
    const error = known.errors.get(last);
    if (error !== undefined) {
      throw new UserError(`the bad build cannot be measured: ${error}`, {
        where: this.#candidate(last).label,
        hint: "The same call tries it again, and goes on with what is known.",
      });
    }
    if (!known.answers.some(({ index }) => index === last)) {
      return known.closed.has(last) ? this.#result("unclear", known) : last;
    }
    const step = nextStep(known.answers, known.closed, this.#options);
    if (step.kind === "not-slow") return this.#result("not-slow", known, { probability: step.probability });
    if (step.kind === "found") {
      // No question is left, and it is not sure enough: builds that cannot be decided stand in the way.
      if (step.probability < this.#options.confidence) return this.#early("range", known);
      return this.#result(step.from === step.to ? "found" : "range", known, step);
    }
    if (known.threshold !== undefined) return step.index;
    // Without a threshold no other build can be judged.
    return known.closed.has(last) ? this.#result("unclear", known) : last;
  }

  #early(outcome: "aborted" | "out-of-time" | "range", known: Known): BisectResult {
    return this.#result(outcome, known, likelyRange(known.answers, this.#options));
  }

  #result(
    outcome: BisectResult["outcome"],
    known: Known,
    found: { readonly from?: number; readonly to?: number; readonly probability: number } = { probability: 0 },
  ): BisectResult {
    const { from, to, probability } = found;
    const { after, good } = this.#plan.candidates;
    return {
      outcome,
      first: from === undefined || to === undefined ? [] : after.slice(from, to + 1),
      before: from === undefined || from === 0 ? good : this.#candidate(from - 1),
      probability,
      ratio: this.#level(to ?? this.#rules.count - 1),
      ratioBefore: from === undefined || from === 0 ? null : this.#level(from - 1),
      threshold: known.threshold ?? null,
      probes: this.#probes.map((probe) => ({ ...probe, label: this.#candidate(probe.index).label })),
    };
  }

  /** The most exact of the measurements of a build. */
  #level(index: number): Level | null {
    let best: Level | null = null;
    for (const { index: at, ratio, low, high } of this.#probes) {
      if (at !== index || ratio === null || low === null || high === null) continue;
      if (best === null || high / low < best.high / best.low) best = { ratio, low, high };
    }
    return best;
  }

  #candidate(index: number): Candidate {
    return this.#plan.candidates.after[index] as Candidate;
  }
}
