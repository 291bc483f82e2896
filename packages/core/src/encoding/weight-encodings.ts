/** Which encodings weights can be quantised to, what fits rows of any size, and the encoding of a whole tensor. */

import { UserError } from "../errors.ts";
import type { BlockType } from "./block.ts";
import { blockTypeNamed, blockTypes } from "./registry.ts";

/** Every encoding that has an encoder and is smaller than f32, in the order of the format's numbers. */
export const weightEncodings: readonly BlockType[] = blockTypes.filter(
  ({ name, quantise }) => name !== "F32" && quantise !== undefined,
);

/** The encoding of this name, in any case. Throws a `UserError` that lists the names. `where` names the option it came from. */
export function weightEncodingNamed(name: string, where?: string): BlockType {
  const wanted = name.toUpperCase();
  const found = weightEncodings.find((type) => type.name === wanted);
  if (found !== undefined) return found;
  const known = blockTypeNamed(wanted) !== undefined && wanted !== "F32";
  throw new UserError(known ? `weights cannot be quantised to ${wanted}` : `there is no encoding "${name}"`, {
    where,
    hint: `Choose from: ${weightEncodings.map((type) => type.name).join(", ")}.`,
  });
}

/** For rows that are no multiple of a block of 256: the next larger encoding with blocks of 32. */
const SMALLER_BLOCKS: Readonly<Record<string, string>> = {
  Q2_K: "IQ4_NL",
  Q3_K: "IQ4_NL",
  IQ4_XS: "IQ4_NL",
  Q4_K: "Q5_0",
  Q5_K: "Q5_1",
  Q6_K: "Q8_0",
};

/** `wanted`, or the encoding with smaller blocks that takes its place, if blocks fill rows of `columns` weights. */
export function encodingForRows(wanted: BlockType, columns: number): BlockType | undefined {
  if (columns % wanted.blockWeights === 0) return wanted;
  const smaller = blockTypeNamed(SMALLER_BLOCKS[wanted.name] ?? "");
  return smaller !== undefined && columns % smaller.blockWeights === 0 ? smaller : undefined;
}

export interface EncodedWeights {
  readonly bytes: Uint8Array;
  /** Root mean square of the differences over that of the weights. */
  readonly error: number;
}

/** A multiple of every block; bounds the memory that measuring the error takes. */
const PIECE_WEIGHTS = 1 << 16;

/**
 * Encodes whole blocks and measures what was lost. Throws a `UserError` where a value is not finite or too large for the
 * encoding.
 */
export function encodeWeights(type: BlockType, values: Float32Array): EncodedWeights {
  const { blockWeights, blockBytes, quantise, dequantise } = type;
  if (quantise === undefined) throw new UserError(`${type.name}: weights cannot be quantised to it`);
  const bytes = new Uint8Array((values.length / blockWeights) * blockBytes);
  const decoded = new Float32Array(Math.min(values.length, PIECE_WEIGHTS));
  let [differences, squares] = [0, 0];
  for (let first = 0; first < values.length; first += PIECE_WEIGHTS) {
    const piece = values.subarray(first, first + PIECE_WEIGHTS);
    const start = (first / blockWeights) * blockBytes;
    const blocks = bytes.subarray(start, start + (piece.length / blockWeights) * blockBytes);
    quantise(piece, blocks);
    const back = decoded.subarray(0, piece.length);
    dequantise(blocks, back);
    for (let i = 0; i < piece.length; i++) {
      const value = piece[i]!;
      const difference = value - back[i]!;
      differences += difference * difference;
      squares += value * value;
    }
  }
  return { bytes, error: squares === 0 ? 0 : Math.sqrt(differences / squares) };
}
