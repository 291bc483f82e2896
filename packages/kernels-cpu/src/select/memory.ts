/**
 * Loads and stores: contiguous, masked, gathered and scattered, of every element type; prefetches.
 */
import type { KType, KValue, Stmt } from "@quern/core/kernel";
import { gpr16, gpr8, r32, rsp, mem } from "../asm/index.ts";
import type { Mem, Reg } from "../asm/index.ts";
import { GENERAL } from "./code.ts";
import { gather, scatter } from "./gather.ts";
import { maskFromBytes, maskToBytes, maskPart, maskVectorPart, usableMask } from "./masks.ts";
import type { Selector, Shape } from "./selector.ts";
import { isSigned, laneBytesOf, moveOp } from "./element.ts";

type Load = Extract<KValue["def"], { kind: "load" }>;
type Store = Extract<Stmt, { kind: "store" }>;

export function emitLoad(s: Selector, value: KValue, def: Load, into: readonly Reg[] | undefined): readonly Reg[] {
  const { type } = value;
  if (def.index.type.lanes > 1) return gather(s, type, def, into);
  if (type.lanes === 1) return [loadScalar(s, type, def, into?.[0])];
  if (type.dtype === "bool") return loadMask(s, type, def, into);
  const shape = s.shape(type);
  const out = into ?? s.fresh(type);
  const places = s.parts(def.buffer, def.index, shape);
  const other = def.other === undefined ? undefined : s.regs(def.other);
  out.forEach((to, i) => loadPart(s, to, places[i]!, shape, def.mask, i, type.lanes, other?.[i]));
  return out;
}

/** Loads `shape.bytes` bytes; lanes outside the mask become 0 or `other`. */
export function loadPart(
  s: Selector,
  to: Reg,
  place: Mem,
  shape: Shape,
  mask: KValue | undefined,
  part: number,
  lanes: number,
  other: Reg | undefined,
): void {
  const { code } = s;
  if (mask === undefined) {
    plainLoad(s, to, place, shape.bytes);
    return;
  }
  if (s.wide) {
    const k = maskPart(s, usableMask(s, s.reg(mask), lanes, shape), shape, part);
    if (other === undefined) code.emitMasked(k, true, moveOp(shape.laneBytes), to, place);
    else {
      const work = s.vector(shape.bytes);
      s.move(work, other);
      code.emitMasked(k, false, moveOp(shape.laneBytes), work, place);
      s.move(to, work);
    }
    return;
  }
  if (shape.laneBytes < 4) {
    loadByLane(s, to, place, shape, mask, part, other);
    return;
  }
  const lane = maskVectorPart(s, mask, shape, part);
  const op = shape.laneBytes === 4 ? "vmaskmovps" : "vmaskmovpd";
  if (other === undefined) code.emit(op, to, lane, place);
  else {
    const loaded = s.vector(shape.bytes);
    code.emit(op, loaded, lane, place);
    code.emit("vblendvps", to, other, loaded, lane);
  }
}

function plainLoad(s: Selector, to: Reg, place: Mem, bytes: number): void {
  const { code } = s;
  if (bytes >= 16) code.emit("vmovups", to, place);
  else if (bytes === 8) code.emit("vmovsd", to, place);
  else if (bytes === 4) code.emit("vmovss", to, place);
  else {
    const bits = r32(code.general().id);
    code.emit("movzx", bits, mem({ ...place, size: 2 }));
    code.emit("vmovd", to, bits);
  }
}

export function plainStore(s: Selector, place: Mem, from: Reg, bytes: number): void {
  const { code } = s;
  if (bytes >= 16) code.emit("vmovups", place, from);
  else if (bytes === 8) code.emit("vmovsd", place, s.resize(from, 16));
  else if (bytes === 4) code.emit("vmovss", place, s.resize(from, 16));
  else {
    const bits = code.general();
    code.emit("vmovd", r32(bits.id), s.resize(from, 16));
    code.emit("mov", place, bytes === 2 ? gpr16(bits.id) : gpr8(bits.id));
  }
}

/** Loads an integer of up to 32 bits extended, or one of 64. */
export function loadInteger(s: Selector, to: Reg, place: Mem, type: KType): void {
  const { code } = s;
  const bytes = laneBytesOf(type.dtype);
  if (bytes === 8) code.emit("mov", to, place);
  else if (bytes === 4) code.emit("mov", r32(to.id), place);
  else code.emit(isSigned(type.dtype) ? "movsx" : "movzx", r32(to.id), mem({ ...place, size: bytes as 1 | 2 }));
}

export function storeInteger(s: Selector, place: Mem, from: Reg, bytes: number): void {
  const narrow = bytes === 8 ? from : bytes === 4 ? r32(from.id) : bytes === 2 ? gpr16(from.id) : gpr8(from.id);
  s.code.emit("mov", place, narrow);
}

function loadScalar(s: Selector, type: KType, def: Load, into: Reg | undefined): Reg {
  const { code } = s;
  const out = into ?? (s.fresh(type)[0] as Reg);
  const place = s.addresses.address(def.buffer, def.index, 0, 0);
  const load = (to: Reg): void => {
    if (s.shape(type).file === GENERAL) loadInteger(s, to, place, type);
    else code.emit(type.dtype === "f32" ? "vmovss" : "vmovsd", to, place);
  };
  if (def.mask === undefined) {
    load(out);
    return out;
  }
  const condition = r32(s.reg(def.mask).id);
  const work = s.fresh(type)[0] as Reg;
  const skip = code.label("skip");
  if (def.other !== undefined) s.move(work, s.reg(def.other));
  else if (s.shape(type).file === GENERAL) code.emit("mov", r32(work.id), 0);
  else code.emit("vxorps", work, work, work);
  code.emit("test", condition, condition);
  code.emit("je", skip);
  load(work);
  code.bind(skip);
  s.move(out, work);
  return out;
}

function loadMask(s: Selector, type: KType, def: Load, into: readonly Reg[] | undefined): readonly Reg[] {
  const bytes: KType = { ...type, dtype: "u8" };
  const shape = s.shape(bytes);
  const places = s.parts(def.buffer, def.index, shape);
  const loaded = places.map((place, i) => {
    const to = s.vector(shape.bytes);
    loadPart(s, to, place, shape, def.mask, i, type.lanes, undefined);
    return to;
  });
  const out = maskFromBytes(s, type, loaded);
  if (def.mask === undefined || def.other === undefined) {
    if (into === undefined) return out;
    s.moveAll(into, out);
    return into;
  }
  return s.unsupported("load", "bool", "a masked load of bool with another value than false");
}

export function selectStore(s: Selector, stmt: Store): void {
  const { code } = s;
  const { value, buffer, index, mask } = stmt;
  const { type } = value;
  if (index.type.lanes > 1) return scatter(s, stmt);
  if (type.lanes === 1) return storeScalar(s, stmt);
  const stored: KType = type.dtype === "bool" ? { ...type, dtype: "u8" } : type;
  const regs = type.dtype === "bool" ? maskToBytes(s, type, s.regs(value)) : s.regs(value);
  const shape = s.shape(stored);
  const places = s.parts(buffer, index, shape);
  regs.forEach((from, i) => {
    const place = places[i]!;
    if (mask === undefined) plainStore(s, place, from, shape.bytes);
    else if (s.wide)
      code.emitMasked(
        maskPart(s, usableMask(s, s.reg(mask), type.lanes, shape), shape, i),
        false,
        moveOp(shape.laneBytes),
        place,
        from,
      );
    else if (shape.laneBytes < 4) storeByLane(s, place, from, shape, mask, i);
    else code.emit(shape.laneBytes === 4 ? "vmaskmovps" : "vmaskmovpd", place, maskVectorPart(s, mask, shape, i), from);
  });
}

function storeScalar(s: Selector, stmt: Store): void {
  const { code } = s;
  const { value, buffer, index, mask } = stmt;
  const { type } = value;
  const from = s.reg(value);
  const place = s.addresses.address(buffer, index, 0, 0);
  const skip = code.label("skip");
  if (mask !== undefined) {
    const condition = r32(s.reg(mask).id);
    code.emit("test", condition, condition);
    code.emit("je", skip);
  }
  if (s.shape(type).file === GENERAL) storeInteger(s, place, from, laneBytesOf(type.dtype));
  else code.emit(type.dtype === "f32" ? "vmovss" : "vmovsd", place, from);
  if (mask !== undefined) code.bind(skip);
}

/** Bytes in a general register with one bit per 32-bit mask lane (AVX2). */
function maskBits(s: Selector, mask: KValue, shape: Shape, part: number): Reg {
  const { code } = s;
  const regs = s.regs(mask);
  const perMask = s.shape(mask.type).lanes;
  // The lanes of this part may span several registers of the mask.
  const bits = code.general();
  const first = (part * shape.lanes) / perMask;
  const count = Math.max(1, shape.lanes / perMask);
  code.emit("mov", r32(bits.id), 0);
  for (let i = 0; i < count; i++) {
    const some = code.general();
    code.emit("vmovmskps", r32(some.id), regs[Math.floor(first) + i]!);
    if (i > 0) code.emit("shl", r32(some.id), i * perMask);
    code.emit("or", r32(bits.id), r32(some.id));
  }
  if (perMask > shape.lanes) code.emit("shr", r32(bits.id), (part * shape.lanes) % perMask);
  return bits;
}

/** AVX2 has no masked moves of bytes and words: one branch per lane, through the stack. */
function loadByLane(
  s: Selector,
  to: Reg,
  place: Mem,
  shape: Shape,
  mask: KValue,
  part: number,
  other: Reg | undefined,
): void {
  const { code } = s;
  const bits = maskBits(s, mask, shape, part);
  const slot = s.frame(32);
  const size = shape.laneBytes as 1 | 2;
  const initial = s.vector(32);
  if (other === undefined) code.emit("vxorps", s.resize(initial, 16), s.resize(initial, 16), s.resize(initial, 16));
  else s.move(s.resize(initial, shape.bytes), other);
  code.emit("vmovups", mem({ base: rsp, disp: slot }), initial);
  for (let lane = 0; lane < shape.lanes; lane++) {
    const skip = code.label("lane");
    const element = code.general();
    code.emit("bt", r32(bits.id), lane);
    code.emit("jae", skip);
    code.emit("movzx", r32(element.id), mem({ ...place, disp: place.disp + lane * size, size }));
    code.emit("mov", mem({ base: rsp, disp: slot + lane * size }), size === 1 ? gpr8(element.id) : gpr16(element.id));
    code.bind(skip);
  }
  code.emit("vmovups", s.resize(to, Math.max(16, shape.bytes)), mem({ base: rsp, disp: slot }));
}

function storeByLane(s: Selector, place: Mem, from: Reg, shape: Shape, mask: KValue, part: number): void {
  const { code } = s;
  const bits = maskBits(s, mask, shape, part);
  const slot = s.frame(32);
  const size = shape.laneBytes as 1 | 2;
  code.emit("vmovups", mem({ base: rsp, disp: slot }), s.resize(from, Math.max(16, shape.bytes)));
  for (let lane = 0; lane < shape.lanes; lane++) {
    const skip = code.label("lane");
    const element = code.general();
    code.emit("bt", r32(bits.id), lane);
    code.emit("jae", skip);
    code.emit("movzx", r32(element.id), mem({ base: rsp, disp: slot + lane * size, size }));
    code.emit(
      "mov",
      mem({ ...place, disp: place.disp + lane * size }),
      size === 1 ? gpr8(element.id) : gpr16(element.id),
    );
    code.bind(skip);
  }
}

export function selectPrefetch(s: Selector, stmt: Extract<Stmt, { kind: "prefetch" }>): void {
  s.code.emit(`prefetcht${stmt.level}`, s.addresses.address(stmt.buffer, stmt.index, 0, 0));
}
