/**
 * Which benches share a pair of processes: JavaScript benches of one family only, since type feedback and inlining of
 * one bench change the code of another; native benches up to eight, whatever their family.
 *
 * Sizes of one thing, `sort/100` and `sort/10000`, are a family: what they share they share in both builds, and a process
 * takes longer to start than a bench to be measured.
 */

import type { BenchRef } from "./plan.ts";

const NATIVE_PER_PROCESS = 8;

export interface BenchGroup {
  /** Names the group in random streams and in progress. */
  readonly name: string;
  readonly benches: readonly BenchRef[];
}

/** The part of an id that benches of one family share: all before the first slash. */
function familyOf(id: string): string {
  return id.split("/", 1)[0] as string;
}

/** Groups in the order of their first bench. */
export function groupBenches(benches: readonly BenchRef[]): BenchGroup[] {
  const families = new Map<string, BenchRef[]>();
  let natives = 0;
  for (const bench of benches) {
    const shared = `native ${Math.floor(natives / NATIVE_PER_PROCESS)}`;
    const key =
      bench.control === true
        ? "controls"
        : bench.native === true
          ? shared
          : `family ${bench.family ?? familyOf(bench.id)}`;
    if (bench.native === true && bench.control !== true) natives++;
    const group = families.get(key);
    if (group === undefined) families.set(key, [bench]);
    else group.push(bench);
  }
  return [...families].map(([name, members]) => ({ name, benches: members }));
}
