/**
 * Moving lanes between registers when the element size changes: groups of bytes out of the parts of a value, groups
 * joined to parts, lanes widened and narrowed.
 */
import type { KType } from "@quern/core/kernel";
import type { Reg } from "../asm/index.ts";
import { splat } from "./constants.ts";
import { packPairs } from "./masks.ts";
import type { Selector } from "./selector.ts";

export function registerBytes(reg: Reg): number {
  return reg.cls === "zmm" ? 64 : reg.cls === "ymm" ? 32 : 16;
}

/** `bytes` bytes from byte `at` of a value on, at the bottom of a register; what lies behind them is undefined. */
export function group(s: Selector, regs: readonly Reg[], at: number, bytes: number): Reg {
  const { code } = s;
  const perRegister = registerBytes(regs[0] as Reg);
  let reg = regs[Math.floor(at / perRegister)] as Reg;
  let offset = at % perRegister;
  if (offset === 0) return s.resize(reg, Math.max(16, bytes));
  if (bytes === 32) {
    const half = s.vector(32);
    code.emit("vextractf64x4", half, reg, 1);
    return half;
  }
  if (offset >= 16) {
    const quarter = s.vector(16);
    if (perRegister === 64) code.emit("vextractf32x4", quarter, reg, offset >> 4);
    else code.emit(s.wide ? "vextractf32x4" : "vextractf128", quarter, reg, 1);
    reg = quarter;
    offset &= 15;
  }
  if (offset === 0) return s.resize(reg, 16);
  const shifted = s.vector(16);
  code.emit("vpsrldq", shifted, s.resize(reg, 16), offset);
  return shifted;
}

/** One register of `total` bytes from groups of `bytes` bytes each, in order. */
export function joinGroups(s: Selector, groups: readonly Reg[], bytes: number, total: number, into?: Reg): Reg {
  const { code } = s;
  if (groups.length === 1) {
    const only = groups[0] as Reg;
    if (into === undefined) return s.resize(only, total);
    s.move(into, s.resize(only, Math.max(16, total)));
    return into;
  }
  if (bytes < 16) {
    // Pairs of 8 (or 4) bytes to 16 (8), then as usual.
    const pairs: Reg[] = [];
    for (let i = 0; i < groups.length; i += 2) {
      const pair = s.vector(16);
      code.emit(
        bytes === 8 ? "vpunpcklqdq" : bytes === 4 ? "vpunpckldq" : "vpunpcklwd",
        pair,
        s.resize(groups[i] as Reg, 16),
        s.resize(groups[i + 1] as Reg, 16),
      );
      pairs.push(pair);
    }
    return joinGroups(s, pairs, bytes * 2, total, into);
  }
  if (bytes === 16 && total === 64) {
    const halves = [0, 2].map((i) => joinGroups(s, groups.slice(i, i + 2), 16, 32));
    return joinGroups(s, halves, 32, 64, into);
  }
  const out = into ?? s.vector(total);
  const [low, high] = groups as [Reg, Reg];
  if (total === 64) code.emit("vinsertf64x4", out, s.resize(low, 64), s.resize(high, 32), 1);
  else code.emit(s.wide ? "vinsertf32x4" : "vinsertf128", out, s.resize(low, 32), s.resize(high, 16), 1);
  return out;
}

/** Applies `op` (vpmovzxbd, vcvtdq2pd, …), which makes a part of `to` from the group of `from` with the same lanes. */
export function widenWith(
  s: Selector,
  op: string,
  regs: readonly Reg[],
  from: KType,
  to: KType,
  into?: readonly Reg[],
): readonly Reg[] {
  const source = s.shape(from);
  const target = s.shape(to);
  const bytes = target.lanes * source.laneBytes;
  const out = into ?? s.fresh(to);
  out.forEach((reg, i) => s.code.emit(op, s.resize(reg, Math.max(16, target.bytes)), group(s, regs, i * bytes, bytes)));
  return out;
}

/** Applies `op` (vpmovdb, vcvtpd2ps, …) to each part and joins the shorter results to parts of `to`. */
export function narrowWith(
  s: Selector,
  op: string,
  regs: readonly Reg[],
  from: KType,
  to: KType,
  into?: readonly Reg[],
  imm?: number,
): readonly Reg[] {
  const { code } = s;
  const source = s.shape(from);
  const target = s.shape(to);
  const bytes = source.lanes * target.laneBytes;
  const perPart = target.bytes / bytes;
  const groups = regs.map((reg) => {
    const shorter =
      regs.length === 1 && into !== undefined
        ? s.resize(into[0] as Reg, Math.max(16, bytes))
        : s.vector(Math.max(16, bytes));
    if (imm === undefined) code.emit(op, shorter, s.resize(reg, Math.max(16, source.bytes)));
    else code.emit(op, shorter, s.resize(reg, Math.max(16, source.bytes)), imm);
    return shorter;
  });
  if (regs.length === 1) return into ?? [s.resize(groups[0] as Reg, target.bytes)];
  return Array.from({ length: target.parts }, (_, i) =>
    joinGroups(s, groups.slice(i * perPart, (i + 1) * perPart), bytes, target.bytes, into?.[i]),
  );
}

/** Integers to fewer bytes, dropping the upper bits. */
export function truncateLanes(
  s: Selector,
  regs: readonly Reg[],
  from: KType,
  to: KType,
  into?: readonly Reg[],
): readonly Reg[] {
  const source = s.shape(from).laneBytes;
  const target = s.shape(to).laneBytes;
  const letter: Record<number, string> = { 1: "b", 2: "w", 4: "d", 8: "q" };
  if (s.wide) return narrowWith(s, `vpmov${letter[source]}${letter[target]}`, regs, from, to, into);
  if (source === 8) {
    const ints: KType = { ...from, dtype: "i32" };
    const halves = narrowQuads(s, regs, from, target === 4 ? into : undefined);
    return target === 4 ? halves : truncateLanes(s, halves, ints, to, into);
  }
  // Clear what would saturate, then pack.
  const { bytes } = s.shape(from);
  const keep = splat(
    s,
    target === 1
      ? source === 2
        ? Uint8Array.of(255, 0, 255, 0)
        : Uint8Array.of(255, 0, 0, 0)
      : Uint8Array.of(255, 255, 0, 0),
    Math.max(16, bytes),
  );
  const cleared = regs.map((reg) => {
    const out = s.vector(Math.max(16, bytes));
    s.code.emit("vandps", out, s.resize(reg, Math.max(16, bytes)), keep);
    return out;
  });
  let packed: readonly Reg[] = cleared;
  if (source === 4) packed = packPairs(s, packed, "vpackusdw");
  if (target === 1) packed = packPairs(s, packed, "vpackuswb");
  const shape = s.shape(to);
  const sizedParts = packed.map((reg) => s.resize(reg, shape.bytes));
  if (into === undefined) return sizedParts;
  s.moveAll(into, sizedParts);
  return into;
}

/** AVX2: the low halves of 64-bit lanes. */
function narrowQuads(s: Selector, regs: readonly Reg[], from: KType, into: readonly Reg[] | undefined): readonly Reg[] {
  const out = into ?? s.fresh({ ...from, dtype: "i32" });
  out.forEach((to, i) => narrowQuad(s, to, regs[2 * i] as Reg, regs[2 * i + 1]));
  return out;
}

/** AVX2: the low halves of the 64-bit lanes of one or two registers, in one. */
export function narrowQuad(s: Selector, to: Reg, low: Reg, high: Reg | undefined): void {
  const { code } = s;
  if (low.cls === "xmm") {
    code.emit("vpshufd", s.resize(to, 16), low, 0x08);
    return;
  }
  if (high === undefined) {
    const upper = s.vector(16);
    code.emit("vextractf128", upper, low, 1);
    code.emit("vshufps", s.resize(to, 16), s.resize(low, 16), upper, 0x88);
    return;
  }
  const mixed = s.vector(32);
  code.emit("vshufps", mixed, low, high, 0x88);
  code.emit("vpermq", to, mixed, 0xd8);
}
