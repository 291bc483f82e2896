/** One piece of a tensor from one type to another: plain data in and out, so that it can be done in any thread. */

import { type BlockType, InternalError, blockTypeNamed, encodeWeights } from "@quern/core";

/** Whole blocks of both types. */
export interface PieceJob {
  /** Names of block types; the second is one that is encoded. */
  readonly from: string;
  readonly to: string;
  readonly littleEndian: boolean;
  readonly bytes: Uint8Array;
}

export interface PieceResult {
  /** In memory of its own, where it was encoded. */
  readonly bytes: Uint8Array;
  /** Sums of the squared differences that encoding makes, and of the squared weights. */
  readonly differences: number;
  readonly squares: number;
}

/** Throws a `UserError` where weights cannot be encoded; it counts them from the start of the piece. */
export function recodePiece({ from, to, littleEndian, bytes }: PieceJob): PieceResult {
  const source = typeNamed(from);
  const weights = new Float32Array((bytes.byteLength / source.blockBytes) * source.blockWeights);
  source.dequantise(bytes, weights, littleEndian);
  const { bytes: encoded, error } = encodeWeights(typeNamed(to), weights);
  let squares = 0;
  for (const weight of weights) squares += weight * weight;
  return { bytes: encoded, differences: error * error * squares, squares };
}

function typeNamed(name: string): BlockType {
  const type = blockTypeNamed(name);
  if (type === undefined) throw new InternalError(`there is no block type "${name}"`);
  return type;
}
