/**
 * Comparisons of one vector register with another, as all-ones or all-zeros lanes (AVX2).
 */
import type { KDType } from "@quern/core/kernel";
import type { Reg } from "../asm/index.ts";
import { literalBytes, splat } from "./constants.ts";
import { isFloating, isSigned, laneBytesOf } from "./element.ts";
import type { Selector } from "./selector.ts";

/** Predicates of vcmpps (ordered and quiet, but "ne" unordered). */
export const FLOAT_PREDICATES: Readonly<Record<string, number>> = {
  lt: 0x11,
  le: 0x12,
  gt: 0x1e,
  ge: 0x1d,
  eq: 0x00,
  ne: 0x04,
};

export function compareLanes(s: Selector, prim: string, dtype: KDType, to: Reg, a: Reg, b: Reg, bytes: number): void {
  const { code } = s;
  if (isFloating(dtype)) {
    code.emit(dtype === "f32" ? "vcmpps" : "vcmppd", to, a, b, FLOAT_PREDICATES[prim] as number);
    return;
  }
  const wide = laneBytesOf(dtype) === 8;
  const invert = prim === "ne" || prim === "le" || prim === "ge";
  const raw = invert ? s.vector(bytes) : to;
  if (prim === "eq" || prim === "ne") code.emit(wide ? "vpcmpeqq" : "vpcmpeqd", raw, a, b);
  else {
    // a < b is b > a; a <= b is not a > b.
    const [x, y] = prim === "gt" || prim === "le" ? [a, b] : [b, a];
    if (wide) code.emit("vmovaps", raw, greaterQuad(s, dtype, x, y, bytes));
    else if (isSigned(dtype)) code.emit("vpcmpgtd", raw, x, y);
    else {
      const sign = splat(s, literalBytes("u32", 0x80000000), bytes);
      const [p, q] = [s.vector(bytes), s.vector(bytes)];
      code.emit("vxorps", p, x, sign);
      code.emit("vxorps", q, y, sign);
      code.emit("vpcmpgtd", raw, p, q);
    }
  }
  if (invert) code.emit("vxorps", to, raw, splat(s, new Uint8Array(4).fill(255), bytes));
}

/** a > b on 64-bit lanes as a vector mask (AVX2); unsigned by flipping the sign bits. */
export function greaterQuad(s: Selector, dtype: KDType, a: Reg, b: Reg, bytes: number): Reg {
  const { code } = s;
  const out = s.vector(bytes);
  if (isSigned(dtype)) {
    code.emit("vpcmpgtq", out, a, b);
    return out;
  }
  const sign = splat(s, literalBytes("u64", 1n << 63n), bytes);
  const [x, y] = [s.vector(bytes), s.vector(bytes)];
  code.emit("vxorps", x, a, sign);
  code.emit("vxorps", y, b, sign);
  code.emit("vpcmpgtq", out, x, y);
  return out;
}
