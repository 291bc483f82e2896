/**
 * Elements of each dtype on the host: how they are held, rounded, wrapped, converted and stored.
 *
 * Host representation of an element: `boolean` for bool, `bigint` for i64 and u64, `number` for all others (index
 * values are exact integers up to 2^53).
 */

import { DTYPE_INFO, type DType } from "../dtype.ts";
import { InternalError } from "../errors.ts";
import type { KDType } from "./ir.ts";

export type Scalar = number | bigint | boolean;

export type NumberClass = "float" | "int" | "index" | "big" | "bool";

const view = new DataView(new ArrayBuffer(8));

export function isFloatType(dtype: KDType): boolean {
  return dtype !== "index" && DTYPE_INFO[dtype].kind === "float";
}

/** True for `index` and the integer dtypes. */
export function isIntegerType(dtype: KDType): boolean {
  return dtype === "index" || DTYPE_INFO[dtype].kind === "int" || DTYPE_INFO[dtype].kind === "uint";
}

/** True for floats, signed integers and `index`. */
export function isSignedType(dtype: KDType): boolean {
  return dtype === "index" || DTYPE_INFO[dtype].kind === "int" || DTYPE_INFO[dtype].kind === "float";
}

/** How elements of the dtype are held and computed. */
export function numberClass(dtype: KDType): NumberClass {
  if (dtype === "index") return "index";
  if (dtype === "i64" || dtype === "u64") return "big";
  if (dtype === "bool") return "bool";
  return DTYPE_INFO[dtype].kind === "float" ? "float" : "int";
}

/** `x` rounded to bf16, ties to even; `x` must be an f32 value. */
export function roundBf16(x: number): number {
  if (Number.isNaN(x)) return x;
  view.setFloat32(0, x);
  const bits = view.getUint32(0);
  view.setUint32(0, ((bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000) >>> 0);
  return view.getFloat32(0);
}

/** Rounds to the nearest integer, ties to even; keeps the sign of zero. */
export function roundTiesEven(x: number): number {
  const floor = Math.floor(x);
  const fraction = x - floor;
  if (Number.isNaN(fraction) || fraction === 0) return x;
  if (fraction < 0.5) return floor === 0 && x < 0 ? -0 : floor;
  if (fraction > 0.5 || floor % 2 !== 0) return floor + 1 === 0 ? -0 : floor + 1;
  return floor;
}

const ROUND: Readonly<Record<"f64" | "f32" | "f16" | "bf16", (x: number) => number>> = {
  f64: (x) => x,
  f32: Math.fround,
  f16: (x) => Math.f16round(Math.fround(x)),
  bf16: (x) => roundBf16(Math.fround(x)),
};

const WRAP: Readonly<Record<"i32" | "i16" | "i8" | "u32" | "u16" | "u8", (x: number) => number>> = {
  i32: (x) => x | 0,
  i16: (x) => (x << 16) >> 16,
  i8: (x) => (x << 24) >> 24,
  u32: (x) => x >>> 0,
  u16: (x) => x & 0xffff,
  u8: (x) => x & 0xff,
};

/** Brings a result computed without limits into the range of `dtype`: rounds floats, wraps integers. */
export function fitter(dtype: KDType): (x: number) => number {
  if (dtype === "index") return (x) => x + 0;
  const round = ROUND[dtype as keyof typeof ROUND] as ((x: number) => number) | undefined;
  const wrap = WRAP[dtype as keyof typeof WRAP] as ((x: number) => number) | undefined;
  const fit = round ?? wrap;
  if (fit === undefined) throw new InternalError(`fitter: ${dtype} is not held as a number`);
  return fit;
}

export function bigFitter(dtype: KDType): (x: bigint) => bigint {
  return dtype === "i64" ? (x) => BigInt.asIntN(64, x) : (x) => BigInt.asUintN(64, x);
}

/** The f64 nearest to `x` whose rounding to f32 is that of `x` itself (sticky bit), for 64-bit integers. */
function bigToNumber(x: bigint): number {
  const magnitude = x < 0n ? -x : x;
  if (magnitude < 1n << 53n) return Number(x);
  const sticky = (magnitude & 0xffffn) === 0n ? 0n : 1n;
  const high = Number(((magnitude >> 16n) << 1n) | sticky) * 32768;
  return x < 0n ? -high : high;
}

/** Converts an element between types by the rules of the primitive `cast`. */
export function caster(from: KDType, to: KDType): (x: never) => Scalar {
  if (to === "bool") return ((x: Scalar) => (typeof x === "boolean" ? x : x !== 0 && x !== 0n)) as (x: never) => Scalar;
  const source = numberClass(from);
  const target = numberClass(to);
  if (target === "big") {
    const fit = bigFitter(to);
    if (source === "big") return fit as (x: never) => Scalar;
    if (source === "bool") return ((x: boolean) => (x ? 1n : 0n)) as (x: never) => Scalar;
    if (source !== "float") return ((x: number) => fit(BigInt(x))) as (x: never) => Scalar;
    const low = to === "i64" ? -(1n << 63n) : 0n;
    const high = to === "i64" ? (1n << 63n) - 1n : (1n << 64n) - 1n;
    return ((x: number) => {
      if (Number.isNaN(x)) return 0n;
      if (x >= Number(high)) return high;
      if (x <= Number(low)) return low;
      return BigInt(Math.trunc(x));
    }) as (x: never) => Scalar;
  }
  if (target === "float") {
    const fit = fitter(to);
    if (source === "big") {
      if (to === "f64") return ((x: bigint) => Number(x)) as (x: never) => Scalar;
      return ((x: bigint) => fit(bigToNumber(x))) as (x: never) => Scalar;
    }
    return ((x: number | boolean) => fit(Number(x))) as (x: never) => Scalar;
  }
  if (source === "big") {
    if (to === "index") return ((x: bigint) => Number(x)) as (x: never) => Scalar;
    const fit = fitter(to);
    return ((x: bigint) => fit(Number(BigInt.asIntN(32, x)))) as (x: never) => Scalar;
  }
  if (source === "float") {
    const min = to === "index" ? -(2 ** 53) : DTYPE_INFO[to].min;
    const max = to === "index" ? 2 ** 53 : DTYPE_INFO[to].max;
    return ((x: number) => (Number.isNaN(x) ? 0 : Math.trunc(Math.min(Math.max(x, min), max)) + 0)) as (
      x: never,
    ) => Scalar;
  }
  if (source === "bool") return ((x: boolean) => (x ? 1 : 0)) as (x: never) => Scalar;
  if (to === "index") return ((x: number) => x) as (x: never) => Scalar;
  // An index may exceed 32 bits, where the bit operators would not wrap but truncate by ToInt32, which is the same.
  return fitter(to) as (x: never) => Scalar;
}

/** Writes the bits of an element at the start of `target`, little endian. */
export function writeElement(target: DataView, offset: number, dtype: DType, x: Scalar): void {
  switch (dtype) {
    case "f64":
      return target.setFloat64(offset, x as number, true);
    case "f32":
      return target.setFloat32(offset, x as number, true);
    case "f16":
      return target.setFloat16(offset, x as number, true);
    case "bf16": {
      view.setFloat32(0, x as number);
      return target.setUint16(offset, Number.isNaN(x as number) ? 0x7fc0 : view.getUint16(0), true);
    }
    case "i64":
      return target.setBigInt64(offset, x as bigint, true);
    case "u64":
      return target.setBigUint64(offset, x as bigint, true);
    case "i32":
      return target.setInt32(offset, x as number, true);
    case "u32":
      return target.setUint32(offset, x as number, true);
    case "i16":
      return target.setInt16(offset, x as number, true);
    case "u16":
      return target.setUint16(offset, x as number, true);
    case "i8":
      return target.setInt8(offset, x as number);
    case "u8":
      return target.setUint8(offset, x as number);
    case "bool":
      return target.setUint8(offset, x ? 1 : 0);
  }
}

/** Reads what `writeElement` writes. */
export function readElement(source: DataView, offset: number, dtype: DType): Scalar {
  switch (dtype) {
    case "f64":
      return source.getFloat64(offset, true);
    case "f32":
      return source.getFloat32(offset, true);
    case "f16":
      return source.getFloat16(offset, true);
    case "bf16": {
      view.setUint32(0, source.getUint16(offset, true) << 16);
      return view.getFloat32(0);
    }
    case "i64":
      return source.getBigInt64(offset, true);
    case "u64":
      return source.getBigUint64(offset, true);
    case "i32":
      return source.getInt32(offset, true);
    case "u32":
      return source.getUint32(offset, true);
    case "i16":
      return source.getInt16(offset, true);
    case "u16":
      return source.getUint16(offset, true);
    case "i8":
      return source.getInt8(offset);
    case "u8":
      return source.getUint8(offset);
    case "bool":
      return source.getUint8(offset) !== 0;
  }
}

const bitcastView = new DataView(new ArrayBuffer(8));

export function bitcaster(from: KDType, to: KDType): (x: never) => Scalar {
  if (from === "index" || to === "index") throw new InternalError("bitcast of index");
  return ((x: Scalar) => {
    writeElement(bitcastView, 0, from, x);
    return readElement(bitcastView, 0, to);
  }) as (x: never) => Scalar;
}

/** A host value as an element of `dtype`: rounded or wrapped to its range. */
export function toElement(dtype: KDType, value: Scalar): Scalar {
  if (dtype === "bool") return Boolean(value);
  if (dtype === "i64" || dtype === "u64") return bigFitter(dtype)(BigInt(value));
  if (dtype === "index") return Number(value) + 0;
  return fitter(dtype)(Number(value));
}
