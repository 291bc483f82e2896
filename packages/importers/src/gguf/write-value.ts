/**
 * Fields of a GGUF file as bytes: what `byte-reader.ts` and `value.ts` read, little endian. A value that its type cannot
 * hold is a `UserError`.
 */

import { UserError } from "@quern/core";
import { quoted } from "./problems.ts";
import { GGUF_VALUE_TYPES, type GgufArray, type GgufNumberType, type GgufValue, type GgufValueType } from "./value.ts";

const FIRST_ROOM = 1 << 16;
const utf8 = new TextEncoder();

/** Least and greatest integer of each type. */
const RANGES: Readonly<Partial<Record<GgufValueType, readonly [bigint, bigint]>>> = {
  u8: [0n, 0xffn],
  i8: [-0x80n, 0x7fn],
  u16: [0n, 0xffffn],
  i16: [-0x8000n, 0x7fffn],
  u32: [0n, 0xffff_ffffn],
  i32: [-0x8000_0000n, 0x7fff_ffffn],
  u64: [0n, 2n ** 64n - 1n],
  i64: [-(2n ** 63n), 2n ** 63n - 1n],
};

const NUMBER_BYTES: Readonly<Record<GgufNumberType, number>> = {
  u8: 1,
  i8: 1,
  u16: 2,
  i16: 2,
  u32: 4,
  i32: 4,
  f32: 4,
  u64: 8,
  i64: 8,
  f64: 8,
};

/** Bytes that grow as fields are added. `what` in the methods names the field in messages. */
export class FieldWriter {
  #bytes: Uint8Array = new Uint8Array(FIRST_ROOM);
  #view: DataView = new DataView(this.#bytes.buffer);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** What was written, a view that later writes may detach. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#size);
  }

  u32(value: number): this {
    const at = this.#room(4);
    this.#view.setUint32(at, value, true);
    return this;
  }

  /** `value` is an integer from 0 to 2^53. */
  u64(value: number): this {
    const at = this.#room(8);
    this.#view.setBigUint64(at, BigInt(value), true);
    return this;
  }

  string(text: string, what: string): this {
    if (!text.isWellFormed()) throw new UserError(`${what} has half a surrogate pair, which UTF-8 cannot hold`);
    const bytes = utf8.encode(text);
    this.u64(bytes.byteLength);
    const at = this.#room(bytes.byteLength);
    this.#bytes.set(bytes, at);
    return this;
  }

  /** The type and the value of the key `key`. */
  value(value: GgufValue, key: string): this {
    this.#type(value.type);
    this.#typed(value, `the value of key ${quoted(key)}`);
    return this;
  }

  /** Zeros up to a multiple of `alignment`. */
  pad(alignment: number): this {
    const rest = this.#size % alignment;
    // New memory is zero.
    if (rest !== 0) this.#room(alignment - rest);
    return this;
  }

  #type(type: GgufValueType): void {
    this.u32(GGUF_VALUE_TYPES.indexOf(type));
  }

  #typed(value: GgufValue, what: string): void {
    switch (value.type) {
      case "string":
        this.string(value.value, what);
        return;
      case "bool":
        this.#number("u8", value.value ? 1 : 0, what);
        return;
      case "array":
        this.#array(value, what);
        return;
      default:
        this.#number(value.type, value.value, what);
    }
  }

  #array(array: GgufArray, what: string): void {
    this.#type(array.element);
    this.u64(array.value.length);
    switch (array.element) {
      case "string":
        for (const item of array.value) this.string(item, what);
        return;
      case "bool":
        for (const item of array.value) this.#number("u8", item ? 1 : 0, what);
        return;
      case "array":
        for (const item of array.value) this.#array(item, what);
        return;
      default:
        for (const item of array.value) this.#number(array.element, item, what);
    }
  }

  #number(type: GgufNumberType, value: number | bigint, what: string): void {
    const range = RANGES[type];
    const fits =
      range === undefined ||
      (typeof value === "bigint"
        ? value >= range[0] && value <= range[1]
        : Number.isInteger(value) && value >= Number(range[0]) && value <= Number(range[1]));
    if (!fits) throw new UserError(`${what} is ${value}, which is no ${type}`);
    this.#store(type, value);
  }

  #store(type: GgufNumberType, value: number | bigint): void {
    const number = Number(value);
    const at = this.#room(NUMBER_BYTES[type]);
    const view = this.#view;
    switch (type) {
      case "u8":
        view.setUint8(at, number);
        return;
      case "i8":
        view.setInt8(at, number);
        return;
      case "u16":
        view.setUint16(at, number, true);
        return;
      case "i16":
        view.setInt16(at, number, true);
        return;
      case "u32":
        view.setUint32(at, number, true);
        return;
      case "i32":
        view.setInt32(at, number, true);
        return;
      case "f32":
        view.setFloat32(at, number, true);
        return;
      case "f64":
        view.setFloat64(at, number, true);
        return;
      case "u64":
        view.setBigUint64(at, BigInt(value), true);
        return;
      case "i64":
        view.setBigInt64(at, BigInt(value), true);
    }
  }

  /** Offset of the next `size` bytes. May replace the view, which is therefore taken after it. */
  #room(size: number): number {
    const at = this.#size;
    this.#size += size;
    if (this.#size > this.#bytes.byteLength) {
      const larger = new Uint8Array(Math.max(this.#size, 2 * this.#bytes.byteLength));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
}
