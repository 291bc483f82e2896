/** Types of two or three values with one scale per block: 1-bit signs and ternary weights. */

import { type BlockType, blockType } from "./block.ts";

/** `f16 d; u8 qs[16]`: weight j is d where bit j is set and -d where it is not. */
export const Q1_0: BlockType = blockType({
  name: "Q1_0",
  id: 41,
  blockBytes: 18,
  blockWeights: 128,
  decode(block, at, littleEndian, out, to) {
    const d = block.getFloat16(at, littleEndian);
    for (let j = 0; j < 128; j++) out[to + j] = (block.getUint8(at + 2 + (j >> 3)) >> (j & 7)) & 1 ? d : -d;
  },
});

const POWERS_OF_3: readonly number[] = [1, 3, 9, 27, 81];

/** Bytes of TQ1_0 in sections: `count` bytes from `from` hold `digits` weights each, `count` apart. */
const TQ1_SECTIONS: readonly { readonly from: number; readonly count: number; readonly digits: number }[] = [
  { from: 0, count: 32, digits: 5 },
  { from: 32, count: 16, digits: 5 },
  { from: 48, count: 4, digits: 4 },
];

/**
 * `u8 qs[48]; u8 qh[4]; f16 d`: w = d · (digit - 1). A byte is a fraction in base 3, rounded up to 1/256: its first digit
 * is the integer part of 3 · byte / 256, the next follow after multiplying by 3 modulo 256.
 */
export const TQ1_0: BlockType = blockType({
  name: "TQ1_0",
  id: 34,
  blockBytes: 54,
  blockWeights: 256,
  decode(block, at, littleEndian, out, to) {
    const d = block.getFloat16(at + 52, littleEndian);
    let next = to;
    for (const { from, count, digits } of TQ1_SECTIONS) {
      for (let digit = 0; digit < digits; digit++) {
        for (let i = 0; i < count; i++) {
          const rest = (block.getUint8(at + from + i) * POWERS_OF_3[digit]!) & 255;
          out[next++] = d * (((3 * rest) >> 8) - 1);
        }
      }
    }
  },
});

/** `u8 qs[64]; f16 d`: w = d · (q - 1), q of 2 bits laid out as in the K-quants. */
export const TQ2_0: BlockType = blockType({
  name: "TQ2_0",
  id: 35,
  blockBytes: 66,
  blockWeights: 256,
  decode(block, at, littleEndian, out, to) {
    const d = block.getFloat16(at + 64, littleEndian);
    for (let i = 0; i < 256; i++) {
      const q = (block.getUint8(at + 32 * (i >> 7) + (i & 31)) >> (2 * ((i >> 5) & 3))) & 3;
      out[to + i] = d * (q - 1);
    }
  },
});
