/**
 * Operands of x86-64 instructions: registers, memory references, immediates and labels.
 *
 * All are plain immutable objects, so that an instruction can be built, compared and rewritten
 * (a register allocator replaces virtual registers) without help from the assembler.
 * Register numbers of 1000 and above are virtual: every function here takes them except the encoder.
 */
import { AssemblerError } from "./error.ts";

/** Register class; the number in a general-purpose class is the width in bits. */
export type RegClass = "r64" | "r32" | "r16" | "r8" | "xmm" | "ymm" | "zmm" | "k" | "tmm";

/** A register; `id` is the hardware number, or a virtual register from 1000 on. */
export interface Reg {
  readonly kind: "reg";
  readonly cls: RegClass;
  readonly id: number;
}

/** Bytes a memory operand can cover. */
export type MemSize = 1 | 2 | 4 | 8 | 16 | 32 | 64;

/**
 * A memory reference `[base + index*scale + disp]`, or `[rip + label + disp]` when `label` is given.
 * `index` may be a vector register in gathers and scatters. `broadcast` is the count of `{1toN}`.
 * `size` in bytes is needed only where the other operands leave it open (`inc [rax]`).
 */
export interface Mem {
  readonly kind: "mem";
  readonly base?: Reg | undefined;
  readonly index?: Reg | undefined;
  readonly scale: 1 | 2 | 4 | 8;
  readonly disp: number;
  readonly label?: Label | undefined;
  readonly broadcast?: 2 | 4 | 8 | 16 | 32 | undefined;
  readonly size?: MemSize | undefined;
}

/** An immediate; signed and unsigned spellings of the same bits are both accepted. */
export interface Imm {
  readonly kind: "imm";
  readonly value: number | bigint;
}

/** A position in the code, identified by its name. */
export interface Label {
  readonly kind: "label";
  readonly name: string;
}

export type Operand = Reg | Mem | Imm | Label;

/** Virtual register numbers start here. */
export const FIRST_VIRTUAL = 1000;

const registerCounts: Record<RegClass, number> = {
  r64: 16,
  r32: 16,
  r16: 16,
  r8: 16,
  xmm: 32,
  ymm: 32,
  zmm: 32,
  k: 8,
  tmm: 8,
};

const interned = new Map<RegClass, Reg[]>();

function register(cls: RegClass, id: number): Reg {
  let list = interned.get(cls);
  if (list === undefined) {
    list = Array.from({ length: registerCounts[cls] }, (_, i) => ({ kind: "reg", cls, id: i }) as const);
    interned.set(cls, list);
  }
  const found = list[id];
  if (found !== undefined) return found;
  if (!Number.isInteger(id) || id < FIRST_VIRTUAL) {
    throw new AssemblerError(
      `${cls}: no register number ${id}; expected 0..${list.length - 1}, or ${FIRST_VIRTUAL} and above for a virtual one`,
    );
  }
  return { kind: "reg", cls, id };
}

/** A 64-bit general-purpose register: 0 rax, 1 rcx, 2 rdx, 3 rbx, 4 rsp, 5 rbp, 6 rsi, 7 rdi, 8..15. */
export function r64(id: number): Reg {
  return register("r64", id);
}
/** The low 32 bits of a general-purpose register; a write clears the upper half. */
export function r32(id: number): Reg {
  return register("r32", id);
}
/** The low 16 bits of a general-purpose register; a write keeps the rest. */
export function gpr16(id: number): Reg {
  return register("r16", id);
}
/** The low byte of a general-purpose register (4..7 are spl, bpl, sil, dil); a write keeps the rest. */
export function gpr8(id: number): Reg {
  return register("r8", id);
}
/** A 128-bit vector register. */
export function xmm(id: number): Reg {
  return register("xmm", id);
}
/** A 256-bit vector register. */
export function ymm(id: number): Reg {
  return register("ymm", id);
}
/** A 512-bit vector register. */
export function zmm(id: number): Reg {
  return register("zmm", id);
}
/** An opmask register; `k0` cannot be used as a write mask. */
export function k(id: number): Reg {
  return register("k", id);
}
/** An AMX tile register. */
export function tmm(id: number): Reg {
  return register("tmm", id);
}

export const rax: Reg = r64(0);
export const rcx: Reg = r64(1);
export const rdx: Reg = r64(2);
export const rbx: Reg = r64(3);
export const rsp: Reg = r64(4);
export const rbp: Reg = r64(5);
export const rsi: Reg = r64(6);
export const rdi: Reg = r64(7);
export const r8: Reg = r64(8);
export const r9: Reg = r64(9);
export const r10: Reg = r64(10);
export const r11: Reg = r64(11);
export const r12: Reg = r64(12);
export const r13: Reg = r64(13);
export const r14: Reg = r64(14);
export const r15: Reg = r64(15);

/** What {@link mem} takes; everything is optional. */
export interface MemFields {
  readonly base?: Reg | undefined;
  readonly index?: Reg | undefined;
  readonly scale?: 1 | 2 | 4 | 8 | undefined;
  readonly disp?: number | undefined;
  readonly label?: Label | undefined;
  readonly broadcast?: 2 | 4 | 8 | 16 | 32 | undefined;
  readonly size?: MemSize | undefined;
}

/** A memory reference; see {@link Mem}. Without base, index and label it is the absolute 32-bit address `disp`. */
export function mem(fields: MemFields): Mem {
  const { base, index, scale = 1, disp = 0, label: target, broadcast, size } = fields;
  if (!Number.isInteger(disp) || disp < -0x80000000 || disp > 0x7fffffff) {
    throw new AssemblerError(`mem: displacement ${disp} does not fit in a signed 32-bit integer`);
  }
  if (base !== undefined && base.cls !== "r64") {
    throw new AssemblerError(`mem: the base must be a 64-bit register, not ${registerName(base)}`);
  }
  if (index !== undefined) {
    const indexable = index.cls === "r64" || index.cls === "xmm" || index.cls === "ymm" || index.cls === "zmm";
    if (!indexable || (index.cls === "r64" && index.id === 4)) {
      throw new AssemblerError(
        `mem: ${registerName(index)} cannot be an index; expected a 64-bit register except rsp, or a vector register`,
      );
    }
  }
  if (target !== undefined && (base !== undefined || index !== undefined)) {
    throw new AssemblerError(`mem: [rip + ${target.name}] takes neither base nor index`);
  }
  return { kind: "mem", base, index, scale, disp, label: target, broadcast, size };
}

/** An immediate operand. */
export function imm(value: number | bigint): Imm {
  if (typeof value === "number" && !Number.isSafeInteger(value)) {
    throw new AssemblerError(`imm: ${value} is not a safe integer; give a bigint`);
  }
  return { kind: "imm", value };
}

let nextLabel = 0;

/** A label; without a name it gets a fresh one (`.L0`, `.L1`, ...). */
export function label(name?: string): Label {
  return { kind: "label", name: name ?? `.L${nextLabel++}` };
}

const names64 = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"];
const names32 = ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"];
const names16 = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"];
const names8 = ["al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil"];

/** The register as Intel syntax writes it; virtual ones keep their number (`zmm1000`, `v1000d`). */
export function registerName(reg: Reg): string {
  const { cls, id } = reg;
  const stem = id < FIRST_VIRTUAL ? "r" : "v";
  switch (cls) {
    case "r64":
      return names64[id] ?? `${stem}${id}`;
    case "r32":
      return names32[id] ?? `${stem}${id}d`;
    case "r16":
      return names16[id] ?? `${stem}${id}w`;
    case "r8":
      return names8[id] ?? `${stem}${id}b`;
    default:
      return `${cls}${id}`;
  }
}
