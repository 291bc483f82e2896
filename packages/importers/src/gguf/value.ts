/**
 * Metadata values: the 13 types of the format and their reader.
 *
 * Memory is bounded by the file's size for strings and by `MAX_ELEMENTS` for everything else: a nested array of nothing
 * takes 12 bytes in a file and many more here.
 */

import { DAMAGED, type ByteReader } from "./byte-reader.ts";
import { quoted } from "./problems.ts";
import { readStrings } from "./read-strings.ts";
import type { StringList } from "./strings.ts";

/** The value types by number. */
export const GGUF_VALUE_TYPES = [
  "u8",
  "i8",
  "u16",
  "i16",
  "u32",
  "i32",
  "f32",
  "bool",
  "string",
  "array",
  "u64",
  "i64",
  "f64",
] as const;

export type GgufValueType = (typeof GGUF_VALUE_TYPES)[number];
export type GgufNumberType = Exclude<GgufValueType, "bool" | "string" | "array">;

export type GgufArray =
  | {
      readonly type: "array";
      readonly element: Exclude<GgufNumberType, "u64" | "i64">;
      readonly value: NumericArray;
    }
  | { readonly type: "array"; readonly element: "u64" | "i64"; readonly value: readonly (number | bigint)[] }
  | { readonly type: "array"; readonly element: "bool"; readonly value: readonly boolean[] }
  | { readonly type: "array"; readonly element: "string"; readonly value: StringList }
  | { readonly type: "array"; readonly element: "array"; readonly value: readonly GgufArray[] };

/** One value with its type. Integers of 64 bits are `bigint` where a `number` would not be exact (beyond ±2^53). */
export type GgufValue =
  | { readonly type: Exclude<GgufNumberType, "u64" | "i64">; readonly value: number }
  | { readonly type: "u64" | "i64"; readonly value: number | bigint }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string }
  | GgufArray;

export type NumericArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array;

/** Least number of bytes of a value in the file: strings and arrays have at least their length. */
const MIN_BYTES: Readonly<Record<GgufValueType, number>> = {
  u8: 1,
  i8: 1,
  u16: 2,
  i16: 2,
  u32: 4,
  i32: 4,
  f32: 4,
  bool: 1,
  string: 8,
  array: 12,
  u64: 8,
  i64: 8,
  f64: 8,
};

/** Array elements of all metadata together; the largest vocabularies have some millions. */
const MAX_ELEMENTS = 2 ** 24;
const MAX_DEPTH = 8;

/** Elements that the metadata of a file may still have. */
export interface ElementBudget {
  left: number;
}

export function newElementBudget(): ElementBudget {
  return { left: MAX_ELEMENTS };
}

/** Reads the type and the value of the key `key`. */
export function readValue(reader: ByteReader, key: string, budget: ElementBudget): GgufValue {
  const what = `the value of key ${quoted(key)}`;
  return readTyped(reader, readType(reader, what), what, budget);
}

function readType(reader: ByteReader, what: string): GgufValueType {
  const { at } = reader;
  const id = reader.u32(`the type of ${what}`);
  const type = GGUF_VALUE_TYPES[id];
  if (type !== undefined) return type;
  return reader.problems.stop({
    what: `${what} has type ${id}, which does not exist`,
    where: reader.where(at),
    hint: DAMAGED,
  });
}

function readTyped(reader: ByteReader, type: GgufValueType, what: string, budget: ElementBudget): GgufValue {
  switch (type) {
    case "string":
      return { type, value: reader.string(what) };
    case "bool":
      return { type, value: readBool(reader, what) };
    case "array":
      return readArray(reader, what, 1, budget);
    case "u64":
    case "i64":
      return { type, value: readLong(reader, type, what) };
    default:
      return { type, value: readNumber(reader, type, what) };
  }
}

function readArray(reader: ByteReader, what: string, depth: number, budget: ElementBudget): GgufArray {
  const { at } = reader;
  const element = readType(reader, `the elements of ${what}`);
  const count = reader.count(`elements of ${what}`, MIN_BYTES[element], MAX_ELEMENTS);
  budget.left -= count;
  if (budget.left < 0 || depth > MAX_DEPTH) {
    reader.problems.stop({
      what:
        depth > MAX_DEPTH
          ? `${what} nests more than ${MAX_DEPTH} arrays`
          : `the metadata has more than ${MAX_ELEMENTS} array elements`,
      where: reader.where(at),
      hint: DAMAGED,
    });
  }
  const list = <T>(read: () => T): T[] => {
    const items: T[] = [];
    for (let i = 0; i < count; i++) items.push(read());
    return items;
  };
  switch (element) {
    case "string":
      return { type: "array", element, value: readStrings(reader, count, `a string of ${what}`) };
    case "bool":
      return { type: "array", element, value: list(() => readBool(reader, what)) };
    case "array":
      return { type: "array", element, value: list(() => readArray(reader, what, depth + 1, budget)) };
    case "u64":
    case "i64":
      return { type: "array", element, value: list(() => readLong(reader, element, what)) };
    default:
      return { type: "array", element, value: readNumbers(reader, element, count, what) };
  }
}

type ShortType = Exclude<GgufNumberType, "u64" | "i64">;

const ARRAYS: Readonly<Record<ShortType, new (content: number | ArrayBuffer) => NumericArray>> = {
  u8: Uint8Array,
  i8: Int8Array,
  u16: Uint16Array,
  i16: Int16Array,
  u32: Uint32Array,
  i32: Int32Array,
  f32: Float32Array,
  f64: Float64Array,
};

/** Whether numbers lie in memory as little-endian files have them. */
const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** Up to how many numbers of an array are read one by one: it then has no memory of its own beside the heap. */
const FEW = 8;

/** A copy: numbers of a file are not aligned. */
function readNumbers(reader: ByteReader, type: ShortType, count: number, what: string): NumericArray {
  if (count <= FEW) {
    const value = new ARRAYS[type](count);
    for (let i = 0; i < count; i++) value[i] = readNumber(reader, type, what);
    return value;
  }
  const size = MIN_BYTES[type];
  const start = reader.take(size * count, what);
  const bytes = reader.bytes.slice(start, reader.at);
  if (reader.littleEndian !== LITTLE_ENDIAN)
    for (let i = 0; i < bytes.length; i += size) bytes.subarray(i, i + size).reverse();
  return new ARRAYS[type](bytes.buffer);
}

function readNumber(reader: ByteReader, type: ShortType, what: string): number {
  const { view, littleEndian } = reader;
  const at = reader.take(MIN_BYTES[type], what);
  switch (type) {
    case "u8":
      return view.getUint8(at);
    case "i8":
      return view.getInt8(at);
    case "u16":
      return view.getUint16(at, littleEndian);
    case "i16":
      return view.getInt16(at, littleEndian);
    case "u32":
      return view.getUint32(at, littleEndian);
    case "i32":
      return view.getInt32(at, littleEndian);
    case "f32":
      return view.getFloat32(at, littleEndian);
    case "f64":
      return view.getFloat64(at, littleEndian);
  }
}

function readLong(reader: ByteReader, type: "u64" | "i64", what: string): number | bigint {
  const { view, littleEndian } = reader;
  const at = reader.take(8, what);
  const value = type === "u64" ? view.getBigUint64(at, littleEndian) : view.getBigInt64(at, littleEndian);
  const near = Number(value);
  return Number.isSafeInteger(near) ? near : value;
}

function readBool(reader: ByteReader, what: string): boolean {
  const at = reader.take(1, what);
  const byte = reader.bytes[at]!;
  if (byte > 1)
    reader.problems.add({ what: `${what} is a bool of value ${byte}`, where: reader.where(at), hint: DAMAGED });
  return byte !== 0;
}
