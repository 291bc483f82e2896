/**
 * Operations that only some targets have an instruction for; the others get an equivalent sequence.
 */
import type { KType, KValue } from "@quern/core/kernel";
import type { Mem, Reg } from "../asm/index.ts";
import { literalBytes, splat } from "./constants.ts";
import { roundToBf16 } from "./float-bits.ts";
import { joinGroups, narrowWith } from "./regroup.ts";
import type { Selector } from "./selector.ts";

type Intrinsic = Extract<KValue["def"], { kind: "intrinsic" }>;

export function emitIntrinsic(
  s: Selector,
  value: KValue,
  def: Intrinsic,
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { type } = value;
  const [a, b, c] = def.args as [KValue, KValue, KValue];
  switch (def.name) {
    case "rcpApprox":
    case "rsqrtApprox":
      return approximate(s, def.name === "rcpApprox" ? "vrcp" : "vrsqrt", type, s.regs(a), into);
    case "toBf16Bits":
      return toBf16(s, a, type, into);
    case "bf16Pair":
      return pairBf16(s, a, b, type, into);
    case "dot4u8i8":
    case "dot4u7i8":
      return dotBytes(s, def.name === "dot4u7i8", type, [a, b, c], into);
    case "packBytes":
      return s.copy(s.regs(a), into);
    case "lookupBytes":
      return lookupBytes(s, type, a, b, into);
  }
}

function approximate(
  s: Selector,
  stem: string,
  type: KType,
  x: readonly Reg[],
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const out = s.results(type, into);
  const op = `${stem}${s.wide ? "14" : ""}${type.lanes === 1 ? "ss" : "ps"}`;
  out.forEach((to, i) => (type.lanes === 1 ? s.code.emit(op, to, x[i]!, x[i]!) : s.code.emit(op, to, x[i]!)));
  return out;
}

/** Rounded to nearest even; the instruction takes denormals as zero. */
function toBf16(s: Selector, a: KValue, type: KType, into: readonly Reg[] | undefined): readonly Reg[] {
  if (!s.target.features.has("avx512bf16") || a.type.lanes < 4) return roundToBf16(s, s.regs(a), a.type, type, into);
  return narrowWith(s, "vcvtneps2bf16", s.regs(a), a.type, type, into);
}

function pairBf16(
  s: Selector,
  high: KValue,
  low: KValue,
  type: KType,
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { code } = s;
  const [h, l] = [s.regs(high), s.regs(low)];
  const shape = s.shape(type);
  if (s.target.features.has("avx512bf16") && h.length === 1 && s.shape(high.type).bytes >= 16 && shape.parts === 1) {
    const out = s.results(type, into);
    code.emit("vcvtne2ps2bf16", out[0] as Reg, h[0] as Reg, l[0] as Reg);
    return out;
  }
  const half: KType = { ...type, lanes: type.lanes / 2 };
  const groups = [low, high].flatMap((v) => [...toBf16(s, v, half, undefined)]);
  const bytes = s.shape(half).bytes;
  const perPart = shape.bytes / bytes;
  if (perPart < 1) {
    if (into !== undefined) s.moveAll(into, groups);
    return into ?? groups;
  }
  return Array.from({ length: shape.parts }, (_, i) =>
    joinGroups(s, groups.slice(i * perPart, (i + 1) * perPart), bytes, shape.bytes, into?.[i]),
  );
}

/** acc + the sums of four products of unsigned and signed bytes; `small` where no unsigned byte is above 127. */
function dotBytes(
  s: Selector,
  small: boolean,
  type: KType,
  [acc, a, b]: readonly [KValue, KValue, KValue],
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { code } = s;
  const { features } = s.target;
  const native = features.has("avx512vnni")
    ? "vpdpbusd"
    : features.has("avx-vnni") && !s.wide
      ? "{vex} vpdpbusd"
      : undefined;
  const y: readonly (Reg | Mem)[] =
    native === "vpdpbusd" || (small && s.wide) ? s.operands(b, native !== undefined) : s.regs(b);
  const [sum, x] = [s.regs(acc), s.regs(a)];
  const out = s.results(type, into);
  if (native !== undefined) {
    out.forEach((to, i) => {
      const [u, v] = [x[i]!, y[i]!];
      // The sum is overwritten first: a factor must not be there.
      const clash = to.id !== sum[i]!.id && (to.id === u.id || (v.kind === "reg" && to.id === v.id));
      const work = clash ? s.vector(s.shape(type).bytes) : to;
      s.move(work, sum[i]!);
      code.emit(native, work, u, v);
      s.move(to, work);
    });
    return out;
  }
  const { bytes } = s.shape(type);
  const width = Math.max(16, bytes);
  const at = (reg: Reg): Reg => s.resize(reg, width);
  const factors = y.map((operand) => (operand.kind === "reg" ? at(operand) : operand));
  if (small) {
    // 2 · 127 · 128 fits the 16-bit sums.
    const ones = splat(s, literalBytes("u16", 1), width);
    out.forEach((to, i) => {
      const [pairs, quads] = [s.vector(width), s.vector(width)];
      code.emit("vpmaddubsw", pairs, at(x[i]!), factors[i]!);
      code.emit("vpmaddwd", quads, pairs, ones);
      code.emit("vpaddd", at(to), at(sum[i]!), quads);
    });
    return out;
  }
  // vpmaddubsw would saturate its 16-bit sums, so even and odd bytes are multiplied apart in 16 bits each.
  const lowBytes = splat(s, literalBytes("u16", 0x00ff), width);
  out.forEach((to, i) => {
    const [xe, xo, yl, ye, yo, even, odd, both] = Array.from({ length: 8 }, () => s.vector(width)) as [
      Reg,
      Reg,
      Reg,
      Reg,
      Reg,
      Reg,
      Reg,
      Reg,
    ];
    const [u, v] = [at(x[i]!), factors[i]!];
    code.emit("vandps", xe, u, lowBytes);
    code.emit("vpsrlw", xo, u, 8);
    code.emit("vpsllw", yl, v, 8);
    code.emit("vpsraw", ye, yl, 8);
    code.emit("vpsraw", yo, v, 8);
    code.emit("vpmaddwd", even, xe, ye);
    code.emit("vpmaddwd", odd, xo, yo);
    code.emit("vpaddd", both, even, odd);
    code.emit("vpaddd", at(to), at(sum[i]!), both);
  });
  return out;
}

/** The bytes of a table of 16 that the bytes of `x` pick; tables stand in each 16 bytes of their vector. */
function lookupBytes(
  s: Selector,
  type: KType,
  table: KValue,
  x: KValue,
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const [entries, picks] = [s.regs(table), s.regs(x)];
  const out = s.results(type, into);
  out.forEach((to, i) => s.code.emit("vpshufb", to, entries[i]!, picks[i]!));
  return out;
}
