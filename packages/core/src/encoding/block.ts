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
   * in the byte order of the file. Throws a `UserError` when the sizes do not belong together. Absent where the type is
   * known but not decoded; `reason` says why.
   */
  readonly dequantise?: Dequantise;
  readonly reason?: string;
}

export type Dequantise = (bytes: Uint8Array, out: Weights, littleEndian?: boolean) => void;

/** Decodes the block at byte `at` of `block` to `out[to]` and behind. */
export type DecodeBlock = (block: DataView, at: number, littleEndian: boolean, out: Weights, to: number) => void;

export interface BlockRow {
  readonly name: string;
  readonly id: number;
  readonly blockBytes: number;
  readonly blockWeights: number;
  readonly decode: DecodeBlock;
}

/** A type from the decoder of one block. */
export function blockType({ decode, ...row }: BlockRow): BlockType {
  const { blockBytes, blockWeights } = row;
  const dequantise: Dequantise = (bytes, out, littleEndian = true) => {
    const blocks = wholeBlocks(row, bytes, out);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let block = 0; block < blocks; block++)
      decode(view, block * blockBytes, littleEndian, out, block * blockWeights);
  };
  return { ...row, dequantise };
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
