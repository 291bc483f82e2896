/**
 * Elementwise functions of analysis. References are the host's own float64 functions, or series good to float64
 * (erf); kernels are written in the kernel language (`kernel/math.ts`) and keep the ulp bounds stated here.
 */

import { type DType, isFloat } from "../dtype.ts";
import type { KernelBuilder } from "../kernel/builder.ts";
import type { KValue } from "../kernel/ir.ts";
import * as math from "../kernel/math.ts";
import { binaryCases, of, opCase, specialPairs, unaryCases, values, within } from "./cases.ts";
import { checkGroup, given } from "./check.ts";
import type { Op } from "./op.ts";
import { pointwise } from "./pointwise.ts";
import { erfReference } from "./special.ts";
import { ulps } from "./tolerance.ts";

type MathFunction = (k: KernelBuilder, x: KValue) => KValue;

/** One function of one float; `low`..`high` is where the cases sample it. */
function analytic(
  name: string,
  summary: string,
  rule: (x: number) => number,
  count: number,
  low: number,
  high: number,
  emit: MathFunction,
  absolute?: number,
): Op {
  return pointwise({
    name,
    summary,
    inputs: ["x"],
    group: "float",
    reference: ([x]) => rule(x as number),
    emit: (k, [x]) => emit(k, x as KValue),
    tolerance: ulps(count, absolute),
    cases: () => unaryCases(["f32", "f16", "f64"], low, high),
  });
}

export const exp: Op = analytic("exp", "e^x", Math.exp, 4, -10, 10, math.exp);
export const log: Op = analytic("log", "Natural logarithm", Math.log, 4, 0.001, 20, math.log, 1);
export const sin: Op = analytic("sin", "Sine", Math.sin, 4, -10, 10, math.sin, 4);
export const cos: Op = analytic("cos", "Cosine", Math.cos, 4, -10, 10, math.cos, 4);
export const tan: Op = analytic("tan", "Tangent", Math.tan, 16, -1.4, 1.4, math.tan, 4);
export const asin: Op = analytic("asin", "Inverse sine", Math.asin, 8, -1, 1, math.asin, 2);
export const acos: Op = analytic("acos", "Inverse cosine", Math.acos, 8, -1, 1, math.acos, 4);
export const atan: Op = analytic("atan", "Inverse tangent", Math.atan, 8, -8, 8, math.atan);
export const sinh: Op = analytic("sinh", "Hyperbolic sine", Math.sinh, 8, -6, 6, math.sinh, 2);
export const cosh: Op = analytic("cosh", "Hyperbolic cosine", Math.cosh, 8, -6, 6, math.cosh);
export const tanh: Op = analytic("tanh", "Hyperbolic tangent", Math.tanh, 6, -6, 6, math.tanh, 1);
export const asinh: Op = analytic("asinh", "Inverse hyperbolic sine", Math.asinh, 8, -20, 20, math.asinh, 2);
export const acosh: Op = analytic("acosh", "Inverse hyperbolic cosine", Math.acosh, 8, 1, 20, math.acosh, 4);
export const atanh: Op = analytic("atanh", "Inverse hyperbolic tangent", Math.atanh, 8, -0.95, 0.95, math.atanh, 2);
export const erf: Op = analytic("erf", "Error function", erfReference, 8, -4, 4, math.erf, 2);

/** a^b as IEEE 754 defines it: 1 and b = 0 win over NaN, unlike in JavaScript. */
function power(a: number, b: number): number {
  if (a === 1 || b === 0) return 1;
  if (a === -1 && Math.abs(b) === Infinity) return 1;
  return a ** b;
}

/** Integer powers modulo 2^64; a negative exponent gives the truncated quotient. */
function integerPower(a: number, b: number): number {
  const direct = power(a, b);
  if (Math.abs(direct) <= Number.MAX_SAFE_INTEGER || b < 0 || !Number.isSafeInteger(a) || !Number.isInteger(b))
    return Math.trunc(direct);
  let result = 1n;
  let base = BigInt(a);
  for (let rest = b; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result = BigInt.asIntN(64, result * base);
    base = BigInt.asIntN(64, base * base);
  }
  return Number(result);
}

export const pow: Op = pointwise({
  name: "pow",
  summary: "a to the power b; the exponent may have another dtype",
  inputs: ["a", "b"],
  group: "numeric",
  dtypes: (types) => {
    const a = given("pow", types, 0, "a");
    checkGroup("pow", a, "a", "numeric");
    checkGroup("pow", given("pow", types, 1, "b"), "b", "numeric");
    return a.dtype;
  },
  reference: ([a, b], _attrs, types) => {
    const float = types[0] !== undefined && isFloat(types[0].dtype);
    return float ? power(a as number, b as number) : integerPower(a as number, b as number);
  },
  emit: (k, [a, b]) => {
    const [x, y] = [a as KValue, b as KValue];
    if (isFloat(x.type.dtype as DType)) return math.pow(k, x, k.cast(y, x.type.dtype));
    // Powers of integers are exact in f32 while they and the operands stay below 2^24.
    return k.cast(math.pow(k, k.cast(x, "f32"), k.cast(y, "f32")), x.type.dtype);
  },
  tolerance: ulps(16),
  cases: () => [
    ...binaryCases(["f32"], (dtype, ...shape) =>
      values(dtype, new Array<number>(shape.reduce((n, d) => n * d, 1)).fill(2), ...shape),
    ),
    opCase("real exponent", [within("f32", 0.1, 5, 33), within("f32", -3, 3, 33)]),
    opCase("negative base", [values("f32", [-2, -2, -2, -0.5, -3]), values("f32", [2, 3, 0.5, -1, 0])]),
    opCase("special", specialPairs("f32")),
    opCase("i32", [within("i32", -4, 5, 17), within("i32", 0, 5, 17)]),
    opCase("i64 exponent", [of("f32", 17), within("i64", -2, 4, 17)]),
  ],
});
