/**
 * Which benches share a pair of processes: JavaScript benches of one family only, since type feedback and inlining of
 * one bench change the code of another; native benches up to eight, whatever their family.
 *
 * Sizes of one thing, `sort/100` and `sort/10000`, are a family: what they share they share in both builds, and a process
 * takes longer to start than a bench to be measured. Where time is short and nothing is concluded, several families share one: what
 * they do to each other they do in both builds, but a change of one may show in another.
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

/** Groups in the order of their first bench; `familiesPerProcess` of JavaScript share one. */
export function groupBenches(benches: readonly BenchRef[], familiesPerProcess: number = 1): BenchGroup[] {
  const groups = new Map<string, BenchRef[]>();
  const families = new Map<string, number>();
  let natives = 0;
  const nameOf = (bench: BenchRef): string => {
    if (bench.control === true) return "controls";
    if (bench.native === true) return `native ${Math.floor(natives++ / NATIVE_PER_PROCESS)}`;
    const family = bench.family ?? familyOf(bench.id);
    if (familiesPerProcess === 1) return `family ${family}`;
    const place = families.get(family) ?? families.size;
    families.set(family, place);
    return `families ${Math.floor(place / familiesPerProcess)}`;
  };
  for (const bench of benches) {
    const name = nameOf(bench);
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [bench]);
    else group.push(bench);
  }
  return [...groups].map(([name, members]) => ({ name, benches: members }));
}
