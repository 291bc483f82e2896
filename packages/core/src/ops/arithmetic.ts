/**
 * Elementwise arithmetic with exactly rounded results: one and two inputs.
 *
 * Integers wrap by two's complement; a zero divisor of integers gives 0 in the reference and anything on devices.
 * Float results are within one rounding, but for f16 and bf16, which may be computed in f32.
 */

import { type Dim, dimAdd, dimFloorDiv, dimMax, dimMin, dimMod, dimMul, dimSub } from "../dim.ts";
import { DTYPE_INFO, type DType, isFloat } from "../dtype.ts";
import type { KValue } from "../kernel/ir.ts";
import * as math from "../kernel/math.ts";
import { binaryCases, opCase, specialPairs, unaryCases, values, within } from "./cases.ts";
import { dimAs, lowerBound } from "./dim-facts.ts";
import type { Op } from "./op.ts";
import { pointwise } from "./pointwise.ts";
import { roundHalfEven } from "./ref-tensor.ts";
import { ulps } from "./tolerance.ts";

/** a·b wrapped to an integer `dtype`: float64 drops low bits of products beyond 2^53. */
function integerProduct(dtype: DType, a: number, b: number): number {
  const product = a * b;
  if (Number.isSafeInteger(product) || !Number.isFinite(product)) return product;
  return Number(BigInt.asIntN(DTYPE_INFO[dtype].bytes * 8, BigInt(a) * BigInt(b)));
}

function product(dtype: DType | undefined, a: number, b: number): number {
  return dtype === undefined || isFloat(dtype) ? a * b : integerProduct(dtype, a, b);
}

export const neg: Op = pointwise({
  name: "neg",
  summary: "-x",
  inputs: ["x"],
  group: "numeric",
  reference: ([x]) => -(x as number),
  emit: (k, [x]) => k.neg(x as KValue),
  dims: ([x], _attrs, dtype) => dimAs(dtype, dimSub(0, x as Dim)),
  cases: () => unaryCases(["f32", "f16", "f64", "i32", "i64", "i8"]),
});

export const abs: Op = pointwise({
  name: "abs",
  summary: "|x|",
  inputs: ["x"],
  group: "numeric",
  reference: ([x]) => Math.abs(x as number),
  emit: (k, [x]) => k.abs(x as KValue),
  cases: () => unaryCases(["f32", "f16", "i32", "i64", "u8"]),
});

export const sign: Op = pointwise({
  name: "sign",
  summary: "-1, 0 or 1 by the sign of x; NaN stays",
  inputs: ["x"],
  group: "numeric",
  reference: ([x]) => Math.sign(x as number),
  emit: (k, [x]) => math.sign(k, x as KValue),
  cases: () => unaryCases(["f32", "f16", "i32", "i64", "u8"]),
});

export const floor: Op = pointwise({
  name: "floor",
  summary: "Largest integral value not above x",
  inputs: ["x"],
  group: "float",
  reference: ([x]) => Math.floor(x as number),
  emit: (k, [x]) => k.floor(x as KValue),
  dims: ([x], _attrs, dtype) => (typeof x === "number" ? dimAs(dtype, Math.floor(x)) : x),
  cases: () => unaryCases(["f32", "f16", "f64"]),
});

export const ceil: Op = pointwise({
  name: "ceil",
  summary: "Smallest integral value not below x",
  inputs: ["x"],
  group: "float",
  reference: ([x]) => Math.ceil(x as number),
  emit: (k, [x]) => k.ceil(x as KValue),
  dims: ([x], _attrs, dtype) => (typeof x === "number" ? dimAs(dtype, Math.ceil(x)) : x),
  cases: () => unaryCases(["f32", "f16", "f64"]),
});

export const trunc: Op = pointwise({
  name: "trunc",
  summary: "x without its fraction",
  inputs: ["x"],
  group: "float",
  reference: ([x]) => Math.trunc(x as number),
  emit: (k, [x]) => k.trunc(x as KValue),
  cases: () => unaryCases(["f32", "f16", "f64"]),
});

export const round: Op = pointwise({
  name: "round",
  summary: "Nearest integral value, ties to even",
  inputs: ["x"],
  group: "float",
  reference: ([x]) => roundHalfEven(x as number),
  emit: (k, [x]) => k.round(x as KValue),
  cases: () => [
    ...unaryCases(["f32", "f16", "f64"]),
    opCase("ties", [values("f32", [0.5, 1.5, 2.5, 3.5, -0.5, -1.5, -2.5, 8388607.5, 16777217])]),
  ],
});

export const sqrt: Op = pointwise({
  name: "sqrt",
  summary: "√x; NaN below zero",
  inputs: ["x"],
  group: "float",
  reference: ([x]) => Math.sqrt(x as number),
  emit: (k, [x]) => k.sqrt(x as KValue),
  tolerance: ulps(3),
  cases: () => unaryCases(["f32", "f16", "f64"], 0, 9),
});

export const rsqrt: Op = pointwise({
  name: "rsqrt",
  summary: "1/√x",
  inputs: ["x"],
  group: "float",
  reference: ([x]) => 1 / Math.sqrt(x as number),
  emit: (k, [x]) => k.div(1, k.sqrt(x as KValue)),
  tolerance: ulps(4),
  cases: () => unaryCases(["f32", "f16", "f64"], 0.01, 9),
});

export const reciprocal: Op = pointwise({
  name: "reciprocal",
  summary: "1/x",
  inputs: ["x"],
  group: "float",
  reference: ([x]) => 1 / (x as number),
  emit: (k, [x]) => k.div(1, x as KValue),
  tolerance: ulps(3),
  cases: () => unaryCases(["f32", "f16", "f64"], 0.1, 9),
});

export const square: Op = pointwise({
  name: "square",
  summary: "x·x",
  inputs: ["x"],
  group: "numeric",
  reference: ([x], _attrs, types) => product(types[0]?.dtype, x as number, x as number),
  emit: (k, [x]) => k.mul(x as KValue, x as KValue),
  tolerance: ulps(1),
  cases: () => unaryCases(["f32", "f16", "i32"]),
});

export const identity: Op = pointwise({
  name: "identity",
  summary: "x itself",
  inputs: ["x"],
  group: "any",
  reference: ([x]) => x as number,
  emit: (_k, [x]) => x as KValue,
  dims: ([x]) => x,
  cases: () => unaryCases(["f32", "f16", "bf16", "f64", "i64", "u8", "bool"]),
});

export const add: Op = pointwise({
  name: "add",
  summary: "a + b",
  inputs: ["a", "b"],
  group: "numeric",
  reference: ([a, b]) => (a as number) + (b as number),
  emit: (k, [a, b]) => k.add(a as KValue, b as KValue),
  dims: ([a, b], _attrs, dtype) => dimAs(dtype, dimAdd(a as Dim, b as Dim)),
  tolerance: ulps(1),
  cases: () => [
    ...binaryCases(["f32", "f16", "f64", "i32", "i64"]),
    opCase("special", specialPairs("f32")),
    opCase("wraps", [values("i32", [2147483647, -2147483648, 5]), values("i32", [1, -1, -7])]),
    opCase("wraps u8", [values("u8", [255, 200, 5]), values("u8", [1, 100, 7])]),
  ],
});

export const sub: Op = pointwise({
  name: "sub",
  summary: "a - b",
  inputs: ["a", "b"],
  group: "numeric",
  reference: ([a, b]) => (a as number) - (b as number),
  emit: (k, [a, b]) => k.sub(a as KValue, b as KValue),
  dims: ([a, b], _attrs, dtype) => dimAs(dtype, dimSub(a as Dim, b as Dim)),
  tolerance: ulps(1),
  cases: () => [
    ...binaryCases(["f32", "f16", "f64", "i32", "i64"]),
    opCase("special", specialPairs("f32")),
    opCase("wraps u8", [values("u8", [0, 200, 5]), values("u8", [1, 100, 7])]),
  ],
});

export const mul: Op = pointwise({
  name: "mul",
  summary: "a · b",
  inputs: ["a", "b"],
  group: "numeric",
  reference: ([a, b], _attrs, types) => product(types[0]?.dtype, a as number, b as number),
  emit: (k, [a, b]) => k.mul(a as KValue, b as KValue),
  dims: ([a, b], _attrs, dtype) => {
    if (a === undefined || b === undefined) return undefined;
    const fraction = [a, b].some((dim) => typeof dim === "number" && !Number.isInteger(dim));
    // A fraction of a symbol is no dimension.
    const symbolic = typeof a !== "number" || typeof b !== "number";
    if (symbolic) return fraction ? undefined : dimAs(dtype, dimMul(a, b));
    return dimAs(dtype, product(dtype, a, b));
  },
  tolerance: ulps(1),
  cases: () => [
    ...binaryCases(["f32", "f16", "f64", "i32", "i64"]),
    opCase("special", specialPairs("f32")),
    opCase("wraps", [values("i32", [2147483647, -2147483648, 65536]), values("i32", [2147483647, -1, 65537])]),
  ],
});

export const div: Op = pointwise({
  name: "div",
  summary: "a / b; integers truncate towards zero",
  inputs: ["a", "b"],
  group: "numeric",
  reference: ([a, b], _attrs, types) => {
    const quotient = (a as number) / (b as number);
    if (isFloat(types[0]?.dtype as DType)) return quotient;
    return b === 0 ? 0 : Math.trunc(quotient);
  },
  emit: (k, [a, b]) => k.div(a as KValue, b as KValue),
  dims: ([a, b], _attrs, dtype) => {
    if (typeof a === "number" && typeof b === "number") {
      if (b === 0) return undefined;
      return dimAs(dtype, isFloat(dtype) ? a / b : Math.trunc(a / b));
    }
    if (b === 1) return a;
    // Truncation is the floor where neither side is negative.
    const safe = !isFloat(dtype) && lowerBound(a as Dim) >= 0 && lowerBound(b as Dim) >= 0;
    return safe ? dimFloorDiv(a as Dim, b as Dim) : undefined;
  },
  tolerance: ulps(3),
  cases: () => [
    ...binaryCases(["f32", "f16", "f64"], (dtype, ...shape) => within(dtype, 0.5, 4, ...shape)),
    ...binaryCases(["i32", "i64", "u8"], (dtype, ...shape) => within(dtype, 1, 8, ...shape)),
    opCase("special", specialPairs("f32")),
    opCase("signs", [values("i32", [7, -7, 7, -7]), values("i32", [2, 2, -2, -2])]),
  ],
});

export const mod: Op = pointwise({
  name: "mod",
  summary: "Remainder with the sign of the divisor",
  inputs: ["a", "b"],
  group: "numeric",
  reference: ([a, b], _attrs, types) => {
    if (b === 0 && !isFloat(types[0]?.dtype as DType)) return 0;
    const rest = (a as number) % (b as number);
    return rest !== 0 && rest < 0 !== (b as number) < 0 ? rest + (b as number) : rest;
  },
  emit: (k, [a, b]) => math.mod(k, a as KValue, b as KValue),
  dims: ([a, b], _attrs, dtype) => {
    if (typeof a === "number" && typeof b === "number" && b !== 0) return dimAs(dtype, a - b * Math.floor(a / b));
    return !isFloat(dtype) && lowerBound(a as Dim) >= 0 && lowerBound(b as Dim) > 0
      ? dimMod(a as Dim, b as Dim)
      : undefined;
  },
  // Float remainders below a divisor may be computed from a rounded quotient.
  tolerance: ulps(4, 4),
  cases: () => [
    ...binaryCases(["i32", "i64", "u8"], (dtype, ...shape) => within(dtype, 1, 8, ...shape)),
    opCase("signs", [values("i32", [7, -7, 7, -7, 6]), values("i32", [3, 3, -3, -3, -3])]),
    opCase("f32", [values("f32", [7.5, -7.5, 7.5, -7.5, 1]), values("f32", [2, 2, -2, -2, 0.25])]),
  ],
});

export const fmod: Op = pointwise({
  name: "fmod",
  summary: "Remainder with the sign of the dividend",
  inputs: ["a", "b"],
  group: "numeric",
  reference: ([a, b], _attrs, types) =>
    b === 0 && !isFloat(types[0]?.dtype as DType) ? 0 : (a as number) % (b as number),
  emit: (k, [a, b]) => math.fmod(k, a as KValue, b as KValue),
  tolerance: ulps(4, 4),
  cases: () => [
    ...binaryCases(["i32", "i64", "u8"], (dtype, ...shape) => within(dtype, 1, 8, ...shape)),
    opCase("signs", [values("i32", [7, -7, 7, -7]), values("i32", [3, 3, -3, -3])]),
    opCase("f32", [values("f32", [7.5, -7.5, 7.5, -7.5, 1]), values("f32", [2, 2, -2, -2, 0.25])]),
  ],
});

export const maximum: Op = pointwise({
  name: "maximum",
  summary: "Larger of a and b; NaN when either is NaN",
  inputs: ["a", "b"],
  group: "numeric",
  reference: ([a, b]) => Math.max(a as number, b as number),
  emit: (k, [a, b]) => math.ieeeMax(k, a as KValue, b as KValue),
  dims: ([a, b]) => {
    if (lowerBound(dimSub(a as Dim, b as Dim)) >= 0) return a;
    return lowerBound(dimSub(b as Dim, a as Dim)) >= 0 ? b : dimMax(a as Dim, b as Dim);
  },
  cases: () => [
    ...binaryCases(["f32", "f16", "f64", "i32", "i64", "u8"]),
    opCase("special", specialPairs("f32", [1, -1, 2.5, Infinity, -Infinity, NaN])),
  ],
});

export const minimum: Op = pointwise({
  name: "minimum",
  summary: "Smaller of a and b; NaN when either is NaN",
  inputs: ["a", "b"],
  group: "numeric",
  reference: ([a, b]) => Math.min(a as number, b as number),
  emit: (k, [a, b]) => math.ieeeMin(k, a as KValue, b as KValue),
  dims: ([a, b]) => {
    if (lowerBound(dimSub(a as Dim, b as Dim)) >= 0) return b;
    return lowerBound(dimSub(b as Dim, a as Dim)) >= 0 ? a : dimMin(a as Dim, b as Dim);
  },
  cases: () => [
    ...binaryCases(["f32", "f16", "f64", "i32", "i64", "u8"]),
    opCase("special", specialPairs("f32", [1, -1, 2.5, Infinity, -Infinity, NaN])),
  ],
});
