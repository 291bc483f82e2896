/**
 * The inputs of one bench: a pool that timed calls go through in turn, its sets renewed between slices.
 *
 * A renewed set keeps its buffers where the shape allows, with other content: an answer that was remembered for a
 * buffer is then wrong. What set `n` contains follows from the seed alone, so both arms see the same.
 */

import type { Random } from "../harness/random.ts";
import { checksum, overwrite } from "./values.ts";
import { INPUT_CHANGED, OutputFault } from "./output-fault.ts";

/** A power of two, so that loops may wrap by a mask. */
export const POOL_SETS = 8;

export class InputPool {
  /** What calls get; renewed in place. */
  readonly sets: unknown[] = [];
  readonly #make: ((serial: number) => unknown) | undefined;
  readonly #sums: number[] = [];
  #made = 0;
  #oldest = 0;
  /** Time that one set takes to make, ms. */
  readonly makeMs: number;

  /** `make` gives the n-th set; undefined: the bench has no inputs. */
  constructor(make: ((serial: number) => unknown) | undefined) {
    this.#make = make;
    const before = performance.now();
    for (let set = 0; set < POOL_SETS; set++) {
      this.sets.push(make?.(this.#made++));
      this.#sums.push(this.#sum(set));
    }
    this.makeMs = (performance.now() - before) / POOL_SETS;
  }

  get renewable(): boolean {
    return this.#make !== undefined;
  }

  #sum(set: number): number {
    return this.#make === undefined ? 0 : checksum(this.sets[set]);
  }

  /** Writes new content into the `count` oldest sets. Throws if one of them was changed since it was made. */
  renew(count: number): void {
    if (this.#make === undefined) return;
    for (let i = 0; i < count; i++) {
      const set = this.#oldest;
      this.#oldest = (this.#oldest + 1) % POOL_SETS;
      this.demandUnchanged(set);
      const fresh = this.#make(this.#made++);
      if (!overwrite(this.sets[set], fresh)) this.sets[set] = fresh;
      this.#sums[set] = this.#sum(set);
    }
  }

  /** Throws if a call has written to the set. */
  demandUnchanged(set: number): void {
    if (this.#sum(set) === this.#sums[set]) return;
    throw new OutputFault(INPUT_CHANGED);
  }

  demandAllUnchanged(): void {
    for (let set = 0; set < POOL_SETS; set++) this.demandUnchanged(set);
  }
}

/** Function that makes the n-th input set of a bench, or undefined where it has none. */
export function inputMaker(
  inputs: ((random: Random, state: never) => unknown) | undefined,
  stream: (serial: number) => Random,
  state: unknown,
): ((serial: number) => unknown) | undefined {
  return inputs === undefined ? undefined : (serial) => inputs(stream(serial), state as never);
}
