/**
 * Statistics of slices, as the references of softmax and of the normalisations share them.
 */

import type { RefTensor } from "./op.ts";
import { broadcastStrides, newRef, positions, slicesAlong } from "./ref-tensor.ts";

/** Applies `rule` to every slice along `axes`; the result has the shape of x. */
export function mapSlices(
  x: RefTensor,
  axes: readonly number[],
  rule: (slice: Float64Array) => ArrayLike<number>,
): RefTensor {
  const result = newRef(x.dtype, x.shape);
  const { outer, inner } = slicesAlong(x.shape, axes);
  const slice = new Float64Array(inner.length);
  for (const base of outer) {
    for (let j = 0; j < inner.length; j++) slice[j] = x.data[base + (inner[j] as number)] as number;
    const mapped = rule(slice);
    for (let j = 0; j < inner.length; j++) result.data[base + (inner[j] as number)] = mapped[j] as number;
  }
  return result;
}

export function sumOf(slice: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < slice.length; i++) total += slice[i] as number;
  return total;
}

/** NaN when any element is NaN. */
export function maxOf(slice: ArrayLike<number>): number {
  let best = -Infinity;
  for (let i = 0; i < slice.length; i++) best = Math.max(best, slice[i] as number);
  return best;
}

/** Axes from `axis` to the last. */
export function trailing(rank: number, axis: number): number[] {
  return Array.from({ length: rank - axis }, (_, i) => axis + i);
}

/** x · scale + bias, both broadcast. */
export function scaleAndShift(x: RefTensor, scale: RefTensor | undefined, bias: RefTensor | undefined): RefTensor {
  const at = (parameter: RefTensor | undefined): Float64Array | undefined =>
    parameter && positions(x.shape, broadcastStrides(parameter.shape, x.shape));
  const [scaleAt, biasAt] = [at(scale), at(bias)];
  const data = x.data.map((value, i) => {
    const scaled = scaleAt === undefined ? value : value * (scale?.data[scaleAt[i] as number] as number);
    return biasAt === undefined ? scaled : scaled + (bias?.data[biasAt[i] as number] as number);
  });
  return { ...x, data };
}

export function meanAndVariance(slice: Float64Array): { mean: number; variance: number } {
  const mean = sumOf(slice) / slice.length;
  return { mean, variance: sumOf(slice.map((x) => (x - mean) ** 2)) / slice.length };
}

/** (x - mean) / √(variance + epsilon). */
export function standardise(slice: Float64Array, epsilon: number): Float64Array {
  const { mean, variance } = meanAndVariance(slice);
  return slice.map((x) => (x - mean) / Math.sqrt(variance + epsilon));
}
