/**
 * Reads back the single-purpose graphs that `onnx-model.ts` writes, for engines that are no ONNX runtimes (a BLAS library,
 * plain loops) and still get the very file that the others get. The package needs no importer for that.
 *
 * In: bytes of a model file. Out: the graph's name, its inputs and outputs, and its f32 initialisers. Fields that the writer
 * does not write are passed over. Reference: onnx.proto3, protobuf wire format.
 */

import { UserError, type DType } from "@quern/core";
import { readFileSync } from "node:fs";
import type { ModelValue } from "./model.ts";

export interface CaseGraph {
  /** "gemm", or the name of an op case. */
  readonly name: string;
  readonly inputs: readonly ModelValue[];
  readonly outputs: readonly ModelValue[];
  /** Values by name: copies, aligned. */
  readonly initialisers: Readonly<Record<string, Float32Array>>;
}

/** One field of a message: its number, and its varint or its bytes. */
interface Field {
  readonly field: number;
  readonly value: number;
  readonly bytes: Uint8Array | undefined;
}

const FLOAT = 1;

/** The fields of a message in their order. Throws a `UserError` where the bytes are none. */
export function* fieldsOf(message: Uint8Array): Generator<Field> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = message[at++];
      if (byte === undefined) throw new UserError("the model file ends in the middle of a number");
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const key = varint();
    const field = Math.floor(key / 8);
    const wire = key % 8;
    if (wire === 0) yield { field, value: varint(), bytes: undefined };
    else if (wire === 2) {
      const length = varint();
      const bytes = message.subarray(at, at + length);
      if (bytes.length !== length) throw new UserError("the model file ends in the middle of a field");
      at += length;
      yield { field, value: length, bytes };
    } else if (wire === 5) at += 4;
    else if (wire === 1) at += 8;
    else throw new UserError(`the model file has a field of wire type ${wire}`);
  }
}

/** The messages of one field. */
function messages(message: Uint8Array, wanted: number): Uint8Array[] {
  return [...fieldsOf(message)].flatMap(({ field, bytes }) => (field === wanted && bytes !== undefined ? [bytes] : []));
}

function text(message: Uint8Array, wanted: number): string {
  return new TextDecoder().decode(messages(message, wanted)[0]);
}

function numbers(message: Uint8Array, wanted: number): number[] {
  return [...fieldsOf(message)].flatMap(({ field, value, bytes }) =>
    field === wanted && bytes === undefined ? [value] : [],
  );
}

function valueOf(info: Uint8Array): ModelValue {
  const tensorType = messages(messages(info, 2)[0] ?? new Uint8Array(), 1)[0] ?? new Uint8Array();
  const dtype: DType | undefined = numbers(tensorType, 1)[0] === FLOAT ? "f32" : undefined;
  if (dtype === undefined) throw new UserError(`"${text(info, 1)}" is no f32 tensor`);
  const dims = messages(messages(tensorType, 2)[0] ?? new Uint8Array(), 1);
  return { name: text(info, 1), dtype, shape: dims.map((dim) => numbers(dim, 1)[0] ?? null) };
}

/** Throws a `UserError` with the path where the file is none of this package's own cases. */
export function readCaseGraph(path: string): CaseGraph {
  try {
    const graph = messages(readFileSync(path), 7)[0];
    if (graph === undefined) throw new UserError("the file holds no graph");
    const initialisers: Record<string, Float32Array> = {};
    for (const tensor of messages(graph, 5)) {
      const raw = messages(tensor, 9)[0] ?? new Uint8Array();
      initialisers[text(tensor, 8)] = new Float32Array(new Uint8Array(raw).buffer);
    }
    return {
      name: text(graph, 2),
      inputs: messages(graph, 11).map(valueOf),
      outputs: messages(graph, 12).map(valueOf),
      initialisers,
    };
  } catch (cause) {
    if (cause instanceof UserError) throw new UserError(cause.message, { where: path, cause });
    throw cause;
  }
}

/** Sizes of the matrix product of a "gemm" graph, and its constant second matrix if it has one. */
export interface GemmGraph {
  readonly m: number;
  readonly k: number;
  readonly n: number;
  readonly weights: Float32Array | undefined;
}

export function gemmOf(graph: CaseGraph): GemmGraph {
  const [m, k] = (graph.inputs[0]?.shape ?? []) as number[];
  const n = graph.outputs[0]?.shape[1] as number | undefined;
  if (graph.name !== "gemm" || m === undefined || k === undefined || n === undefined) {
    throw new UserError(`the graph "${graph.name}" is no matrix product`);
  }
  return { m, k, n, weights: graph.initialisers["b"] };
}
