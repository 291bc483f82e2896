/**
 * Trigonometric functions and their inverses in the kernel language.
 *
 * Reduction: x = n π/2 + r with |r| <= π/4 by multiply-adds with π/2 in parts (Cody and Waite); the low bits of
 * n + 1.5 · 2^23 (f32) are n mod 4. No step relies on sums that a GPU compiler may cancel. Valid for |x| <= 10^5 with
 * the stated bounds; beyond 6 · 10^6 (f32) results have no meaning, but infinities still give NaN. Polynomials are
 * minimax fits.
 */

import type { KernelBuilder } from "./builder.ts";
import type { KValue } from "./ir.ts";
import { type MathType, inF32, inFloat, polynomial, withSign } from "./math-basic.ts";

const TWO_OVER_PI = 0.6366197723675814;

/** π/2 as a sum of numbers of the type. f32: 8 bits in the first two, so that products with n < 2^16 are exact unfused. */
const HALF_PI: Readonly<Record<MathType, readonly number[]>> = {
  f32: [1.5703125, 0.0004825592041015625, 1.2675908465098473e-6, -5.1453114636784356e-14],
  f64: [1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33],
};

/** π/2 as a sum of two f32 numbers, the first one nearest. */
const HALF_PI_F32 = [1.5707963705062866, -4.371138828673793e-8] as const;

// (sin r - r) / r³ in r² on |r| <= π/4: relative error 5.2e-12 and 2.1e-21.
const SIN: Readonly<Record<MathType, readonly number[]>> = {
  f32: [-0.1666666664058822, 0.008333329280524819, -0.00019839304415444025, 2.7180464705822016e-6],
  f64: [
    -0.16666666666666666, 0.008333333333333323, -0.0001984126984125465, 2.75573192139851e-6, -2.5052104860767135e-8,
    1.6058360439441925e-10, -7.578403267842034e-13,
  ],
};
// (cos r - 1 + r²/2) / r⁴ in r²: relative error 1.2e-10 and 2.7e-23.
const COS: Readonly<Record<MathType, readonly number[]>> = {
  f32: [0.041666645554483434, -0.001388730986702155, 2.443241300699037e-5],
  f64: [
    0.041666666666666664, -0.0013888888888888872, 2.480158730157038e-5, -2.755731921492708e-7, 2.087675427071777e-9,
    -1.1470282985830115e-11, 4.7376669020159646e-14,
  ],
};
// (tan r - r) / r³ in r²: relative error 1.3e-9.
const TAN = [
  0.33333350029540965, 0.1333265353222629, 0.054061066290347355, 0.021276057966043548, 0.010852180529213403,
  6.820122049683122e-5, 0.004387078127526012,
];
// (asin x - x) / x³ in x² on |x| <= 0.5: relative error 4.9e-9.
const ASIN = [0.1666675268095134, 0.0749528868661278, 0.04547160563910658, 0.024172957579658486, 0.04217822230341677];
// (atan x - x) / x³ in x² on |x| <= 1: relative error 2.6e-9.
const ATAN = [
  -0.3333329909324575, 0.19998548406071134, -0.14264242828167742, 0.10952190713291328, -0.08403461522349706,
  0.057957733854992866, -0.03117794043925039, 0.01091463556337979, -0.001793624359198085,
];

interface Quadrant {
  readonly r: KValue;
  /** Integer whose low two bits are the quadrant. */
  readonly quadrant: KValue;
}

function reduceQuadrant(k: KernelBuilder, x: KValue, type: MathType): Quadrant {
  const magic = type === "f32" ? 1.5 * 2 ** 23 : 1.5 * 2 ** 52;
  const n = k.round(k.mul(x, TWO_OVER_PI));
  let r = x;
  for (const part of HALF_PI[type]) r = k.fma(n, -part, r);
  return { r, quadrant: k.bitcast(k.add(n, magic), type === "f32" ? "i32" : "i64") };
}

/** sin r and cos r for |r| <= π/4. */
function sinCosKernel(k: KernelBuilder, r: KValue, type: MathType): readonly [KValue, KValue] {
  const s = k.mul(r, r);
  const sine = k.fma(k.mul(s, r), polynomial(k, s, SIN[type]), r);
  // 1 - s/2 is rounded once; what the rounding lost is added back for f64, where it would show.
  const half = k.fma(s, -0.5, 1);
  const lost = k.fma(s, -0.5, k.sub(1, half));
  const tail = k.fma(k.mul(s, s), polynomial(k, s, COS[type]), lost);
  return [sine, k.add(half, tail)];
}

function sineOfQuadrant(k: KernelBuilder, x: KValue, type: MathType, offset: 0 | 1): KValue {
  const { r, quadrant: first } = reduceQuadrant(k, x, type);
  const [sine, cosine] = sinCosKernel(k, r, type);
  const quadrant = k.add(first, offset);
  const picked = k.select(k.eq(k.and(quadrant, 1), 0), sine, cosine);
  // Bit 1 of the quadrant is the sign.
  const [word, shift] = type === "f32" ? (["i32", 30] as const) : (["i64", 62] as const);
  const sign = k.shl(k.and(quadrant, 2), shift);
  return k.bitcast(k.xor(k.bitcast(picked, word), sign), type);
}

/** Sine within 2 ulp for |x| <= 10^5 (f32, f64). */
export function sin(k: KernelBuilder, x: KValue): KValue {
  return inFloat(k, "sin", [x], (type, [a]) => {
    const value = a as KValue;
    // Only for the sign of zero: 0 and -0 give themselves.
    return k.select(k.eq(value, 0), value, sineOfQuadrant(k, value, type, 0));
  });
}

/** Cosine within 2 ulp for |x| <= 10^5 (f32, f64). */
export function cos(k: KernelBuilder, x: KValue): KValue {
  return inFloat(k, "cos", [x], (type, [a]) => sineOfQuadrant(k, a as KValue, type, 1));
}

/** Tangent within 3 ulp for |x| <= 10^5; f32. */
export function tan(k: KernelBuilder, x: KValue): KValue {
  return inF32(k, "tan", [x], ([a]) => {
    const value = a as KValue;
    const { r, quadrant } = reduceQuadrant(k, value, "f32");
    const s = k.mul(r, r);
    const t = k.fma(k.mul(s, r), polynomial(k, s, TAN), r);
    const isEven = k.eq(k.and(quadrant, 1), 0);
    const result = k.div(k.select(isEven, t, k.const(t.type, -1)), k.select(isEven, k.const(t.type, 1), t));
    return k.select(k.eq(value, 0), value, result);
  });
}

interface ArcParts {
  readonly isLarge: KValue;
  /** asin of |x|, or of √((1 - |x|) / 2) where |x| > 1/2. */
  readonly p: KValue;
}

function arcParts(k: KernelBuilder, x: KValue): ArcParts {
  const magnitude = k.abs(x);
  const isLarge = k.gt(magnitude, 0.5);
  const s = k.select(isLarge, k.fma(magnitude, -0.5, 0.5), k.mul(x, x));
  const t = k.select(isLarge, k.sqrt(s), magnitude);
  return { isLarge, p: k.fma(k.mul(s, t), polynomial(k, s, ASIN), t) };
}

/** Inverse sine within 2.5 ulp; NaN outside -1..1; f32. */
export function asin(k: KernelBuilder, x: KValue): KValue {
  return inF32(k, "asin", [x], ([a]) => {
    const value = a as KValue;
    const { isLarge, p } = arcParts(k, value);
    const [high, low] = HALF_PI_F32;
    const large = k.add(k.fma(p, -2, low), high);
    const magnitude = k.select(isLarge, large, p);
    return k.select(k.ne(magnitude, magnitude), magnitude, withSign(k, k.abs(magnitude), value));
  });
}

/** Inverse cosine within 2 ulp; NaN outside -1..1; f32. */
export function acos(k: KernelBuilder, x: KValue): KValue {
  return inF32(k, "acos", [x], ([a]) => {
    const value = a as KValue;
    const { isLarge, p } = arcParts(k, value);
    const [high, low] = HALF_PI_F32;
    const negative = k.lt(value, 0);
    const signed = k.select(negative, k.neg(p), p);
    const small = k.add(k.sub(low, signed), high);
    const twice = k.add(p, p);
    const large = k.select(negative, k.add(k.sub(2 * low, twice), 2 * high), twice);
    return k.select(isLarge, large, small);
  });
}

/** Inverse tangent within 2 ulp; f32. */
export function atan(k: KernelBuilder, x: KValue): KValue {
  return inF32(k, "atan", [x], ([a]) => {
    const value = a as KValue;
    const magnitude = k.abs(value);
    const isLarge = k.gt(magnitude, 1);
    const t = k.select(isLarge, k.div(1, magnitude), magnitude);
    const s = k.mul(t, t);
    const p = k.fma(k.mul(s, t), polynomial(k, s, ATAN), t);
    const [high, low] = HALF_PI_F32;
    return withSign(k, k.select(isLarge, k.add(k.sub(low, p), high), p), value);
  });
}
