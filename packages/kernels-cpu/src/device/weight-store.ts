/**
 * Constants of programs in native memory: copied, or packed by a kernel straight from where they are stored, so that large
 * weights are never in JavaScript memory. Programs of one device that pack the same data alike share the result.
 */

import {
  type ConstantData,
  type Kernel,
  type PackedConstant,
  InternalError,
  debug,
  evaluateDim,
  legaliseKernel,
  packingKey,
  symbolValue,
} from "@quern/core";
import {
  CodeArena,
  type CpuTarget,
  MemoryArena,
  type NativeHost,
  ProgramTable,
  type Runner,
  type Step,
} from "../host/index.ts";
import { compileKernel } from "../select/index.ts";
import { type KernelFace, faceOf } from "./kernel-face.ts";

interface PackingCode {
  readonly face: KernelFace;
  readonly address: bigint;
}

/** Memory of the weights of one program, which others may use as well. */
class SharedArena {
  readonly memory: MemoryArena;
  readonly #settle: () => void;
  #users = 1;

  /** `settle` waits for native code that writes to the arena. */
  constructor(host: NativeHost, settle: () => void) {
    this.memory = new MemoryArena(host);
    this.#settle = settle;
  }

  get freed(): boolean {
    return this.#users === 0;
  }

  retain(): void {
    this.#users += 1;
  }

  release(): void {
    this.#users -= 1;
    if (this.#users > 0) return;
    this.#settle();
    this.memory.free();
  }
}

/** A step of packing with the memory that it reads. */
interface Queued {
  readonly step: Step;
  readonly slots: BigUint64Array;
  readonly source: Uint8Array;
}

interface Entry {
  readonly address: bigint;
  readonly byteLength: number;
  readonly arena: SharedArena;
}

export class WeightStore {
  readonly #host: NativeHost;
  readonly #target: CpuTarget;
  readonly #runner: Runner;
  readonly #code: CodeArena;
  readonly #kernels = new Map<string, PackingCode>();
  readonly #queue: Queued[] = [];
  /** Packing that goes on; what is started while anything runs is packed at once. */
  #packing: Promise<void> = Promise.resolve();
  #dropAddress: bigint | undefined;
  /** Packed weights, by the bytes they were made of. */
  readonly #packed = new WeakMap<Uint8Array, Map<string, Entry>>();

  constructor(host: NativeHost, target: CpuTarget, runner: Runner) {
    this.#host = host;
    this.#target = target;
    this.#runner = runner;
    this.#code = new CodeArena(host);
  }

  /** The weights of a new program. */
  open(): ProgramWeights {
    const arena = new SharedArena(this.#host, () => this.settle());
    return new ProgramWeights(arena, (packed) => this.#place(packed, arena));
  }

  /**
   * Packs what the programs opened so far asked for, on the threads of the device; where nothing else runs without waiting
   * for it: runs of any program come after it.
   */
  start(): void {
    const queue = this.#queue.splice(0);
    if (queue.length === 0) return;
    const table = new ProgramTable(
      this.#host,
      queue.map(({ step }) => step),
    );
    // The queue holds what the native code reads.
    const release = (): void => {
      table.free();
      queue.length = 0;
    };
    const now = (): void => {
      this.#runner.runSync(table);
      release();
    };
    // Behind other runs it might come too late for a synchronous one of the new program.
    if (!this.#runner.idle) return now();
    // Where the system starts no thread for it, this one does the work.
    this.#packing = this.#runner.run(table).then(release, now);
  }

  /** Resolves when everything that was started is packed. */
  packed(): Promise<void> {
    return this.#packing;
  }

  /** Waits until everything is packed. */
  settle(): void {
    this.#runner.settle();
  }

  dispose(): void {
    this.settle();
    this.#code.free();
  }

  #place(packed: PackedConstant, own: SharedArena): Entry {
    const { bytes } = packed.data;
    let versions = this.#packed.get(bytes);
    if (versions === undefined) this.#packed.set(bytes, (versions = new Map()));
    const key = packingKey(packed);
    const known = versions.get(key);
    if (known !== undefined && !known.arena.freed) return known;
    const entry = this.#pack(packed, own);
    versions.set(key, entry);
    return entry;
  }

  #pack({ packer, data, args }: PackedConstant, arena: SharedArena): Entry {
    const { onDevice } = packer;
    if (onDevice === undefined) throw new InternalError(`${packer.name} does not pack on the device`);
    const byteLength = onDevice.byteLength(data, args);
    const block = arena.memory.allocate(byteLength + 64);
    const { face, address } = this.#kernel(packingKey({ packer, args }), () =>
      onDevice.kernel(args, this.#target.vectorBytes),
    );
    const symbols = onDevice.symbols(data, args);
    const from = this.#host.addressOf(data.bytes);
    const slots = [
      ...face.buffers.map((access) => (access === "read" ? from : block.address)),
      ...face.symbols.map((name) => BigInt(symbolValue(name, symbols))),
    ];
    const pages = this.#host.droppablePages(data.bytes);
    this.#enqueue(data.bytes, address, slots, {
      taskCount: evaluateDim(face.tasks, symbols),
      barrier: pages !== undefined,
    });
    if (pages !== undefined) {
      this.#dropAddress ??= this.#code.publish([pages.kernel])[0] as bigint;
      this.#enqueue(data.bytes, this.#dropAddress, [pages.address, BigInt(pages.byteLength)], {
        taskCount: 1,
        serial: true,
      });
    }
    return { address: block.address, byteLength, arena };
  }

  #enqueue(source: Uint8Array, kernel: bigint, words: readonly bigint[], rest: Omit<Step, "kernel" | "slots">): void {
    const slots = BigUint64Array.from(words);
    this.#queue.push({ step: { kernel, slots: this.#host.addressOf(slots), ...rest }, slots, source });
  }

  #kernel(key: string, make: () => Kernel): PackingCode {
    let code = this.#kernels.get(key);
    if (code === undefined) {
      const vectors = { vectorBytes: this.#target.vectorBytes, masks: this.#target.maskRegisters > 0 };
      const kernel = legaliseKernel(make(), { vectors });
      const compiled = compileKernel(kernel, this.#target);
      debug(4, () => `; ${kernel.name}\n${compiled.listing()}`, [kernel.name]);
      const [address] = this.#code.publish([compiled.bytes]);
      this.#kernels.set(key, (code = { face: faceOf(kernel), address: address as bigint }));
    }
    return code;
  }
}

export class ProgramWeights {
  readonly #arena: SharedArena;
  readonly #pack: (packed: PackedConstant) => Entry;
  readonly #shared = new Set<SharedArena>();
  #usedBytes = 0;

  constructor(arena: SharedArena, pack: (packed: PackedConstant) => Entry) {
    this.#arena = arena;
    this.#pack = pack;
  }

  /** Bytes that the program reads, shared ones included. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Copies a constant; gives its address. */
  copy(bytes: ConstantData["bytes"]): bigint {
    const block = this.#arena.memory.allocate(bytes.byteLength + 64);
    new Uint8Array(block.buffer, block.byteOffset, bytes.byteLength).set(bytes);
    this.#usedBytes += bytes.byteLength;
    return block.address;
  }

  /** Packs weights with the next `start` of the store, or finds them packed; gives their address. */
  pack(packed: PackedConstant): bigint {
    const { address, byteLength, arena } = this.#pack(packed);
    this.#usedBytes += byteLength;
    if (arena !== this.#arena && !this.#shared.has(arena)) {
      arena.retain();
      this.#shared.add(arena);
    }
    return address;
  }

  /** No run of the program may still be in progress. */
  release(): void {
    for (const arena of this.#shared) arena.release();
    this.#shared.clear();
    this.#arena.release();
  }
}
