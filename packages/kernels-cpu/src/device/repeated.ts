/**
 * Launches that would compute again what an earlier one did: several products of the same rows each quantise or pack them.
 *
 * In: the steps of a program. Out: the same without repetitions; what read the temporaries of a repetition reads those of
 * the first. A launch repeats another when it runs the same code with the same scalars on the same storages, none of
 * which was written since, and writes nothing but temporaries that no other launch writes.
 */

import type { Storage } from "@quern/core";
import type { ReadyKernel } from "./kernel-cache.ts";
import type { NativeStep, Step } from "./program.ts";

export function withoutRepeated(steps: readonly Step[]): Step[] {
  const writers = countWriters(steps);
  const firsts = new Map<string, NativeStep>();
  /** Launches that are repeated no more once a storage is written. */
  const readersOf = new Map<Storage, string[]>();
  const instead = new Map<Storage, Storage>();
  const codeOf = codeNames();
  const kept: Step[] = [];
  for (const original of steps) {
    const step = replaced(original, instead);
    if (step.kind === "native" && writesOwnTemporaries(step, writers)) {
      const [reads, writes] = [storagesOf(step, "read"), storagesOf(step, "write")];
      const key = JSON.stringify([codeOf(step.code), step.launch.scalars ?? {}, reads.map(({ id }) => id)]);
      const first = firsts.get(key);
      if (first !== undefined) {
        const earlier = storagesOf(first, "write");
        writes.forEach((storage, i) => instead.set(storage, earlier[i] as Storage));
        continue;
      }
      firsts.set(key, step);
      for (const storage of reads) readersOf.set(storage, [...(readersOf.get(storage) ?? []), key]);
    }
    for (const storage of written(step)) {
      for (const key of readersOf.get(storage) ?? []) firsts.delete(key);
      readersOf.delete(storage);
    }
    kept.push(step);
  }
  return kept;
}

/** True for a launch that comes before the last of its node and writes temporaries as their only writer. */
function writesOwnTemporaries(step: NativeStep, writers: ReadonlyMap<Storage, number>): boolean {
  return (
    !step.completes &&
    step.kernel.buffers.every((access) => access === "read" || access === "write") &&
    storagesOf(step, "write").every(
      (storage) => storage.kind === "planned" && storage.value === undefined && writers.get(storage) === 1,
    )
  );
}

function storagesOf({ storages, kernel }: NativeStep, wanted: "read" | "write"): Storage[] {
  return storages.filter((_, i) => kernel.buffers[i] === wanted);
}

function written(step: Step): readonly Storage[] {
  if (step.kind === "host") return step.writes;
  return step.storages.filter((_, i) => step.kernel.buffers[i] !== "read");
}

function countWriters(steps: readonly Step[]): Map<Storage, number> {
  const writers = new Map<Storage, number>();
  for (const step of steps) for (const storage of written(step)) writers.set(storage, (writers.get(storage) ?? 0) + 1);
  return writers;
}

function replaced(step: Step, instead: ReadonlyMap<Storage, Storage>): Step {
  if (step.kind === "host" || !step.storages.some((storage) => instead.has(storage))) return step;
  return { ...step, storages: step.storages.map((storage) => instead.get(storage) ?? storage) };
}

/** A number for each kernel, the same for equal code: kernels that come from the disk are objects of their own. */
function codeNames(): (kernel: ReadyKernel) => number {
  const known = new Map<ReadyKernel, number>();
  const byCode = new Map<string, number>();
  return (kernel) => {
    const found = known.get(kernel);
    if (found !== undefined) return found;
    const code = `${kernel.face.name}\n${Buffer.from(kernel.bytes).toString("latin1")}`;
    const name = byCode.get(code) ?? byCode.size;
    byCode.set(code, name);
    known.set(kernel, name);
    return name;
  };
}
