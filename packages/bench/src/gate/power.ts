/** How often a gate would find a change of one size, bench by bench, by the spread that identical code has. */

import type { BenchRecord } from "../results/schema.ts";
import type { Calibration } from "./calibration.ts";
import { chance } from "./detectable.ts";
import type { GatePolicy } from "./policy.ts";

export interface Power {
  /** Of the change. */
  readonly share: number;
  /** By bench. */
  readonly chances: Readonly<Record<string, number>>;
}

/** Of the benches whose spread is known, with all pairs that the policy has for one that stays open. */
export function powerOf(
  share: number,
  floors: Calibration["benches"],
  benches: readonly Pick<BenchRecord, "id" | "delta">[],
  policy: GatePolicy,
): Power {
  const { screenPairs } = policy;
  const confirmPairs = policy.confirmPairs + policy.extensionPairs;
  const chances = benches.flatMap(({ id, delta }): [string, number][] => {
    const { sw } = floors[id] ?? {};
    return sw === undefined ? [] : [[id, chance(Math.log1p(share), { sw, delta, screenPairs, confirmPairs }, policy)]];
  });
  return { share, chances: Object.fromEntries(chances) };
}
