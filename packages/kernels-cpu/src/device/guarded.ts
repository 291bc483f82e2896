/**
 * Memory of checked runs: every storage, inputs and outputs included, lies in a mapping of its own between pages that
 * fault on any access.
 *
 * A storage starts at a multiple of 64 bytes and ends as close to the page behind as that allows. What is left of its
 * pages, in front and behind, holds a canary pattern that shows writes; so does the storage itself before it is first
 * written. Storages share no memory, whatever the plan says.
 */

import { ARRAY_OF, Tensor, evaluateShape, packData, printTensorType, type Storage, storageBytes } from "@quern/core";
import type { NativeHost, NativeMemory } from "../host/index.ts";
import type { Binding } from "./binding.ts";
import type { Program } from "./program.ts";
import type { RunMemory } from "./run-memory.ts";

const ALIGNMENT = 64;
const CANARY = 0xa5;

/** One storage between guard pages. */
class GuardedBlock {
  readonly label: string;
  readonly address: bigint;
  /** The bytes of the storage alone. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #memory: NativeMemory;
  readonly #pages: Uint8Array;
  readonly #start: number;

  constructor(host: NativeHost, byteLength: number, label: string) {
    this.label = label;
    const padded = roundUp(byteLength, ALIGNMENT);
    const pages = roundUp(Math.max(padded, 1), host.pageBytes);
    this.#memory = host.allocateGuarded(pages);
    this.#start = pages - padded;
    this.address = this.#memory.address + BigInt(this.#start);
    this.bytes = new Uint8Array(this.#memory.buffer, this.#start, byteLength);
    this.#pages = new Uint8Array(this.#memory.buffer);
    this.#pages.fill(CANARY);
  }

  /** Writes the canary anew around the storage. */
  reset(): void {
    this.#pages.fill(CANARY, 0, this.#start);
    this.#pages.fill(CANARY, this.#start + this.bytes.length);
  }

  /** The first byte outside of the storage that was written, as an offset from its start. */
  damagedAt(): number | undefined {
    const end = this.#start + this.bytes.length;
    const at = this.#pages.findIndex((byte, i) => byte !== CANARY && (i < this.#start || i >= end));
    return at < 0 ? undefined : at - this.#start;
  }

  /** An offset from the start in words: "4 bytes past the end of input x f32[3, 5]". */
  describe(offset: number): string {
    const { length } = this.bytes;
    if (offset < 0) return `${-offset} bytes in front of ${this.label}`;
    if (offset < length) return `byte ${offset} of ${this.label}`;
    return `${offset === length ? "directly" : `${offset - length} bytes`} past the end of ${this.label}`;
  }

  free(): void {
    this.#memory.free();
  }
}

export class GuardedMemory implements RunMemory {
  readonly #blocks = new Map<Storage, GuardedBlock>();
  readonly #scratch: GuardedBlock;

  constructor(program: Program, binding: Binding, host: NativeHost) {
    const { storages, constants, packed } = program.storages;
    for (const storage of storages) {
      if (storage.last < 0 && storage.kind !== "input" && storage.kind !== "output") continue;
      const bytes = storageBytes(storage, binding.elementsOf.get(storage) as number);
      const block = new GuardedBlock(host, bytes, labelOf(storage, program, binding));
      const packing = packed.get(storage);
      const content = packing ? packData(packing.packer, packing.data, packing.args).bytes : constants.get(storage);
      if (content !== undefined) block.bytes.set(content);
      this.#blocks.set(storage, block);
    }
    this.#scratch = new GuardedBlock(host, program.scratchBytes(binding.symbols), "scratch memory");
  }

  /** Tensors in guarded memory for a run: copies of the inputs, and places for the outputs that a step writes. */
  begin(inputs: readonly Tensor[], outputs: readonly Tensor[]): { inputs: Tensor[]; outputs: Tensor[] } {
    for (const block of this.#all()) block.reset();
    const held = { inputs: [...inputs], outputs: [...outputs] };
    for (const [{ kind, position }, { bytes }] of this.#blocks) {
      if (kind !== "input" && kind !== "output") continue;
      const { dtype, shape, size } = (kind === "input" ? inputs : outputs)[position] as Tensor;
      const tensor = new Tensor(dtype, shape, new ARRAY_OF[dtype](bytes.buffer, bytes.byteOffset, size));
      if (kind === "input") bytes.set((inputs[position] as Tensor).bytes());
      held[kind === "input" ? "inputs" : "outputs"][position] = tensor;
    }
    return held;
  }

  addressOf(storage: Storage): bigint {
    return this.#block(storage).address;
  }

  bytesOf(storage: Storage): Uint8Array {
    return this.#block(storage).bytes;
  }

  /** Checked launches run on one thread. */
  scratchOf(): bigint {
    return this.#scratch.address;
  }

  /** Where around these storages, or around the scratch memory, something was written since the run began. */
  damage(storages: readonly Storage[]): string | undefined {
    for (const block of this.#of(storages)) {
      const at = block.damagedAt();
      if (at !== undefined) return block.describe(at);
    }
    return undefined;
  }

  /** An address in words, relative to the nearest of these storages. */
  locate(address: bigint, storages: readonly Storage[]): string {
    const distance = (block: GuardedBlock): number => {
      const offset = Number(address - block.address);
      return offset < 0 ? -offset : Math.max(0, offset - block.bytes.length + 1);
    };
    const nearest = this.#of(storages).reduce((best, block) => (distance(block) < distance(best) ? block : best));
    return nearest.describe(Number(address - nearest.address));
  }

  free(): void {
    for (const block of this.#all()) block.free();
  }

  #all(): GuardedBlock[] {
    return [...this.#blocks.values(), this.#scratch];
  }

  #of(storages: readonly Storage[]): GuardedBlock[] {
    return [...storages.map((storage) => this.#block(storage)), this.#scratch];
  }

  #block(storage: Storage): GuardedBlock {
    return this.#blocks.get(storage) as GuardedBlock;
  }
}

function labelOf(storage: Storage, { graph }: Program, { symbols, elementsOf }: Binding): string {
  const { kind, dtype, position, value } = storage;
  const shape = value === undefined ? [elementsOf.get(storage) as number] : evaluateShape(value.type.shape, symbols);
  const type = printTensorType({ dtype, shape });
  if (kind === "input") return `input ${graph.inputs[position]?.name} ${type}`;
  if (kind === "output") return `output ${graph.outputs[position]?.name} ${type}`;
  if (kind === "constant") return `constant ${type}`;
  return value === undefined ? `temporary ${type}` : `the result of ${value.node.name ?? value.node.op} ${type}`;
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
