/**
 * Codebooks: lists of entries, which are short vectors of small integers ("levels"). A quant of several weights is the
 * number of an entry. Unpacked when first asked for.
 */

import {
  IQ1_MEMBERS,
  IQ2_S_MEMBERS,
  IQ2_XS_MEMBERS,
  IQ2_XXS_MEMBERS,
  IQ3_S_MEMBERS,
  IQ3_XXS_MEMBERS,
} from "./codebook-members.ts";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BITS_PER_CHARACTER = 6;

/** Levels of all entries: those of entry i start at i · weights per entry. */
export type Codebook = () => Int8Array;

/** A codebook of `count` entries from its members, packed as `codebook-members.ts` says. */
function codebook(members: string, count: number, weights: number, levels: readonly number[]): Codebook {
  let entries: Int8Array | undefined;
  return () => (entries ??= unpack(members, new Int8Array(count * weights), weights, levels));
}

function unpack(members: string, entries: Int8Array, weights: number, levels: readonly number[]): Int8Array {
  let number = 0;
  let next = 0;
  for (const character of members) {
    const bits = ALPHABET.indexOf(character);
    if (bits < 0) continue;
    for (let bit = BITS_PER_CHARACTER - 1; bit >= 0; bit--, number++) {
      if (((bits >> bit) & 1) === 0) continue;
      let digits = number;
      for (let weight = 0; weight < weights; weight++) {
        entries[next++] = levels[digits % levels.length]!;
        digits = Math.floor(digits / levels.length);
      }
    }
  }
  return entries;
}

/** Sizes of weights in the types of two bits; the signs are stored apart. */
const SIZES_2: readonly number[] = [8, 25, 43];

export const IQ2_XXS_BOOK: Codebook = codebook(IQ2_XXS_MEMBERS, 256, 8, SIZES_2);
export const IQ2_XS_BOOK: Codebook = codebook(IQ2_XS_MEMBERS, 512, 8, SIZES_2);
export const IQ2_S_BOOK: Codebook = codebook(IQ2_S_MEMBERS, 1024, 8, SIZES_2);
export const IQ3_XXS_BOOK: Codebook = codebook(IQ3_XXS_MEMBERS, 256, 4, [4, 12, 20, 28, 36, 44, 52, 62]);
export const IQ3_S_BOOK: Codebook = codebook(IQ3_S_MEMBERS, 512, 4, [1, 3, 5, 7, 9, 11, 13, 15]);

/** Of IQ1_S and IQ1_M: weights with their signs. */
export const IQ1_BOOK: Codebook = codebook(IQ1_MEMBERS, 2048, 8, [-1, 0, 1]);

/**
 * Signs of eight weights from seven: bit j is set where weight j is negative. The eighth sign makes their number even, by
 * the 7-bit field that is stored.
 */
export const EVEN_SIGNS: Readonly<Uint8Array> = Uint8Array.from({ length: 128 }, (_, field) => {
  let parity = field ^ (field >> 4);
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  return field | ((parity & 1) << 7);
});
