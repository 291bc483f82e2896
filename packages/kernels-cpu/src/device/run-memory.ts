/**
 * The native memory in which one run happens: planned storages and scratch. This is the ordinary one, a single block laid
 * out by the memory plan; checked runs use `guarded.ts`.
 */

import { InternalError, type Storage, storageBytes } from "@quern/core";
import type { NativeHost, NativeMemory } from "../host/index.ts";
import type { Binding } from "./binding.ts";
import type { Program } from "./program.ts";

export interface RunMemory {
  /** Address of a planned or constant storage. */
  addressOf(storage: Storage): bigint;
  /** The bytes of a planned storage. */
  bytesOf(storage: Storage): Uint8Array;
  /** Address of a thread's scratch memory. */
  scratchOf(thread: number): bigint;
  free(): void;
}

const SCRATCH_ALIGNMENT = 4096;
const HUGE_PAGE_BYTES = 2 << 20;

export class ArenaMemory implements RunMemory {
  readonly #binding: Binding;
  readonly #constants: ReadonlyMap<Storage, bigint>;
  readonly #arena: NativeMemory;
  readonly #scratchAt: number;
  readonly #scratchStride: number;

  constructor(
    program: Program,
    binding: Binding,
    constants: ReadonlyMap<Storage, bigint>,
    host: NativeHost,
    threads: number,
  ) {
    this.#binding = binding;
    this.#constants = constants;
    this.#scratchStride = Math.ceil(program.scratchBytes(binding.symbols) / SCRATCH_ALIGNMENT) * SCRATCH_ALIGNMENT;
    this.#scratchAt = Math.ceil(binding.plan.peakBytes / SCRATCH_ALIGNMENT) * SCRATCH_ALIGNMENT;
    const arenaBytes = this.#scratchAt + this.#scratchStride * threads + SCRATCH_ALIGNMENT;
    this.#arena = host.allocate(arenaBytes, { hugePages: arenaBytes > HUGE_PAGE_BYTES });
  }

  addressOf(storage: Storage): bigint {
    if (storage.kind === "constant") return this.#constants.get(storage) as bigint;
    return this.#arena.address + BigInt(this.#offsetOf(storage));
  }

  bytesOf(storage: Storage): Uint8Array {
    const elements = this.#binding.elementsOf.get(storage) as number;
    return new Uint8Array(this.#arena.buffer, this.#offsetOf(storage), storageBytes(storage, elements));
  }

  scratchOf(thread: number): bigint {
    return this.#arena.address + BigInt(this.#scratchAt + thread * this.#scratchStride);
  }

  free(): void {
    this.#arena.free();
  }

  #offsetOf(storage: Storage): number {
    const offset = this.#binding.offsetOf.get(storage);
    if (offset === undefined) throw new InternalError(`storage ${storage.id} (${storage.kind}) is not planned`);
    return offset;
  }
}
