/**
 * Types without blocks: floats and integers, one element each. Integers have no scale; f32 holds those of up to 24 bits
 * exactly and rounds larger ones.
 *
 * Elements need not be aligned in the file, so they go through an aligned piece of memory in the byte order of the
 * machine, from which typed arrays convert many at once.
 */

import { UserError } from "../errors.ts";
import { type BlockType, type Dequantise, type Quantise, type Weights, requireFinite, wholeBlocks } from "./block.ts";

const HOST_LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
const PIECE_ELEMENTS = 4096;

/** A typed array on a buffer, for one element type. */
interface ElementArray<T> {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBuffer): T;
}

/**
 * A type whose elements are those of `elements`; `store` writes the first `count` of a piece to `out[to]` and behind, `load`
 * fills a piece with `count` values from `values[from]` on.
 */
function plainType<T>(
  name: string,
  id: number,
  elements: ElementArray<T>,
  store: (piece: T, count: number, out: Weights, to: number) => void,
  load?: (piece: T, count: number, values: Float32Array, from: number) => void,
): BlockType {
  const blockBytes = elements.BYTES_PER_ELEMENT;
  const row = { name, id, blockBytes, blockWeights: 1 };
  const dequantise: Dequantise = (bytes, out, littleEndian = true) => {
    const total = wholeBlocks(row, bytes, out);
    const memory = new Uint8Array(PIECE_ELEMENTS * blockBytes);
    const piece = new elements(memory.buffer);
    for (let first = 0; first < total; first += PIECE_ELEMENTS) {
      const count = Math.min(PIECE_ELEMENTS, total - first);
      memory.set(bytes.subarray(first * blockBytes, (first + count) * blockBytes));
      if (littleEndian !== HOST_LITTLE_ENDIAN) swapBytes(memory, blockBytes);
      store(piece, count, out, first);
    }
  };
  if (load === undefined) return { ...row, dequantise };
  const quantise: Quantise = (values, out) => {
    const total = wholeBlocks(row, out, values);
    requireFinite(name, values);
    const memory = new Uint8Array(PIECE_ELEMENTS * blockBytes);
    const piece = new elements(memory.buffer);
    for (let first = 0; first < total; first += PIECE_ELEMENTS) {
      const count = Math.min(PIECE_ELEMENTS, total - first);
      load(piece, count, values, first);
      if (!HOST_LITTLE_ENDIAN) swapBytes(memory, blockBytes);
      out.set(memory.subarray(0, count * blockBytes), first * blockBytes);
    }
  };
  return { ...row, dequantise, quantise };
}

function swapBytes(memory: Uint8Array, size: number): void {
  for (let at = 0; at < memory.length; at += size) memory.subarray(at, at + size).reverse();
}

type NumericPiece = Float32Array | Float64Array | Float16Array | Int8Array | Int16Array | Int32Array;

const storeNumbers = (piece: NumericPiece, count: number, out: Weights, to: number): void =>
  out.set(piece.subarray(0, count), to);

export const F32: BlockType = plainType("F32", 0, Float32Array, storeNumbers, (piece, count, values, from) =>
  piece.set(values.subarray(from, from + count)),
);
export const F16: BlockType = plainType("F16", 1, Float16Array, storeNumbers, (piece, count, values, from) => {
  piece.set(values.subarray(from, from + count));
  for (let i = 0; i < count; i++) if (Math.abs(piece[i]!) === Infinity) tooLarge("F16", values[from + i]!);
});
export const F64: BlockType = plainType("F64", 28, Float64Array, storeNumbers);
export const I8: BlockType = plainType("I8", 24, Int8Array, storeNumbers);
export const I16: BlockType = plainType("I16", 25, Int16Array, storeNumbers);
export const I32: BlockType = plainType("I32", 26, Int32Array, storeNumbers);

export const I64: BlockType = plainType("I64", 27, BigInt64Array, (piece, count, out, to) => {
  for (let i = 0; i < count; i++) out[to + i] = Number(piece[i]);
});

const floats = new Float32Array(PIECE_ELEMENTS);
const floatBits = new Uint32Array(floats.buffer);

/** The upper half of an f32, rounded half to even. */
export const BF16: BlockType = plainType(
  "BF16",
  30,
  Uint16Array,
  (piece, count, out, to) => {
    for (let i = 0; i < count; i++) floatBits[i] = piece[i]! << 16;
    storeNumbers(floats, count, out, to);
  },
  (piece, count, values, from) => {
    floats.set(values.subarray(from, from + count));
    for (let i = 0; i < count; i++) {
      const bits = floatBits[i]!;
      const upper = (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
      if ((upper & 0x7f80) === 0x7f80) tooLarge("BF16", floats[i]!);
      piece[i] = upper;
    }
  },
);

function tooLarge(type: string, value: number): never {
  throw new UserError(`${type}: ${value} is too large for this type`, { hint: "store the weights as F32" });
}
