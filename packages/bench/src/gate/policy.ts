/**
 * The rules by which a run is judged: one record of numbers. Together with the samples it determines every verdict, so it
 * is stored with them.
 */

import { UserError } from "@quern/core/errors";
import { FEWEST_PAIRS, PROFILES, type Profile } from "../define/settings.ts";
import type { Policy } from "../results/schema.ts";
import { FDR_METHODS, type FdrMethod } from "../statistics/multiple.ts";

export interface GatePolicy {
  readonly profile: string;
  /** Practical threshold, as a share, of benches without one of their own: a smaller change does not matter. */
  readonly delta: number;
  /** Margin of the null hypothesis: residual bias of identical code, as a share. */
  readonly delta0: number;
  /** False discovery rate of the confirmation; the chance that a run without any change fails is at most this. */
  readonly q: number;
  readonly fdr: FdrMethod;
  readonly screenPairs: number;
  /** Of these, the pairs that are measured whatever they take; the others follow where patience has room. 0: all of them. */
  readonly screenAtLeast: number;
  readonly confirmPairs: number;
  /** Further pairs for suspects that the confirmation leaves open; 0: none. Each of the two looks then has half of q. */
  readonly extensionPairs: number;
  readonly rounds: number;
  readonly sliceMs: number;
  /**
   * Seconds of measuring per bench, of at least `PATIENCE_BENCHES`, after which no further pair of a later stage is begun; 0: no
   * limit. What is open then stays open, and the run fails by nothing of it: unlike a budget, which somebody has asked for.
   */
  readonly patienceS: number;
  /** Inconclusive benches fail the run. */
  readonly strict: boolean;
  /** A suspect has a one-sided p below this, against no change at all, and a change above `screenEffect`. */
  readonly screenAlpha: number;
  readonly screenEffect: number;
  /** Chance of a miss at the minimum detectable effect. */
  readonly beta: number;
  /** A bench that is no suspect passes if its interval lies inside this many times its threshold. */
  readonly screenBand: number;
  /** What neither is a suspect nor passes is measured again like one; false: it stays open. */
  readonly recheck: boolean;
  /** A control whose interval lies wholly outside this share has moved. */
  readonly controlMargin: number;
  /** A round is disturbed if the control slice of one arm took this many times that of the other. */
  readonly controlSpike: number;
  /** A run with a larger share of disturbed rounds is invalid. */
  readonly maxDisturbed: number;
  /** A bench is unstable if its minimum detectable effect was above twice its threshold in so many runs on end. */
  readonly unstableRuns: number;
  /** Resamples of the bootstrap interval that is shown beside the one that decides; 0: none. */
  readonly bootstrap: number;
}

const DEFAULTS: Omit<GatePolicy, "profile" | "screenPairs" | "confirmPairs" | "extensionPairs" | "rounds" | "sliceMs"> =
  {
    delta: 0.025,
    delta0: 0.01,
    q: 0.01,
    fdr: "bh",
    screenAtLeast: 0,
    patienceS: 0,
    strict: false,
    screenAlpha: 0.1,
    screenEffect: 0.01,
    beta: 0.05,
    screenBand: 2,
    recheck: true,
    controlMargin: 0.01,
    controlSpike: 1.5,
    maxDisturbed: 0.25,
    unstableRuns: 3,
    bootstrap: 4000,
  };

/** `quick` has too few pairs to fail a build: its runs are advisory. */
export const POLICIES: Readonly<Record<Profile, GatePolicy>> = {
  quick: {
    ...DEFAULTS,
    profile: "quick",
    screenPairs: 12,
    screenAtLeast: 8,
    confirmPairs: 24,
    extensionPairs: 24,
    rounds: 6,
    sliceMs: 3,
    patienceS: 4.1,
  },
  ci: { ...DEFAULTS, profile: "ci", screenPairs: 16, confirmPairs: 48, extensionPairs: 48, rounds: 20, sliceMs: 5 },
  rigorous: {
    ...DEFAULTS,
    profile: "rigorous",
    screenPairs: 24,
    confirmPairs: 96,
    extensionPairs: 96,
    rounds: 20,
    sliceMs: 5,
  },
};

/** Suites with fewer benches have as much time for later stages as one of so many. */
export const PATIENCE_BENCHES = 20;

export function isAdvisory(profile: string): boolean {
  return profile === "quick";
}

interface Rule {
  readonly takes: string;
  accepts(value: number): boolean;
}

const above = (least: number, most: number): Rule => ({
  takes: `a number above ${least}, at most ${most}`,
  accepts: (value) => value > least && value <= most,
});

const from = (least: number, most: number): Rule => ({
  takes: `a number from ${least} to ${most}`,
  accepts: (value) => value >= least && value <= most,
});

const whole = (least: number, most: number): Rule => ({
  takes: `a whole number from ${least} to ${most}`,
  accepts: (value) => Number.isInteger(value) && value >= least && value <= most,
});

type NumberKey = { [Key in keyof GatePolicy]: GatePolicy[Key] extends number ? Key : never }[keyof GatePolicy];

const RULES: Readonly<Record<NumberKey, Rule>> = {
  delta: above(0, 10),
  delta0: from(0, 1),
  q: above(0, 0.5),
  screenPairs: whole(FEWEST_PAIRS, 10_000),
  screenAtLeast: whole(0, 10_000),
  confirmPairs: whole(FEWEST_PAIRS, 10_000),
  extensionPairs: whole(0, 10_000),
  rounds: whole(1, 10_000),
  sliceMs: above(0, 10_000),
  patienceS: from(0, 86_400),
  screenAlpha: above(0, 0.5),
  screenEffect: from(0, 1),
  beta: above(0, 0.5),
  screenBand: from(1, 10),
  controlMargin: above(0, 1),
  controlSpike: above(1, 100),
  maxDisturbed: from(0, 1),
  unstableRuns: whole(1, 100),
  bootstrap: whole(0, 1_000_000),
};

/**
 * The policy of a profile with some members changed, checked. Throws a `UserError` that names the member, its value and
 * what it takes.
 */
export function gatePolicy(profile: string = "ci", changes: Partial<Omit<GatePolicy, "profile">> = {}): GatePolicy {
  if (!(PROFILES as readonly string[]).includes(profile)) {
    throw new UserError(`there is no profile "${profile}"`, { hint: `Profiles: ${PROFILES.join(", ")}.` });
  }
  const preset = POLICIES[profile as Profile];
  const given = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined));
  return checkPolicy({ ...preset, ...given });
}

/** Returns `policy` if every member has a value that makes sense. */
function checkPolicy(policy: GatePolicy): GatePolicy {
  for (const key of Object.keys(RULES) as NumberKey[]) {
    const value: unknown = policy[key];
    if (typeof value === "number" && RULES[key].accepts(value)) continue;
    throw new UserError(`${String(value)} is not ${RULES[key].takes}`, { where: `policy, ${key}` });
  }
  if (!(FDR_METHODS as readonly string[]).includes(policy.fdr)) {
    throw new UserError(`"${policy.fdr}" is not one of ${FDR_METHODS.join(", ")}`, { where: "policy, fdr" });
  }
  if (policy.delta0 >= policy.delta) {
    throw new UserError(`the margin ${policy.delta0} is not below the threshold ${policy.delta}`, {
      where: "policy, delta0",
      hint: "A change that counts as none cannot be one that matters: raise delta or lower delta0.",
    });
  }
  return policy;
}

/** The complete policy of a stored one: members that an older file lacks have their defaults, or what held at its time. */
export function storedPolicy(policy: Policy): GatePolicy {
  return checkPolicy({ ...DEFAULTS, extensionPairs: 0, recheck: false, ...policy });
}
