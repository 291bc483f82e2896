/**
 * Classifies operands into bits, so that a form can be matched with one AND per operand.
 */
import { FIRST_VIRTUAL } from "./operand.ts";
import type { Mem, Operand, Reg } from "./operand.ts";

/** Bits that say what an operand is; a form accepts an operand when the two sets meet. */
export const KIND = {
  r8: 0x1,
  r16: 0x2,
  r32: 0x4,
  r64: 0x8,
  xmmLow: 0x10,
  xmmHigh: 0x20,
  ymmLow: 0x40,
  ymmHigh: 0x80,
  zmm: 0x100,
  k: 0x200,
  tmm: 0x400,
  mem: 0x800,
  memBroadcast: 0x1000,
  memX: 0x2000,
  memY: 0x4000,
  memZ: 0x8000,
  label: 0x10000,
  cl: 0x20000,
  one: 0x40000,
  int8: 0x80000,
  uint8: 0x100000,
  int16: 0x200000,
  uint16: 0x400000,
  int32: 0x800000,
  uint32: 0x1000000,
  int64: 0x2000000,
} as const;

/** All memory kinds. */
export const ANY_MEMORY = 0xf800;

/** What an operand is, as bits of {@link KIND}; 0 when nothing accepts it. */
export function operandKind(operand: Operand): number {
  switch (operand.kind) {
    case "reg":
      return registerKind(operand);
    case "mem":
      return memoryKind(operand);
    case "imm":
      return immediateKind(operand.value);
    case "label":
      return KIND.label;
  }
}

function registerKind({ cls, id }: Reg): number {
  const low = id < 16 || id >= FIRST_VIRTUAL;
  switch (cls) {
    case "r64":
      return KIND.r64;
    case "r32":
      return KIND.r32;
    case "r16":
      return KIND.r16;
    case "r8":
      return id === 1 ? KIND.r8 | KIND.cl : KIND.r8;
    case "xmm":
      return low ? KIND.xmmLow : KIND.xmmHigh;
    case "ymm":
      return low ? KIND.ymmLow : KIND.ymmHigh;
    case "zmm":
      return KIND.zmm;
    case "k":
      return KIND.k;
    case "tmm":
      return KIND.tmm;
  }
}

function memoryKind({ index, broadcast }: Mem): number {
  if (broadcast !== undefined) return KIND.memBroadcast;
  if (index === undefined || index.cls === "r64") return KIND.mem;
  return index.cls === "xmm" ? KIND.memX : index.cls === "ymm" ? KIND.memY : KIND.memZ;
}

function immediateKind(value: number | bigint): number {
  if (value >= -0x80 && value <= 0x7f) return Number(value) === 1 ? KIND.int8 | KIND.one : KIND.int8;
  if (value >= 0 && value <= 0xff) return KIND.uint8;
  if (value >= -0x8000 && value <= 0x7fff) return KIND.int16;
  if (value >= 0 && value <= 0xffff) return KIND.uint16;
  if (value >= -0x80000000 && value <= 0x7fffffff) return KIND.int32;
  if (value >= 0 && value <= 0xffffffff) return KIND.uint32;
  return value >= -(2n ** 63n) && value < 2n ** 64n ? KIND.int64 : 0;
}
