/**
 * The block formats that matrix products read, one record per encoding. What each field means is in the records of the
 * encodings (`@quern/core`); here are its place in a block and how its bits become bytes of quants in registers.
 */

import type { KValue, KernelBuilder } from "@quern/core";
import { bitsOf, bitsOfBytes, signedByte, toFloat, unsignedByte } from "./bits.ts";
import type { BlockFormat, BlockReader, Field, GroupScale } from "./format.ts";

const f16 = (at: number, count = 1): Field => ({ at, kind: "f16", count });
const words = (at: number, count: number): Field => ({ at, kind: "word", count });

/** Scale d and nothing else. */
function oneScale(_k: KernelBuilder, block: BlockReader): () => GroupScale {
  const scale = block.scale(0);
  return () => ({ scale });
}

/** w = d · q + m: the minimum is -m. */
function scaleAndOffset(k: KernelBuilder, block: BlockReader): () => GroupScale {
  const [scale, min] = [block.scale(0), k.neg(block.scale(1))];
  return () => ({ scale, min });
}

/** Low nibbles are weights 0 to 15 of the 32, high nibbles 16 to 31. */
function nibbleQuad(k: KernelBuilder, block: BlockReader, first: number, quad: number): KValue {
  return bitsOfBytes(k, block.quant(first + (quad & 3)), quad < 4 ? 0 : 4, 4);
}

/** Bits 4·quad..4·quad+3 of a word, one per byte at bit 4: the fifth bits of a quad. */
function fifthBits(k: KernelBuilder, word: KValue, quad: number): KValue {
  const four = k.and(quad === 0 ? word : k.shr(word, 4 * quad), 15);
  // Copies 7, 14 and 21 bits up put bit i where byte i begins.
  return k.shl(k.and(k.mul(four, 0x00204081), 0x01010101), 4);
}

const legacy = { blockWeights: 32, group: 32, chunk: 16, small: true } as const;

const Q4_0: BlockFormat = {
  ...legacy,
  name: "Q4_0",
  scales: [f16(0)],
  quants: [words(2, 4)],
  bias: 8,
  scalesOf: oneScale,
  quad: (k, block, _group, quad) => nibbleQuad(k, block, 0, quad),
};

const Q4_1: BlockFormat = {
  ...legacy,
  name: "Q4_1",
  scales: [f16(0, 2)],
  quants: [words(4, 4)],
  bias: 0,
  scalesOf: scaleAndOffset,
  quad: (k, block, _group, quad) => nibbleQuad(k, block, 0, quad),
};

const fiveBitQuad: BlockFormat["quad"] = (k, block, _group, quad) =>
  k.or(nibbleQuad(k, block, 1, quad), fifthBits(k, block.quant(0), quad));

const Q5_0: BlockFormat = {
  ...legacy,
  name: "Q5_0",
  scales: [f16(0)],
  quants: [words(2, 5)],
  bias: 16,
  scalesOf: oneScale,
  quad: fiveBitQuad,
};

const Q5_1: BlockFormat = {
  ...legacy,
  name: "Q5_1",
  scales: [f16(0, 2)],
  quants: [words(4, 5)],
  bias: 0,
  scalesOf: scaleAndOffset,
  quad: fiveBitQuad,
};

const Q8_0: BlockFormat = {
  ...legacy,
  name: "Q8_0",
  small: false,
  scales: [f16(0)],
  // Signed bytes become unsigned ones, 128 above them.
  quants: [{ ...words(2, 8), flip: 0x80808080 }],
  bias: 128,
  scalesOf: oneScale,
  quad: (_k, block, _group, quad) => block.quant(quad),
};

const superBlock = { blockWeights: 256, small: true } as const;

/** The 6-bit scales and minima of eight groups, from three words: d · sc and dmin · m. */
function sixBitScales(k: KernelBuilder, block: BlockReader): (group: number) => GroupScale {
  const [d, dmin] = [block.scale(0), block.scale(1)];
  const [low, middle, high] = [block.scale(2), block.scale(3), block.scale(4)] as [KValue, KValue, KValue];
  const upper = (first: KValue, from: number): KValue =>
    k.or(bitsOfBytes(k, high, from, 4), bitsOfBytes(k, first, 6, 2, 4));
  const scales = [bitsOfBytes(k, low, 0, 6), upper(low, 0)] as const;
  const mins = [bitsOfBytes(k, middle, 0, 6), upper(middle, 4)] as const;
  return (group) => {
    const [half, at] = [group >> 2, group & 3];
    return {
      scale: k.mul(d, toFloat(k, unsignedByte(k, scales[half] as KValue, at))),
      min: k.mul(dmin, toFloat(k, unsignedByte(k, mins[half] as KValue, at))),
    };
  };
}

const Q4_K: BlockFormat = {
  ...superBlock,
  name: "Q4_K",
  group: 32,
  chunk: 32,
  scales: [f16(0, 2), words(4, 3)],
  quants: [words(16, 32)],
  bias: 0,
  scalesOf: sixBitScales,
  quad: (k, block, group, quad) => bitsOfBytes(k, block.quant(8 * (group >> 1) + quad), 4 * (group & 1), 4),
};

const Q5_K: BlockFormat = {
  ...superBlock,
  name: "Q5_K",
  group: 32,
  chunk: 32,
  scales: [f16(0, 2), words(4, 3)],
  quants: [words(16, 8), words(48, 32)],
  bias: 0,
  scalesOf: sixBitScales,
  quad: (k, block, group, quad) =>
    k.or(
      bitsOfBytes(k, block.quant(8 + 8 * (group >> 1) + quad), 4 * (group & 1), 4),
      bitsOfBytes(k, block.quant(quad), group, 1, 4),
    ),
};

const Q6_K: BlockFormat = {
  ...superBlock,
  name: "Q6_K",
  group: 16,
  chunk: 16,
  scales: [f16(208), words(192, 4)],
  quants: [words(0, 32), words(128, 16)],
  bias: 32,
  scalesOf: (k, block) => {
    const d = block.scale(0);
    const scales = [1, 2, 3, 4].map((at) => block.scale(at));
    return (group) => ({ scale: k.mul(d, toFloat(k, signedByte(k, scales[group >> 2] as KValue, group & 3))) });
  },
  quad: (k, block, group, quad) => {
    const [half, row, at] = [group >> 3, (group & 7) >> 1, 4 * (group & 1) + quad];
    const low = bitsOfBytes(k, block.quant(16 * half + 8 * (row & 1) + at), row < 2 ? 0 : 4, 4);
    return k.or(low, bitsOfBytes(k, block.quant(32 + 8 * half + at), 2 * row, 2, 4));
  },
};

const Q3_K: BlockFormat = {
  ...superBlock,
  name: "Q3_K",
  group: 16,
  chunk: 16,
  scales: [f16(108), words(96, 3)],
  quants: [words(0, 8), words(32, 16)],
  bias: 4,
  scalesOf: (k, block) => {
    const d = block.scale(0);
    const [first, second, high] = [block.scale(1), block.scale(2), block.scale(3)] as [KValue, KValue, KValue];
    const four = [first, second, first, second].map((word, i) =>
      k.or(bitsOfBytes(k, word, i < 2 ? 0 : 4, 4), bitsOfBytes(k, high, 2 * i, 2, 4)),
    );
    return (group) => {
      const byte = unsignedByte(k, four[group >> 2] as KValue, group & 3);
      return { scale: k.mul(d, toFloat(k, k.sub(byte, 32))) };
    };
  },
  quad: (k, block, group, quad) => {
    const [chunk, at] = [group >> 1, 4 * (group & 1) + quad];
    const low = bitsOfBytes(k, block.quant(8 + 8 * (chunk >> 2) + at), 2 * (chunk & 3), 2);
    return k.or(low, bitsOfBytes(k, block.quant(at), chunk, 1, 2));
  },
};

const Q2_K: BlockFormat = {
  ...superBlock,
  name: "Q2_K",
  group: 16,
  chunk: 16,
  scales: [f16(80, 2), words(0, 4)],
  quants: [words(16, 16)],
  bias: 0,
  scalesOf: (k, block) => {
    const [d, dmin] = [block.scale(0), block.scale(1)];
    const bytes = [2, 3, 4, 5].map((at) => block.scale(at));
    return (group) => {
      const word = bytes[group >> 2] as KValue;
      const at = 8 * (group & 3);
      return {
        scale: k.mul(d, toFloat(k, bitsOf(k, word, at, 4))),
        min: k.mul(dmin, toFloat(k, bitsOf(k, word, at + 4, 4))),
      };
    };
  },
  quad: (k, block, group, quad) => {
    const [chunk, at] = [group >> 1, 4 * (group & 1) + quad];
    return bitsOfBytes(k, block.quant(8 * (chunk >> 2) + at), 2 * (chunk & 3), 2);
  },
};

/** The levels of IQ4_NL and IQ4_XS, 128 above themselves. */
const NON_LINEAR = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113].map((q) => q + 128);

const IQ4_NL: BlockFormat = {
  ...legacy,
  name: "IQ4_NL",
  small: false,
  scales: [f16(0)],
  quants: [words(2, 4)],
  bias: 128,
  table: NON_LINEAR,
  scalesOf: oneScale,
  quad: (k, block, _group, quad) => block.lookup(nibbleQuad(k, block, 0, quad)),
};

const IQ4_XS: BlockFormat = {
  ...superBlock,
  name: "IQ4_XS",
  small: false,
  group: 32,
  chunk: 32,
  scales: [f16(0), { at: 2, kind: "half", count: 1 }, words(4, 1)],
  quants: [words(8, 32)],
  bias: 128,
  table: NON_LINEAR,
  scalesOf: (k, block) => {
    const [d, high, low] = [block.scale(0), block.scale(1), block.scale(2)];
    return (group) => {
      const upper = k.shl(k.and(k.shr(high, 2 * group), 3), 4);
      return { scale: k.mul(d, toFloat(k, k.sub(k.or(bitsOf(k, low, 4 * group, 4), upper), 32))) };
    };
  },
  quad: (k, block, group, quad) => block.lookup(nibbleQuad(k, block, 4 * group, quad)),
};

const MXFP4: BlockFormat = {
  ...legacy,
  name: "MXFP4",
  scales: [{ at: 0, kind: "byte", count: 1 }],
  quants: [words(1, 4)],
  bias: 12,
  // Twice the values of the 4-bit floats, 12 above themselves.
  table: [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12].map((q) => q + 12),
  scalesOf: (k, block) => {
    const exponent = toFloat(k, k.sub(block.scale(0), 128));
    const scale = k.prim("scale2", [k.const({ ...exponent.type }, 1), exponent], exponent.type);
    return () => ({ scale });
  },
  quad: (k, block, _group, quad) => block.lookup(nibbleQuad(k, block, 0, quad)),
};

const FORMATS: ReadonlyMap<string, BlockFormat> = new Map(
  [Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS, MXFP4].map((one) => [one.name, one]),
);

/** The format of an encoding, if products read it in blocks. */
export function formatOf(encoding: string): BlockFormat | undefined {
  return FORMATS.get(encoding);
}

export const BLOCK_FORMATS: readonly BlockFormat[] = [...FORMATS.values()];
