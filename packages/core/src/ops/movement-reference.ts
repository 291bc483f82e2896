/**
 * Reference loops of padding and tiling, shared by the static and the run-time forms.
 */

import { reject } from "./check.ts";
import type { RefTensor } from "./op.ts";
import { gatherAt, newRef, positions, stridesOf } from "./ref-tensor.ts";

export const PAD_MODES = ["constant", "reflect", "edge", "wrap"] as const;
export type PadMode = (typeof PAD_MODES)[number];

/** Padding by `before` and `after` elements per axis. */
export function padReference(
  x: RefTensor,
  before: readonly number[],
  after: readonly number[],
  mode: PadMode,
  value: number,
): RefTensor {
  const shape = x.shape.map((size, axis) => size + (before[axis] as number) + (after[axis] as number));
  const strides = stridesOf(x.shape);
  // Offset of the source of each output index along each axis, or -1 for the fill value.
  const sources = shape.map((size, axis) =>
    Array.from({ length: size }, (_, i) => {
      const at = padSource(i - (before[axis] as number), x.shape[axis] as number, mode);
      return at < 0 ? -1 : at * (strides[axis] as number);
    }),
  );
  let offsets = Float64Array.of(0);
  for (const axisSources of sources) {
    const next = new Float64Array(offsets.length * axisSources.length);
    let at = 0;
    for (const base of offsets)
      for (const offset of axisSources) next[at++] = base < 0 || offset < 0 ? -1 : base + offset;
    offsets = next;
  }
  const result = newRef(x.dtype, shape);
  for (let i = 0; i < offsets.length; i++) {
    const from = offsets[i] as number;
    result.data[i] = from < 0 ? value : (x.data[from] as number);
  }
  return result;
}

/** Input index along an axis of `size` elements that padding shows at `at`; -1 for the fill value. */
function padSource(at: number, size: number, mode: PadMode): number {
  if (at >= 0 && at < size) return at;
  if (mode === "constant") return -1;
  if (size === 0) return reject("pad", `mode "${mode}" cannot fill from an axis without elements`);
  if (mode === "edge") return at < 0 ? 0 : size - 1;
  if (mode === "wrap") return ((at % size) + size) % size;
  // The edges are mirrors: the pattern repeats after 2·(size - 1).
  const period = Math.max(2 * (size - 1), 1);
  const rest = Math.abs(at) % period;
  return size === 1 ? 0 : Math.min(rest, period - rest);
}

/** x repeated as a whole along each axis. */
export function tileReference(x: RefTensor, repeats: readonly number[]): RefTensor {
  // Each axis as a pair (repeat, size), of which the repeat does not move.
  const strides = stridesOf(x.shape);
  const pairs = x.shape.flatMap((size, axis) => [repeats[axis] as number, size]);
  const where = positions(
    pairs,
    strides.flatMap((stride) => [0, stride]),
  );
  return gatherAt(
    x,
    x.shape.map((size, axis) => size * (repeats[axis] as number)),
    where,
  );
}
