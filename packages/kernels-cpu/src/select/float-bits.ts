/**
 * Work on the bits of floats: NaN to zero, rounding to bf16.
 */
import type { KType } from "@quern/core/kernel";
import { r32 } from "../asm/index.ts";
import type { Reg } from "../asm/index.ts";
import { literalBytes, splat } from "./constants.ts";
import { truncateLanes } from "./regroup.ts";
import type { Selector } from "./selector.ts";

/** NaN lanes become zero. */
export function zeroNaN(s: Selector, regs: readonly Reg[], type: KType): readonly Reg[] {
  const { code } = s;
  const { bytes } = s.shape(type);
  const suffix = type.dtype === "f32" ? "ps" : "pd";
  return regs.map((reg) => {
    const out = s.vector(bytes);
    if (s.wide) {
      const ordered = code.mask();
      code.emit(`vcmp${suffix}`, ordered, reg, reg, 7);
      code.emitMasked(ordered, true, `vmova${suffix}`, out, reg);
    } else {
      const ordered = s.vector(bytes);
      code.emit(`vcmp${suffix}`, ordered, reg, reg, 7);
      code.emit("vandps", out, reg, ordered);
    }
    return out;
  });
}

/**
 * f32 to bf16, ties to even, by integer arithmetic: adding 0x7fff and the lowest kept bit carries into it exactly when
 * the value is to be rounded up. NaN would carry into the exponent and is replaced. (vcvtneps2bf16 flushes denormals.)
 */
export function roundToBf16(
  s: Selector,
  regs: readonly Reg[],
  from: KType,
  to: KType,
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { code } = s;
  const bytes = Math.max(16, s.shape(from).bytes);
  const half = splat(s, literalBytes("i32", 0x7fff), bytes);
  const one = splat(s, literalBytes("i32", 1), bytes);
  const quiet = splat(s, literalBytes("i32", 0x7fc0), bytes);
  const bits = regs.map((original) => {
    const reg = s.resize(original, bytes);
    const [shifted, odd, bias, sum, rounded, out] = Array.from({ length: 6 }, () => s.vector(bytes)) as [
      Reg,
      Reg,
      Reg,
      Reg,
      Reg,
      Reg,
    ];
    code.emit("vpsrld", shifted, reg, 16);
    code.emit("vandps", odd, shifted, one);
    code.emit("vpaddd", bias, odd, half);
    code.emit("vpaddd", sum, reg, bias);
    code.emit("vpsrld", rounded, sum, 16);
    if (s.wide) {
      const isNaN = code.mask();
      code.emit("vcmpps", isNaN, reg, reg, 3);
      code.emitMasked(isNaN, false, "vpblendmd", out, rounded, quiet);
    } else {
      const isNaN = s.vector(bytes);
      code.emit("vcmpps", isNaN, reg, reg, 3);
      code.emit("vblendvps", out, rounded, quiet, isNaN);
    }
    return out;
  });
  if (to.lanes === 1) {
    const out = into?.[0] ?? code.general();
    const low = code.general();
    code.emit("vmovd", r32(low.id), bits[0] as Reg);
    s.move(out, low);
    return [out];
  }
  return truncateLanes(
    s,
    bits.map((reg) => s.resize(reg, s.shape(from).bytes)),
    { ...from, dtype: "i32" },
    to,
    into,
  );
}
