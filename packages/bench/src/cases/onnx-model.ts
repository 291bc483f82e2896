/**
 * Writes small ONNX models for GEMM and op cases, so that every engine is given the very same file.
 *
 * In: a graph as plain records. Out: protobuf bytes, and the place of each initialiser's raw data in them. Only the
 * fields that single-purpose graphs need are written. Reference: onnx.proto3 (IR version 8), protobuf wire format.
 */

import type { DType } from "@quern/core";

/** ONNX `TensorProto.DataType` of the dtypes that cases use. */
const ELEMENT_TYPE: Readonly<Partial<Record<DType, number>>> = {
  f32: 1,
  u8: 2,
  i8: 3,
  i32: 6,
  i64: 7,
  bool: 9,
  f16: 10,
  f64: 11,
  bf16: 16,
};

export interface OnnxValue {
  readonly name: string;
  readonly dtype: DType;
  /** A name is a symbolic dimension. */
  readonly shape: readonly (number | string)[];
}

export interface OnnxInitialiser extends OnnxValue {
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

export interface OnnxNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Integers are written as INT attributes where `Number.isInteger`, strings as STRING, `{ float }` as FLOAT. */
  readonly attributes?: Readonly<Record<string, number | string | { readonly float: number }>>;
}

export interface OnnxGraph {
  readonly name: string;
  readonly opset: number;
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  readonly initialisers: readonly OnnxInitialiser[];
  readonly nodes: readonly OnnxNode[];
}

/** A protobuf message under construction: chunks, so that large raw data is copied once, at the end. */
class Message {
  readonly #chunks: Uint8Array[] = [];
  length = 0;

  #append(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.length += chunk.length;
  }

  #varint(value: number | bigint): void {
    let rest = BigInt.asUintN(64, BigInt(value));
    const bytes: number[] = [];
    do {
      bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
      rest >>= 7n;
    } while (rest > 0n);
    this.#append(Uint8Array.from(bytes));
  }

  int(field: number, value: number | bigint): this {
    this.#varint((field << 3) | 0);
    this.#varint(value);
    return this;
  }

  float(field: number, value: number): this {
    this.#varint((field << 3) | 5);
    this.#append(new Uint8Array(Float32Array.of(value).buffer));
    return this;
  }

  bytes(field: number, value: Uint8Array): this {
    this.#varint((field << 3) | 2);
    this.#varint(value.length);
    this.#append(value);
    return this;
  }

  text(field: number, value: string): this {
    return this.bytes(field, new TextEncoder().encode(value));
  }

  message(field: number, value: Message): this {
    this.#varint((field << 3) | 2);
    this.#varint(value.length);
    for (const chunk of value.#chunks) this.#append(chunk);
    return this;
  }

  finish(): Uint8Array {
    const joined = new Uint8Array(this.length);
    let at = 0;
    for (const chunk of this.#chunks) {
      joined.set(chunk, at);
      at += chunk.length;
    }
    return joined;
  }

  /** Offset of a chunk in the finished message. */
  offsetOf(wanted: Uint8Array): number {
    let at = 0;
    for (const chunk of this.#chunks) {
      if (chunk === wanted) return at;
      at += chunk.length;
    }
    return -1;
  }
}

function elementType(dtype: DType): number {
  return ELEMENT_TYPE[dtype] ?? 0;
}

function valueInfo(value: OnnxValue): Message {
  const shape = new Message();
  for (const dim of value.shape) {
    shape.message(1, typeof dim === "number" ? new Message().int(1, dim) : new Message().text(2, dim));
  }
  const tensorType = new Message().int(1, elementType(value.dtype)).message(2, shape);
  return new Message().text(1, value.name).message(2, new Message().message(1, tensorType));
}

function attribute(name: string, value: number | string | { readonly float: number }): Message {
  const message = new Message().text(1, name);
  if (typeof value === "string") return message.text(4, value).int(20, 3);
  if (typeof value === "object") return message.float(2, value.float).int(20, 1);
  return message.int(3, value).int(20, 2);
}

function node(record: OnnxNode, index: number): Message {
  const message = new Message();
  for (const input of record.inputs) message.text(1, input);
  for (const output of record.outputs) message.text(2, output);
  message.text(3, `${record.op}_${index}`).text(4, record.op);
  for (const [name, value] of Object.entries(record.attributes ?? {})) message.message(5, attribute(name, value));
  return message;
}

function initialiser(record: OnnxInitialiser): Message {
  const message = new Message();
  for (const dim of record.shape) message.int(1, dim);
  return message.int(2, elementType(record.dtype)).text(8, record.name).bytes(9, record.bytes);
}

export interface EncodedModel {
  readonly bytes: Uint8Array;
  /** Byte offset of each initialiser's data. */
  readonly offsets: Readonly<Record<string, number>>;
}

/** The bytes of a model file. */
export function encodeOnnx(graph: OnnxGraph): EncodedModel {
  const body = new Message();
  graph.nodes.forEach((record, index) => body.message(1, node(record, index)));
  body.text(2, graph.name);
  for (const record of graph.initialisers) body.message(5, initialiser(record));
  for (const value of graph.inputs) body.message(11, valueInfo(value));
  for (const value of graph.outputs) body.message(12, valueInfo(value));
  const model = new Message()
    .int(1, 8)
    .text(2, "quern")
    .message(7, body)
    .message(8, new Message().text(1, "").int(2, graph.opset));
  const offsets = Object.fromEntries(graph.initialisers.map((record) => [record.name, model.offsetOf(record.bytes)]));
  return { bytes: model.finish(), offsets };
}
