/**
 * Types of less than four bits whose quants are numbers of entries in a codebook: IQ2 and IQ3 with the sizes of eight or
 * four weights, whose signs are stored apart, and IQ1 with eight ternary weights.
 *
 * A block is 256 weights in eight groups of 32, a group four octets of 8. Signs of an octet are a byte, bit j that of
 * weight j, or seven bits (`EVEN_SIGNS`). Every scale is an odd multiple of a fraction of d. Fields that the format has as
 * bytes are the same in files of both byte orders, also where several are one number here.
 */

import { type BlockType, type Weights, blockType } from "./block.ts";
import { EVEN_SIGNS, IQ1_BOOK, IQ2_S_BOOK, IQ2_XS_BOOK, IQ2_XXS_BOOK, IQ3_S_BOOK, IQ3_XXS_BOOK } from "./codebooks.ts";

/** -1 where bit j is set, else 1: signs are random, so a branch on them would be mispredicted half the time. */
const signOf = (signs: number, j: number): number => 1 - 2 * ((signs >> j) & 1);

/** Eight weights of one entry from `first` on, negative where the bit of `signs` is set. */
function putOctet(out: Weights, to: number, scale: number, book: Int8Array, first: number, signs: number): void {
  for (let j = 0; j < 8; j++) out[to + j] = scale * (signOf(signs, j) * book[first + j]!);
}

/** Eight weights of two entries of four. */
function putQuartets(
  out: Weights,
  to: number,
  scale: number,
  book: Int8Array,
  low: number,
  high: number,
  signs: number,
): void {
  for (let j = 0; j < 4; j++) {
    out[to + j] = scale * (signOf(signs, j) * book[4 * low + j]!);
    out[to + 4 + j] = scale * (signOf(signs, j + 4) * book[4 * high + j]!);
  }
}

/** The nibble of `byte` for the first or second half of something. */
const nibble = (byte: number, half: number): number => (byte >> (4 * half)) & 15;

/**
 * `f16 d; u16 qs[32]`: w = ± d · (2 · scale + 1) / 8 · size. The four fields of a group are 64 bits: four entries of 8
 * bits, four times 7 bits of signs, and the scale of 4 bits.
 */
export const IQ2_XXS: BlockType = blockType({
  name: "IQ2_XXS",
  id: 16,
  blockBytes: 66,
  blockWeights: 256,
  decode(block, at, littleEndian, out, to) {
    const book = IQ2_XXS_BOOK();
    const d = block.getFloat16(at, littleEndian);
    for (let group = 0; group < 8; group++) {
      const from = at + 2 + 8 * group;
      const pairs = block.getUint16(from, littleEndian) | (block.getUint16(from + 2, littleEndian) << 16);
      const rest = block.getUint16(from + 4, littleEndian) | (block.getUint16(from + 6, littleEndian) << 16);
      const scale = (d * (2 * (rest >>> 28) + 1)) / 8;
      for (let octet = 0; octet < 4; octet++) {
        const entry = (pairs >>> (8 * octet)) & 255;
        const signs = EVEN_SIGNS[(rest >>> (7 * octet)) & 127]!;
        putOctet(out, to + 32 * group + 8 * octet, scale, book, 8 * entry, signs);
      }
    }
  },
});

/**
 * `f16 d; u16 qs[32]; u8 scales[8]`: w = ± d · (2 · scale + 1) / 8 · size. A field has an entry of 9 bits and 7 bits of
 * signs; the nibbles of a scale byte are those of 16 weights each, the low one first.
 */
export const IQ2_XS: BlockType = blockType({
  name: "IQ2_XS",
  id: 17,
  blockBytes: 74,
  blockWeights: 256,
  decode(block, at, littleEndian, out, to) {
    const book = IQ2_XS_BOOK();
    const d = block.getFloat16(at, littleEndian);
    for (let octet = 0; octet < 32; octet++) {
      const scale = (d * (2 * nibble(block.getUint8(at + 66 + (octet >> 2)), (octet >> 1) & 1) + 1)) / 8;
      const field = block.getUint16(at + 2 + 2 * octet, littleEndian);
      putOctet(out, to + 8 * octet, scale, book, 8 * (field & 511), EVEN_SIGNS[field >> 9]!);
    }
  },
});

/**
 * `f16 d; u8 qs[32]; u8 signs[32]; u8 qh[8]; u8 scales[8]`: as IQ2_XS, with entries of 10 bits, of which a byte of `qh` has
 * the high two for four octets, and signs of 8 bits.
 */
export const IQ2_S: BlockType = blockType({
  name: "IQ2_S",
  id: 22,
  blockBytes: 82,
  blockWeights: 256,
  decode(block, at, littleEndian, out, to) {
    const book = IQ2_S_BOOK();
    const d = block.getFloat16(at, littleEndian);
    for (let octet = 0; octet < 32; octet++) {
      const scale = (d * (2 * nibble(block.getUint8(at + 74 + (octet >> 2)), (octet >> 1) & 1) + 1)) / 8;
      const high = (block.getUint8(at + 66 + (octet >> 2)) >> (2 * (octet & 3))) & 3;
      const entry = block.getUint8(at + 2 + octet) | (high << 8);
      putOctet(out, to + 8 * octet, scale, book, 8 * entry, block.getUint8(at + 34 + octet));
    }
  },
});

/**
 * `f16 d; u8 qs[64]; u8 rest[32]`: w = ± d · (2 · scale + 1) / 4 · size. Four bytes of `rest` are 32 bits of a group: four
 * times 7 bits of signs and the scale of 4 bits.
 */
export const IQ3_XXS: BlockType = blockType({
  name: "IQ3_XXS",
  id: 18,
  blockBytes: 98,
  blockWeights: 256,
  decode(block, at, littleEndian, out, to) {
    const book = IQ3_XXS_BOOK();
    const d = block.getFloat16(at, littleEndian);
    for (let octet = 0; octet < 32; octet++) {
      const rest = block.getUint32(at + 66 + 4 * (octet >> 2), true);
      const scale = (d * (2 * (rest >>> 28) + 1)) / 4;
      const from = at + 2 + 2 * octet;
      const signs = EVEN_SIGNS[(rest >>> (7 * (octet & 3))) & 127]!;
      putQuartets(out, to + 8 * octet, scale, book, block.getUint8(from), block.getUint8(from + 1), signs);
    }
  },
});

/**
 * `f16 d; u8 qs[64]; u8 qh[8]; u8 signs[32]; u8 scales[4]`: w = ± d · (2 · scale + 1) · size. Bit i of a byte of `qh` is the
 * ninth bit of entry i of its group; a scale byte has the nibbles of two groups.
 */
export const IQ3_S: BlockType = blockType({
  name: "IQ3_S",
  id: 21,
  blockBytes: 110,
  blockWeights: 256,
  decode(block, at, littleEndian, out, to) {
    const book = IQ3_S_BOOK();
    const d = block.getFloat16(at, littleEndian);
    for (let octet = 0; octet < 32; octet++) {
      const group = octet >> 2;
      const scale = d * (2 * nibble(block.getUint8(at + 106 + (group >> 1)), group & 1) + 1);
      const high = block.getUint8(at + 66 + group) >> (2 * (octet & 3));
      const first = block.getUint8(at + 2 + 2 * octet) | ((high & 1) << 8);
      const second = block.getUint8(at + 3 + 2 * octet) | ((high & 2) << 7);
      putQuartets(out, to + 8 * octet, scale, book, first, second, block.getUint8(at + 74 + octet));
    }
  },
});

/** Eight weights of one entry: w = scale · (level ± 1/8). */
function putTernary(out: Weights, to: number, scale: number, book: Int8Array, entry: number, below: boolean): void {
  const shift = below ? -0.125 : 0.125;
  for (let j = 0; j < 8; j++) out[to + j] = scale * (book[8 * entry + j]! + shift);
}

/**
 * `f16 d; u8 qs[32]; u16 qh[8]`: w = d · (2 · scale + 1) · (level ± 1/8). A field of `qh` has the high 3 bits of four
 * entries of 11 bits, the scale of 3 bits, and the top bit, set where 1/8 is subtracted.
 */
export const IQ1_S: BlockType = blockType({
  name: "IQ1_S",
  id: 19,
  blockBytes: 50,
  blockWeights: 256,
  decode(block, at, littleEndian, out, to) {
    const book = IQ1_BOOK();
    const d = block.getFloat16(at, littleEndian);
    for (let octet = 0; octet < 32; octet++) {
      const field = block.getUint16(at + 34 + 2 * (octet >> 2), littleEndian);
      const scale = d * (2 * ((field >> 12) & 7) + 1);
      const entry = block.getUint8(at + 2 + octet) | (((field >> (3 * (octet & 3))) & 7) << 8);
      putTernary(out, to + 8 * octet, scale, book, entry, field >> 15 === 1);
    }
  },
});

const scaleBits = new DataView(new ArrayBuffer(2));

/**
 * `u8 qs[32]; u8 qh[16]; u8 scales[8]`: w = d · (2 · scale + 1) · (level ± 1/8). A nibble of `qh` has the high 3 bits of an
 * entry of 11 bits, and its top bit is set where 1/8 is subtracted. Each pair of scale bytes, low one first, has four
 * scales of 3 bits, for 16 weights each, and on top four bits of the f16 d, the lowest in the first pair.
 */
export const IQ1_M: BlockType = blockType({
  name: "IQ1_M",
  id: 29,
  blockBytes: 56,
  blockWeights: 256,
  decode(block, at, _littleEndian, out, to) {
    const book = IQ1_BOOK();
    let bits = 0;
    for (let pair = 0; pair < 4; pair++) bits |= (block.getUint8(at + 49 + 2 * pair) >> 4) << (4 * pair);
    scaleBits.setUint16(0, bits);
    const d = scaleBits.getFloat16(0);
    for (let octet = 0; octet < 32; octet++) {
      const scales = block.getUint16(at + 48 + 2 * (octet >> 3), true);
      const scale = d * (2 * ((scales >> (3 * ((octet >> 1) & 3))) & 7) + 1);
      const high = nibble(block.getUint8(at + 32 + (octet >> 1)), octet & 1);
      putTernary(out, to + 8 * octet, scale, book, block.getUint8(at + octet) | ((high & 7) << 8), high > 7);
    }
  },
});
