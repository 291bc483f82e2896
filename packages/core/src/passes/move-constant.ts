/**
 * Moves the elements of a constant without interpreting them: weights are transposed in their own bytes.
 */

import { DTYPE_INFO } from "../dtype.ts";
import { InternalError } from "../errors.ts";
import type { ConstantData } from "../graph/graph.ts";

type Words = Uint8Array | Uint16Array | Uint32Array | BigUint64Array;

/** `data` with axis i of the result taken from axis perm[i]. */
export function transposeConstant(data: ConstantData, perm: readonly number[]): ConstantData {
  const shape = perm.map((axis) => data.shape[axis] as number);
  const sourceStrides: number[] = [];
  let stride = 1;
  for (let axis = data.shape.length - 1; axis >= 0; axis--) {
    sourceStrides[axis] = stride;
    stride *= data.shape[axis] as number;
  }
  const strides = perm.map((axis) => sourceStrides[axis] as number);
  const source = wordsOf(data);
  const target = new Uint8Array(data.bytes.byteLength);
  const words = wordsOf({ ...data, bytes: target });
  const last = shape.length - 1;
  const index = shape.map(() => 0);
  const [inner, innerStride] = [shape[last] ?? 1, strides[last] ?? 0];
  let from = 0;
  for (let to = 0; to < words.length; to += inner) {
    for (let i = 0; i < inner; i++) words[to + i] = source[from + i * innerStride] as never;
    for (let axis = last - 1; axis >= 0; axis--) {
      from += strides[axis] as number;
      index[axis] = (index[axis] as number) + 1;
      if ((index[axis] as number) < (shape[axis] as number)) break;
      from -= (strides[axis] as number) * (shape[axis] as number);
      index[axis] = 0;
    }
  }
  return { dtype: data.dtype, shape, bytes: target };
}

function wordsOf({ dtype, bytes }: ConstantData): Words {
  const size = DTYPE_INFO[dtype].bytes;
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  const [buffer, offset, length] = [aligned.buffer, aligned.byteOffset, aligned.byteLength / size];
  switch (size) {
    case 1:
      return new Uint8Array(buffer, offset, length);
    case 2:
      return new Uint16Array(buffer, offset, length);
    case 4:
      return new Uint32Array(buffer, offset, length);
    case 8:
      return new BigUint64Array(buffer, offset, length);
    default:
      throw new InternalError(`no words of ${size} bytes`);
  }
}
