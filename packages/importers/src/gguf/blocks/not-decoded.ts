/** Types that are known and not decoded: tensors of the first group can be read as bytes, those of the second cannot. */

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

const REMOVED = "it was removed from the format; convert the model again";
const REPACKED = "it is a layout for one processor that was removed from the format; convert the model again";

/** Types whose size is not known, by number: files that use them are refused. */
export const refusedTypes: ReadonlyMap<number, { readonly name: string; readonly reason: string }> = new Map([
  [4, { name: "Q4_2", reason: REMOVED }],
  [5, { name: "Q4_3", reason: REMOVED }],
  [31, { name: "Q4_0_4_4", reason: REPACKED }],
  [32, { name: "Q4_0_4_8", reason: REPACKED }],
  [33, { name: "Q4_0_8_8", reason: REPACKED }],
  [36, { name: "IQ4_NL_4_4", reason: REPACKED }],
  [37, { name: "IQ4_NL_4_8", reason: REPACKED }],
  [38, { name: "IQ4_NL_8_8", reason: REPACKED }],
  [42, { name: "Q2_0", reason: "files with blocks of 64 and of 128 weights use this number" }],
]);
