/**
 * Slice bounds as NumPy and ONNX give them (negative from the end, clamped), for sizes that may be symbolic.
 *
 * Where only the run could tell, a bound is taken to lie inside the axis: an index of -1, 0 or 1, and a bound that is
 * itself symbolic. A graph for which that is false fails the range check of `slice` when it runs.
 */

import { type Dim, dimAdd, dimCeilDiv, dimMax, dimMin, dimSub } from "../dim.ts";
import { lowerBound } from "./dim-facts.ts";

/** Bounds from here on mean "to the end", whatever the size. */
const UNBOUNDED = 2 ** 31 - 1;

export interface SliceAxis {
  readonly start: Dim;
  readonly size: Dim;
}

/** Start and number of the elements start, start + step, … before `end` on an axis of `size`. */
export function sliceAxis(size: Dim, start: Dim, end: Dim, step: number): SliceAxis {
  const forward = step > 0;
  const first = bound(start, size, forward ? 0 : -1, forward ? 0 : 1);
  const last = bound(end, size, forward ? 0 : -1, forward ? 0 : 1);
  const distance = forward ? dimSub(last, first) : dimSub(first, last);
  if (typeof distance === "number" && distance <= 0) return { start: 0, size: 0 };
  return { start: first, size: dimCeilDiv(distance, Math.abs(step)) };
}

/** `index` clamped to low..size - short, a negative one counted from the end. */
function bound(index: Dim, size: Dim, low: number, short: number): Dim {
  const high = dimSub(size, short);
  if (typeof index !== "number") {
    // A polynomial that cannot be positive counts from the end.
    return lowerBound(dimSub(0, index)) >= 0 ? dimAdd(size, index) : index;
  }
  if (index >= UNBOUNDED) return high;
  if (index <= -UNBOUNDED) return low;
  if (typeof size === "number") return Math.min(Math.max(index < 0 ? index + size : index, low), high as number);
  if (index < 0) {
    const fromEnd = dimAdd(size, index);
    return index === -1 || lowerBound(fromEnd) >= low ? fromEnd : dimMax(fromEnd, low);
  }
  return index <= 1 || lowerBound(high) >= index ? index : dimMin(index, high);
}
