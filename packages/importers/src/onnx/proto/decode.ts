/**
 * Decodes protobuf messages by the tables of `schema.ts`, over the wire reader of @bufbuild/protobuf.
 *
 * In: bytes of a file. Out: plain objects; `bytes` fields are views on the given memory, numeric lists are typed
 * arrays. Every length is bounded by the message around it, nesting by `MAX_DEPTH`, so memory stays in proportion to
 * the size of the file. Anything malformed is a `UserError`.
 */

import { UserError } from "@quern/core";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import type { AnySpec, Field, FieldKind, MessageSpec } from "./schema.ts";

/** Deepest nesting of messages: sub-graphs cost four levels each. */
const MAX_DEPTH = 128;

/** Reads one message from all of `bytes`. Throws a `UserError` naming the message and the offset. */
export function decodeMessage<T>(spec: MessageSpec<T>, bytes: Uint8Array): T {
  // A plain view: `slice` of Node's Buffer, unlike that of its base class, does not copy.
  const reader = new BinaryReader(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  try {
    return decodeFields(spec, reader, bytes.byteLength, 0) as T;
  } catch (cause) {
    if (cause instanceof UserError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new UserError(`malformed protobuf: ${reason} (offset ${reader.pos} of ${bytes.byteLength} bytes)`, {
      hint: "the file is truncated, damaged, or not an ONNX model",
      cause,
    });
  }
}

interface NumberedField {
  readonly name: string;
  readonly field: Field;
}

const numberedFields = new WeakMap<object, Map<number, NumberedField>>();

function fieldsByNumber(spec: AnySpec): Map<number, NumberedField> {
  let table = numberedFields.get(spec);
  if (table === undefined) {
    table = new Map(Object.entries(spec.fields).map(([name, field]) => [field[0], { name, field }]));
    numberedFields.set(spec, table);
  }
  return table;
}

function decodeFields(spec: AnySpec, reader: BinaryReader, end: number, depth: number): unknown {
  if (depth > MAX_DEPTH) throw new UserError(`malformed protobuf: more than ${MAX_DEPTH} nested messages`);
  const table = fieldsByNumber(spec);
  const message: Record<string, unknown> = {};
  const chunks: Chunks = { lists: undefined };
  for (const { name, field } of table.values()) message[name] = defaultOf(field[1]);
  while (reader.pos < end) {
    const [number, wireType] = reader.tag();
    const known = table.get(number);
    if (known === undefined) {
      skip(reader, wireType, number);
    } else if (known.field.length === 3) {
      expectWire(wireType, WireType.LengthDelimited, spec.name, known.name);
      const child = known.field[2]();
      const length = reader.uint32();
      const childEnd = reader.pos + length;
      if (childEnd > end) throw new RangeError(`length of ${spec.name}.${known.name} is past the end`);
      const value = decodeFields(child, reader, childEnd, depth + 1);
      if (known.field[1] === "many") (message[known.name] as unknown[]).push(value);
      else message[known.name] = value;
    } else {
      decodeScalar(reader, known.field[1], wireType, known.name, message, chunks);
    }
    if (reader.pos > end) throw new RangeError(`field ${number} of ${spec.name} is past the end`);
  }
  for (const [name, list] of chunks.lists ?? []) message[name] = joinChunks(list);
  return message;
}

function skip(reader: BinaryReader, wireType: WireType, number: number): void {
  // Groups were never used by ONNX; refusing them keeps nesting bounded.
  if (wireType === WireType.StartGroup || wireType === WireType.EndGroup) throw new RangeError("unexpected group");
  reader.skip(wireType, number);
}

function expectWire(actual: WireType, expected: WireType, message: string, field: string): void {
  if (actual !== expected) throw new RangeError(`wire type ${actual} for ${message}.${field}, expected ${expected}`);
}

// Empty typed arrays cannot change, so all messages share them.
const NO_FLOATS = new Float32Array(0);
const NO_DOUBLES = new Float64Array(0);
const NO_INT32 = new Int32Array(0);
const NO_INT64 = new BigInt64Array(0);
const NO_UINT64 = new BigUint64Array(0);

type NumericArray = Float32Array | Float64Array | Int32Array | BigInt64Array | BigUint64Array;

/** Parts of numeric lists by field name, joined when the message ends. */
interface Chunks {
  lists: Map<string, NumericArray[]> | undefined;
}

function defaultOf(kind: Field[1]): unknown {
  switch (kind) {
    case "int":
    case "float":
      return 0;
    case "string":
      return "";
    case "int?":
    case "bytes":
    case "one":
      return undefined;
    case "many":
    case "ints":
    case "floats":
    case "strings":
    case "bytesList":
      return [];
    case "floatArray":
      return NO_FLOATS;
    case "doubleArray":
      return NO_DOUBLES;
    case "int32Array":
      return NO_INT32;
    case "int64Array":
      return NO_INT64;
    case "uint64Array":
      return NO_UINT64;
  }
}

function decodeScalar(
  reader: BinaryReader,
  kind: FieldKind,
  wireType: WireType,
  name: string,
  message: Record<string, unknown>,
  chunks: Chunks,
): void {
  const wire = (expected: WireType): void => expectWire(wireType, expected, "message", name);
  const packed = wireType === WireType.LengthDelimited;
  const append = (array: NumericArray): void => {
    chunks.lists ??= new Map();
    const list = chunks.lists.get(name);
    if (list === undefined) chunks.lists.set(name, [array]);
    else list.push(array);
  };
  switch (kind) {
    case "int":
    case "int?":
      wire(WireType.Varint);
      message[name] = Number(reader.int64());
      return;
    case "float":
      wire(WireType.Bit32);
      message[name] = reader.float();
      return;
    case "string":
      wire(WireType.LengthDelimited);
      message[name] = reader.string();
      return;
    case "bytes":
      wire(WireType.LengthDelimited);
      message[name] = reader.bytes();
      return;
    case "strings":
      wire(WireType.LengthDelimited);
      (message[name] as string[]).push(reader.string());
      return;
    case "bytesList":
      wire(WireType.LengthDelimited);
      (message[name] as Uint8Array[]).push(reader.bytes());
      return;
    case "ints": {
      const list = message[name] as number[];
      if (packed) {
        for (const value of readVarints(reader, BigInt64Array)) list.push(Number(value));
        return;
      }
      wire(WireType.Varint);
      list.push(Number(reader.int64()));
      return;
    }
    case "floats": {
      const list = message[name] as number[];
      if (packed) {
        for (const value of readFixed(reader, Float32Array)) list.push(value);
        return;
      }
      wire(WireType.Bit32);
      list.push(reader.float());
      return;
    }
    case "floatArray":
      if (!packed) wire(WireType.Bit32);
      append(packed ? readFixed(reader, Float32Array) : Float32Array.of(reader.float()));
      return;
    case "doubleArray":
      if (!packed) wire(WireType.Bit64);
      append(packed ? readFixed(reader, Float64Array) : Float64Array.of(reader.double()));
      return;
    case "int32Array":
      if (!packed) wire(WireType.Varint);
      append(
        Int32Array.from(packed ? readVarints(reader, BigInt64Array) : [reader.int64() as bigint], (v) =>
          Number(BigInt.asIntN(32, v)),
        ),
      );
      return;
    case "int64Array":
      if (!packed) wire(WireType.Varint);
      append(packed ? readVarints(reader, BigInt64Array) : BigInt64Array.of(reader.int64() as bigint));
      return;
    case "uint64Array":
      if (!packed) wire(WireType.Varint);
      append(packed ? readVarints(reader, BigUint64Array) : BigUint64Array.of(reader.uint64() as bigint));
      return;
  }
}

/** Packed fixed-width numbers, copied because the file gives no alignment. */
function readFixed<T extends Float32Array | Float64Array>(
  reader: BinaryReader,
  array: { new (buffer: ArrayBuffer): T; readonly BYTES_PER_ELEMENT: number },
): T {
  const bytes = reader.bytes();
  if (bytes.byteLength % array.BYTES_PER_ELEMENT !== 0) throw new RangeError("packed numbers of a fractional count");
  return new array(bytes.slice().buffer as ArrayBuffer);
}

/** Packed varints. Their count is known beforehand: each ends in a byte without the high bit. */
function readVarints<T extends BigInt64Array | BigUint64Array>(
  reader: BinaryReader,
  array: { new (length: number): T },
): T {
  const bytes = reader.bytes();
  let count = 0;
  for (let i = 0; i < bytes.byteLength; i++) if ((bytes[i] as number) < 0x80) count += 1;
  const values = new array(count);
  const inner = new BinaryReader(bytes);
  for (let i = 0; i < count; i++) values[i] = inner.int64() as bigint;
  if (inner.pos !== bytes.byteLength) throw new RangeError("packed integers end in the middle of a number");
  return values;
}

function joinChunks(list: readonly NumericArray[]): NumericArray {
  const first = list[0] as NumericArray;
  if (list.length === 1) return first;
  const total = list.reduce((sum, chunk) => sum + chunk.length, 0);
  const joined = new (first.constructor as new (length: number) => Float32Array)(total);
  let at = 0;
  for (const chunk of list) {
    joined.set(chunk as Float32Array, at);
    at += chunk.length;
  }
  return joined;
}
