/**
 * Which storages of a program may share a buffer.
 *
 * In: steps with the storages they use. Out: lifetimes in steps. WebGPU forbids one buffer to be read-only and writable
 * in the same dispatch, so sharing is by whole buffers: storages of one slot live one after the other.
 */

import { DTYPE_INFO, type Storage } from "@quern/core";

/** Bytes of a buffer for `elements`: whole vectors of 16 bytes, since kernels may read them so. Never empty. */
export function bufferBytes({ dtype }: Storage, elements: number): number {
  return Math.max(16, Math.ceil((elements * DTYPE_INFO[dtype].bytes) / 16) * 16);
}

/** Sets the lifetimes of all storages from the steps that touch them. */
export function setLifetimes(steps: readonly { readonly storages: readonly Storage[] }[]): void {
  steps.forEach(({ storages }, step) => {
    for (const storage of storages) {
      storage.first = Math.min(storage.first, step);
      storage.last = Math.max(storage.last, step);
    }
  });
}

export interface Slot {
  readonly bytes: number;
  readonly storages: readonly Storage[];
}

/** Shares buffers among storages that live at different times: the largest first, each into the first slot that is free. */
export function shareSlots(storages: readonly Storage[], bytesOf: (storage: Storage) => number): Slot[] {
  const slots: { bytes: number; storages: Storage[] }[] = [];
  for (const storage of storages.toSorted((a, b) => bytesOf(b) - bytesOf(a) || a.id - b.id)) {
    const free = slots.find((slot) =>
      slot.storages.every((other) => other.last < storage.first || storage.last < other.first),
    );
    if (free === undefined) slots.push({ bytes: bytesOf(storage), storages: [storage] });
    else free.storages.push(storage);
  }
  return slots;
}
