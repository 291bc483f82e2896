/** Tensors of a GGUF file as numbers. */

import { UserError } from "@quern/core";
import type { GgufFile } from "./parse.ts";
import { quoted } from "./problems.ts";
import type { GgufTensor } from "./tensor-table.ts";

/**
 * Values of the tensor `name` in f32, row-major as its `shape` says: a new array of 4 bytes per element. Throws a
 * `UserError` when there is no such tensor or not enough memory.
 */
export function tensorData(file: GgufFile, name: string): Float32Array {
  const tensor = file.tensors.get(name);
  if (tensor === undefined) {
    const some = [...file.tensors.keys()].slice(0, 5).map(quoted).join(", ");
    throw new UserError(`there is no tensor ${quoted(name)}`, {
      where: file.name,
      hint: some === "" ? "the file has no tensors" : `the file has ${file.tensors.size} tensors, such as ${some}`,
    });
  }
  const where = `tensor ${quoted(name)} (${file.name})`;
  const out = allocate(elementCount(tensor), where);
  tensor.type.dequantise(tensor.bytes, out, tensor.littleEndian);
  return out;
}

function elementCount({ bytes, type }: GgufTensor): number {
  return (bytes.byteLength / type.blockBytes) * type.blockWeights;
}

function allocate(elements: number, where: string): Float32Array {
  try {
    return new Float32Array(elements);
  } catch (cause) {
    throw new UserError(`${elements * 4} bytes for the decoded tensor cannot be allocated`, {
      where,
      hint: "decode it in pieces with its type's `dequantise`",
      cause,
    });
  }
}
