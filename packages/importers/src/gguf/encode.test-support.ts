/** Writes GGUF files for tests: correct ones, and ones with a wrong field where a test asks for it. */

import { GGUF_VALUE_TYPES, type GgufValueType } from "./value.ts";

/** An array value: its element type and items, which are arrays again where the element type is "array". */
export type ArrayItems = readonly [element: GgufValueType, items: readonly unknown[]];

export type Pair = readonly [key: string | Uint8Array, type: GgufValueType | number, value: unknown];

export interface TensorSpec {
  readonly name: string;
  /** Outermost first. */
  readonly shape: readonly (number | bigint)[];
  readonly type: number;
  readonly bytes?: Uint8Array;
  /** In place of the right one. */
  readonly offset?: number | bigint;
}

export interface FileSpec {
  readonly version?: number;
  readonly littleEndian?: boolean;
  readonly alignment?: number;
  readonly metadata?: readonly Pair[];
  readonly tensors?: readonly TensorSpec[];
  readonly tensorCount?: number | bigint;
  readonly pairCount?: number | bigint;
}

/** Fields one after another in either byte order. */
export class ByteWriter {
  readonly #littleEndian: boolean;
  readonly #bytes: number[] = [];

  constructor(littleEndian = true) {
    this.#littleEndian = littleEndian;
  }

  get length(): number {
    return this.#bytes.length;
  }

  raw(bytes: Iterable<number>): this {
    for (const byte of bytes) this.#bytes.push(byte);
    return this;
  }

  scalar(type: GgufValueType, value: number | bigint | boolean): this {
    const view = new DataView(new ArrayBuffer(8));
    const little = this.#littleEndian;
    const number = Number(value);
    const size = {
      u8: () => (view.setUint8(0, number), 1),
      i8: () => (view.setInt8(0, number), 1),
      bool: () => (view.setUint8(0, number), 1),
      u16: () => (view.setUint16(0, number, little), 2),
      i16: () => (view.setInt16(0, number, little), 2),
      u32: () => (view.setUint32(0, number, little), 4),
      i32: () => (view.setInt32(0, number, little), 4),
      f32: () => (view.setFloat32(0, number, little), 4),
      f64: () => (view.setFloat64(0, number, little), 8),
      u64: () => (view.setBigUint64(0, BigInt(value), little), 8),
      i64: () => (view.setBigInt64(0, BigInt(value), little), 8),
      string: () => 0,
      array: () => 0,
    }[type]();
    return this.raw(new Uint8Array(view.buffer, 0, size));
  }

  string(text: string | Uint8Array): this {
    const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
    return this.scalar("u64", bytes.length).raw(bytes);
  }

  value(type: GgufValueType, value: unknown): this {
    if (type === "string") return this.string(value as string | Uint8Array);
    if (type !== "array") return this.scalar(type, value as number | bigint | boolean);
    const [element, items] = value as ArrayItems;
    this.scalar("u32", GGUF_VALUE_TYPES.indexOf(element)).scalar("u64", items.length);
    for (const item of items) this.value(element, item);
    return this;
  }

  pad(alignment: number): this {
    while (this.length % alignment !== 0) this.#bytes.push(0);
    return this;
  }

  done(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}

export function encodeGguf(spec: FileSpec = {}): Uint8Array {
  const { version = 3, littleEndian = true, alignment = 32, metadata = [], tensors = [] } = spec;
  const out = new ByteWriter(littleEndian);
  out.raw(new TextEncoder().encode("GGUF")).scalar("u32", version);
  out.scalar("u64", spec.tensorCount ?? tensors.length).scalar("u64", spec.pairCount ?? metadata.length);
  for (const [key, type, value] of metadata) {
    out.string(key).scalar("u32", typeof type === "number" ? type : GGUF_VALUE_TYPES.indexOf(type));
    if (typeof type !== "number") out.value(type, value);
  }
  let offset = 0;
  for (const tensor of tensors) {
    out.string(tensor.name).scalar("u32", tensor.shape.length);
    for (const dim of tensor.shape.toReversed()) out.scalar("u64", dim);
    out.scalar("u32", tensor.type).scalar("u64", tensor.offset ?? offset);
    offset = Math.ceil((offset + (tensor.bytes?.length ?? 0)) / alignment) * alignment;
  }
  if (tensors.length > 0) out.pad(alignment);
  for (const { bytes = [] } of tensors) out.raw(bytes).pad(alignment);
  return out.done();
}

/** f32 values as the bytes of a tensor. */
export function f32Bytes(values: readonly number[], littleEndian = true): Uint8Array {
  const out = new ByteWriter(littleEndian);
  for (const value of values) out.scalar("f32", value);
  return out.done();
}

/** A file with some of everything, for mutation. */
export function sampleFile(littleEndian = true): Uint8Array {
  return encodeGguf({
    littleEndian,
    alignment: 64,
    metadata: [
      ["general.architecture", "string", "llama"],
      ["general.alignment", "u32", 64],
      ["llama.block_count", "u32", 2],
      ["llama.rope.freq_base", "f32", 10000],
      ["general.size", "u64", 2n ** 60n],
      ["general.flag", "bool", true],
      ["tokenizer.ggml.tokens", "array", ["string", ["<s>", "a", "é", "\ufeff"]]],
      ["tokenizer.ggml.scores", "array", ["f32", [0, -1, -2, -3]]],
      [
        "nested",
        "array",
        [
          "array",
          [
            ["u8", [1, 2]],
            ["i64", [-1n]],
          ],
        ],
      ],
    ],
    tensors: [
      { name: "token_embd.weight", shape: [2, 3], type: 0, bytes: f32Bytes([1, 2, 3, 4, 5, 6], littleEndian) },
      { name: "blk.0.attn_q.weight", shape: [2, 32], type: 8, bytes: new Uint8Array(68).fill(1) },
      { name: "blk.0.ffn_up.weight", shape: [1, 256], type: 12, bytes: new Uint8Array(144).fill(3) },
      { name: "blk.0.ffn_down.weight", shape: [256], type: 19, bytes: new Uint8Array(50).fill(5) },
    ],
  });
}
