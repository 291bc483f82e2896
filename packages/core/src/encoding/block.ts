/**
 * What a block encoding is: weights stored in blocks of fixed size, each with its own scale. The types are those of GGUF.
 *
 * A graph constant of dtype f32 may be stored in any of them (`ConstantData.encoding`). One record per type lives in the family files beside this one. A decoder computes in double precision and stores each
 * weight once. For every type here the product of scale and quant, and both terms of a sum, are exact in double
 * precision, so an f32 result is the exact value rounded once: what the formula gives in f32 arithmetic too.
 */

import { UserError } from "../errors.ts";

/** Where decoded weights go. */
export type Weights = Float32Array | Float64Array;

/** One tensor type, as `general.file_type` and the tensor table name it. */
export interface BlockType {
  readonly name: string;
  /** Number of the type in the tensor table. */
  readonly id: number;
  readonly blockBytes: number;
  readonly blockWeights: number;
  /**
   * Decodes whole blocks: `bytes` holds n blocks, `out` exactly n · `blockWeights` weights. Fields of more than a byte are
   * in the byte order of the file. Throws a `UserError` when the sizes do not belong together.
   */
  readonly dequantise: Dequantise;
  /**
   * Encodes whole blocks, little endian: `values` are exactly n · `blockWeights` weights, `out` holds n blocks. Scales are
   * chosen for a small error in the least squares sense. Throws a `UserError` when the sizes do not belong together, a
   * value is not finite, or so large that the type cannot hold it. Absent where the type is not encoded.
   */
  readonly quantise?: Quantise;
}

export type Dequantise = (bytes: Uint8Array, out: Weights, littleEndian?: boolean) => void;
export type Quantise = (values: Float32Array, out: Uint8Array) => void;

/** Decodes the block at byte `at` of `block` to `out[to]` and behind. */
export type DecodeBlock = (block: DataView, at: number, littleEndian: boolean, out: Weights, to: number) => void;

/** Encodes the finite values from `values[from]` on to the block at byte `at` of `block`, all of whose bytes it writes. */
export type EncodeBlock = (values: Float32Array, from: number, block: DataView, at: number) => void;

export interface BlockRow {
  readonly name: string;
  readonly id: number;
  readonly blockBytes: number;
  readonly blockWeights: number;
  readonly decode: DecodeBlock;
  readonly encode?: EncodeBlock;
}

/** A type from the decoder, and maybe the encoder, of one block. */
export function blockType({ decode, encode, ...row }: BlockRow): BlockType {
  const { blockBytes, blockWeights } = row;
  const dequantise: Dequantise = (bytes, out, littleEndian = true) => {
    const blocks = wholeBlocks(row, bytes, out);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let block = 0; block < blocks; block++)
      decode(view, block * blockBytes, littleEndian, out, block * blockWeights);
  };
  if (encode === undefined) return { ...row, dequantise };
  const quantise: Quantise = (values, out) => {
    const blocks = wholeBlocks(row, out, values);
    requireFinite(row.name, values);
    const view = new DataView(out.buffer, out.byteOffset, out.byteLength);
    for (let block = 0; block < blocks; block++) encode(values, block * blockWeights, view, block * blockBytes);
  };
  return { ...row, dequantise, quantise };
}

/** Throws a `UserError` at the first value that is not finite. */
export function requireFinite(type: string, values: Float32Array): void {
  for (let i = 0; i < values.length; i++) {
    // The difference of a finite number to itself is zero.
    if (values[i]! - values[i]! === 0) continue;
    throw new UserError(`${type}: value ${i} is ${values[i]}, only finite numbers can be encoded`, {
      hint: "the weights are damaged, or overflowed when they were converted",
    });
  }
}

const LARGEST_F16 = 65504;

/** The f16 nearest to a scale, no negative zero. Throws a `UserError` beyond the range of f16. */
export function roundScale(type: string, scale: number): number {
  const rounded = Math.f16round(scale) + 0;
  if (Math.abs(rounded) <= LARGEST_F16) return rounded;
  throw new UserError(`${type}: a block needs the scale ${scale.toPrecision(4)}, up to ${LARGEST_F16} is possible`, {
    hint: "the weights are too large for this type; choose one with larger blocks, BF16 or F32",
  });
}

/** Number of blocks in `bytes`. Throws a `UserError` where they do not fill `out`. */
export function wholeBlocks(
  { name, blockBytes, blockWeights }: Omit<BlockType, "dequantise">,
  bytes: Uint8Array,
  out: Weights,
): number {
  const blocks = bytes.byteLength / blockBytes;
  if (Number.isInteger(blocks) && out.length === blocks * blockWeights) return blocks;
  throw new UserError(`${name}: ${bytes.byteLength} bytes do not hold ${out.length} weights`, {
    hint: `a block of ${blockBytes} bytes holds ${blockWeights}`,
  });
}

/**
 * The f16 scale d for which `largest` / d is `most` or closer to zero by less than rounding: where the integers of other
 * scales end at `most`, a scale rounded towards zero would cut the largest. Near the smallest f16 that is much.
 */
export function commonScale(type: string, largest: number, most: number): number {
  const scale = roundScale(type, largest / most);
  if (scale === 0 || Math.abs(largest / scale) <= Math.abs(most) + 0.5) return scale;
  return roundScale(type, scale + Math.sign(scale) * Math.max(Math.abs(scale) * 2 ** -10, 2 ** -24));
}
