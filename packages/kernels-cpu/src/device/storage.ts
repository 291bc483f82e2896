/**
 * When storages are in use. In: steps with the storages they read and write. Out: lifetimes in epochs, and the barriers
 * that the dependencies between steps need.
 */

import type { Storage } from "@quern/core";

export interface Accesses {
  readonly reads: readonly Storage[];
  readonly writes: readonly Storage[];
}

/**
 * Whether a barrier stands behind each step: a step that reads what an earlier one of the same epoch wrote, or writes
 * what one read or wrote, begins a new epoch. Also sets the lifetimes of the storages.
 */
export function placeBarriers(steps: readonly Accesses[]): boolean[] {
  const barriers = steps.map(() => false);
  const read = new Set<Storage>();
  const written = new Set<Storage>();
  let epoch = 0;
  steps.forEach((step, i) => {
    const conflict = step.reads.some((s) => written.has(s)) || step.writes.some((s) => read.has(s) || written.has(s));
    if (conflict) {
      barriers[i - 1] = true;
      epoch += 1;
      read.clear();
      written.clear();
    }
    for (const storage of step.reads) read.add(storage);
    for (const storage of step.writes) written.add(storage);
    for (const storage of [...step.reads, ...step.writes]) {
      storage.first = Math.min(storage.first, epoch);
      storage.last = Math.max(storage.last, epoch);
    }
  });
  return barriers;
}
