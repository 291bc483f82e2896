/** What a profile sets where neither flag, variable nor file does, and the policy that the settings make. */

import { availableParallelism } from "node:os";
import type { Presets, ResolvedConfig } from "../define/resolve-config.ts";
import type { Settings } from "../define/settings.ts";
import { POLICIES, gatePolicy, type GatePolicy } from "./policy.ts";

const TIMEOUT_S = 60;

/** `seed` where none is given: a run draws its own, and stores it. */
export function presetsWith(seed: number): Presets {
  return (profile): Settings => {
    const { delta, delta0, q, fdr, screenPairs, confirmPairs, rounds, sliceMs, strict } = POLICIES[profile];
    return {
      profile,
      delta,
      delta0,
      q,
      fdr,
      pairs: [screenPairs, confirmPairs],
      rounds,
      sliceMs,
      pin: "auto",
      threads: availableParallelism(),
      seed,
      budgetS: null,
      strict,
      timeoutS: TIMEOUT_S,
    };
  };
}

export function policyOf({ settings, origins }: ResolvedConfig): GatePolicy {
  const { profile, delta, delta0, q, fdr, rounds, sliceMs, strict } = settings;
  const [screenPairs, confirmPairs, extensionPairs = confirmPairs] = settings.pairs;
  const pairs = { screenPairs, confirmPairs, extensionPairs };
  // Who has named a time, or none, has said how long to wait; who has named pairs waits for them.
  const patience = origins.budgetS === "preset" ? {} : { patienceS: 0 };
  const least = origins.budgetS === "preset" && origins.pairs === "preset" ? {} : { screenAtLeast: 0 };
  return gatePolicy(profile, { delta, delta0, q, fdr, ...pairs, ...least, ...patience, rounds, sliceMs, strict });
}
