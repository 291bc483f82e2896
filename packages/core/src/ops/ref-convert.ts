/**
 * The one place where elements change between stored form and the float64 of the reference interpreter.
 *
 * Reading is exact but for 64-bit integers beyond 2^53. Writing rounds floats to the dtype once; 64-bit integers at the
 * ends of their range saturate.
 */

import type { DType } from "../dtype.ts";
import { decodeBlocks } from "../encoding/encoded.ts";
import type { ConstantData } from "../graph/graph.ts";
import { ARRAY_OF, Tensor, type TypedArray, elementCount } from "../runtime/tensor.ts";
import type { RefTensor } from "./op.ts";
import { refOf, roundFloat } from "./ref-tensor.ts";

export function refFromTensor(tensor: Tensor): RefTensor {
  return refOf(tensor.dtype, tensor.shape, decode(tensor.dtype, tensor.data));
}

/** Elements of a constant, whose bytes may begin at any address. */
export function refFromConstant(constant: ConstantData): RefTensor {
  if (constant.encoding !== undefined) {
    const values = new Float64Array(elementCount(constant.shape));
    decodeBlocks(constant, values);
    return refOf(constant.dtype, constant.shape, values);
  }
  const Array = ARRAY_OF[constant.dtype];
  const { bytes } = constant;
  const aligned = bytes.byteOffset % Array.BYTES_PER_ELEMENT === 0 ? bytes : new Uint8Array(bytes);
  const data = new Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / Array.BYTES_PER_ELEMENT);
  return refOf(constant.dtype, constant.shape, decode(constant.dtype, data));
}

/** The elements of a stored array as numbers. */
export function decode(dtype: DType, data: TypedArray): Float64Array {
  if (dtype === "bf16") {
    const wide = Uint32Array.from(data as Uint16Array, (half) => half << 16);
    return Float64Array.from(new Float32Array(wide.buffer));
  }
  return Float64Array.from(data as ArrayLike<number | bigint>, Number);
}

const LIMITS = { i64: [-(2n ** 63n), 2n ** 63n - 1n], u64: [0n, 2n ** 64n - 1n] } as const;

export function tensorFromRef(ref: RefTensor): Tensor {
  const { dtype, data, shape } = ref;
  if (dtype === "i64" || dtype === "u64") {
    const [low, high] = LIMITS[dtype];
    const saturated = BigInt64Array.from(data as ArrayLike<number> as never, (value: number) => {
      const exact = BigInt(value);
      return BigInt.asIntN(64, exact < low ? low : exact > high ? high : exact);
    });
    return new Tensor(dtype, shape, dtype === "i64" ? saturated : new BigUint64Array(saturated.buffer));
  }
  return Tensor.from(dtype, dtype === "bf16" ? data.map((value) => roundFloat("bf16", value)) : data, shape);
}

/** The constant with the elements of `ref`. */
export function constantFromRef(ref: RefTensor): ConstantData {
  return { dtype: ref.dtype, shape: ref.shape, bytes: tensorFromRef(ref).bytes() };
}
