/**
 * f32 as bf16 terms for the matrix unit: one term ("medium": x ≈ hi) or two ("high": x ≈ hi + lo), each rounded to
 * nearest even. Two terms keep 16 significant bits of x; what is lost is below 2^-17 |x|.
 *
 * The host side packs constants, the kernel side converts rows on their way into scratch. Values beyond the range of
 * bf16 (|x| > 3.39e38) and non-finite ones have no second term that helps: their products become NaN or infinite.
 */

import { type Buffer, type KValue, type KernelBuilder, type MatmulPrecision, InternalError } from "@quern/core";

/** Steps along k of one tile product: 32 bf16 in a row of 64 bytes. */
export const TILE_DEPTH = 32;
/** Elements of a bf16 tile of 16 rows. */
export const TILE_ELEMENTS = 512;

/** bf16 terms that a value is split into. */
export type Terms = 1 | 2;

export function termsOf(precision: MatmulPrecision): Terms {
  if (precision === "highest") throw new InternalError("termsOf: highest has no bf16 terms");
  return precision === "high" ? 2 : 1;
}

/** Products of terms that are summed for one product of values; low × low is below the rounding of the sum. */
export function productsOf(terms: Terms): number {
  return terms === 2 ? 3 : 1;
}

const floats = new Float32Array(1);
const bits = new Uint32Array(floats.buffer);

/** Bits of the bf16 nearest to `x`, ties to even. */
export function bf16Bits(x: number): number {
  floats[0] = x;
  const word = bits[0] as number;
  if (x !== x) return 0x7fc0;
  return (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
}

function bf16Value(word: number): number {
  bits[0] = word << 16;
  return floats[0] as number;
}

/** Writes the terms of `x` to `to[at]`, `to[at + distance]`. */
export function splitTo(to: Uint16Array, at: number, distance: number, terms: Terms, x: number): void {
  const high = bf16Bits(x);
  to[at] = high;
  if (terms === 2) to[at + distance] = bf16Bits(x - bf16Value(high));
}

/** 32 consecutive f32 as two vectors of 16. */
export type Row32 = readonly [KValue, KValue];

/** Stores the terms of 32 values to `to[at...]`, `to[at + distance...]`. */
export function storeSplit(k: KernelBuilder, to: Buffer, at: KValue, row: Row32, terms: Terms, distance: number): void {
  const pair = (low: KValue, high: KValue): KValue =>
    k.intrinsic("bf16Pair", [high, low], { dtype: "bf16", lanes: 32, rows: 1 });
  if (terms === 1) return k.store(to, at, pair(...row));
  const rest = row.map((x, half) => {
    const high = toBf16(k, x);
    k.store(to, k.add(at, 16 * half), high);
    return k.sub(x, k.cast(high, "f32"));
  });
  k.store(to, k.add(at, distance), pair(...(rest as [KValue, KValue])));
}

function toBf16(k: KernelBuilder, x: KValue): KValue {
  return k.intrinsic("toBf16Bits", [x], { dtype: "bf16", lanes: x.type.lanes, rows: 1 });
}

/**
 * Stores the terms of two rows of 16 values, k steps 2p and 2p + 1, as row p of a right-hand tile: the pairs of one
 * column stand together. Lanes of 32 bits are cheap to move, so this happens before the conversion.
 */
export function storeInterleaved(
  k: KernelBuilder,
  to: Buffer,
  at: KValue,
  even: KValue,
  odd: KValue,
  terms: Terms,
  distance: number,
): void {
  const pairs = (first: number): KValue =>
    k.shuffle(
      even,
      odd,
      Array.from({ length: 16 }, (_, lane) => (lane % 2) * 16 + first + (lane >> 1)),
    );
  storeSplit(k, to, at, [pairs(0), pairs(8)], terms, distance);
}
