/**
 * Which benches share a pair of processes: JavaScript benches of one family only, since type feedback and inlining of
 * one bench change the code of another; native benches up to eight, whatever their family.
 */

import type { BenchRef } from "./plan.ts";

const NATIVE_PER_PROCESS = 8;

export interface BenchGroup {
  /** Names the group in random streams and in progress. */
  readonly name: string;
  readonly benches: readonly BenchRef[];
}

/** Groups in the order of their first bench. */
export function groupBenches(benches: readonly BenchRef[]): BenchGroup[] {
  const families = new Map<string, BenchRef[]>();
  let natives = 0;
  for (const bench of benches) {
    const shared = `native ${Math.floor(natives / NATIVE_PER_PROCESS)}`;
    const key =
      bench.control === true ? "controls" : bench.native === true ? shared : `family ${bench.family ?? bench.id}`;
    if (bench.native === true && bench.control !== true) natives++;
    const group = families.get(key);
    if (group === undefined) families.set(key, [bench]);
    else group.push(bench);
  }
  return [...families].map(([name, members]) => ({ name, benches: members }));
}
