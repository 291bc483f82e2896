/**
 * Shifts of vectors: by a literal or by a count per lane. Counts outside 0..bits-1 give 0, or the sign for arithmetic
 * shifts, as the instructions do.
 */
import type { KType, Prim } from "@quern/core/kernel";
import type { Reg } from "../asm/index.ts";
import { literalBytes, splat } from "./constants.ts";
import type { Selector } from "./selector.ts";
import { isSigned, laneBytesOf } from "./element.ts";
import { widenOperation } from "./widen.ts";

export function shiftVectors(
  s: Selector,
  prim: Prim,
  type: KType,
  a: readonly Reg[],
  counts: readonly Reg[],
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { code } = s;
  const bytes = laneBytesOf(type.dtype);
  const arithmetic = prim === "shr" && isSigned(type.dtype);
  const stem = prim === "shl" ? "vpsllv" : arithmetic ? "vpsrav" : "vpsrlv";
  if (bytes === 1 || (bytes === 2 && !s.wide)) return widenOperation(s, prim, type, [a, counts], into);
  const out = s.results(type, into);
  if (bytes === 8 && arithmetic && !s.wide) {
    // (x >>> n ^ m) - m with m = 2^63 >>> n; counts above 63 act like 63.
    const width = s.shape(type).bytes;
    const top = splat(s, literalBytes("u64", 1n << 63n), width);
    const most = splat(s, literalBytes("i64", 63n), width);
    out.forEach((to, i) => {
      const [over, n, shifted, m, flipped] = Array.from({ length: 5 }, () => s.vector(width)) as [
        Reg,
        Reg,
        Reg,
        Reg,
        Reg,
      ];
      code.emit("vpcmpgtq", over, counts[i]!, most);
      const negative = s.vector(width);
      code.emit("vpcmpgtq", negative, splat(s, new Uint8Array(4), width), counts[i]!);
      const outside = s.vector(width);
      code.emit("vorps", outside, over, negative);
      code.emit("vblendvpd", n, counts[i]!, most, outside);
      code.emit("vpsrlvq", shifted, a[i]!, n);
      code.emit("vpsrlvq", m, top, n);
      code.emit("vxorps", flipped, shifted, m);
      code.emit("vpsubq", to, flipped, m);
    });
    return out;
  }
  out.forEach((to, i) => code.emit(`${stem}${{ 2: "w", 4: "d", 8: "q" }[bytes]}`, to, a[i]!, counts[i]!));
  return out;
}

/** Shifts by a literal, which need no register for the count; undefined where there is no such instruction. */
export function shiftByLiteral(
  s: Selector,
  prim: Prim,
  type: KType,
  a: readonly Reg[],
  count: number,
  into: readonly Reg[] | undefined,
): readonly Reg[] | undefined {
  const bytes = laneBytesOf(type.dtype);
  const arithmetic = prim === "shr" && isSigned(type.dtype);
  if (bytes === 1 || count < 0 || count >= bytes * 8 || (bytes === 8 && arithmetic && !s.wide)) return undefined;
  const stem = prim === "shl" ? "vpsll" : arithmetic ? "vpsra" : "vpsrl";
  const out = s.results(type, into);
  out.forEach((to, i) => s.code.emit(`${stem}${{ 2: "w", 4: "d", 8: "q" }[bytes]}`, to, a[i]!, count));
  return out;
}
