/**
 * Logarithms, inverse hyperbolic functions and powers in the kernel language.
 *
 * Reduction: x = 2^e m with 2/3 <= m < 4/3 by integer arithmetic on the bits; subnormals are scaled up first. The
 * polynomials are minimax fits of relative error (Remez exchange). Error bounds are measured in `math.test.ts`.
 */

import type { KernelBuilder } from "./builder.ts";
import type { KValue } from "./ir.ts";
import { type MathType, inF32, inFloat, isNaN, polynomial, signBit, withSign } from "./math-basic.ts";
import { LN_2, LOG2_E, exp2Polynomial, expNonPositive } from "./math-exp.ts";

// (ln(1 + f) - f + f²/2) / f³ on |f| <= 1/3; relative error of the logarithm 4.6e-9.
const LOG_F32 = [
  0.33333215979870134, -0.24999797668166987, 0.2001040610287638, -0.1668048760268441, 0.14005865529734576,
  -0.12184256701846437, 0.1398445584464175, -0.1289170726985848,
];
// (2 artanh u - 2u) / u³ in u² for u = f / (2 + f), |u| <= 0.2; relative error 1.2e-21.
const LOG_F64 = [
  0.6666666666666666, 0.3999999999999922, 0.2857142857169747, 0.2222222217688447, 0.18181822500473072,
  0.15384367446354022, 0.13342070992206373, 0.11580474237421426, 0.12635278550095153,
];
// The same function for the extended logarithm of `pow`; relative error 2.3e-11.
const POW_LOG = [0.6666666311130579, 0.4000085845349534, 0.28507228540932095, 0.24097223628124254];

interface Split {
  /** Exponent, integral. */
  readonly e: KValue;
  /** Mantissa in 2/3..4/3. */
  readonly m: KValue;
}

const LAYOUT = {
  f32: { bits: "i32", twoThirds: 0x3f2aaaab, shift: 23, mask: -(2 ** 23), tiny: 2 ** -126, scale: 24 },
  f64: { bits: "i64", twoThirds: 0x3fe5555555555555n, shift: 52, mask: -(1n << 52n), tiny: 2 ** -1022, scale: 54 },
} as const;

/** Splits positive finite x, subnormals included. */
function split(k: KernelBuilder, x: KValue, type: MathType): Split {
  const { bits, twoThirds, shift, mask, tiny, scale } = LAYOUT[type];
  const isTiny = k.lt(x, tiny);
  const scaled = k.select(isTiny, k.mul(x, 2 ** scale), x);
  const pattern = k.bitcast(scaled, bits);
  const excess = k.sub(pattern, twoThirds);
  const m = k.bitcast(k.sub(pattern, k.and(excess, mask)), type);
  const e = k.cast(k.shr(excess, shift), type);
  return { m, e: k.add(e, k.select(isTiny, k.const(x.type, -scale), k.const(x.type, 0))) };
}

/** ln m of a mantissa, within half an ulp or so of itself. */
function logMantissa(k: KernelBuilder, m: KValue, type: MathType): KValue {
  const f = k.sub(m, 1);
  if (type === "f32") return k.fma(k.mul(f, f), k.fma(f, polynomial(k, f, LOG_F32), -0.5), f);
  // ln(1 + f) = f - (f²/2 - u (f²/2 + R)) with u = f / (2 + f) and R = u² W(u²), which keeps f exact.
  const u = k.div(f, k.add(f, 2));
  const s = k.mul(u, u);
  const halfSquare = k.mul(k.mul(f, f), 0.5);
  return k.sub(f, k.sub(halfSquare, k.mul(u, k.fma(s, polynomial(k, s, LOG_F64), halfSquare))));
}

/** Values of a logarithm outside the positive finite numbers. */
function logSpecial(k: KernelBuilder, x: KValue, result: KValue): KValue {
  // Infinity and NaN give themselves; 0 gives -infinity; negative numbers give NaN.
  const finite = k.select(k.lt(x, Infinity), result, x);
  return k.select(k.gt(x, 0), finite, k.select(k.eq(x, 0), k.const(x.type, -Infinity), k.const(x.type, Number.NaN)));
}

function logPositive(k: KernelBuilder, x: KValue, type: MathType): KValue {
  const { e, m } = split(k, x, type);
  const [high, low] = LN_2[type];
  return k.fma(e, high, k.fma(e, low, logMantissa(k, m, type)));
}

/** Natural logarithm within 1 ulp (f32, f64). */
export function log(k: KernelBuilder, x: KValue): KValue {
  return inFloat(k, "log", [x], (type, [a]) => logSpecial(k, a as KValue, logPositive(k, a as KValue, type)));
}

/** Logarithm to base 2 within 2 ulp (f32, f64). */
export function log2(k: KernelBuilder, x: KValue): KValue {
  return inFloat(k, "log2", [x], (type, [a]) => {
    const { e, m } = split(k, a as KValue, type);
    const natural = logMantissa(k, m, type);
    const low = LOG2_E_LOW[type];
    return logSpecial(k, a as KValue, k.add(e, k.fma(natural, LOG2_E, k.mul(natural, low))));
  });
}

/** log2 e minus its rounding to the type. */
const LOG2_E_LOW: Readonly<Record<MathType, number>> = { f32: 1.925963033500011e-8, f64: 2.0355273740931033e-17 };

/** Logarithm to base 10 within 2 ulp (f32, f64). */
export function log10(k: KernelBuilder, x: KValue): KValue {
  return inFloat(k, "log10", [x], (type, [a]) => {
    const { e, m } = split(k, a as KValue, type);
    const natural = logMantissa(k, m, type);
    const [twoHigh, twoLow] = LOG10_2[type];
    const scaled = k.fma(natural, LOG10_E, k.mul(natural, LOG10_E_LOW[type]));
    return logSpecial(k, a as KValue, k.fma(e, twoHigh, k.fma(e, twoLow, scaled)));
  });
}

const LOG10_E = 0.4342944819032518;
const LOG10_E_LOW: Readonly<Record<MathType, number>> = {
  f32: LOG10_E - Math.fround(LOG10_E),
  f64: 1.098319650216765e-17,
};
const LOG10_2: Readonly<Record<MathType, readonly [number, number]>> = {
  f32: [Math.fround(0.3010299956639812), 0.3010299956639812 - Math.fround(0.3010299956639812)],
  f64: [0.3010299956639812, -2.8037281277851704e-18],
};

/** ln(1 + x) within 2 ulp (f32, f64), relative also near 0. */
export function log1p(k: KernelBuilder, x: KValue): KValue {
  return inFloat(k, "log1p", [x], (type, [a]) => {
    const value = a as KValue;
    const sum = k.add(value, 1);
    // ln(1 + x) = ln sum + ln(1 + c / sum), where c is what rounding the sum lost.
    const lost = k.select(k.ge(value, 1), k.sub(1, k.sub(sum, value)), k.sub(value, k.sub(sum, 1)));
    const { e, m } = split(k, sum, type);
    const [high, low] = LN_2[type];
    const correction = k.div(lost, sum);
    const result = k.fma(e, high, k.add(logMantissa(k, m, type), k.fma(e, low, correction)));
    return k.select(k.eq(value, 0), value, logSpecial(k, sum, result));
  });
}

/** ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|) within 3 ulp (f32, f64). */
export function softplus(k: KernelBuilder, x: KValue): KValue {
  return inFloat(k, "softplus", [x], (_, [a]) => {
    const value = a as KValue;
    return k.add(k.max(0, value), log1p(k, expNonPositive(k, k.neg(k.abs(value)))));
  });
}

const LN_2_F32 = 0.6931471805599453;

/** Inverse hyperbolic sine within 3 ulp; f32. */
export function asinh(k: KernelBuilder, x: KValue): KValue {
  return inF32(k, "asinh", [x], ([a]) => {
    const value = a as KValue;
    const magnitude = k.abs(value);
    const s = k.mul(magnitude, magnitude);
    // Beyond 2^30 the square may overflow, and asinh x = ln 2x to full precision.
    const large = k.gt(magnitude, 2 ** 30);
    const argument = k.add(magnitude, k.div(s, k.add(1, k.sqrt(k.add(s, 1)))));
    const logarithm = log1p(k, k.select(large, magnitude, argument));
    return withSign(k, k.add(logarithm, k.select(large, k.const(value.type, LN_2_F32), k.const(value.type, 0))), value);
  });
}

/** Inverse hyperbolic cosine within 3 ulp; NaN below 1; f32. */
export function acosh(k: KernelBuilder, x: KValue): KValue {
  return inF32(k, "acosh", [x], ([a]) => {
    const value = a as KValue;
    const t = k.sub(value, 1);
    const large = k.gt(value, 2 ** 30);
    const argument = k.add(t, k.sqrt(k.fma(t, t, k.add(t, t))));
    // Far below the domain the square root cancels t to -1.
    const inside = k.select(k.lt(t, 0), k.const(value.type, NaN), argument);
    const logarithm = log1p(k, k.select(large, value, inside));
    return k.add(logarithm, k.select(large, k.const(value.type, LN_2_F32), k.const(value.type, 0)));
  });
}

/** Inverse hyperbolic tangent within 3 ulp; f32. */
export function atanh(k: KernelBuilder, x: KValue): KValue {
  return inF32(k, "atanh", [x], ([a]) => {
    const value = a as KValue;
    const magnitude = k.abs(value);
    const half = k.mul(log1p(k, k.div(k.add(magnitude, magnitude), k.sub(1, magnitude))), 0.5);
    const negative = k.lt(value, 0);
    return k.select(k.eq(value, 0), value, k.select(negative, k.neg(half), half));
  });
}

/** log2 of positive finite x as an unevaluated sum of two f32, relative error about 2^-40. */
function log2Extended(k: KernelBuilder, x: KValue): readonly [KValue, KValue] {
  const { e, m } = split(k, x, "f32");
  const f = k.sub(m, 1);
  // u = f / (m + 1), both ends extended: m + 1 = g + gLow.
  const g = k.add(m, 1);
  const gLow = k.sub(m, k.sub(g, 1));
  const inverse = k.div(1, g);
  const u = k.mul(f, inverse);
  const uLow = k.mul(k.fma(k.neg(u), gLow, k.fma(k.neg(u), g, f)), inverse);
  // ln m = 2u + u³ (c0 + u² c1 + …); the cubic term is extended as well.
  const [c0, ...rest] = POW_LOG as [number, ...number[]];
  const s = k.mul(u, u);
  const sLow = k.fma(u, u, k.neg(s));
  const tail = polynomial(k, s, rest);
  const head = Math.fround(c0);
  const p = k.fma(s, tail, head);
  const pLow = k.add(k.fma(s, tail, k.sub(head, p)), c0 - head);
  const cube = k.mul(s, u);
  const cubeLow = k.fma(sLow, u, k.fma(s, u, k.neg(cube)));
  const term = k.mul(cube, p);
  const termLow = k.fma(cube, p, k.neg(term));
  const termRest = k.fma(cube, pLow, k.fma(cubeLow, p, termLow));
  const twice = k.add(u, u);
  const h = k.add(twice, term);
  // The derivative of 2 artanh u is 2 / (1 - u²).
  const twiceLow = k.add(uLow, uLow);
  const l = k.add(k.add(k.sub(twice, h), term), k.fma(twiceLow, s, k.add(twiceLow, termRest)));
  // To base 2, plus the exponent.
  const log2e = Math.fround(LOG2_E);
  const t = k.mul(h, log2e);
  const tLow = k.fma(l, log2e, k.fma(h, LOG2_E_LOW.f32, k.fma(h, log2e, k.neg(t))));
  const high = k.add(e, t);
  return [high, k.add(k.add(k.sub(e, high), t), tLow)];
}

/** |x|^y for ordinary |x|, by 2^(y log2 |x|). */
function powPositive(k: KernelBuilder, x: KValue, y: KValue): KValue {
  const [high, low] = log2Extended(k, x);
  const product = k.mul(y, high);
  const productLow = k.fma(y, low, k.fma(y, high, k.neg(product)));
  const clamped = k.min(200, k.max(-200, product));
  const n = k.round(clamped);
  const ordinary = k.lt(k.abs(product), 200);
  const f = k.add(k.sub(clamped, n), k.select(ordinary, productLow, k.const(x.type, 0)));
  return exp2Polynomial(k, f, n, "f32");
}

/** x^y for the exponents that need no logarithm. */
function powConstant(k: KernelBuilder, x: KValue, y: KValue): KValue | undefined {
  if (y.def.kind !== "const") return undefined;
  switch (Number(y.def.value)) {
    case 0:
      return k.const(x.type, 1);
    case 1:
      return x;
    case 2:
      return k.mul(x, x);
    case 3:
      return k.mul(k.mul(x, x), x);
    case -1:
      return k.div(1, x);
    default:
      return undefined;
  }
}

/** x^y within 2 ulp with the special cases of IEEE 754 `pow`; f32. */
export function pow(k: KernelBuilder, x: KValue, y: KValue): KValue {
  return inF32(k, "pow", [x, y], ([a, b]) => {
    const lanes = Math.max((a as KValue).type.lanes, (b as KValue).type.lanes);
    const base = k.broadcast(a as KValue, lanes);
    const exponent = k.broadcast(b as KValue, lanes);
    const simple = powConstant(k, base, exponent);
    if (simple !== undefined) return simple;
    const magnitude = k.abs(base);
    const isZero = k.eq(magnitude, 0);
    const isInfinite = k.eq(magnitude, Infinity);
    const constant = (value: number): KValue => k.const(base.type, value);
    let result = powPositive(k, magnitude, exponent);
    const towardsZero = k.eq(isZero, k.gt(exponent, 0));
    result = k.select(k.or(isZero, isInfinite), k.select(towardsZero, constant(0), constant(Infinity)), result);
    result = k.select(k.eq(magnitude, 1), constant(1), result);
    const half = k.mul(exponent, 0.5);
    const isIntegral = k.eq(k.floor(exponent), exponent);
    const isOdd = k.and(isIntegral, k.ne(k.floor(half), half));
    result = k.select(k.and(signBit(k, base), isOdd), k.neg(result), result);
    const complex = k.and(k.and(k.lt(base, 0), k.not(isInfinite)), k.not(isIntegral));
    result = k.select(complex, constant(Number.NaN), result);
    result = k.select(k.or(isNaN(k, base), isNaN(k, exponent)), k.add(base, exponent), result);
    return k.select(k.or(k.eq(exponent, 0), k.eq(base, 1)), constant(1), result);
  });
}
