/**
 * Gathers and scatters: by instruction for elements of 4 and 8 bytes (scatters with AVX-512 only), else lane by lane
 * through the stack. Lanes outside the mask are not accessed.
 */
import type { KType, KValue, Stmt } from "@quern/core/kernel";
import { gpr16, gpr8, mem, r32, rsp } from "../asm/index.ts";
import type { Mem, Reg } from "../asm/index.ts";
import { maskConstant, splat } from "./constants.ts";
import { convert } from "./convert.ts";
import { maskFromBytes, maskToBytes } from "./masks.ts";
import { group, joinGroups } from "./regroup.ts";
import type { Selector } from "./selector.ts";
import { isFloating, isSigned, laneBytesOf } from "./element.ts";

type Load = Extract<KValue["def"], { kind: "load" }>;
type Store = Extract<Stmt, { kind: "store" }>;

interface Indices {
  readonly regs: readonly Reg[];
  readonly type: KType;
}

/** Indices as i32 or i64; the instructions know no others. */
function indices(s: Selector, value: KValue): Indices {
  const { type } = value;
  const { dtype } = type;
  const { def } = value;
  // Indices that were i32 before are used as such, which takes half the registers.
  if (dtype === "index" && def.kind === "prim" && def.prim === "cast") {
    const [narrow] = def.args as [KValue];
    const regs = s.values[narrow.id];
    if (narrow.type.dtype === "i32" && regs !== undefined && s.aliases[narrow.id] === 0)
      return { regs, type: narrow.type };
  }
  if (dtype === "index" || dtype === "i64" || dtype === "u64" || dtype === "i32") return { regs: s.regs(value), type };
  const to: KType = { ...type, dtype: dtype === "u32" ? "i64" : "i32" };
  return { regs: convert(s, s.regs(value), type, to, undefined, undefined), type: to };
}

export function gather(s: Selector, type: KType, def: Load, into: readonly Reg[] | undefined): readonly Reg[] {
  const { code } = s;
  const at = indices(s, def.index);
  const size = laneBytesOf(type.dtype);
  if (type.dtype === "bool") {
    const bytes: KType = { ...type, dtype: "u8" };
    const mask = maskFromBytes(s, type, byLane(s, bytes, def, at, undefined));
    if (into !== undefined) s.moveAll(into, mask);
    return into ?? mask;
  }
  if (size < 4) return byLane(s, type, def, at, into);
  const shape = s.shape(type);
  const base = s.index.bufferRegister(def.buffer);
  const indexBytes = laneBytesOf(at.type.dtype);
  const letters = `${indexBytes === 4 ? "d" : "q"}${size === 4 ? "ps" : "pd"}`;
  // Lanes of one instruction: what fits both the widest index and the widest data register.
  const lanes = Math.min(type.lanes, s.target.vectorBytes / Math.max(size, indexBytes));
  const groups: Reg[] = [];
  for (let first = 0; first < type.lanes; first += lanes) {
    const bytes = Math.max(16, lanes * size);
    const index = s.resize(group(s, at.regs, first * indexBytes, lanes * indexBytes), Math.max(16, lanes * indexBytes));
    const to = s.vector(bytes);
    if (def.other === undefined) code.emit("vxorps", s.resize(to, 16), s.resize(to, 16), s.resize(to, 16));
    else s.move(to, s.resize(group(s, s.regs(def.other), first * size, lanes * size), bytes));
    const place = mem({ base, index, scale: size as 4 | 8 });
    const wanted = laneMask(s, type, def.mask, first, lanes, size);
    if (s.wide) code.emitMasked(wanted, false, `vgather${letters}`, to, place);
    else code.emit(`vgather${letters}`, to, place, s.resize(wanted, bytes));
    groups.push(to);
  }
  const perPart = shape.lanes / lanes;
  return Array.from({ length: shape.parts }, (_, i) =>
    joinGroups(s, groups.slice(i * perPart, (i + 1) * perPart), lanes * size, shape.bytes, into?.[i]),
  );
}

/** A mask of `lanes` lanes from lane `first`, in a register of its own: the instructions clear it. */
function laneMask(s: Selector, type: KType, mask: KValue | undefined, first: number, lanes: number, size: number): Reg {
  const { code } = s;
  if (s.wide) {
    const out = code.mask();
    if (mask === undefined) code.emit("kmovq", out, maskConstant(s, true, lanes));
    else if (lanes === type.lanes && lanes * size >= 16) code.emit("kmovq", out, s.reg(mask));
    else {
      const shifted = code.mask();
      code.emit("kshiftrq", shifted, s.reg(mask), first);
      code.emit("kandq", out, shifted, maskConstant(s, true, lanes));
    }
    return out;
  }
  const bytes = Math.max(16, lanes * size);
  const out = s.vector(bytes);
  const ones = splat(s, new Uint8Array(4).fill(255), bytes);
  let source = mask === undefined ? ones : group(s, s.regs(mask), first * 4, lanes * 4);
  if (mask !== undefined && size === 8) {
    const wide = s.vector(bytes);
    code.emit("vpmovsxdq", wide, s.resize(source, 16));
    source = wide;
  }
  // A two-lane mask in a four-lane register: the other lanes must not be accessed.
  if (lanes * size < 16) code.emit("vmovq", s.resize(out, 16), s.resize(source, 16));
  else code.emit("vmovaps", out, s.resize(source, bytes));
  return out;
}

/** Bits of a mask in a general register, lane 0 lowest. */
function maskBits(s: Selector, mask: KValue): Reg {
  const { code } = s;
  const bits = code.general();
  const regs = s.regs(mask);
  if (s.wide) {
    code.emit("kmovq", bits, regs[0] as Reg);
    return bits;
  }
  const { lanes } = s.shape(mask.type);
  code.emit("mov", r32(bits.id), 0);
  regs.forEach((reg, i) => {
    const some = code.general();
    code.emit("vmovmskps", r32(some.id), reg);
    if (i > 0) code.emit("shl", some, i * lanes);
    code.emit("or", bits, some);
  });
  return bits;
}

interface Spread {
  /** Offset from rsp of the indices, then of the data. */
  readonly indexAt: number;
  readonly dataAt: number;
}

/** Stores the indices and leaves room for the data. */
function spread(s: Selector, at: Indices, dataBytes: number): Spread {
  const shape = s.shape(at.type);
  const width = Math.max(16, shape.bytes);
  const indexBytes = width * at.regs.length;
  const indexAt = s.frame(indexBytes + dataBytes);
  at.regs.forEach((reg, i) =>
    s.code.emit("vmovups", mem({ base: rsp, disp: indexAt + i * shape.bytes }), s.resize(reg, width)),
  );
  return { indexAt, dataAt: indexAt + indexBytes };
}

/** For each lane in the mask: its index in a register, and what to do with it. */
function eachLane(
  s: Selector,
  at: Indices,
  { indexAt }: Spread,
  mask: KValue | undefined,
  body: (lane: number, index: Reg) => void,
): void {
  const { code } = s;
  const size = laneBytesOf(at.type.dtype);
  const bits = mask === undefined ? undefined : maskBits(s, mask);
  for (let lane = 0; lane < at.type.lanes; lane++) {
    const skip = code.label("lane");
    if (bits !== undefined) {
      code.emit("bt", bits, lane);
      code.emit("jae", skip);
    }
    const index = code.general();
    const place = mem({ base: rsp, disp: indexAt + lane * size, size: size as 4 | 8 });
    if (size === 8) code.emit("mov", index, place);
    else if (isSigned(at.type.dtype)) code.emit("movsxd", index, place);
    else code.emit("mov", r32(index.id), place);
    body(lane, index);
    if (bits !== undefined) code.bind(skip);
  }
}

function element(base: Reg, index: Reg, size: number): Mem {
  return mem({ base, index, scale: size as 1 | 2 | 4 | 8, size: size as 1 | 2 | 4 | 8 });
}

function sizedReg(reg: Reg, size: number): Reg {
  return size === 8 ? reg : size === 4 ? r32(reg.id) : size === 2 ? gpr16(reg.id) : gpr8(reg.id);
}

function byLane(s: Selector, type: KType, def: Load, at: Indices, into: readonly Reg[] | undefined): readonly Reg[] {
  const { code } = s;
  const shape = s.shape(type);
  const width = Math.max(16, shape.bytes);
  const base = s.index.bufferRegister(def.buffer);
  const size = shape.laneBytes;
  // Operands first: what computes them may use the same part of the frame.
  const other = def.other === undefined ? undefined : s.regs(def.other);
  if (def.mask !== undefined) s.regs(def.mask);
  const place = spread(s, at, width * shape.parts);
  for (let i = 0; i < shape.parts; i++)
    code.emit(
      "vmovups",
      mem({ base: rsp, disp: place.dataAt + i * shape.bytes }),
      other === undefined ? splat(s, new Uint8Array(4), width) : s.resize(other[i] as Reg, width),
    );
  eachLane(s, at, place, def.mask, (lane, index) => {
    const value = code.general();
    code.emit(size < 4 ? "movzx" : "mov", size < 4 ? r32(value.id) : sizedReg(value, size), element(base, index, size));
    code.emit("mov", mem({ base: rsp, disp: place.dataAt + lane * size }), sizedReg(value, size));
  });
  const out = into ?? s.fresh(type);
  out.forEach((reg, i) =>
    code.emit("vmovups", s.resize(reg, width), mem({ base: rsp, disp: place.dataAt + i * shape.bytes })),
  );
  return out;
}

export function scatter(s: Selector, stmt: Store): void {
  const { code } = s;
  const { value, buffer, mask } = stmt;
  const at = indices(s, stmt.index);
  const isBool = value.type.dtype === "bool";
  const type: KType = isBool ? { ...value.type, dtype: "u8" } : value.type;
  const regs = isBool ? maskToBytes(s, value.type, s.regs(value)) : s.regs(value);
  const size = laneBytesOf(type.dtype);
  const base = s.index.bufferRegister(buffer);
  if (mask !== undefined) s.regs(mask);
  if (s.wide && size >= 4) {
    const indexBytes = laneBytesOf(at.type.dtype);
    const lanes = Math.min(type.lanes, s.target.vectorBytes / Math.max(size, indexBytes));
    const op = `v${isFloating(type.dtype) ? "" : "p"}scatter${indexBytes === 4 ? "d" : "q"}${isFloating(type.dtype) ? (size === 4 ? "ps" : "pd") : size === 4 ? "d" : "q"}`;
    for (let first = 0; first < type.lanes; first += lanes) {
      const index = s.resize(
        group(s, at.regs, first * indexBytes, lanes * indexBytes),
        Math.max(16, lanes * indexBytes),
      );
      const data = s.resize(group(s, regs, first * size, lanes * size), Math.max(16, lanes * size));
      code.emitMasked(
        laneMask(s, type, mask, first, lanes, size),
        false,
        op,
        mem({ base, index, scale: size as 4 | 8 }),
        data,
      );
    }
    return;
  }
  const shape = s.shape(type);
  const width = Math.max(16, shape.bytes);
  const place = spread(s, at, width * shape.parts);
  regs.forEach((reg, i) =>
    code.emit("vmovups", mem({ base: rsp, disp: place.dataAt + i * shape.bytes }), s.resize(reg, width)),
  );
  eachLane(s, at, place, mask, (lane, index) => {
    const data = code.general();
    code.emit(
      size < 4 ? "movzx" : "mov",
      size < 4 ? r32(data.id) : sizedReg(data, size),
      mem({ base: rsp, disp: place.dataAt + lane * size, size: size as 1 | 2 | 4 | 8 }),
    );
    code.emit("mov", element(base, index, size), sizedReg(data, size));
  });
}
