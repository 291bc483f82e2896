/**
 * Tensors: typed memory with a shape.
 *
 * A tensor owns its memory (`dispose` returns it) or is a view on memory that another tensor or the caller owns.
 * `data` is always a typed array on the tensor's own memory: reading and writing it copies nothing.
 */

import { DTYPE_INFO, type DType } from "../dtype.ts";
import { UserError } from "../errors.ts";

export type TypedArray =
  | Float64Array
  | Float32Array
  | Float16Array
  | BigInt64Array
  | Int32Array
  | Int16Array
  | Int8Array
  | BigUint64Array
  | Uint32Array
  | Uint16Array
  | Uint8Array;

interface TypedArrayConstructor {
  new (length: number): TypedArray;
  new (buffer: ArrayBufferLike, byteOffset?: number, length?: number): TypedArray;
  readonly BYTES_PER_ELEMENT: number;
}

/** Arrays that hold each dtype. `bf16` is held as its bit patterns; `bool` as bytes 0 and 1. */
export const ARRAY_OF: Readonly<Record<DType, TypedArrayConstructor>> = {
  f64: Float64Array,
  f32: Float32Array,
  f16: Float16Array,
  bf16: Uint16Array,
  i64: BigInt64Array,
  i32: Int32Array,
  i16: Int16Array,
  i8: Int8Array,
  u64: BigUint64Array,
  u32: Uint32Array,
  u16: Uint16Array,
  u8: Uint8Array,
  bool: Uint8Array,
};

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((size, dim) => size * dim, 1);
}

/**
 * Disposable tensor. `using t = …` or `t.dispose()` returns device memory early; the garbage collector returns it
 * in the end. Using a disposed tensor throws a `UserError`.
 */
export class Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  #data: TypedArray | undefined;
  #release: (() => void) | undefined;

  /** `data` must have exactly as many elements as `shape`. `release` is called once on `dispose`. */
  constructor(dtype: DType, shape: readonly number[], data: TypedArray, release?: () => void) {
    const expected = elementCount(shape);
    if (!shape.every((dim) => Number.isSafeInteger(dim) && dim >= 0)) {
      throw new UserError(`tensor: shape [${shape.join(", ")}] has a dimension that is not a size`);
    }
    if (data.length !== expected) {
      throw new UserError(`tensor: shape [${shape.join(", ")}] has ${expected} elements, the data has ${data.length}`);
    }
    if (data.BYTES_PER_ELEMENT !== DTYPE_INFO[dtype].bytes) {
      throw new UserError(`tensor: ${dtype} data cannot be held in ${data.constructor.name}`);
    }
    this.dtype = dtype;
    this.shape = [...shape];
    this.#data = data;
    this.#release = release;
  }

  /** The elements in row-major order, on the tensor's own memory. */
  get data(): TypedArray {
    if (this.#data === undefined) throw new UserError("tensor: used after dispose");
    return this.#data;
  }

  get size(): number {
    return elementCount(this.shape);
  }

  get byteLength(): number {
    return this.size * DTYPE_INFO[this.dtype].bytes;
  }

  get disposed(): boolean {
    return this.#data === undefined;
  }

  /** The same memory with another shape of equal size. */
  reshape(shape: readonly number[]): Tensor {
    return new Tensor(this.dtype, shape, this.data);
  }

  /** Raw bytes, no copy. */
  bytes(): Uint8Array {
    const { buffer, byteOffset, byteLength } = this.data;
    return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
  }

  /** A copy of the elements as plain numbers (i64 and u64 lose precision beyond 2^53; bf16 is decoded). */
  toArray(): number[] {
    if (this.dtype === "bf16") {
      const bits = this.data as Uint16Array;
      const wide = Uint32Array.from(bits, (half) => half << 16);
      return Array.from(new Float32Array(wide.buffer));
    }
    return Array.from(this.data as ArrayLike<number | bigint>, Number);
  }

  dispose(): void {
    this.#data = undefined;
    const release = this.#release;
    this.#release = undefined;
    release?.();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** New zero-filled tensor in JavaScript memory. */
  static zeros(dtype: DType, shape: readonly number[]): Tensor {
    return new Tensor(dtype, shape, new ARRAY_OF[dtype](elementCount(shape)));
  }

  /** Tensor from plain numbers, converted to `dtype`. `shape` defaults to one dimension. */
  static from(dtype: DType, values: ArrayLike<number | bigint>, shape: readonly number[] = [values.length]): Tensor {
    const data = new ARRAY_OF[dtype](values.length);
    if (dtype === "bf16") {
      const f32 = new Float32Array(1);
      const u32 = new Uint32Array(f32.buffer);
      for (let i = 0; i < values.length; i++) {
        f32[0] = Number(values[i]);
        (data as Uint16Array)[i] = roundToBf16(u32[0] as number);
      }
    } else if (dtype === "i64" || dtype === "u64") {
      for (let i = 0; i < values.length; i++) (data as BigInt64Array)[i] = BigInt(values[i] as number | bigint);
    } else {
      for (let i = 0; i < values.length; i++) (data as Float32Array)[i] = Number(values[i]);
    }
    return new Tensor(dtype, shape, data);
  }
}

/** Upper 16 bits of an f32 bit pattern, rounded to nearest even; NaN stays NaN. */
export function roundToBf16(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return ((bits >>> 16) | 0x40) & 0xffff;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}
