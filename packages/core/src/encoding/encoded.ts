/** Constants stored in blocks: how many bytes they take, and their elements. */

import { DTYPE_INFO } from "../dtype.ts";
import { UserError } from "../errors.ts";
import type { ConstantData } from "../graph/graph.ts";
import { elementCount } from "../runtime/tensor.ts";
import type { Weights } from "./block.ts";

/** Bytes that the elements of a constant take. */
export function constantBytes({ dtype, shape, encoding }: Omit<ConstantData, "bytes">): number {
  const elements = elementCount(shape);
  return encoding === undefined
    ? elements * DTYPE_INFO[dtype].bytes
    : (elements / encoding.blockWeights) * encoding.blockBytes;
}

/** Decodes a constant that has an encoding to `out`, which has its number of elements. */
export function decodeBlocks({ bytes, encoding }: ConstantData, out: Weights): void {
  if (encoding === undefined) throw new UserError("constant: no blocks to decode");
  encoding.dequantise(bytes, out);
}

/** The rows of a 2-D constant from `first` on, a view on the same bytes. */
export function rowsOf(data: ConstantData, first: number, count: number): ConstantData {
  const [rows, ...inner] = data.shape as [number, ...number[]];
  const rowBytes = rows === 0 ? 0 : data.bytes.byteLength / rows;
  return {
    ...data,
    shape: [count, ...inner],
    bytes: data.bytes.subarray(first * rowBytes, (first + count) * rowBytes),
  };
}

const decoded = new WeakMap<Uint8Array, WeakRef<ConstantData>>();

/** The same elements as plain f32, in new memory that all users of the constant share. */
export function decodeConstant(data: ConstantData): ConstantData {
  if (data.encoding === undefined) return data;
  let plain = decoded.get(data.bytes)?.deref();
  if (plain === undefined) {
    const values = new Float32Array(elementCount(data.shape));
    decodeBlocks(data, values);
    plain = { dtype: "f32", shape: data.shape, bytes: new Uint8Array(values.buffer) };
    decoded.set(data.bytes, new WeakRef(plain));
  }
  return { ...plain, shape: data.shape };
}
