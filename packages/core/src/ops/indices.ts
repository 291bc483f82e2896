/**
 * Index values at run time, as gathers and scatters of the reference share them.
 */

import { reject } from "./check.ts";
import { stridesOf } from "./ref-tensor.ts";

/** `index` as 0..size-1. */
export function normaliseIndex(op: string, index: number, size: number): number {
  if (index < -size || index >= size) reject(op, `index ${index} is outside of an axis of ${size}`);
  return index < 0 ? index + size : index;
}

/** Position in `shape` that the `depth` components of an index tuple at `data[at]…` name. */
export function tuplePosition(
  op: string,
  data: Float64Array,
  at: number,
  shape: readonly number[],
  first: number,
  depth: number,
): number {
  const strides = stridesOf(shape);
  let position = 0;
  for (let i = 0; i < depth; i++)
    position += normaliseIndex(op, data[at + i] as number, shape[first + i] as number) * (strides[first + i] as number);
  return position;
}
