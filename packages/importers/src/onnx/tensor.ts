/**
 * TensorProto to `ConstantData`.
 *
 * Raw and external data become views on the file's memory; the typed lists of the format are used in place where
 * their element type fits. Every size is checked against the bytes that are really there before anything is allocated.
 */

import { type ConstantData, DTYPE_INFO, type DType, UserError, UnsupportedError } from "@quern/core";
import type { TensorProto } from "./proto/schema.ts";

/** Bytes of the external data file at `location`, a path relative to the model's folder. Throws a `UserError`. */
export type ResolveExternal = (location: string) => Uint8Array;

/** TensorProto.DataType by number: our dtype, or the name of what we do not have. */
const DATA_TYPES: readonly { readonly name: string; readonly dtype?: DType; readonly narrow?: NarrowType }[] = [
  { name: "undefined" },
  { name: "float", dtype: "f32" },
  { name: "uint8", dtype: "u8" },
  { name: "int8", dtype: "i8" },
  { name: "uint16", dtype: "u16" },
  { name: "int16", dtype: "i16" },
  { name: "int32", dtype: "i32" },
  { name: "int64", dtype: "i64" },
  { name: "string" },
  { name: "bool", dtype: "bool" },
  { name: "float16", dtype: "f16" },
  { name: "double", dtype: "f64" },
  { name: "uint32", dtype: "u32" },
  { name: "uint64", dtype: "u64" },
  { name: "complex64" },
  { name: "complex128" },
  { name: "bfloat16", dtype: "bf16" },
  { name: "float8e4m3fn" },
  { name: "float8e4m3fnuz" },
  { name: "float8e5m2" },
  { name: "float8e5m2fnuz" },
  { name: "uint4", narrow: { dtype: "u8", bits: 4, signed: false } },
  { name: "int4", narrow: { dtype: "i8", bits: 4, signed: true } },
  { name: "float4e2m1" },
  { name: "float8e8m0" },
  { name: "uint2", narrow: { dtype: "u8", bits: 2, signed: false } },
  { name: "int2", narrow: { dtype: "i8", bits: 2, signed: true } },
];

/** An integer type of less than a byte; constants of it are widened, since every value fits. */
interface NarrowType {
  readonly dtype: DType;
  readonly bits: number;
  readonly signed: boolean;
}

/** Our dtype for a data type number. Throws where the format or this build has none. */
export function dtypeOf(dataType: number, where: string): DType {
  const row = DATA_TYPES[dataType];
  if (row === undefined || dataType === 0) {
    throw new UserError(`element type ${dataType} does not exist`, {
      where,
      hint: "the file is damaged or newer than this importer",
    });
  }
  if (row.dtype === undefined)
    throw new UnsupportedError({ op: `element type ${row.name}`, where, reason: "no such dtype yet" });
  return row.dtype;
}

/** Bounds of a size product: beyond it numbers are no longer exact. */
const MAX_ELEMENTS = 2 ** 53;

/** Number of elements of `dims`, each checked to be a size. */
export function checkedElementCount(dims: readonly number[], where: string): number {
  let count = 1;
  for (const dim of dims) {
    if (!Number.isSafeInteger(dim) || dim < 0)
      throw new UserError(`dimension ${dim} of [${dims.join(", ")}] is not a size`, { where });
    count *= dim;
    // A zero later on would hide an overflow, so the product is checked at every step.
    if (count > MAX_ELEMENTS) throw new UserError(`shape [${dims.join(", ")}] has too many elements`, { where });
  }
  return count;
}

/** The tensor's elements. `external` is absent where the caller has no folder to read from. */
export function constantOf(tensor: TensorProto, where: string, external: ResolveExternal | undefined): ConstantData {
  const count = checkedElementCount(tensor.dims, where);
  if (tensor.segment !== undefined)
    throw new UnsupportedError({ op: "tensor segments", where, reason: "never used by released ONNX" });
  const narrow = DATA_TYPES[tensor.dataType]?.narrow;
  if (narrow !== undefined) return widen(tensor, narrow, count, where, external);
  const dtype = dtypeOf(tensor.dataType, where);
  const size = count * DTYPE_INFO[dtype].bytes;
  const bytes = rawBytes(tensor, where, external) ?? listBytes(tensor, dtype, count, where);
  if (bytes.byteLength !== size) {
    throw new UserError(
      `${dtype} tensor of shape [${tensor.dims.join(", ")}] needs ${size} bytes, the file holds ${bytes.byteLength}`,
      {
        where,
        hint: "the file is truncated or damaged",
      },
    );
  }
  return { dtype, shape: tensor.dims, bytes: dtype === "bool" ? normalBools(bytes) : bytes };
}

/** Bytes 0 and 1 only, which everything after the importer relies on. */
function normalBools(bytes: Uint8Array): Uint8Array {
  return bytes.every((byte) => byte <= 1) ? bytes : bytes.map((byte) => (byte === 0 ? 0 : 1));
}

function rawBytes(tensor: TensorProto, where: string, external: ResolveExternal | undefined): Uint8Array | undefined {
  if (tensor.dataLocation === 1) return externalBytes(tensor, where, external);
  return tensor.rawData;
}

function externalBytes(tensor: TensorProto, where: string, external: ResolveExternal | undefined): Uint8Array {
  const entries = new Map(tensor.externalData.map(({ key, value }) => [key, value]));
  const location = entries.get("location");
  if (location === undefined || location === "") throw new UserError("external data without a location", { where });
  if (external === undefined) {
    throw new UserError(`data is in the file "${location}", and only the model's own bytes were given`, {
      where,
      hint: "read the model with readOnnxFile, or pass `external`",
    });
  }
  const file = external(location);
  const offset = wholeNumber(entries.get("offset") ?? "0", "offset", where);
  const length = entries.has("length")
    ? wholeNumber(entries.get("length") as string, "length", where)
    : file.byteLength - offset;
  if (offset + length > file.byteLength || length < 0) {
    throw new UserError(
      `external data "${location}" ends at byte ${file.byteLength}, bytes ${offset} to ${offset + length} are asked for`,
      {
        where,
        hint: "the data file is truncated or belongs to another model",
      },
    );
  }
  return new Uint8Array(file.buffer, file.byteOffset + offset, length);
}

function wholeNumber(text: string, what: string, where: string): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value))
    throw new UserError(`external data ${what} "${text}" is not a whole number`, { where });
  return value;
}

function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer as ArrayBuffer, array.byteOffset, array.byteLength);
}

/** Elements from the typed lists, in our memory layout. `count` is checked before anything is converted. */
function listBytes(tensor: TensorProto, dtype: DType, count: number, where: string): Uint8Array {
  const list = listOf(tensor, dtype);
  if (list.length !== count) {
    throw new UserError(
      `tensor of shape [${tensor.dims.join(", ")}] needs ${count} elements, the file holds ${list.length}`,
      {
        where,
        hint: "the file is truncated or damaged",
      },
    );
  }
  switch (dtype) {
    case "f32":
    case "f64":
    case "i32":
    case "i64":
    case "u64":
      return bytesOf(list);
    case "u32":
      return bytesOf(Uint32Array.from(tensor.uint64Data, Number));
    case "i16":
      return bytesOf(Int16Array.from(tensor.int32Data));
    case "u16":
    case "f16":
    case "bf16":
      return bytesOf(Uint16Array.from(tensor.int32Data));
    case "i8":
      return bytesOf(Int8Array.from(tensor.int32Data));
    case "u8":
    case "bool":
      return Uint8Array.from(tensor.int32Data);
  }
}

function listOf(
  tensor: TensorProto,
  dtype: DType,
): Float32Array | Float64Array | Int32Array | BigInt64Array | BigUint64Array {
  switch (dtype) {
    case "f32":
      return tensor.floatData;
    case "f64":
      return tensor.doubleData;
    case "i64":
      return tensor.int64Data;
    case "u32":
    case "u64":
      return tensor.uint64Data;
    default:
      return tensor.int32Data;
  }
}

/** Packed elements of 4 or 2 bits, the first in the low bits, one byte each. */
function widen(
  tensor: TensorProto,
  narrow: NarrowType,
  count: number,
  where: string,
  external: ResolveExternal | undefined,
): ConstantData {
  const perByte = 8 / narrow.bits;
  const packed = rawBytes(tensor, where, external) ?? Uint8Array.from(tensor.int32Data);
  if (packed.byteLength !== Math.ceil(count / perByte)) {
    throw new UserError(
      `tensor of shape [${tensor.dims.join(", ")}] needs ${Math.ceil(count / perByte)} bytes, the file holds ${packed.byteLength}`,
      { where },
    );
  }
  const bytes = new Uint8Array(count);
  const mask = (1 << narrow.bits) - 1;
  const sign = narrow.signed ? 1 << (narrow.bits - 1) : 0;
  for (let i = 0; i < count; i++) {
    const raw = ((packed[Math.floor(i / perByte)] as number) >> (narrow.bits * (i % perByte))) & mask;
    bytes[i] = (raw ^ sign) - sign;
  }
  return { dtype: narrow.dtype, shape: tensor.dims, bytes };
}
