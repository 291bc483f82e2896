/**
 * Arithmetic in a wider type: f16 and bf16 in f32, and the operations on bytes and words that have no instruction.
 */
import type { KType, KValue, Prim } from "@quern/core/kernel";
import type { Reg } from "../asm/index.ts";
import { convert } from "./convert.ts";
import { floatSuffix } from "./element.ts";
import { floatRemainderRegs } from "./remainder.ts";
import type { Selector } from "./selector.ts";
import { widenParts } from "./widen-lanes.ts";

/** f16 and bf16: widened to f32, computed there, rounded back. */
export function viaWider(
  s: Selector,
  prim: Prim,
  type: KType,
  args: readonly KValue[],
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const single: KType = { ...type, dtype: "f32" };
  const parts = args.map((arg) => widenParts(s, s.regs(arg), arg.type));
  let result: readonly Reg[];
  if (prim === "fma") {
    const [a, b, c] = parts as [readonly Reg[], readonly Reg[], readonly Reg[]];
    result = s.fresh(single);
    result.forEach((to, i) => {
      s.move(to, c[i] as Reg);
      s.code.emit(`vfmadd231${floatSuffix(single)}`, to, a[i] as Reg, b[i] as Reg);
    });
  } else if (prim === "rem")
    result = floatRemainderRegs(s, single, parts[0] as readonly Reg[], parts[1] as readonly Reg[], undefined);
  else result = s.operations.vectorPrim(s, prim, single, parts, undefined);
  return convert(s, result, single, type, into, undefined);
}

/** Vectors of bytes and words: widened to i32, computed there, truncated. */
export function widenOperation(
  s: Selector,
  prim: Prim,
  type: KType,
  operands: readonly (readonly Reg[])[],
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const wide: KType = { ...type, dtype: type.dtype === "u8" || type.dtype === "u16" ? "u32" : "i32" };
  const parts = operands.map((regs) => widenParts(s, regs, type));
  return convert(s, s.operations.vectorPrim(s, prim, wide, parts, undefined), wide, type, into, undefined);
}
