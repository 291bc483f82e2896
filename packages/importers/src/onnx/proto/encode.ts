/**
 * Writes protobuf messages by the tables of `schema.ts`: the inverse of `decode.ts`, for tests that make model files.
 * Fields that are absent from the given object are left out.
 */

import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { AnySpec, FieldKind, MessageSpec } from "./schema.ts";

/** An object of message type `T` with any of its fields. */
export type Partially<T> = T extends Uint8Array | ArrayBufferView
  ? T
  : T extends readonly (infer Item)[]
    ? readonly Partially<Item>[]
    : T extends object
      ? { readonly [K in keyof T]?: Partially<T[K]> | undefined }
      : T;

export function encodeMessage<T>(spec: MessageSpec<T>, message: Partially<T>): Uint8Array {
  const writer = new BinaryWriter();
  encodeFields(spec, message as Record<string, unknown>, writer);
  return writer.finish();
}

function encodeFields(spec: AnySpec, message: Readonly<Record<string, unknown>>, writer: BinaryWriter): void {
  for (const [name, field] of Object.entries(spec.fields)) {
    const value = message[name];
    if (value === undefined) continue;
    const [number, kind] = field;
    if (field.length === 3) {
      for (const child of (kind === "many" ? value : [value]) as readonly Record<string, unknown>[]) {
        writer.tag(number, WireType.LengthDelimited).fork();
        encodeFields(field[2](), child, writer);
        writer.join();
      }
    } else {
      encodeScalar(writer, number, field[1], value);
    }
  }
}

function encodeScalar(writer: BinaryWriter, number: number, kind: FieldKind, value: unknown): void {
  const integer = (item: number | bigint): bigint => BigInt.asIntN(64, BigInt(item));
  const packed = <T>(list: Iterable<T>, write: (item: T) => void): void => {
    writer.tag(number, WireType.LengthDelimited).fork();
    for (const item of list) write(item);
    writer.join();
  };
  switch (kind) {
    case "int":
    case "int?":
      writer.tag(number, WireType.Varint).int64(integer(value as number));
      return;
    case "float":
      writer.tag(number, WireType.Bit32).float(value as number);
      return;
    case "string":
      writer.tag(number, WireType.LengthDelimited).string(value as string);
      return;
    case "bytes":
      writer.tag(number, WireType.LengthDelimited).bytes(value as Uint8Array);
      return;
    case "strings":
      for (const text of value as readonly string[]) writer.tag(number, WireType.LengthDelimited).string(text);
      return;
    case "bytesList":
      for (const bytes of value as readonly Uint8Array[]) writer.tag(number, WireType.LengthDelimited).bytes(bytes);
      return;
    case "floats":
    case "floatArray":
      packed(value as Iterable<number>, (item) => writer.float(item));
      return;
    case "doubleArray":
      packed(value as Iterable<number>, (item) => writer.double(item));
      return;
    case "ints":
    case "int32Array":
    case "int64Array":
    case "uint64Array":
      packed(value as Iterable<number | bigint>, (item) => writer.int64(integer(item)));
  }
}
