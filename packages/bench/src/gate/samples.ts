/** From stored samples to the log-ratios of pairs, the only data that judgements are made on. */

import type { StageRecord } from "../results/schema.ts";
import { logRatios } from "../statistics/ratios.ts";

export type StageName = StageRecord["stage"];

/**
 * Rounds to leave out, by `pairKey`. Of benches there are some only where a control ran between their slices (`shared`); controls that have
 * processes of their own say nothing about single rounds of others.
 */
export type DroppedRounds = ReadonlyMap<string, ReadonlySet<number>>;

export function pairKey(stage: StageName, index: number): string {
  return `${stage} ${index}`;
}

/**
 * Log-ratios of head to base, an array for each pair of the stages named (all: undefined), without the rounds dropped; a
 * pair with none left is left out.
 */
export function pairLogRatios(
  stages: readonly StageRecord[],
  names: readonly StageName[] | undefined,
  dropped: DroppedRounds,
): number[][] {
  return stages
    .filter(({ stage }) => names === undefined || names.includes(stage))
    .flatMap(({ stage, pairs }) =>
      pairs.map(({ index, base, head }) => {
        const drop = dropped.get(pairKey(stage, index));
        const logs = logRatios(head, base);
        return drop === undefined ? logs : logs.filter((_, round) => !drop.has(round));
      }),
    )
    .filter((logs) => logs.length > 0);
}

/** A sample that is no time, or a pair without any; undefined if all are right. */
export function sampleFault(stages: readonly StageRecord[]): string | undefined {
  for (const { stage, pairs } of stages) {
    for (const { index, base, head } of pairs) {
      if (base.length !== head.length) {
        return `pair ${index} (${stage}) has ${base.length} slices of base and ${head.length} of head`;
      }
      const wrong = [...base, ...head].find((time) => !(time > 0 && Number.isFinite(time)));
      if (wrong !== undefined) return `pair ${index} (${stage}) has a time of ${wrong} ns`;
    }
  }
  return undefined;
}
