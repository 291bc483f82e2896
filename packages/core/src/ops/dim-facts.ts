/**
 * What shape arithmetic may conclude about symbolic dimensions, given that every symbol is at least 0.
 */

import { type Dim, dimEqual, dimSub } from "../dim.ts";
import type { DType } from "../dtype.ts";
import { isFloat } from "../dtype.ts";
import { roundFloat, wrapInteger } from "./ref-tensor.ts";

/** Smallest value that the polynomial is known to reach or exceed: its constant, if no term can be negative. */
export function lowerBound(dim: Dim): number {
  if (typeof dim === "number") return dim;
  let bound = 0;
  for (const { coefficient, atoms } of dim.terms) {
    if (atoms.length === 0) bound += coefficient;
    else if (coefficient < 0) return -Infinity;
  }
  return bound;
}

function upperBound(dim: Dim): number {
  return -lowerBound(dimSub(0, dim));
}

/** a < b, where the values decide it. */
export function dimLess(a: Dim, b: Dim): boolean | undefined {
  const difference = dimSub(a, b);
  if (upperBound(difference) < 0) return true;
  return lowerBound(difference) >= 0 ? false : undefined;
}

/** a = b, where the values decide it: also by their sign. */
export function dimSame(a: Dim, b: Dim): boolean | undefined {
  const equal = dimEqual(a, b);
  if (equal !== undefined) return equal;
  const difference = dimSub(a, b);
  return lowerBound(difference) > 0 || upperBound(difference) < 0 ? false : undefined;
}

/** 1 or 0 for a decided condition. */
export function dimOfBoolean(value: boolean | undefined): Dim | undefined {
  return value === undefined ? undefined : value ? 1 : 0;
}

/** A computed number as an element of `dtype`; symbolic dimensions stay, but only in dtypes that hold any size. */
export function dimAs(dtype: DType, dim: Dim): Dim | undefined {
  if (typeof dim !== "number") return dtype.endsWith("64") || dtype.endsWith("32") ? dim : undefined;
  return isFloat(dtype) ? roundFloat(dtype, dim) : wrapInteger(dtype, dim);
}
