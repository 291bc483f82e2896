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
      return dotBytes(s, type, a, b, c, into);
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

/** acc + the sums of four products of unsigned and signed bytes. */
function dotBytes(
  s: Selector,
  type: KType,
  acc: KValue,
  a: KValue,
  b: KValue,
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { code } = s;
  const [sum, x] = [s.regs(acc), s.regs(a)];
  const y: readonly (Reg | Mem)[] = s.operands(b, false);
  const { features } = s.target;
  const out = s.results(type, into);
  const native = features.has("avx512vnni")
    ? "vpdpbusd"
    : features.has("avx-vnni") && !s.wide
      ? "{vex} vpdpbusd"
      : undefined;
  if (native !== undefined) {
    out.forEach((to, i) => {
      s.move(to, sum[i]!);
      code.emit(native, to, x[i]!, y[i]!);
    });
    return out;
  }
  // vpmaddubsw would saturate its 16-bit sums, so even and odd bytes are multiplied apart in 16 bits each.
  const { bytes } = s.shape(a.type);
  const width = Math.max(16, bytes);
  const lowBytes = splat(s, literalBytes("u16", 0x00ff), width);
  const regs = y.map((operand) => {
    if (operand.kind === "reg") return s.resize(operand, width);
    const loaded = s.vector(width);
    code.emit("vmovups", loaded, operand);
    return loaded;
  });
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
    const u = s.resize(x[i]!, width);
    code.emit("vandps", xe, u, lowBytes);
    code.emit("vpsrlw", xo, u, 8);
    code.emit("vpsllw", yl, regs[i]!, 8);
    code.emit("vpsraw", ye, yl, 8);
    code.emit("vpsraw", yo, regs[i]!, 8);
    code.emit("vpmaddwd", even, xe, ye);
    code.emit("vpmaddwd", odd, xo, yo);
    code.emit("vpaddd", both, even, odd);
    code.emit("vpaddd", to, s.resize(sum[i]!, width), both);
  });
  return out;
}
