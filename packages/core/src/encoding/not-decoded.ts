/** Types of known size that are not decoded: tensors can be read as bytes. */

import type { BlockType } from "./block.ts";

const codebook = (name: string, id: number, blockBytes: number): BlockType => ({
  name,
  id,
  blockBytes,
  blockWeights: 256,
  reason: "its codebook is a table found by search, which this build does not have; use a K-quant or IQ4_XS",
});

/** Quants are indices into fixed tables of vectors. */
export const codebookTypes: readonly BlockType[] = [
  codebook("IQ2_XXS", 16, 66),
  codebook("IQ2_XS", 17, 74),
  codebook("IQ3_XXS", 18, 98),
  codebook("IQ1_S", 19, 50),
  codebook("IQ3_S", 21, 110),
  codebook("IQ2_S", 22, 82),
  codebook("IQ1_M", 29, 56),
];
