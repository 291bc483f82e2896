/**
 * Integers that order as elements do, so that searches for extremes need no care for NaN and the signs of zero.
 */

import type { DType, KernelBuilder, KValue } from "@quern/core";

/** Types whose elements order as i32 or i64. */
export const ORDERED: ReadonlySet<DType> = new Set(["f32", "f16", "bf16", "i64", "i32", "i16", "i8", "u16", "u8"]);

/** An integer that orders as the element does; NaN above everything, both zeros equal. */
export function orderKey(k: KernelBuilder, x: KValue): KValue {
  const { dtype } = x.type;
  if (dtype === "i64" || dtype === "i32") return x;
  if (dtype !== "f32" && dtype !== "f16" && dtype !== "bf16") return k.cast(x, "i32");
  const wide = dtype === "f32" ? x : k.cast(x, "f32");
  const bits = k.bitcast(k.select(k.eq(wide, 0), k.const("f32", 0), wide), "i32");
  const ordered = k.xor(bits, k.and(k.shr(bits, 31), 0x7fffffff));
  return k.select(k.ne(wide, wide), k.const("i32", 0x7fffffff), ordered);
}
