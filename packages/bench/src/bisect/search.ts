/**
 * Where the first slow build is, given answers that may be wrong: bisection with probabilities instead of a verdict that
 * rules a half out for good (Horstein 1963; Waeber, Frazier and Henderson 2013).
 *
 * Every build might be the first slow one, at first all with equal probability. An answer about one build moves
 * probability to one side of it. The next build to ask about is the one that halves the probability, which at the end is
 * the boundary itself, asked again until it is certain enough. An early answer that was wrong is thus found out.
 */

/** What is known about one build: slow as the bad one, fast as the good one. */
export interface Answer {
  /** Place in the list after the good build, from 0. */
  readonly index: number;
  readonly slow: boolean;
}

export interface SearchOptions {
  /** Builds after the good one; the last is the bad one. */
  readonly count: number;
  /** Assumed chance that an answer is wrong. */
  readonly errorRate: number;
  /** Wanted probability of the result. */
  readonly confidence: number;
}

export const SEARCH_DEFAULTS = { errorRate: 0.05, confidence: 0.99 } as const;

/** Chance, before any answer, that the bad build is not slow. */
const NOT_SLOW = 0.05;

/**
 * Probability that build `k` is the first slow one, for k = 0 to count - 1; the last member, at `count`, is that of none
 * being slow.
 */
function posterior(answers: readonly Answer[], { count, errorRate }: SearchOptions): number[] {
  const logs = Array.from({ length: count + 1 }, (_, k) => Math.log(k === count ? NOT_SLOW : (1 - NOT_SLOW) / count));
  const [right, wrong] = [Math.log(1 - errorRate), Math.log(errorRate)];
  for (const { index, slow } of answers) {
    for (let k = 0; k <= count; k++) logs[k] = (logs[k] as number) + (k <= index === slow ? right : wrong);
  }
  const most = Math.max(...logs);
  const weights = logs.map((log) => Math.exp(log - most));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

export type Step =
  | { readonly kind: "ask"; readonly index: number }
  /** The first slow build is one of `from` to `to`, inclusive: one, unless those between cannot be measured. */
  | { readonly kind: "found"; readonly from: number; readonly to: number; readonly probability: number }
  | { readonly kind: "not-slow"; readonly probability: number };

/**
 * What to do next. Builds of `closed` are not asked about again. One that never gave an answer is no boundary either: with
 * those around it, it makes one block, and the search ends when a block is certain enough, or no question is left that
 * could change much.
 */
export function nextStep(answers: readonly Answer[], closed: ReadonlySet<number>, options: SearchOptions): Step {
  const { count, confidence } = options;
  const masses = posterior(answers, options);
  const none = masses[count] as number;
  if (none >= confidence) return { kind: "not-slow", probability: none };
  const answered = new Set(answers.map(({ index }) => index));
  let best: Step & { kind: "found" } = { kind: "found", from: 0, to: count - 1, probability: 0 };
  let from = 0;
  let mass = 0;
  let upTo = 0;
  let ask = -1;
  let mostSplit = (1 - confidence) / 2;
  for (let k = 0; k < count; k++) {
    mass += masses[k] as number;
    upTo += masses[k] as number;
    if (closed.has(k) && !answered.has(k)) continue;
    if (mass > best.probability) best = { kind: "found", from, to: k, probability: mass };
    from = k + 1;
    mass = 0;
    const split = Math.min(upTo, 1 - upTo);
    if (!closed.has(k) && split > mostSplit) {
      mostSplit = split;
      ask = k;
    }
  }
  return best.probability >= confidence || ask === -1 ? best : { kind: "ask", index: ask };
}

/** The shortest run of builds that has the wanted share of what is probable, for a search that ends early. */
export function likelyRange(answers: readonly Answer[], options: SearchOptions): Step & { kind: "found" } {
  const masses = posterior(answers, options).slice(0, options.count);
  // The rest is that no build is slow.
  const all = masses.reduce((sum, mass) => sum + mass, 0);
  const wanted = options.confidence * all;
  let best = { kind: "found" as const, from: 0, to: options.count - 1, probability: all };
  let from = 0;
  let mass = 0;
  for (let to = 0; to < masses.length; to++) {
    mass += masses[to] as number;
    while (mass - (masses[from] as number) >= wanted) mass -= masses[from++] as number;
    if (mass >= wanted && to - from < best.to - best.from) best = { kind: "found", from, to, probability: mass };
  }
  return best;
}

/** Questions that are still to be asked, about: the information that is missing, in answers. */
export function questionsLeft(answers: readonly Answer[], options: SearchOptions): number {
  const entropy = (chances: readonly number[]): number =>
    chances.reduce((bits, chance) => (chance > 0 ? bits - chance * Math.log2(chance) : bits), 0);
  const { errorRate, confidence } = options;
  const each = 1 - entropy([errorRate, 1 - errorRate]);
  const rest = entropy([confidence, 1 - confidence]);
  return Math.max(1, Math.ceil((entropy(posterior(answers, options)) - rest) / each));
}
