/**
 * The K-quants: blocks of 256 weights in groups of 16 or 32, each group with a small integer scale (and minimum) which
 * one f16 scale (and minimum) per block multiplies.
 *
 * Where quants of 2 bits share bytes, weight i of the block is found in half i / 128, shift (i mod 128) / 32 and byte
 * i mod 32 of that half: a byte holds four weights which are 32 apart.
 */

import { type BlockType, blockType } from "./block.ts";
import { encodeQ2_K, encodeQ3_K, encodeQ4_K, encodeQ5_K, encodeQ6_K } from "./encode-k.ts";

/** `u8 scales[16]; u8 qs[64]; f16 d, dmin`: w = d · (scale & 15) · q - dmin · (scale >> 4), groups of 16. */
export const Q2_K: BlockType = blockType({
  name: "Q2_K",
  id: 10,
  blockBytes: 84,
  blockWeights: 256,
  encode: encodeQ2_K,
  decode(block, at, littleEndian, out, to) {
    const d = block.getFloat16(at + 80, littleEndian);
    const dmin = block.getFloat16(at + 82, littleEndian);
    for (let i = 0; i < 256; i++) {
      const scale = block.getUint8(at + (i >> 4));
      const q = (block.getUint8(at + 16 + 32 * (i >> 7) + (i & 31)) >> (2 * ((i >> 5) & 3))) & 3;
      out[to + i] = d * (scale & 15) * q - dmin * (scale >> 4);
    }
  },
});

/**
 * `u8 hmask[32]; u8 qs[64]; u8 scales[12]; f16 d`: w = d · (scale - 32) · (q - 4), q of 3 bits, groups of 16. Bit i / 32
 * of `hmask[i mod 32]` is the third bit of weight i.
 */
export const Q3_K: BlockType = blockType({
  name: "Q3_K",
  id: 11,
  blockBytes: 110,
  blockWeights: 256,
  encode: encodeQ3_K,
  decode(block, at, littleEndian, out, to) {
    const d = block.getFloat16(at + 108, littleEndian);
    for (let group = 0; group < 16; group++) {
      const scale = d * (q3Scale(block, at + 96, group) - 32);
      for (let i = 16 * group; i < 16 * group + 16; i++) {
        const low = (block.getUint8(at + 32 + 32 * (i >> 7) + (i & 31)) >> (2 * ((i >> 5) & 3))) & 3;
        const high = (block.getUint8(at + (i & 31)) >> (i >> 5)) & 1;
        out[to + i] = scale * (low + 4 * high - 4);
      }
    }
  },
});

/** Scale of 6 bits: low four in the nibbles of bytes 0 to 7, high two in bytes 8 to 11, four groups to a byte. */
function q3Scale(block: DataView, at: number, group: number): number {
  const low = (block.getUint8(at + (group & 7)) >> (group < 8 ? 0 : 4)) & 15;
  const high = (block.getUint8(at + 8 + (group & 3)) >> (2 * (group >> 2))) & 3;
  return low | (high << 4);
}

/**
 * `f16 d, dmin; u8 scales[12]; u8 qs[128]`: w = d · scale · q - dmin · min, groups of 32. A pair of groups shares 32
 * bytes: the even one has the low nibbles.
 */
export const Q4_K: BlockType = blockType({
  name: "Q4_K",
  id: 12,
  blockBytes: 144,
  blockWeights: 256,
  encode: encodeQ4_K,
  decode(block, at, littleEndian, out, to) {
    const d = block.getFloat16(at, littleEndian);
    const dmin = block.getFloat16(at + 2, littleEndian);
    for (let group = 0; group < 8; group++) {
      const scale = d * groupScale(block, at + 4, group);
      const min = dmin * groupMin(block, at + 4, group);
      for (let l = 0; l < 32; l++) {
        const q = (block.getUint8(at + 16 + 32 * (group >> 1) + l) >> (4 * (group & 1))) & 15;
        out[to + 32 * group + l] = scale * q - min;
      }
    }
  },
});

/** `f16 d, dmin; u8 scales[12]; u8 qh[32]; u8 qs[128]`: as Q4_K, with bit g of `qh[l]` the fifth bit in group g. */
export const Q5_K: BlockType = blockType({
  name: "Q5_K",
  id: 13,
  blockBytes: 176,
  blockWeights: 256,
  encode: encodeQ5_K,
  decode(block, at, littleEndian, out, to) {
    const d = block.getFloat16(at, littleEndian);
    const dmin = block.getFloat16(at + 2, littleEndian);
    for (let group = 0; group < 8; group++) {
      const scale = d * groupScale(block, at + 4, group);
      const min = dmin * groupMin(block, at + 4, group);
      for (let l = 0; l < 32; l++) {
        const low = (block.getUint8(at + 48 + 32 * (group >> 1) + l) >> (4 * (group & 1))) & 15;
        const high = (block.getUint8(at + 16 + l) >> group) & 1;
        out[to + 32 * group + l] = scale * (low | (high << 4)) - min;
      }
    }
  },
});

/*
 * The 12 bytes of scales (s) and minima (m) of Q4_K and Q5_K, eight of 6 bits each; j is 0 to 3:
 *
 *   byte j       s[j + 4] high 2 | s[j] 6
 *   byte j + 4   m[j + 4] high 2 | m[j] 6
 *   byte j + 8   m[j + 4] low 4  | s[j + 4] low 4
 */

function groupScale(block: DataView, at: number, group: number): number {
  if (group < 4) return block.getUint8(at + group) & 63;
  return (block.getUint8(at + group + 4) & 15) | ((block.getUint8(at + group - 4) >> 6) << 4);
}

function groupMin(block: DataView, at: number, group: number): number {
  if (group < 4) return block.getUint8(at + group + 4) & 63;
  return (block.getUint8(at + group + 4) >> 4) | ((block.getUint8(at + group) >> 6) << 4);
}

/**
 * `u8 ql[128]; u8 qh[64]; i8 scales[16]; f16 d`: w = d · scale · (q - 32), groups of 16. In each half of 128 weights the
 * first 64 have the low nibbles of 64 bytes of `ql`, the others the high ones; `qh` is laid out as 2-bit quants are.
 */
export const Q6_K: BlockType = blockType({
  name: "Q6_K",
  id: 14,
  blockBytes: 210,
  blockWeights: 256,
  encode: encodeQ6_K,
  decode(block, at, littleEndian, out, to) {
    const d = block.getFloat16(at + 208, littleEndian);
    for (let i = 0; i < 256; i++) {
      const half = i >> 7;
      const low = (block.getUint8(at + 64 * half + (i & 63)) >> (4 * ((i >> 6) & 1))) & 15;
      const high = (block.getUint8(at + 128 + 32 * half + (i & 31)) >> (2 * ((i >> 5) & 3))) & 3;
      const scale = block.getInt8(at + 192 + (i >> 4));
      out[to + i] = d * scale * ((low | (high << 4)) - 32);
    }
  },
});

/** `f32 d; i8 qs[256]; i16 sums[16]`: w = d · q; the sums of groups of 16 serve products with other K-quants. */
export const Q8_K: BlockType = blockType({
  name: "Q8_K",
  id: 15,
  blockBytes: 292,
  blockWeights: 256,
  decode(block, at, littleEndian, out, to) {
    const d = block.getFloat32(at, littleEndian);
    for (let i = 0; i < 256; i++) out[to + i] = d * block.getInt8(at + 4 + i);
  },
});
