/** Pieces of words: nibbles, bit planes and small scales, on vectors of u32 or scalars alike. */

import type { KValue, KernelBuilder } from "@quern/core";

/** `word` shifted right, or left for negative `by`. */
export function shifted(k: KernelBuilder, word: KValue, by: number): KValue {
  if (by === 0) return word;
  return by > 0 ? k.shr(word, by) : k.shl(word, -by);
}

/** `bits` of each byte of `word`, from bit `from` on, moved to bit `to`. Bits of neighbours never mix in. */
export function bitsOfBytes(k: KernelBuilder, word: KValue, from: number, bits: number, to = 0): KValue {
  const mask = ((2 ** bits - 1) << to) * 0x01010101;
  return k.and(shifted(k, word, from - to), mask >>> 0);
}

/** Byte `at` of each word as an unsigned number in i32. */
export function unsignedByte(k: KernelBuilder, word: KValue, at: number): KValue {
  const low = shifted(k, word, 8 * at);
  return k.bitcast(at === 3 ? low : k.and(low, 0xff), "i32");
}

/** Byte `at` of each word as a signed number in i32. */
export function signedByte(k: KernelBuilder, word: KValue, at: number): KValue {
  return k.shr(shifted(k, k.bitcast(word, "i32"), 8 * at - 24), 24);
}

/** `bits` bits of each word from bit `from` on, as a number in i32. */
export function bitsOf(k: KernelBuilder, word: KValue, from: number, bits: number): KValue {
  return k.bitcast(k.and(shifted(k, word, from), 2 ** bits - 1), "i32");
}

export function toFloat(k: KernelBuilder, integer: KValue): KValue {
  return k.cast(integer, "f32");
}
