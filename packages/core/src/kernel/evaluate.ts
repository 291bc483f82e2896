/**
 * Meaning of the primitives on single elements: the one definition which constant folding and the kernel interpreter
 * share, and against which every target is tested. Elements are those of `element.ts`; floats narrower than f64 are rounded after
 * each operation.
 */

import { DTYPE_INFO, type DType } from "../dtype.ts";
import { InternalError, UserError } from "../errors.ts";
import {
  type Scalar,
  bigFitter,
  bitcaster,
  caster,
  fitter,
  isFloatType,
  isSignedType,
  numberClass,
  roundTiesEven,
  toElement,
} from "./element.ts";
import type { Combiner, KDType, Prim } from "./ir.ts";

export type Evaluator = (a: never, b: never, c: never) => Scalar;

const view = new DataView(new ArrayBuffer(8));

/** a * b + c rounded once to f32: the f64 sum is rounded to odd first, so the second rounding is harmless. */
export function fmaF32(a: number, b: number, c: number): number {
  const product = a * b;
  const sum = product + c;
  if (!Number.isFinite(sum)) return Math.fround(sum);
  const shadow = sum - product;
  const error = product - (sum - shadow) + (c - shadow);
  if (error === 0) return Math.fround(sum);
  view.setFloat64(0, sum);
  const bits = view.getBigUint64(0);
  if ((bits & 1n) === 0n) view.setBigUint64(0, error > 0 === sum > 0 ? bits | 1n : bits - 1n);
  return Math.fround(view.getFloat64(0));
}

/** a * b + c with the error of the product kept; differs from one rounding only in rare halfway cases. */
function fmaF64(a: number, b: number, c: number): number {
  const product = a * b;
  const sum = product + c;
  if (!Number.isFinite(sum) || Math.abs(a) > 2 ** 900 || Math.abs(b) > 2 ** 900) return sum;
  const split = 134217729;
  const aHigh = a * split - (a * split - a);
  const bHigh = b * split - (b * split - b);
  const aLow = a - aHigh;
  const bLow = b - bHigh;
  const productError = aLow * bLow - (product - aHigh * bHigh - aLow * bHigh - aHigh * bLow);
  const shadow = sum - product;
  const sumError = product - (sum - shadow) + (c - shadow);
  return sum + (sumError + productError);
}

function scale2(x: number, n: number): number {
  if (Number.isNaN(n)) return n;
  const exponent = Math.max(-4200, Math.min(4200, Math.floor(n)));
  let result = x;
  for (let left = exponent; left !== 0;) {
    const step = Math.max(-1000, Math.min(1000, left));
    result *= 2 ** step;
    left -= step;
  }
  return result;
}

function divideBy<T extends number | bigint>(b: T): T {
  if (b === 0 || b === 0n) throw new UserError("integer division by zero");
  return b;
}

/** How the primitive works on elements of `dtype` (the type of its last operand); `to` is the result type. */
export function primEvaluator(prim: Prim, dtype: KDType, to: KDType): Evaluator {
  switch (prim) {
    case "cast":
      return caster(dtype, to) as Evaluator;
    case "bitcast":
      return bitcaster(dtype, to) as Evaluator;
    case "select":
      return ((c: boolean, a: Scalar, b: Scalar) => (c ? a : b)) as Evaluator;
    case "lt":
      return ((a: number, b: number) => a < b) as Evaluator;
    case "le":
      return ((a: number, b: number) => a <= b) as Evaluator;
    case "gt":
      return ((a: number, b: number) => a > b) as Evaluator;
    case "ge":
      return ((a: number, b: number) => a >= b) as Evaluator;
    case "eq":
      return ((a: number, b: number) => a === b) as Evaluator;
    case "ne":
      return ((a: number, b: number) => a !== b) as Evaluator;
    case "min":
      return ((a: number, b: number) => (a < b ? a : b)) as Evaluator;
    case "max":
      return ((a: number, b: number) => (a > b ? a : b)) as Evaluator;
    default:
  }
  switch (numberClass(dtype)) {
    case "float":
      return floatEvaluator(prim, dtype);
    case "big":
      return bigEvaluator(prim, dtype);
    case "bool":
      return boolEvaluator(prim);
    case "int":
      return intEvaluator(prim, dtype);
    case "index":
      return indexEvaluator(prim);
  }
}

function missing(prim: Prim, dtype: KDType): never {
  throw new InternalError(`primitive ${prim} has no meaning for ${dtype}`);
}

function floatEvaluator(prim: Prim, dtype: KDType): Evaluator {
  const fit = fitter(dtype);
  const unary = (f: (a: number) => number): Evaluator => f as Evaluator;
  const binary = (f: (a: number, b: number) => number): Evaluator => f as Evaluator;
  switch (prim) {
    case "add":
      return binary((a, b) => fit(a + b));
    case "sub":
      return binary((a, b) => fit(a - b));
    case "mul":
      return binary((a, b) => fit(a * b));
    case "div":
      return binary((a, b) => fit(a / b));
    case "rem":
      return binary((a, b) => fit(a % b));
    case "neg":
      return unary((a) => -a);
    case "abs":
      return unary(Math.abs);
    case "sqrt":
      return unary((a) => fit(Math.sqrt(a)));
    case "floor":
      return unary(Math.floor);
    case "ceil":
      return unary(Math.ceil);
    case "trunc":
      return unary(Math.trunc);
    case "round":
      return unary(roundTiesEven);
    case "scale2":
      return binary((a, b) => fit(scale2(a, b)));
    case "fma":
      if (dtype === "f64") return fmaF64 as Evaluator;
      if (dtype === "f32") return fmaF32 as Evaluator;
      return ((a: number, b: number, c: number) => fit(fmaF32(a, b, c))) as Evaluator;
    default:
      return missing(prim, dtype);
  }
}

function intEvaluator(prim: Prim, dtype: KDType): Evaluator {
  const fit = fitter(dtype);
  const bits = DTYPE_INFO[dtype as DType].bytes * 8;
  const signed = isSignedType(dtype);
  const unary = (f: (a: number) => number): Evaluator => f as Evaluator;
  const binary = (f: (a: number, b: number) => number): Evaluator => f as Evaluator;
  switch (prim) {
    case "add":
      return binary((a, b) => fit(a + b));
    case "sub":
      return binary((a, b) => fit(a - b));
    case "mul":
      return binary((a, b) => fit(Math.imul(a, b)));
    case "div":
      return binary((a, b) => fit(a / divideBy(b)));
    case "rem":
      return binary((a, b) => (a % divideBy(b)) + 0);
    case "neg":
      return unary((a) => fit(-a));
    case "abs":
      return unary((a) => fit(Math.abs(a)));
    case "and":
      return binary((a, b) => fit(a & b));
    case "or":
      return binary((a, b) => fit(a | b));
    case "xor":
      return binary((a, b) => fit(a ^ b));
    case "not":
      return unary((a) => fit(~a));
    case "shl":
      return binary((a, b) => (b < 0 || b >= bits ? 0 : fit(a << b)));
    case "shr":
      if (signed) return binary((a, b) => a >> (b < 0 || b >= bits ? bits - 1 : b));
      return binary((a, b) => (b < 0 || b >= bits ? 0 : a >>> b));
    default:
      return missing(prim, dtype);
  }
}

function indexEvaluator(prim: Prim): Evaluator {
  const unary = (f: (a: number) => number): Evaluator => f as Evaluator;
  const binary = (f: (a: number, b: number) => number): Evaluator => f as Evaluator;
  switch (prim) {
    // `+ 0` turns -0 into 0, so that equal indices print alike.
    case "add":
      return binary((a, b) => a + b);
    case "sub":
      return binary((a, b) => a - b);
    case "mul":
      return binary((a, b) => a * b + 0);
    case "div":
      return binary((a, b) => Math.trunc(a / divideBy(b)) + 0);
    case "rem":
      return binary((a, b) => (a % divideBy(b)) + 0);
    case "neg":
      return unary((a) => 0 - a);
    case "abs":
      return unary(Math.abs);
    case "and":
      return binary((a, b) => Number(BigInt.asIntN(64, BigInt(a) & BigInt(b))));
    case "or":
      return binary((a, b) => Number(BigInt.asIntN(64, BigInt(a) | BigInt(b))));
    case "xor":
      return binary((a, b) => Number(BigInt.asIntN(64, BigInt(a) ^ BigInt(b))));
    case "not":
      return unary((a) => -a - 1);
    case "shl":
      return binary((a, b) => a * 2 ** b);
    case "shr":
      return binary((a, b) => Math.floor(a / 2 ** b));
    default:
      return missing(prim, "index");
  }
}

function bigEvaluator(prim: Prim, dtype: KDType): Evaluator {
  const fit = bigFitter(dtype);
  const unary = (f: (a: bigint) => bigint): Evaluator => f as Evaluator;
  const binary = (f: (a: bigint, b: bigint) => bigint): Evaluator => f as Evaluator;
  switch (prim) {
    case "add":
      return binary((a, b) => fit(a + b));
    case "sub":
      return binary((a, b) => fit(a - b));
    case "mul":
      return binary((a, b) => fit(a * b));
    case "div":
      return binary((a, b) => fit(a / divideBy(b)));
    case "rem":
      return binary((a, b) => a % divideBy(b));
    case "neg":
      return unary((a) => fit(-a));
    case "abs":
      return unary((a) => fit(a < 0n ? -a : a));
    case "and":
      return binary((a, b) => fit(a & b));
    case "or":
      return binary((a, b) => fit(a | b));
    case "xor":
      return binary((a, b) => fit(a ^ b));
    case "not":
      return unary((a) => fit(~a));
    case "shl":
      return binary((a, b) => (b < 0n || b > 63n ? 0n : fit(a << b)));
    case "shr":
      return binary((a, b) => fit(a >> (b < 0n || b > 64n ? 64n : b)));
    default:
      return missing(prim, dtype);
  }
}

function boolEvaluator(prim: Prim): Evaluator {
  const binary = (f: (a: boolean, b: boolean) => boolean): Evaluator => f as Evaluator;
  switch (prim) {
    case "and":
      return binary((a, b) => a && b);
    case "or":
      return binary((a, b) => a || b);
    case "xor":
      return binary((a, b) => a !== b);
    case "not":
      return ((a: boolean) => !a) as Evaluator;
    default:
      return missing(prim, "bool");
  }
}

/** Primitive which combines two partial results of a reduction. */
export const COMBINER_PRIM: Readonly<Record<Combiner, Prim>> = {
  sum: "add",
  prod: "mul",
  max: "max",
  min: "min",
  and: "and",
  or: "or",
};

/** The element that changes nothing when combined. */
export function combinerIdentity(combiner: Combiner, dtype: KDType): Scalar {
  switch (combiner) {
    case "sum":
      return toElement(dtype, 0);
    case "prod":
      return toElement(dtype, 1);
    case "and":
      return dtype === "bool" ? true : toElement(dtype, -1);
    case "or":
      return toElement(dtype, 0);
    case "max":
      return isFloatType(dtype) ? -Infinity : extreme(dtype, "min");
    case "min":
      return isFloatType(dtype) ? Infinity : extreme(dtype, "max");
  }
}

function extreme(dtype: KDType, side: "min" | "max"): Scalar {
  // GPUs hold an index in 32 bits.
  if (dtype === "index") return side === "min" ? -(2 ** 31) : 2 ** 31 - 1;
  if (dtype === "i64") return side === "min" ? -(1n << 63n) : (1n << 63n) - 1n;
  if (dtype === "u64") return side === "min" ? 0n : (1n << 64n) - 1n;
  return DTYPE_INFO[dtype][side];
}
