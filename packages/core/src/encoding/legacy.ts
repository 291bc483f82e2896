/**
 * Blocks of 32 weights with one scale, and for some a minimum. Quants of 4 bits sit in 16 bytes: the low nibbles are
 * weights 0 to 15, the high nibbles 16 to 31. A fifth bit is bit j of the 32-bit field `qh` for weight j.
 */

import { type BlockType, blockType } from "./block.ts";
import { encodeQ4_0, encodeQ4_1, encodeQ5_0, encodeQ5_1, encodeQ8_0 } from "./encode-legacy.ts";

/** `f16 d; u8 qs[16]`: w = d · (q - 8). */
export const Q4_0: BlockType = blockType({
  name: "Q4_0",
  id: 2,
  blockBytes: 18,
  blockWeights: 32,
  encode: encodeQ4_0,
  decode(block, at, littleEndian, out, to) {
    const d = block.getFloat16(at, littleEndian);
    for (let j = 0; j < 16; j++) {
      const pair = block.getUint8(at + 2 + j);
      out[to + j] = d * ((pair & 15) - 8);
      out[to + j + 16] = d * ((pair >> 4) - 8);
    }
  },
});

/** `f16 d, m; u8 qs[16]`: w = d · q + m. */
export const Q4_1: BlockType = blockType({
  name: "Q4_1",
  id: 3,
  blockBytes: 20,
  blockWeights: 32,
  encode: encodeQ4_1,
  decode(block, at, littleEndian, out, to) {
    const d = block.getFloat16(at, littleEndian);
    const m = block.getFloat16(at + 2, littleEndian);
    for (let j = 0; j < 16; j++) {
      const pair = block.getUint8(at + 4 + j);
      out[to + j] = d * (pair & 15) + m;
      out[to + j + 16] = d * (pair >> 4) + m;
    }
  },
});

/** `f16 d; u8 qh[4]; u8 qs[16]`: w = d · (q - 16). `qh` is bytes, so the file's byte order does not touch it. */
export const Q5_0: BlockType = blockType({
  name: "Q5_0",
  id: 6,
  blockBytes: 22,
  blockWeights: 32,
  encode: encodeQ5_0,
  decode(block, at, littleEndian, out, to) {
    const d = block.getFloat16(at, littleEndian);
    const high = block.getUint32(at + 2, true);
    for (let j = 0; j < 16; j++) {
      const pair = block.getUint8(at + 6 + j);
      out[to + j] = d * (((pair & 15) | (((high >>> j) & 1) << 4)) - 16);
      out[to + j + 16] = d * (((pair >> 4) | (((high >>> (j + 16)) & 1) << 4)) - 16);
    }
  },
});

/** `f16 d, m; u8 qh[4]; u8 qs[16]`: w = d · q + m. */
export const Q5_1: BlockType = blockType({
  name: "Q5_1",
  id: 7,
  blockBytes: 24,
  blockWeights: 32,
  encode: encodeQ5_1,
  decode(block, at, littleEndian, out, to) {
    const d = block.getFloat16(at, littleEndian);
    const m = block.getFloat16(at + 2, littleEndian);
    const high = block.getUint32(at + 4, true);
    for (let j = 0; j < 16; j++) {
      const pair = block.getUint8(at + 8 + j);
      out[to + j] = d * ((pair & 15) | (((high >>> j) & 1) << 4)) + m;
      out[to + j + 16] = d * ((pair >> 4) | (((high >>> (j + 16)) & 1) << 4)) + m;
    }
  },
});

/** `f16 d; i8 qs[32]`: w = d · q. */
export const Q8_0: BlockType = blockType({
  name: "Q8_0",
  id: 8,
  blockBytes: 34,
  blockWeights: 32,
  encode: encodeQ8_0,
  decode(block, at, littleEndian, out, to) {
    const d = block.getFloat16(at, littleEndian);
    for (let j = 0; j < 32; j++) out[to + j] = d * block.getInt8(at + 2 + j);
  },
});

/** `f16 d, s; i8 qs[32]`: w = d · q; `s` is d times the sum of the quants, which products with Q4_1 use. */
export const Q8_1: BlockType = blockType({
  name: "Q8_1",
  id: 9,
  blockBytes: 36,
  blockWeights: 32,
  decode(block, at, littleEndian, out, to) {
    const d = block.getFloat16(at, littleEndian);
    for (let j = 0; j < 32; j++) out[to + j] = d * block.getInt8(at + 4 + j);
  },
});
