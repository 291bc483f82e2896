/**
 * Literals: immediates of general registers, splats from the constant pool, zero idioms.
 *
 * They are made at the entry of the kernel and kept in a register as long as there are enough; the allocator can make
 * them anew or use them straight from the pool.
 */
import { InternalError } from "@quern/core";
import type { KDType, KType } from "@quern/core/kernel";
import { imm, mem, r32 } from "../asm/index.ts";
import type { Label, Reg } from "../asm/index.ts";
import { GENERAL, MASK, makeInstr } from "./code.ts";
import type { Selector } from "./selector.ts";
import { laneBytesOf } from "./element.ts";

export type Literal = number | bigint | boolean;

/** The bits of a literal of this type, repeated to at least four bytes. */
export function literalBytes(dtype: KDType, value: Literal): Uint8Array {
  const view = new DataView(new ArrayBuffer(8));
  const number = Number(value);
  switch (dtype) {
    case "f32":
      view.setFloat32(0, number, true);
      break;
    case "f64":
      view.setFloat64(0, number, true);
      break;
    case "f16":
      view.setFloat16(0, number, true);
      break;
    case "bf16":
      view.setUint16(0, bf16Bits(number), true);
      break;
    case "i64":
    case "u64":
    case "index":
      view.setBigInt64(0, BigInt.asIntN(64, BigInt(value)), true);
      break;
    case "i32":
    case "u32":
      view.setInt32(0, number | 0, true);
      break;
    case "i16":
    case "u16":
      view.setInt16(0, number, true);
      break;
    default:
      view.setInt8(0, number);
  }
  const bytes = new Uint8Array(view.buffer);
  const size = laneBytesOf(dtype);
  if (size < 4) for (let i = size; i < 4; i++) bytes[i] = bytes[i - size] as number;
  return bytes.slice(0, Math.max(4, size));
}

/** f32 to bf16, ties to even; the literal has been rounded to bf16 already by the builder. */
function bf16Bits(value: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value);
  const bits = view.getUint32(0);
  return Number.isNaN(value) ? 0x7fc0 : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/** The integer that stands in a general register for a scalar literal. */
export function literalInteger(dtype: KDType, value: Literal): number | bigint {
  if (dtype === "f16" || dtype === "bf16") {
    const bytes = literalBytes(dtype, value);
    return (bytes[0] as number) | ((bytes[1] as number) << 8);
  }
  if (typeof value === "bigint") return BigInt.asIntN(64, value);
  return typeof value === "boolean" ? Number(value) : dtype === "u32" ? value >>> 0 : value;
}

export function constantRegs(s: Selector, type: KType, value: Literal): readonly Reg[] {
  const shape = s.shape(type);
  if (shape.file === GENERAL) return [integerConstant(s, literalInteger(type.dtype, value))];
  if (shape.file === MASK) return [maskConstant(s, value === true || value === 1, type.lanes)];
  const reg =
    type.dtype === "bool"
      ? splat(s, new Uint8Array(4).fill(value ? 255 : 0), shape.bytes)
      : splat(s, literalBytes(type.dtype, value), shape.bytes);
  return Array.from({ length: shape.parts }, () => reg);
}

/** A vector register of at least `size` bytes with `element` repeated. */
export function splat(s: Selector, element: Uint8Array, size: number): Reg {
  const { code } = s;
  const bytes = Math.max(16, size);
  const key = `splat ${element.join()} ${bytes}`;
  const entry = code.regions[0]!;
  const known = entry.sums.get(key);
  if (known !== undefined) return known;
  const reg = code.vector(bytes);
  const instr = splatInstr(s, reg, element, bytes);
  entry.items.push(instr);
  code.recreatable(reg, instr);
  entry.sums.set(key, reg);
  return reg;
}

/** Sets `reg` to the splat; used directly for locals, which are not constant afterwards. */
export function splatInstr(s: Selector, reg: Reg, element: Uint8Array, bytes: number): ReturnType<typeof makeInstr> {
  if (element.every((byte) => byte === 0)) {
    const low: Reg = { kind: "reg", cls: "xmm", id: reg.id };
    return makeInstr("vxorps", [low, low, low]);
  }
  const place = mem({ label: poolLabel(s, element) });
  if (element.length === 8 && bytes <= 16) return makeInstr("vmovddup", [reg, place]);
  return makeInstr(element.length === 8 ? "vbroadcastsd" : "vbroadcastss", [reg, place]);
}

export function poolLabel(s: Selector, bytes: Uint8Array): Label {
  return s.code.constant(bytes);
}

/** A vector constant with lanes of its own. */
export function vectorConstant(s: Selector, bytes: Uint8Array): Reg {
  const { code } = s;
  const key = `vector ${bytes.join()}`;
  const entry = code.regions[0]!;
  const known = entry.sums.get(key);
  if (known !== undefined) return known;
  const reg = code.vector(bytes.length);
  const padded = bytes.length < 16 ? new Uint8Array(16) : bytes;
  if (bytes.length < 16) padded.set(bytes);
  const instr = makeInstr("vmovups", [reg, mem({ label: code.constant(padded) })]);
  entry.items.push(instr);
  code.recreatable(reg, instr);
  entry.sums.set(key, reg);
  return reg;
}

export function integerConstant(s: Selector, value: number | bigint): Reg {
  const { code } = s;
  const key = `integer ${value}`;
  const entry = code.regions[0]!;
  const known = entry.sums.get(key);
  if (known !== undefined) return known;
  const reg = code.general();
  const instr = integerInstr(reg, value);
  entry.items.push(instr);
  code.recreatable(reg, instr);
  entry.sums.set(key, reg);
  return reg;
}

/** Sets a general register without touching the flags. */
export function integerInstr(reg: Reg, value: number | bigint): ReturnType<typeof makeInstr> {
  const big = BigInt(value);
  if (big >= 0n && big < 1n << 32n) return makeInstr("mov", [r32(reg.id), imm(big)]);
  return makeInstr("mov", [reg, imm(big)]);
}

export function maskConstant(s: Selector, value: boolean, lanes: number): Reg {
  const { code } = s;
  const key = `mask ${value} ${lanes}`;
  const entry = code.regions[0]!;
  const known = entry.sums.get(key);
  if (known !== undefined) return known;
  if (lanes > 64) throw new InternalError("a mask has at most 64 lanes");
  const bits = value ? (1n << BigInt(lanes)) - 1n : 0n;
  const reg = code.at(0, () => {
    const general = integerConstant(s, BigInt.asIntN(64, bits));
    const made = code.mask();
    code.emit("kmovq", made, general);
    return made;
  });
  entry.sums.set(key, reg);
  return reg;
}
