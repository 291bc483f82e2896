/**
 * The state of a simulated processor, and access to operands: registers, opmasks, tiles, flags, byte-addressed memory.
 *
 * Memory is a list of regions at addresses of the simulation's own; an access outside of them is an error. Vector
 * writes follow the rules of VEX and EVEX: everything above the written bytes becomes zero, masked-off elements keep
 * their value or become zero. Reading a flag that the last instruction left undefined is an error.
 */
import { InternalError } from "@quern/core";
import { format } from "../../asm/index.ts";
import type { Instr, Mem, Operand, Reg } from "../../asm/index.ts";

export interface Region {
  readonly name: string;
  readonly start: number;
  readonly bytes: Uint8Array;
}

/** Set, clear, or undefined after an instruction that does not say. */
export interface Flags {
  carry: boolean | undefined;
  zero: boolean | undefined;
  sign: boolean | undefined;
  overflow: boolean | undefined;
  parity: boolean | undefined;
}

export interface TileConfig {
  readonly rows: number;
  readonly bytes: number;
}

export const VECTOR_BYTES = 64;
const CLASS_BYTES = { r64: 8, r32: 4, r16: 2, r8: 1, xmm: 16, ymm: 32, zmm: 64, k: 8, tmm: 1024 } as const;

export class SimulationError extends InternalError {}

export class Machine {
  readonly general: BigUint64Array = new BigUint64Array(16);
  readonly vectors: Uint8Array = new Uint8Array(32 * VECTOR_BYTES);
  readonly masks: BigUint64Array = new BigUint64Array(8);
  readonly tiles: Uint8Array = new Uint8Array(8 * 1024);
  tileConfigs: readonly TileConfig[] | undefined;
  readonly flags: Flags = {
    carry: undefined,
    zero: undefined,
    sign: undefined,
    overflow: undefined,
    parity: undefined,
  };
  readonly regions: Region[] = [];
  /** Addresses of labelled constants. */
  readonly labels: Map<string, number> = new Map();
  current: Instr | undefined;
  #last: Region | undefined;

  fail(message: string): never {
    throw new SimulationError(this.current === undefined ? message : `${message} in "${format(this.current)}"`);
  }

  // --- Memory -----------------------------------------------------------------------------------------------------

  addRegion(name: string, bytes: Uint8Array, alignment = 64): number {
    const before = this.regions.at(-1);
    // A page between regions, so that overruns do not reach the next one.
    const start =
      Math.ceil(((before === undefined ? 0x10000 : before.start + before.bytes.length) + 4096) / alignment) * alignment;
    this.regions.push({ name, start, bytes });
    return start;
  }

  /** The region of `size` bytes at `address`, and the offset of the first. */
  #locate(address: number, size: number): { region: Region; at: number } {
    let region = this.#last;
    if (region === undefined || address < region.start || address + size > region.start + region.bytes.length) {
      region = this.regions.find(({ start, bytes }) => address >= start && address + size <= start + bytes.length);
      if (region === undefined) {
        const near = this.regions.findLast(({ start }) => address + size >= start);
        const where =
          near === undefined
            ? ""
            : `, ${address - near.start} behind the start of ${near.name} (${near.bytes.length} bytes)`;
        return this.fail(`access of ${size} bytes at ${address}${where}`);
      }
      this.#last = region;
    }
    return { region, at: address - region.start };
  }

  readMemory(address: number, size: number): Uint8Array {
    const { region, at } = this.#locate(address, size);
    return region.bytes.subarray(at, at + size);
  }

  writeMemory(address: number, bytes: Uint8Array): void {
    const { region, at } = this.#locate(address, bytes.length);
    region.bytes.set(bytes, at);
  }

  /** Effective address; `index` replaces the index register (gathers). */
  address(place: Mem, index?: bigint): number {
    if (place.label !== undefined) {
      const at = this.labels.get(place.label.name);
      if (at === undefined) return this.fail(`label ${place.label.name} is not a constant`);
      return at + place.disp;
    }
    const base = place.base === undefined ? 0n : (this.general[place.base.id] as bigint);
    const offset = index ?? (place.index === undefined ? 0n : (this.general[place.index.id] as bigint));
    return Number(BigInt.asIntN(64, base + offset * BigInt(place.scale) + BigInt(place.disp)));
  }

  // --- Integers ---------------------------------------------------------------------------------------------------

  /** Bytes of an operand; `otherwise` for memory that does not say. */
  sizeOf(operand: Operand, otherwise: number): number {
    if (operand.kind === "reg") return CLASS_BYTES[operand.cls];
    return operand.kind === "mem" && operand.size !== undefined ? operand.size : otherwise;
  }

  /** Unsigned value of a general register, memory or an immediate. */
  integer(operand: Operand, bytes: number): bigint {
    switch (operand.kind) {
      case "reg":
        return BigInt.asUintN(
          bytes * 8,
          (operand.cls === "k" ? this.masks[operand.id] : this.general[operand.id]) as bigint,
        );
      case "imm":
        return BigInt.asUintN(bytes * 8, BigInt(operand.value));
      case "mem":
        return littleEndian(this.readMemory(this.address(operand), bytes));
      case "label":
        return this.fail("a label is not a value");
    }
  }

  signed(operand: Operand, bytes: number): bigint {
    return BigInt.asIntN(bytes * 8, this.integer(operand, bytes));
  }

  /** 32-bit writes clear the upper half, narrower ones keep the rest. */
  setInteger(operand: Operand, bytes: number, value: bigint): void {
    const low = BigInt.asUintN(bytes * 8, value);
    if (operand.kind === "mem") return this.writeMemory(this.address(operand), toBytes(low, bytes));
    if (operand.kind !== "reg") return this.fail("the destination is no place");
    if (operand.cls === "k") this.masks[operand.id] = low;
    else if (bytes >= 4) this.general[operand.id] = low;
    else {
      const keep = this.general[operand.id] as bigint;
      this.general[operand.id] = keep - BigInt.asUintN(bytes * 8, keep) + low;
    }
  }

  // --- Vectors ----------------------------------------------------------------------------------------------------

  /** Copies `bytes` bytes of a vector register. */
  vector(reg: Reg, bytes: number): Uint8Array {
    const start = reg.id * VECTOR_BYTES;
    return this.vectors.slice(start, start + bytes);
  }

  /**
   * A source of `bytes` bytes in elements of `element` bytes; of memory only the elements in `mask` are read. An
   * embedded broadcast is spread over the elements.
   */
  source(operand: Operand, bytes: number, element: number, mask?: bigint): Uint8Array {
    if (operand.kind === "reg") return this.vector(operand, bytes);
    if (operand.kind !== "mem") return this.fail("a vector source is a register or memory");
    const address = this.address(operand);
    const out = new Uint8Array(bytes);
    if (operand.broadcast !== undefined) {
      const one = this.readMemory(address, element).slice();
      for (let at = 0; at < bytes; at += element) out.set(one, at);
      return out;
    }
    if (mask === undefined) out.set(this.readMemory(address, bytes));
    else
      for (let i = 0; i * element < bytes; i++)
        if (bit(mask, i)) out.set(this.readMemory(address + i * element, element), i * element);
    return out;
  }

  /** Writes the low `value.length` bytes of a register, or memory, under the instruction's mask. */
  setVector(to: Operand, value: Uint8Array, element: number): void {
    const mask = this.mask();
    const zeroing = this.current?.zeroing === true;
    if (to.kind === "mem") {
      const address = this.address(to);
      if (mask === undefined) this.writeMemory(address, value);
      else
        for (let i = 0; i * element < value.length; i++)
          if (bit(mask, i)) this.writeMemory(address + i * element, value.subarray(i * element, (i + 1) * element));
      return;
    }
    if (to.kind !== "reg") return this.fail("the destination is no place");
    const start = to.id * VECTOR_BYTES;
    for (let at = 0; at < value.length; at++) {
      if (mask === undefined || bit(mask, Math.floor(at / element))) this.vectors[start + at] = value[at] as number;
      else if (zeroing) this.vectors[start + at] = 0;
    }
    this.vectors.fill(0, start + value.length, start + VECTOR_BYTES);
  }

  /** The write mask of the current instruction. */
  mask(): bigint | undefined {
    const reg = this.current?.mask;
    return reg === undefined ? undefined : (this.masks[reg.id] as bigint);
  }

  // --- Flags ------------------------------------------------------------------------------------------------------

  flag(name: keyof Flags): boolean {
    return this.flags[name] ?? this.fail(`the ${name} flag is undefined`);
  }

  setFlags(flags: Partial<Flags>): void {
    Object.assign(this.flags, flags);
  }

  /** Zero, sign and parity of a result. */
  setResultFlags(result: bigint, bytes: number): void {
    const low = BigInt.asUintN(bytes * 8, result);
    let ones = 0;
    for (let byte = Number(low & 0xffn); byte !== 0; byte >>= 1) ones += byte & 1;
    this.setFlags({ zero: low === 0n, sign: low >> BigInt(bytes * 8 - 1) === 1n, parity: ones % 2 === 0 });
  }
}

export function bit(mask: bigint, at: number): boolean {
  return (mask >> BigInt(at)) % 2n === 1n;
}

export function littleEndian(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = value * 256n + BigInt(bytes[i] as number);
  return value;
}

export function toBytes(value: bigint, count: number): Uint8Array {
  const out = new Uint8Array(count);
  for (let i = 0, rest = value; i < count; i++, rest >>= 8n) out[i] = Number(rest & 0xffn);
  return out;
}

/** What one mnemonic does. */
export type Handler = (m: Machine, instr: Instr) => void;
