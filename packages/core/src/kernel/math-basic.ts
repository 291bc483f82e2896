/**
 * Exact and single-step functions in the kernel language: sign, NaN handling, remainders, reciprocals.
 *
 * In and out: scalars or vectors of any float or integer type unless stated. f16 and bf16 are computed in f32 and
 * rounded once at the end. No function branches, so all of them vectorise.
 */

import { UnsupportedError } from "../errors.ts";
import type { ArithmeticBuilder } from "./arithmetic-builder.ts";
import { isFloatType, isSignedType } from "./element.ts";
import type { KValue } from "./ir.ts";

/** Names of the two types that have implementations of their own. */
export type MathType = "f32" | "f64";

/** Runs `body` in f32 for f16 and bf16, directly for f32 and f64; others are not floats. */
export function inFloat(
  k: ArithmeticBuilder,
  name: string,
  args: readonly KValue[],
  body: (type: MathType, args: readonly KValue[]) => KValue,
): KValue {
  const dtype = (args[0] as KValue).type.dtype;
  if (dtype === "f32" || dtype === "f64") return body(dtype, args);
  if (dtype !== "f16" && dtype !== "bf16") {
    throw new UnsupportedError({
      op: name,
      dtype: dtype === "index" ? undefined : dtype,
      reason: "the function is defined for floats",
    });
  }
  const result = body(
    "f32",
    args.map((arg) => k.cast(arg, "f32")),
  );
  return result.type.dtype === "f32" ? k.cast(result, dtype) : result;
}

/** For functions without an f64 implementation. */
export function inF32(
  k: ArithmeticBuilder,
  name: string,
  args: readonly KValue[],
  body: (args: readonly KValue[]) => KValue,
): KValue {
  return inFloat(k, name, args, (type, converted) => {
    if (type === "f64")
      throw new UnsupportedError({ op: name, dtype: "f64", reason: "only f32, f16 and bf16 kernels exist" });
    return body(converted);
  });
}

/** c0 + c1 x + c2 x² + … by Horner's rule with fused multiply-adds. */
export function polynomial(k: ArithmeticBuilder, x: KValue, coefficients: readonly number[]): KValue {
  let sum: KValue = k.const(x.type, coefficients.at(-1) as number);
  for (const coefficient of coefficients.slice(0, -1).reverse()) sum = k.fma(sum, x, coefficient);
  return sum;
}

const SIGN_BIT = { f32: { bits: "i32", mask: -(2 ** 31) }, f64: { bits: "i64", mask: -(1n << 63n) } } as const;

/** `magnitude` (not negative) with the sign bit of `sign`; f32 and f64. */
export function withSign(k: ArithmeticBuilder, magnitude: KValue, sign: KValue): KValue {
  const type = sign.type.dtype as MathType;
  const { bits, mask } = SIGN_BIT[type];
  return k.bitcast(k.or(k.bitcast(magnitude, bits), k.and(k.bitcast(sign, bits), mask)), type);
}

/** True where the sign bit is set, also of -0; f32 and f64. */
export function signBit(k: ArithmeticBuilder, x: KValue): KValue {
  const { bits } = SIGN_BIT[x.type.dtype as MathType];
  return k.lt(k.bitcast(x, bits), 0);
}

/** 1 / x, correctly rounded. */
export function reciprocal(k: ArithmeticBuilder, x: KValue): KValue {
  return inFloat(k, "reciprocal", [x], (_, [a]) => k.div(1, a as KValue));
}

/** 1 / √x within 1.5 ulp. */
export function rsqrt(k: ArithmeticBuilder, x: KValue): KValue {
  return inFloat(k, "rsqrt", [x], (_, [a]) => k.div(1, k.sqrt(a as KValue)));
}

export function square(k: ArithmeticBuilder, x: KValue): KValue {
  return k.mul(x, x);
}

export function isNaN(k: ArithmeticBuilder, x: KValue): KValue {
  return isFloatType(x.type.dtype) ? k.ne(x, x) : k.const({ ...x.type, dtype: "bool" }, false);
}

/** True for infinities of either sign. */
export function isInf(k: ArithmeticBuilder, x: KValue): KValue {
  return isFloatType(x.type.dtype) ? k.eq(k.abs(x), Infinity) : k.const({ ...x.type, dtype: "bool" }, false);
}

/** The smaller operand; NaN when either is NaN (IEEE 754-2019 minimum, except that zeros compare equal). */
export function ieeeMin(k: ArithmeticBuilder, a: KValue, b: KValue): KValue {
  const smaller = k.min(a, b);
  // min gives b when a is NaN, so only a needs the test.
  return isFloatType(smaller.type.dtype) ? k.select(k.ne(a, a), a, smaller) : smaller;
}

/** The larger operand; NaN when either is NaN. */
export function ieeeMax(k: ArithmeticBuilder, a: KValue, b: KValue): KValue {
  const larger = k.max(a, b);
  return isFloatType(larger.type.dtype) ? k.select(k.ne(a, a), a, larger) : larger;
}

/** -1, 0 or 1; zeros and NaN give themselves. */
export function sign(k: ArithmeticBuilder, x: KValue): KValue {
  const whenPositive = k.select(k.gt(x, 0), k.const(x.type, 1), x);
  if (!isSignedType(x.type.dtype)) return whenPositive;
  return k.select(k.lt(x, 0), k.const(x.type, -1), whenPositive);
}

/**
 * Remainder with the sign of `a` (C's fmod, `%` in JavaScript). Floats: exact while |a / b| < 2^22 (f32) or 2^51
 * (f64); an infinite `b` gives `a`, a zero `b` NaN. Integers: undefined for b = 0.
 */
export function fmod(k: ArithmeticBuilder, a: KValue, b: KValue): KValue {
  if (!isFloatType(a.type.dtype)) return k.rem(a, b);
  return inFloat(k, "fmod", [a, b], (_, [x, y]) => {
    const [dividend, divisor] = [k.abs(x as KValue), k.abs(y as KValue)];
    const quotient = k.trunc(k.div(dividend, divisor));
    const first = k.fma(k.neg(quotient), divisor, dividend);
    // The quotient may have been rounded up to the next integer, or down to the one below.
    const notNegative = k.select(k.lt(first, 0), k.add(first, divisor), first);
    const reduced = k.select(k.ge(notNegative, divisor), k.sub(notNegative, divisor), notNegative);
    const finite = k.and(k.eq(divisor, Infinity), k.lt(dividend, Infinity));
    return withSign(k, k.abs(k.select(finite, dividend, reduced)), x as KValue);
  });
}

/** Remainder with the sign of `b` (Python's `%`, ONNX Mod). */
export function mod(k: ArithmeticBuilder, a: KValue, b: KValue): KValue {
  const remainder = fmod(k, a, b);
  if (!isSignedType(remainder.type.dtype)) return remainder;
  const wrong = k.and(k.ne(remainder, 0), k.ne(k.lt(remainder, 0), k.lt(b, 0)));
  return k.select(wrong, k.add(remainder, b), remainder);
}

/** Quotient rounded towards minus infinity. */
export function floorDiv(k: ArithmeticBuilder, a: KValue, b: KValue): KValue {
  if (isFloatType(a.type.dtype))
    return inFloat(k, "floorDiv", [a, b], (_, [x, y]) => k.floor(k.div(x as KValue, y as KValue)));
  const quotient = k.div(a, b);
  if (!isSignedType(a.type.dtype)) return quotient;
  const remainder = k.sub(a, k.mul(quotient, b));
  const wrong = k.and(k.ne(remainder, 0), k.ne(k.lt(remainder, 0), k.lt(b, 0)));
  return k.select(wrong, k.sub(quotient, 1), quotient);
}
