/**
 * Error bounds of ops against the float64 reference, in the words of numerical analysis.
 *
 * One ulp of a value y is at most eps * |y|, with eps = 2^-23 for f32, 2^-10 for f16, 2^-7 for bf16 and 2^-52 for f64.
 * Results below the smallest normal number may be flushed to zero, as GPUs do.
 */

import type { DType } from "../dtype.ts";
import type { Attrs } from "../graph/graph.ts";
import type { Op, Tolerances } from "./op.ts";
import type { Types } from "./check.ts";

type FloatDType = "f64" | "f32" | "f16" | "bf16";

const EPS: Readonly<Record<FloatDType, number>> = { f64: 2 ** -52, f32: 2 ** -23, f16: 2 ** -10, bf16: 2 ** -7 };
const SMALLEST_NORMAL: Readonly<Record<FloatDType, number>> = {
  f64: 2 ** -1022,
  f32: 2 ** -126,
  f16: 2 ** -14,
  bf16: 2 ** -126,
};

const FLOATS = ["f64", "f32", "f16", "bf16"] as const;

/** Within `count` ulps, or within `absolute` eps of the dtype where the result cancels. */
export function ulps(count: number, absolute: number = 0): Tolerances {
  const rows = FLOATS.map((dtype) => {
    const atol = Math.max(absolute * EPS[dtype], SMALLEST_NORMAL[dtype]);
    return [dtype, { rtol: count * EPS[dtype], atol }];
  });
  return Object.fromEntries(rows) as Tolerances;
}

/**
 * A sum of `terms` products of values around 1, in any order: the rounding errors of a random sum grow like
 * eps * terms^(1/2) * |partial sums|, here taken as eps * terms with a margin of 4. f16 and bf16 accumulate in f32,
 * so that only their final rounding counts.
 */
export function sumTolerance(terms: number): Tolerances {
  const f32 = { rtol: 4 * EPS.f32, atol: 4 * EPS.f32 * Math.max(terms, 1) };
  return {
    f64: { rtol: 4 * EPS.f64, atol: 4 * EPS.f64 * Math.max(terms, 1) },
    f32,
    f16: { rtol: EPS.f16, atol: Math.max(f32.atol, EPS.f16 / 2 ** 10) },
    bf16: { rtol: EPS.bf16, atol: Math.max(f32.atol, EPS.bf16 / 2 ** 10) },
  };
}

/** The error bound of one application of `op` for outputs of `dtype`; exact (0, 0) where the op states none. */
export function toleranceOf(
  op: Op,
  types: Types,
  attrs: Attrs,
  dtype: DType,
): { readonly rtol: number; readonly atol: number } {
  const tolerances = op.toleranceFor?.(types, attrs) ?? op.tolerance;
  return tolerances?.[dtype] ?? { rtol: 0, atol: 0 };
}
