/** All tensor types whose size is known, by number. */

import type { BlockType } from "./block.ts";
import { IQ1_M, IQ1_S, IQ2_S, IQ2_XS, IQ2_XXS, IQ3_S, IQ3_XXS } from "./codebook-types.ts";
import { IQ4_NL, IQ4_XS, MXFP4, NVFP4 } from "./four-bit-tables.ts";
import { Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, Q8_K } from "./k-quants.ts";
import { Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q8_1 } from "./legacy.ts";
import { Q1_0, TQ1_0, TQ2_0 } from "./one-and-two-bits.ts";
import { BF16, F16, F32, F64, I16, I32, I64, I8 } from "./plain.ts";

/** Every type, in the order of the format's numbers. */
export const blockTypes: readonly BlockType[] = [
  [F32, F16, BF16, F64, I8, I16, I32, I64],
  [Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q8_1],
  [Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, Q8_K],
  [IQ4_NL, IQ4_XS, MXFP4, NVFP4],
  [Q1_0, TQ1_0, TQ2_0],
  [IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S, IQ1_S, IQ1_M],
]
  .flat()
  .sort((a, b) => a.id - b.id);

const byId: ReadonlyMap<number, BlockType> = new Map(blockTypes.map((type) => [type.id, type]));

const byName: ReadonlyMap<string, BlockType> = new Map(blockTypes.map((type) => [type.name, type]));

/** The type of this name, such as "Q4_K", or undefined. */
export function blockTypeNamed(name: string): BlockType | undefined {
  return byName.get(name);
}

/** The type with this number, or undefined. */
export function blockTypeOf(id: number): BlockType | undefined {
  return byId.get(id);
}
