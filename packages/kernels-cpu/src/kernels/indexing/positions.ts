/**
 * Index tensors inside kernels: loading, wrapping of negative indices, offsets.
 *
 * Indices out of range are clamped to the axis: a kernel neither faults nor reports them, where the reference does.
 */

import { type Buffer, type Dim, type KernelBuilder, type KValue, type Value } from "@quern/core";
import { sizeOf } from "../movement/runs.ts";

/** Index types of ONNX and of importers. */
export function isIndexType({ type }: Value): boolean {
  return type.dtype === "i64" || type.dtype === "i32";
}

/** The index stored at `at`, as 0..size-1. */
export function loadIndex(k: KernelBuilder, indices: Buffer, at: KValue, size: Dim): KValue {
  const given = k.cast(k.load(indices, at), "index");
  const end = k.index(size);
  const wrapped = k.select(k.lt(given, 0), k.add(given, end), given);
  return k.max(k.min(wrapped, k.sub(end, 1)), 0);
}

/** Row-major element strides. */
export function stridesOf(shape: readonly Dim[]): Dim[] {
  return shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));
}

/** Offset that the tuple of `depth` indices at `at` names in `shape`, whose first axis has the first index. */
export function tupleOffset(
  k: KernelBuilder,
  indices: Buffer,
  at: KValue,
  shape: readonly Dim[],
  depth: number,
): KValue {
  const strides = stridesOf(shape);
  let offset = k.index(0);
  for (let i = 0; i < depth; i++) {
    const index = loadIndex(k, indices, k.add(at, i), shape[i] as Dim);
    offset = k.add(offset, k.mul(index, k.index(strides[i] as Dim)));
  }
  return offset;
}

/** A size for the maker of a kernel: a number where known, otherwise an index value. */
export function countOf(k: KernelBuilder, size: Dim): number | KValue {
  return typeof size === "number" ? size : k.index(size);
}

/** Nested tasks (or loops, with `serial`) over `shape`; gives the indices. */
export function overShape(
  k: KernelBuilder,
  shape: readonly Dim[],
  body: (index: readonly KValue[]) => void,
  serial = false,
): void {
  const descend = (axis: number, index: readonly KValue[]): void => {
    if (axis === shape.length) return body(index);
    const size = shape[axis] as Dim;
    if (serial) k.for({ end: size }, (i) => descend(axis + 1, [...index, i]));
    else k.parallel(size, (i) => descend(axis + 1, [...index, i]));
  };
  descend(0, []);
}

/** Σ index · stride. */
export function dot(k: KernelBuilder, index: readonly KValue[], strides: readonly Dim[]): KValue {
  return index.reduce((sum, i, axis) => k.add(sum, k.mul(i, k.index(strides[axis] as Dim))), k.index(0));
}
