/**
 * Conversions of scalars: integers in general registers, f32 and f64 in xmm registers, f16 and bf16 as their bits in
 * general registers.
 */
import type { KDType, KType } from "@quern/core/kernel";
import { r32 } from "../asm/index.ts";
import type { Reg } from "../asm/index.ts";
import { integerConstant, literalBytes, splat } from "./constants.ts";
import { roundToBf16 } from "./float-bits.ts";
import { widenParts } from "./widen-lanes.ts";
import { extend } from "./scalar.ts";
import type { Selector } from "./selector.ts";
import { isFloating, isSigned, laneBytesOf } from "./element.ts";

function isSmallFloat(dtype: KDType): boolean {
  return dtype === "f16" || dtype === "bf16";
}

export function convertScalar(
  s: Selector,
  regs: readonly Reg[],
  from: KType,
  to: KType,
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { code } = s;
  const [x] = regs as [Reg];
  const deliver = (reg: Reg): readonly Reg[] => {
    if (into === undefined) return [reg];
    s.move(into[0] as Reg, reg);
    return into;
  };
  if (isSmallFloat(from.dtype)) {
    const single: KType = { ...from, dtype: "f32" };
    const wide = widenParts(s, regs, from);
    return to.dtype === "f32" ? deliver(wide[0] as Reg) : convertScalar(s, wide, single, to, into);
  }
  if (isSmallFloat(to.dtype)) {
    const single: KType = { ...from, dtype: "f32" };
    const [float] = (from.dtype === "f32" ? regs : convertScalar(s, regs, from, single, undefined)) as [Reg];
    if (to.dtype === "bf16") return roundToBf16(s, [float], single, to, into);
    const halves = s.vector(16);
    const bits = code.general();
    const out = into?.[0] ?? code.general();
    code.emit("vcvtps2ph", halves, s.resize(float, 16), 0);
    code.emit("vmovd", r32(bits.id), halves);
    extend(s, out, bits, { ...to, dtype: "u16" });
    return [out];
  }
  if (isFloating(from.dtype) && isFloating(to.dtype)) {
    const out = into?.[0] ?? s.vector(16);
    code.emit(from.dtype === "f32" ? "vcvtss2sd" : "vcvtsd2ss", out, x, x);
    return [out];
  }
  if (isFloating(to.dtype)) return deliver(integerToFloat(s, x, from, to));
  if (isFloating(from.dtype)) return deliver(floatToInteger(s, x, from, to));
  return deliver(integerToInteger(s, x, from, to));
}

function integerToInteger(s: Selector, x: Reg, from: KType, to: KType): Reg {
  const { code } = s;
  const [a, b] = [laneBytesOf(from.dtype), laneBytesOf(to.dtype)];
  const out = code.general();
  if (b === 8) {
    if (a === 8) return x;
    // Unsigned and already zero-extended types need their upper half clear.
    if (isSigned(from.dtype)) code.emit("movsxd", out, r32(x.id));
    else code.emit("mov", r32(out.id), r32(x.id));
    return out;
  }
  if (b === 4) code.emit("mov", r32(out.id), r32(x.id));
  else extend(s, out, x, to);
  return out;
}

function integerToFloat(s: Selector, x: Reg, from: KType, to: KType): Reg {
  const { code } = s;
  const suffix = to.dtype === "f32" ? "ss" : "sd";
  const zero = s.vector(16);
  const out = s.vector(16);
  code.emit("vxorps", zero, zero, zero);
  if (from.dtype === "u64") {
    if (s.wide) {
      code.emit(`vcvtusi2${suffix}`, out, zero, x);
      return out;
    }
    return unsignedToFloat(s, x, suffix, zero);
  }
  if (laneBytesOf(from.dtype) === 8) code.emit(`vcvtsi2${suffix}`, out, zero, x);
  else if (from.dtype === "u32") {
    const wide = code.general();
    code.emit("mov", r32(wide.id), r32(x.id));
    code.emit(`vcvtsi2${suffix}`, out, zero, wide);
  } else code.emit(`vcvtsi2${suffix}`, out, zero, r32(x.id));
  return out;
}

/** u64 above the signed range: convert half of it, with the lost bit kept for rounding, and double. */
function unsignedToFloat(s: Selector, x: Reg, suffix: "ss" | "sd", zero: Reg): Reg {
  const { code } = s;
  const out = s.vector(16);
  const [large, end] = [code.label("large"), code.label("end")];
  code.emit("test", x, x);
  code.emit("js", large);
  code.emit(`vcvtsi2${suffix}`, out, zero, x);
  code.emit("jmp", end);
  code.bind(large);
  const [half, bit] = [code.general(), code.general()];
  code.emit("mov", half, x);
  code.emit("shr", half, 1);
  code.emit("mov", bit, x);
  code.emit("and", bit, 1);
  code.emit("or", half, bit);
  const converted = s.vector(16);
  code.emit(`vcvtsi2${suffix}`, converted, zero, half);
  code.emit(`vadd${suffix}`, out, converted, converted);
  code.bind(end);
  return out;
}

/** Truncates and saturates; NaN becomes 0. Works in f64, where the bounds of all types of up to 32 bits are exact. */
function floatToInteger(s: Selector, x: Reg, from: KType, to: KType): Reg {
  const { code } = s;
  let wide = x;
  if (from.dtype === "f32") {
    wide = s.vector(16);
    code.emit("vcvtss2sd", wide, x, x);
  }
  const [ordered, clean] = [s.vector(16), s.vector(16)];
  if (s.wide) {
    const mask = code.mask();
    code.emit("vcmpsd", mask, wide, wide, 7);
    code.emitMasked(mask, true, "vmovapd", clean, wide);
  } else {
    code.emit("vcmpsd", ordered, wide, wide, 7);
    code.emit("vandpd", clean, wide, ordered);
  }
  const { dtype } = to;
  const constant = (value: number): Reg => splat(s, literalBytes("f64", value), 8);
  const out = code.general();
  if (laneBytesOf(dtype) < 8) {
    const bits = laneBytesOf(dtype) * 8;
    const low = isSigned(dtype) ? -(2 ** (bits - 1)) : 0;
    const high = isSigned(dtype) ? 2 ** (bits - 1) - 1 : 2 ** bits - 1;
    const [above, inside] = [s.vector(16), s.vector(16)];
    code.emit("vmaxsd", above, clean, constant(low));
    code.emit("vminsd", inside, above, constant(high));
    code.emit("vcvttsd2si", out, inside);
    return out;
  }
  const result = code.general();
  if (dtype !== "u64") {
    const most = integerConstant(s, (1n << 63n) - 1n);
    code.emit("vcvttsd2si", out, clean);
    code.emit("mov", result, out);
    code.emit("vucomisd", clean, constant(2 ** 63));
    code.emit("cmovae", result, most);
    return result;
  }
  const positive = s.vector(16);
  code.emit("vmaxsd", positive, clean, constant(0));
  if (s.wide) {
    code.emit("vcvttsd2usi", out, positive);
    return out;
  }
  // At 2^63 and above convert the rest and set the top bit; at 2^64 all ones.
  const [reduced, upper, flipped] = [s.vector(16), code.general(), code.general()];
  code.emit("vcvttsd2si", result, positive);
  code.emit("vsubsd", reduced, positive, constant(2 ** 63));
  code.emit("vcvttsd2si", upper, reduced);
  code.emit("mov", flipped, upper);
  code.emit("xor", flipped, integerConstant(s, -(1n << 63n)));
  code.emit("vucomisd", positive, constant(2 ** 63));
  code.emit("cmovae", result, flipped);
  const all = integerConstant(s, -1);
  code.emit("vucomisd", positive, constant(2 ** 64));
  code.emit("cmovae", result, all);
  return result;
}
