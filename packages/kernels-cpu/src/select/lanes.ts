/**
 * Scalars to vectors and back: broadcast, iota, extract.
 */
import type { KType, KValue } from "@quern/core/kernel";
import { r32 } from "../asm/index.ts";
import type { Mem, Reg } from "../asm/index.ts";
import { GENERAL } from "./code.ts";
import { byteGroup, maskFromScalar } from "./masks.ts";
import { extend } from "./scalar.ts";
import type { Selector } from "./selector.ts";
import { isFloating, laneBytesOf } from "./element.ts";

const letters: Record<number, string> = { 1: "b", 2: "w", 4: "d", 8: "q" };

export function emitBroadcast(
  s: Selector,
  value: KValue,
  scalar: KValue,
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { type } = value;
  if (type.dtype === "bool") return maskFromScalar(s, type, s.reg(scalar), into);
  const { def } = scalar;
  const waiting = s.pending[scalar.id] === 1 && def.kind === "load" && def.mask === undefined;
  const isParam = def.kind === "param" && isFloating(type.dtype) && s.values[scalar.id] === undefined;
  if (waiting || isParam) {
    if (waiting) s.pending[scalar.id] = 0;
    const place = waiting
      ? s.addresses.address(def.buffer, def.index, 0, 0)
      : s.slot((def as { name: string }).name, undefined);
    return spread(s, type, (to) => broadcastMemory(s, type, to, place), into);
  }
  const reg = s.reg(scalar);
  return spread(s, type, (to) => broadcastRegister(s, type, to, reg), into);
}

/** Parts of a splat share one register, unless each needs its own. */
function spread(s: Selector, type: KType, make: (to: Reg) => void, into: readonly Reg[] | undefined): readonly Reg[] {
  const shape = s.shape(type);
  const first = into?.[0] ?? s.vector(Math.max(16, shape.bytes));
  make(s.resize(first, Math.max(16, shape.bytes)));
  if (into !== undefined) {
    for (const other of into.slice(1)) s.move(other, first);
    return into;
  }
  return Array.from({ length: shape.parts }, () => first);
}

function broadcastMemory(s: Selector, type: KType, to: Reg, place: Mem): void {
  const { code } = s;
  const bytes = laneBytesOf(type.dtype);
  if (bytes === 4) code.emit("vbroadcastss", to, place);
  else if (bytes === 8) code.emit(to.cls === "xmm" ? "vmovddup" : "vbroadcastsd", to, place);
  else code.emit(`vpbroadcast${letters[bytes]}`, to, place);
}

export function broadcastRegister(s: Selector, type: KType, to: Reg, from: Reg): void {
  const { code } = s;
  const bytes = laneBytesOf(type.dtype);
  if (isFloating(type.dtype)) {
    if (bytes === 4) code.emit("vbroadcastss", to, s.resize(from, 16));
    else code.emit(to.cls === "xmm" ? "vmovddup" : "vbroadcastsd", to, s.resize(from, 16));
    return;
  }
  const letter = letters[bytes] as string;
  if (s.wide) {
    code.emit(`vpbroadcast${letter}`, to, bytes === 8 ? from : r32(from.id));
    return;
  }
  const low = s.vector(16);
  if (bytes === 8) code.emit("vmovq", low, from);
  else code.emit("vmovd", low, r32(from.id));
  code.emit(`vpbroadcast${letter}`, to, low);
}

export function emitIota(s: Selector, value: KValue, start: KValue, into: readonly Reg[] | undefined): readonly Reg[] {
  const { code } = s;
  const { type } = value;
  const shape = s.shape(type);
  const width = Math.max(16, shape.bytes);
  const first = s.vector(width);
  const zero = start.def.kind === "const" && Number(start.def.value) === 0;
  if (!zero) broadcastRegister(s, type, first, s.reg(start));
  const out = into ?? s.fresh(type);
  out.forEach((to, part) => {
    const numbers = s.vectorConstant(laneValues(type, width, part * shape.lanes));
    if (zero) s.move(s.resize(to, width), numbers);
    else code.emit(`vpadd${letters[laneBytesOf(type.dtype)]}`, s.resize(to, width), first, numbers);
  });
  return out;
}

function laneValues(type: KType, bytes: number, first: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(bytes));
  const size = laneBytesOf(type.dtype);
  for (let at = 0, n = first; at < bytes; at += size, n++) {
    if (size === 8) view.setBigInt64(at, BigInt(n), true);
    else if (size === 4) view.setInt32(at, n, true);
    else if (size === 2) view.setInt16(at, n, true);
    else view.setInt8(at, n);
  }
  return new Uint8Array(view.buffer);
}

export function emitExtract(
  s: Selector,
  vector: KValue,
  lane: number,
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { type } = vector;
  const regs = s.regs(vector);
  const scalar: KType = { ...type, lanes: 1 };
  return [extractLane(s, type, regs, lane, into?.[0] ?? (s.fresh(scalar)[0] as Reg))];
}

export function extractLane(s: Selector, type: KType, regs: readonly Reg[], lane: number, out: Reg): Reg {
  const { code } = s;
  const { dtype } = type;
  if (dtype === "bool") {
    const bits = code.general();
    const shape = s.shape(type);
    if (s.wide) code.emit("kmovq", bits, regs[0] as Reg);
    else code.emit("vmovmskps", r32(bits.id), regs[Math.floor(lane / shape.lanes)] as Reg);
    const at = s.wide ? lane : lane % shape.lanes;
    if (at > 0) code.emit("shr", bits, at);
    code.emit("and", r32(bits.id), 1);
    code.emit("mov", out, bits);
    return out;
  }
  const size = laneBytesOf(dtype);
  const low = byteGroup(s, regs, lane * size);
  if (isFloating(dtype)) s.move(out, low);
  else if (size === 8) code.emit("vmovq", out, low);
  else {
    const bits = code.general();
    code.emit("vmovd", r32(bits.id), low);
    if (size === 4) code.emit("mov", out, bits);
    else extend(s, out, bits, dtype === "f16" || dtype === "bf16" ? { ...type, dtype: "u16" } : type);
  }
  return out;
}

/** A vector whose lowest lane is the scalar; the other lanes are anything. */
export function lowLane(s: Selector, type: KType, scalar: Reg): Reg {
  if (s.shape({ ...type, lanes: 1 }).file !== GENERAL) return s.resize(scalar, 16);
  const to = s.vector(16);
  if (laneBytesOf(type.dtype) === 8) s.code.emit("vmovq", to, scalar);
  else s.code.emit("vmovd", to, r32(scalar.id));
  return to;
}
