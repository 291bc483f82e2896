/**
 * Tensors of the reference interpreter: float64 elements whatever the dtype, and the strided walks over them.
 *
 * `positions` is the one primitive: it lists where the elements of a shape lie in a strided tensor. Movement ops are
 * one gather over such a list; reductions are two lists, of the kept and the reduced axes.
 */

import { DTYPE_INFO, type DType } from "../dtype.ts";
import { InternalError } from "../errors.ts";
import { elementCount } from "../runtime/tensor.ts";
import type { RefTensor } from "./op.ts";

export function newRef(dtype: DType, shape: readonly number[]): RefTensor {
  return { dtype, shape, data: new Float64Array(elementCount(shape)) };
}

export function refOf(dtype: DType, shape: readonly number[], data: Float64Array): RefTensor {
  if (data.length !== elementCount(shape)) {
    throw new InternalError(`reference: ${data.length} elements for shape [${shape.join(", ")}]`);
  }
  return { dtype, shape, data };
}

/** Input `index` of a reference, which inference has found present. */
export function input(inputs: readonly (RefTensor | undefined)[], index: number): RefTensor {
  const tensor = inputs[index];
  if (tensor === undefined) throw new InternalError(`reference: input ${index} is missing`);
  return tensor;
}

/** Element offsets of one step along each axis, row-major. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = step;
    step *= shape[axis] as number;
  }
  return strides;
}

/** Strides that read a tensor of `shape` as if it had `outShape`: 0 along axes of size 1 and along new axes. */
export function broadcastStrides(shape: readonly number[], outShape: readonly number[]): number[] {
  const strides = stridesOf(shape);
  const missing = outShape.length - shape.length;
  return outShape.map((_, axis) =>
    axis < missing || shape[axis - missing] === 1 ? 0 : (strides[axis - missing] as number),
  );
}

/** Positions in a strided tensor of the elements of `shape` in row-major order, beginning at `start`. */
export function positions(shape: readonly number[], strides: readonly number[], start: number = 0): Float64Array {
  let list = Float64Array.of(start);
  shape.forEach((size, axis) => {
    const stride = strides[axis] as number;
    const next = new Float64Array(list.length * size);
    let at = 0;
    for (let i = 0; i < list.length; i++) {
      let position = list[i] as number;
      for (let j = 0; j < size; j++, position += stride) next[at++] = position;
    }
    list = next;
  });
  return list;
}

/** The tensor of `shape` whose elements are those of `x` at `where`. */
export function gatherAt(x: RefTensor, shape: readonly number[], where: Float64Array): RefTensor {
  const { data } = x;
  return refOf(
    x.dtype,
    shape,
    Float64Array.from(where, (position) => data[position] as number),
  );
}

/** `x` repeated to `shape` by the broadcasting rule. */
export function broadcastTo(x: RefTensor, shape: readonly number[]): RefTensor {
  return gatherAt(x, shape, positions(shape, broadcastStrides(x.shape, shape)));
}

/** Picks the entries of `list` at `axes`. */
export function pick(list: readonly number[], axes: readonly number[]): number[] {
  return axes.map((axis) => list[axis] as number);
}

/**
 * Positions of the slices of `shape` along `axes`: `outer` has where each slice begins (row-major over the other axes),
 * `inner` the offsets of its elements.
 */
export function slicesAlong(
  shape: readonly number[],
  axes: readonly number[],
): { outer: Float64Array; inner: Float64Array } {
  const strides = stridesOf(shape);
  const kept = shape.map((_, axis) => axis).filter((axis) => !axes.includes(axis));
  return {
    outer: positions(pick(shape, kept), pick(strides, kept)),
    inner: positions(pick(shape, axes), pick(strides, axes)),
  };
}

/**
 * The value that `dtype` holds of an exact integer: wraps by two's complement. 64-bit values beyond 2^53 keep the
 * precision of a float64; the bounds 2^63 and 2^64 stand for the largest values.
 */
export function wrapInteger(dtype: DType, value: number): number {
  switch (dtype) {
    case "bool":
      return value === 0 ? 0 : 1;
    case "i8":
      return (value << 24) >> 24;
    case "u8":
      return value & 0xff;
    case "i16":
      return (value << 16) >> 16;
    case "u16":
      return value & 0xffff;
    case "i32":
      return value | 0;
    case "u32":
      return value >>> 0;
    case "i64":
      if (value >= -(2 ** 63) && value <= 2 ** 63) return value + 0;
      return Number.isFinite(value) ? Number(BigInt.asIntN(64, BigInt(value))) : 0;
    case "u64":
      if (value >= 0 && value <= 2 ** 64) return value + 0;
      return Number.isFinite(value) ? Number(BigInt.asUintN(64, BigInt(value))) : 0;
    default:
      return value;
  }
}

const F64 = new Float64Array(1);
const F64_WORDS = new Uint32Array(F64.buffer);

/** Exponent of the leading bit of a normal `value`, exact unlike a rounded logarithm. */
function exponentOf(value: number): number {
  F64[0] = value;
  return (((F64_WORDS[1] as number) >>> 20) & 0x7ff) - 1023;
}

/** `value` rounded to the nearest value of a float `dtype`, ties to even, overflowing to infinity. */
export function roundFloat(dtype: DType, value: number): number {
  switch (dtype) {
    case "f32":
      return Math.fround(value);
    case "f16":
      return Math.f16round(value);
    case "bf16": {
      if (!Number.isFinite(value)) return value;
      // Exact in float64: round to 8 significant bits, or to the subnormal step 2^-133.
      const exponent = Math.max(exponentOf(value), -126);
      const step = 2 ** (exponent - 7);
      const rounded = roundHalfEven(value / step) * step;
      return Math.abs(rounded) > DTYPE_INFO.bf16.max ? Math.sign(value) * Infinity : rounded;
    }
    default:
      return value;
  }
}

/** Nearest integer, ties to even. Keeps the sign of zero. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  const rounded = rest < 0.5 ? floor : rest > 0.5 ? floor + 1 : floor % 2 === 0 ? floor : floor + 1;
  return rounded === 0 && (value < 0 || Object.is(value, -0)) ? -0 : rounded;
}

/** A number as a value of `dtype`: floats rounded, integers truncated and saturated, NaN to 0, bool from non-zero. */
export function convertNumber(dtype: DType, value: number): number {
  const { kind, min, max } = DTYPE_INFO[dtype];
  if (kind === "float") return roundFloat(dtype, value);
  if (kind === "bool") return value === 0 ? 0 : 1;
  if (Number.isNaN(value)) return 0;
  return Math.min(Math.max(Math.trunc(value), min), max) + 0;
}
