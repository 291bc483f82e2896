/**
 * Comparisons, logic, choice, and tests on floats. Comparisons with NaN are false, but for `notEqual`.
 */

import type { Dim } from "../dim.ts";
import type { DType } from "../dtype.ts";
import type { KernelBuilder } from "../kernel/builder.ts";
import type { KValue } from "../kernel/ir.ts";
import { booleanAttr } from "./attrs.ts";
import { binaryCases, of, opCase, specialPairs, unaryCases, values } from "./cases.ts";
import { checkSameDType, given, typedAs } from "./check.ts";
import { dimLess, dimOfBoolean, dimSame } from "./dim-facts.ts";
import type { Op } from "./op.ts";
import { pointwise } from "./pointwise.ts";

type Comparison = "eq" | "ne" | "lt" | "le" | "gt" | "ge";

function comparison(
  name: string,
  symbol: string,
  prim: Comparison,
  holds: (a: number, b: number) => boolean,
  decide: (a: Dim, b: Dim) => boolean | undefined,
): Op {
  const ordered = prim !== "eq" && prim !== "ne";
  return pointwise({
    name,
    summary: `a ${symbol} b`,
    inputs: ["a", "b"],
    group: ordered ? "numeric" : "any",
    result: () => "bool",
    reference: ([a, b]) => Number(holds(a as number, b as number)),
    emit: (k, [a, b]) => k[prim](a as KValue, b as KValue),
    dims: ([a, b]) => dimOfBoolean(decide(a as Dim, b as Dim)),
    cases: () => [
      ...binaryCases(["f32", "f16", "i32", "i64", "u8"]),
      ...(ordered ? [] : binaryCases(["bool"])),
      opCase("special", specialPairs("f32")),
    ],
  });
}

function not(value: boolean | undefined): boolean | undefined {
  return value === undefined ? undefined : !value;
}

export const equal: Op = comparison("equal", "=", "eq", (a, b) => a === b, dimSame);
export const notEqual: Op = comparison(
  "notEqual",
  "≠",
  "ne",
  (a, b) => a !== b,
  (a, b) => not(dimSame(a, b)),
);
export const less: Op = comparison("less", "<", "lt", (a, b) => a < b, dimLess);
export const lessEqual: Op = comparison(
  "lessEqual",
  "≤",
  "le",
  (a, b) => a <= b,
  (a, b) => not(dimLess(b, a)),
);
export const greater: Op = comparison(
  "greater",
  ">",
  "gt",
  (a, b) => a > b,
  (a, b) => dimLess(b, a),
);
export const greaterEqual: Op = comparison(
  "greaterEqual",
  "≥",
  "ge",
  (a, b) => a >= b,
  (a, b) => not(dimLess(a, b)),
);

function logical(
  name: string,
  words: string,
  rule: (a: boolean, b: boolean) => boolean,
  prim: "and" | "or" | "xor",
): Op {
  return pointwise({
    name,
    summary: words,
    inputs: ["a", "b"],
    group: "bool",
    reference: ([a, b]) => Number(rule(a === 1, b === 1)),
    emit: (k, [a, b]) => k[prim](a as KValue, b as KValue),
    dims: ([a, b]) => (typeof a === "number" && typeof b === "number" ? Number(rule(a === 1, b === 1)) : undefined),
    cases: () => binaryCases(["bool"]),
  });
}

export const logicalAnd: Op = logical("logicalAnd", "a and b", (a, b) => a && b, "and");
export const logicalOr: Op = logical("logicalOr", "a or b", (a, b) => a || b, "or");
export const logicalXor: Op = logical("logicalXor", "either a or b, not both", (a, b) => a !== b, "xor");

export const logicalNot: Op = pointwise({
  name: "logicalNot",
  summary: "not x",
  inputs: ["x"],
  group: "bool",
  reference: ([x]) => 1 - (x as number),
  emit: (k, [x]) => k.not(x as KValue),
  dims: ([x]) => (typeof x === "number" ? 1 - x : undefined),
  cases: () => unaryCases(["bool"]),
});

export const where: Op = pointwise({
  name: "where",
  summary: "a where the condition holds, else b",
  inputs: ["condition", "a", "b"],
  group: "any",
  dtypes: (types) => {
    typedAs("where", types, 0, "condition", ["bool"]);
    const a = given("where", types, 1, "a");
    checkSameDType("where", a, given("where", types, 2, "b"));
    return a.dtype;
  },
  reference: ([condition, a, b]) => (condition === 0 ? (b as number) : (a as number)),
  emit: (k, [condition, a, b]) => k.select(condition as KValue, a as KValue, b as KValue),
  dims: ([condition, a, b]) => {
    if (a === b) return a;
    return typeof condition === "number" ? (condition === 0 ? b : a) : undefined;
  },
  cases: () => [
    opCase("f32", [of("bool", 33), of("f32", 33), of("f32", 33)]),
    opCase("row mask", [of("bool", 17), of("f32", 3, 17), of("f32")]),
    opCase("column mask", [of("bool", 5, 1), of("i64", 1, 7), of("i64", 5, 7)]),
    opCase("bool", [of("bool", 9), of("bool", 9), of("bool", 9)]),
    opCase("f16", [of("bool", 2, 9), of("f16", 9), of("f16", 2, 1)]),
    opCase("NaN not chosen", [
      values("bool", [1, 0, 1]),
      values("f32", [1, NaN, Infinity]),
      values("f32", [NaN, 2, NaN]),
    ]),
    opCase("empty", [of("bool", 0), of("f32", 1), of("f32", 0)]),
  ],
});

export const isNaN: Op = pointwise({
  name: "isNaN",
  summary: "True where x is NaN",
  inputs: ["x"],
  group: "float",
  result: () => "bool",
  reference: ([x]) => Number(Number.isNaN(x as number)),
  emit: (k, [x]) => k.ne(x as KValue, x as KValue),
  cases: () => unaryCases(["f32", "f16", "f64"]),
});

export const isInf: Op = pointwise({
  name: "isInf",
  summary: "True where x is infinite, by sign",
  inputs: ["x"],
  group: "float",
  result: () => "bool",
  reference: ([x], attrs) => {
    const positive = booleanAttr("isInf", attrs, "positive", true);
    const negative = booleanAttr("isInf", attrs, "negative", true);
    return Number((positive && x === Infinity) || (negative && x === -Infinity));
  },
  emit: (k, [x], attrs) => {
    const v = x as KValue;
    const sides: KValue[] = [];
    if (booleanAttr("isInf", attrs, "positive", true)) sides.push(k.eq(v, Infinity));
    if (booleanAttr("isInf", attrs, "negative", true)) sides.push(k.eq(v, -Infinity));
    // Comparing with itself gives false lanes of the right width where neither sign counts.
    return (
      sides.reduce<KValue | undefined>((all, side) => (all === undefined ? side : k.or(all, side)), undefined) ??
      k.lt(v, v)
    );
  },
  cases: () => [
    ...unaryCases(["f32", "f16", "f64"]),
    opCase("positive only", [values("f32", [1, Infinity, -Infinity, NaN])], { positive: true, negative: false }),
    opCase("negative only", [values("f32", [1, Infinity, -Infinity, NaN])], { positive: false, negative: true }),
    opCase("neither", [values("f32", [1, Infinity, -Infinity, NaN])], { positive: false, negative: false }),
  ],
});

function bitwise(
  name: string,
  words: string,
  prim: "and" | "or" | "xor",
  rule: (a: bigint, b: bigint) => bigint,
  small: (a: number, b: number) => number,
): Op {
  return pointwise({
    name,
    summary: words,
    inputs: ["a", "b"],
    group: "integer",
    reference: ([a, b], _attrs, types) => {
      // Two's complement of 32 bits serves every narrower dtype; the result wraps to the dtype.
      const wide = types[0]?.dtype === "i64" || types[0]?.dtype === "u64";
      return wide
        ? Number(BigInt.asIntN(64, rule(BigInt(a as number), BigInt(b as number))))
        : small(a as number, b as number);
    },
    emit: (k, [a, b]) => k[prim](a as KValue, b as KValue),
    cases: () => binaryCases(["i32", "i64", "u8", "u32", "i8"]),
  });
}

export const bitwiseAnd: Op = bitwise(
  "bitwiseAnd",
  "a AND b, bit by bit",
  "and",
  (a, b) => a & b,
  (a, b) => a & b,
);
export const bitwiseOr: Op = bitwise(
  "bitwiseOr",
  "a OR b, bit by bit",
  "or",
  (a, b) => a | b,
  (a, b) => a | b,
);
export const bitwiseXor: Op = bitwise(
  "bitwiseXor",
  "a XOR b, bit by bit",
  "xor",
  (a, b) => a ^ b,
  (a, b) => a ^ b,
);

export const bitwiseNot: Op = pointwise({
  name: "bitwiseNot",
  summary: "Every bit of x inverted",
  inputs: ["x"],
  group: "integer",
  reference: ([x]) => -(x as number) - 1,
  emit: (k, [x]) => k.not(x as KValue),
  cases: () => unaryCases(["i32", "i64", "u8", "u32"]),
});

function bitsOf(dtype: DType): number {
  return dtype.endsWith("8") ? 8 : dtype.endsWith("16") ? 16 : dtype.endsWith("32") ? 32 : 64;
}

/** Shifts by the width or more give 0 (or the sign for `shiftRight`), whatever the machine does. */
function guardedShift(k: KernelBuilder, x: KValue, count: KValue, shifted: KValue, beyond: KValue): KValue {
  return k.select(k.ge(count, bitsOf(x.type.dtype as DType)), beyond, shifted);
}

export const shiftLeft: Op = pointwise({
  name: "shiftLeft",
  summary: "a · 2^b, wrapping",
  inputs: ["a", "b"],
  group: "integer",
  reference: ([a, b], _attrs, types) => {
    const bits = bitsOf(types[0]?.dtype as DType);
    return (b as number) >= bits ? 0 : Number(BigInt.asIntN(bits, BigInt(a as number) << BigInt(b as number)));
  },
  emit: (k, [a, b]) =>
    guardedShift(k, a as KValue, b as KValue, k.shl(a as KValue, b as KValue), k.sub(a as KValue, a as KValue)),
  cases: () => [
    opCase("u8", [values("u8", [1, 255, 3, 7, 128]), values("u8", [0, 1, 7, 8, 200])]),
    opCase("u32", [of("u32", 17), values("u32", [5])]),
    opCase("i32", [of("i32", 17), values("i32", [3])]),
    opCase("u64", [of("u64", 17), values("u64", [9])]),
  ],
});

export const shiftRight: Op = pointwise({
  name: "shiftRight",
  summary: "⌊a / 2^b⌋",
  inputs: ["a", "b"],
  group: "integer",
  reference: ([a, b]) => Math.floor((a as number) / 2 ** (b as number)),
  emit: (k, [a, b]) => {
    const x = a as KValue;
    const beyond = x.type.dtype.startsWith("u") ? k.sub(x, x) : k.shr(x, bitsOf(x.type.dtype as DType) - 1);
    return guardedShift(k, x, b as KValue, k.shr(x, b as KValue), beyond);
  },
  cases: () => [
    opCase("u8", [values("u8", [1, 255, 3, 7, 128]), values("u8", [0, 1, 7, 8, 200])]),
    opCase("i32", [values("i32", [-1, -8, 8, 2147483647, -2147483648]), values("i32", [1, 2, 3, 40, 31])]),
    opCase("u64", [of("u64", 17), values("u64", [2])]),
  ],
});
