/**
 * Types whose nibble chooses from a table of 16 values: IQ4_NL and IQ4_XS with unevenly spaced integers, MXFP4 and
 * NVFP4 with the values of a 4-bit float (sign, 2 exponent bits, 1 mantissa bit).
 */

import { type BlockType, blockType } from "./block.ts";
import { encodeIQ4_NL, encodeIQ4_XS, encodeMXFP4 } from "./encode-tables.ts";
import { FLOAT4, UNEVEN } from "./four-bit-values.ts";

/** `f16 d; u8 qs[16]`: w = d · table[q], nibbles in the order of Q4_0. */
export const IQ4_NL: BlockType = blockType({
  name: "IQ4_NL",
  id: 20,
  blockBytes: 18,
  blockWeights: 32,
  encode: encodeIQ4_NL,
  decode(block, at, littleEndian, out, to) {
    const d = block.getFloat16(at, littleEndian);
    for (let j = 0; j < 16; j++) {
      const pair = block.getUint8(at + 2 + j);
      out[to + j] = d * UNEVEN[pair & 15]!;
      out[to + j + 16] = d * UNEVEN[pair >> 4]!;
    }
  },
});

/**
 * `f16 d; u16 high; u8 low[4]; u8 qs[128]`: eight groups in the order of IQ4_NL, w = d · (scale - 32) · table[q]. A scale
 * has its low four bits in the nibbles of `low`, its high two in `high`.
 */
export const IQ4_XS: BlockType = blockType({
  name: "IQ4_XS",
  id: 23,
  blockBytes: 136,
  blockWeights: 256,
  encode: encodeIQ4_XS,
  decode(block, at, littleEndian, out, to) {
    const d = block.getFloat16(at, littleEndian);
    const high = block.getUint16(at + 2, littleEndian);
    for (let group = 0; group < 8; group++) {
      const low = (block.getUint8(at + 4 + (group >> 1)) >> (4 * (group & 1))) & 15;
      const scale = d * ((low | (((high >> (2 * group)) & 3) << 4)) - 32);
      const first = to + 32 * group;
      for (let j = 0; j < 16; j++) {
        const pair = block.getUint8(at + 8 + 16 * group + j);
        out[first + j] = scale * UNEVEN[pair & 15]!;
        out[first + j + 16] = scale * UNEVEN[pair >> 4]!;
      }
    }
  },
});

/** `u8 e; u8 qs[16]`: w = 2^(e - 127) · float4, nibbles in the order of Q4_0 (OCP Microscaling formats 1.0, MXFP4). */
export const MXFP4: BlockType = blockType({
  name: "MXFP4",
  id: 39,
  blockBytes: 17,
  blockWeights: 32,
  encode: encodeMXFP4,
  decode(block, at, _littleEndian, out, to) {
    const d = 2 ** (block.getUint8(at) - 128);
    for (let j = 0; j < 16; j++) {
      const pair = block.getUint8(at + 1 + j);
      out[to + j] = d * FLOAT4[pair & 15]!;
      out[to + j + 16] = d * FLOAT4[pair >> 4]!;
    }
  },
});

/** `u8 d[4]; u8 qs[32]`: four groups of 16, w = d · float4; the low nibbles of 8 bytes, then their high ones. */
export const NVFP4: BlockType = blockType({
  name: "NVFP4",
  id: 40,
  blockBytes: 36,
  blockWeights: 64,
  decode(block, at, _littleEndian, out, to) {
    for (let group = 0; group < 4; group++) {
      const d = float8(block.getUint8(at + group)) / 2;
      const first = to + 16 * group;
      for (let j = 0; j < 8; j++) {
        const pair = block.getUint8(at + 4 + 8 * group + j);
        out[first + j] = d * FLOAT4[pair & 15]!;
        out[first + j + 8] = d * FLOAT4[pair >> 4]!;
      }
    }
  },
});

/** An unsigned float of 4 exponent and 3 mantissa bits, bias 7. The top bit is not used; 0x7f, not a number, counts as 0. */
function float8(byte: number): number {
  if (byte === 0x7f) return 0;
  const exponent = (byte >> 3) & 15;
  const mantissa = byte & 7;
  return exponent === 0 ? mantissa * 2 ** -9 : (8 + mantissa) * 2 ** (exponent - 10);
}
