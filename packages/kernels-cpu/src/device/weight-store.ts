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
import { CodeArena, type CpuTarget, MemoryArena, type NativeHost, ProgramTable, type Runner } from "../host/index.ts";
import { compileKernel } from "../select/index.ts";
import { type KernelFace, faceOf } from "./kernel-face.ts";

interface PackingCode {
  readonly face: KernelFace;
  readonly address: bigint;
}

/** Memory of the weights of one program, which others may use as well. */
class SharedArena {
  readonly memory: MemoryArena;
  #users = 1;

  constructor(host: NativeHost) {
    this.memory = new MemoryArena(host);
  }

  get freed(): boolean {
    return this.#users === 0;
  }

  retain(): void {
    this.#users += 1;
  }

  release(): void {
    this.#users -= 1;
    if (this.#users === 0) this.memory.free();
  }
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
    return new ProgramWeights(new SharedArena(this.#host), (packed, arena) => this.#place(packed, arena));
  }

  dispose(): void {
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
    const code = this.#kernel(packingKey({ packer, args }), () => onDevice.kernel(args, this.#target.vectorBytes));
    this.#run(code, onDevice.symbols(data, args), this.#host.addressOf(data.bytes), block.address);
    this.#host.discard(data.bytes);
    return { address: block.address, byteLength, arena };
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

  #run({ face, address }: PackingCode, symbols: Readonly<Record<string, number>>, from: bigint, to: bigint): void {
    const slots = BigUint64Array.from([
      ...face.buffers.map((access) => (access === "read" ? from : to)),
      ...face.symbols.map((name) => BigInt(symbolValue(name, symbols))),
    ]);
    const step = { kernel: address, slots: this.#host.addressOf(slots), taskCount: evaluateDim(face.tasks, symbols) };
    using table = new ProgramTable(this.#host, [step]);
    this.#runner.runSync(table);
  }
}

export class ProgramWeights {
  readonly #arena: SharedArena;
  readonly #pack: (packed: PackedConstant, arena: SharedArena) => Entry;
  readonly #shared = new Set<SharedArena>();
  #usedBytes = 0;

  constructor(arena: SharedArena, pack: (packed: PackedConstant, arena: SharedArena) => Entry) {
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

  /** Packs weights, or finds them packed; gives their address. */
  pack(packed: PackedConstant): bigint {
    const { address, byteLength, arena } = this.#pack(packed, this.#arena);
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
