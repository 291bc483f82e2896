/**
 * Codebooks by their structure and by digests of all entries, and the types that use them against encoders written here
 * the other way round, in both byte orders. Published vectors of blocks, where they are there, are compared by the tests
 * of the GGUF importer; they name a part of the entries only.
 */

import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import {
  type Codebook,
  EVEN_SIGNS,
  IQ1_BOOK,
  IQ2_S_BOOK,
  IQ2_XS_BOOK,
  IQ2_XXS_BOOK,
  IQ3_S_BOOK,
  IQ3_XXS_BOOK,
} from "./codebooks.ts";
import { blockTypeNamed } from "./registry.ts";

const range = (count: number): number[] => [...Array(count).keys()];

interface Expected {
  readonly name: string;
  readonly book: Codebook;
  readonly entries: number;
  readonly weights: number;
  readonly levels: readonly number[];
  /** SHA-256 of all levels as bytes, in the order of the entries. */
  readonly digest: string;
}

/** Digests of the lists that gguf-py 0.19 decodes with, a package that stores them in a form of its own. */
const books: readonly Expected[] = [
  {
    name: "IQ2_XXS",
    book: IQ2_XXS_BOOK,
    entries: 256,
    weights: 8,
    levels: [8, 25, 43],
    digest: "05826b5d3e472a3a78f196be62ac78acf81df0f909626e12ab9fa2a5d490dd54",
  },
  {
    name: "IQ2_XS",
    book: IQ2_XS_BOOK,
    entries: 512,
    weights: 8,
    levels: [8, 25, 43],
    digest: "06e47aaca60b4dc1d9b5a3f34540437058a6b142b4d7a59d5ded769b4d1bf1de",
  },
  {
    name: "IQ2_S",
    book: IQ2_S_BOOK,
    entries: 1024,
    weights: 8,
    levels: [8, 25, 43],
    digest: "e1aa1473412b0552c2174c30ef22ab4073f6a181b85a17056e8249bd2932fd88",
  },
  {
    name: "IQ3_XXS",
    book: IQ3_XXS_BOOK,
    entries: 256,
    weights: 4,
    levels: [4, 12, 20, 28, 36, 44, 52, 62],
    digest: "46e35f5a997efdee6c99ce57854c8a0d4f0ff8ca57e5e8a60c0793ea580acf5d",
  },
  {
    name: "IQ3_S",
    book: IQ3_S_BOOK,
    entries: 512,
    weights: 4,
    levels: [1, 3, 5, 7, 9, 11, 13, 15],
    digest: "bd1af4945a1717c65610b0284e4628b9a1ba3b306fae3a06f6e5f597356e349f",
  },
  {
    name: "IQ1",
    book: IQ1_BOOK,
    entries: 2048,
    weights: 8,
    levels: [-1, 0, 1],
    digest: "07540ffc1aeaf6ad4d97e96b0fcc765aae39671d4ae4a27bbd0e796fde167c6a",
  },
];

describe.each(books)("codebook $name", ({ book, entries, weights, levels, digest }) => {
  const entry = (i: number): number[] => [...book().subarray(i * weights, (i + 1) * weights)];

  it("has its entries once, in ascending order with the last weight first", () => {
    expect(book()).toHaveLength(entries * weights);
    expect(book()).toBe(book());
    const numbers = range(entries).map((i) =>
      entry(i).reduceRight((number, level) => number * levels.length + levels.indexOf(level), 0),
    );
    for (let i = 1; i < entries; i++) expect(numbers[i]! > numbers[i - 1]!, `entry ${i}`).toBe(true);
  });

  it("has every level at every weight, and no other", () => {
    for (const weight of range(weights)) {
      const found = new Set(range(entries).map((i) => entry(i)[weight]!));
      expect([...found].toSorted((a, b) => a - b)).toEqual(levels);
    }
  });

  it("has the published entries", () => {
    expect(createHash("sha256").update(book()).digest("hex")).toBe(digest);
  });
});

it("the eighth sign makes the number of negative weights even", () => {
  expect(EVEN_SIGNS).toHaveLength(128);
  for (const [field, signs] of EVEN_SIGNS.entries()) {
    expect(signs & 127).toBe(field);
    expect(range(8).filter((bit) => (signs >> bit) & 1).length % 2, `field ${field}`).toBe(0);
  }
});

/** A fixed sequence without a pattern: powers in a prime field. */
const draw = (count: number, below: number): number[] => range(count).map((i) => ((i + 5) ** 3 % 10_007) % below);

/** Fields of a block, written little endian from the lowest bit of the first byte on. */
class Packed {
  readonly bytes: Uint8Array;
  constructor(bytes: number) {
    this.bytes = new Uint8Array(bytes);
  }
  /** `values` of `bits` bits from byte `from` on, each `stride` bits behind the last. */
  put(from: number, bits: number, values: readonly number[], stride = bits): this {
    for (const [i, value] of values.entries()) {
      for (const bit of range(bits)) {
        const at = 8 * from + stride * i + bit;
        this.bytes[at >> 3]! |= ((value >> bit) & 1) << (at & 7);
      }
    }
    return this;
  }
  /** With the 16-bit fields between two bytes in the other order. */
  swapped(from: number, to: number): this {
    for (let at = from; at < to; at += 2) this.bytes.subarray(at, at + 2).reverse();
    return this;
  }
}

const D = 0.0123443603515625; // an f16
const D_BITS = new Uint16Array(Float16Array.of(D).buffer)[0]!;

const signs7 = draw(32, 128);
const signs8 = draw(32, 256);
const negative = (signs: readonly number[], i: number): number => ((signs[i >> 3]! >> (i & 7)) & 1 ? -1 : 1);
/** Bit 7 of signs in seven bits is set where their number is odd. */
const completed = signs7.map((signs) => signs + (range(7).filter((bit) => (signs >> bit) & 1).length % 2) * 128);
const scales4 = draw(16, 16);
const scales3 = draw(16, 8);
const minus = draw(32, 2);
const shift = (i: number): number => (minus[i]! === 1 ? -1 / 8 : 1 / 8);

interface Sample {
  readonly name: string;
  /** Blocks with their 16-bit fields in `[from, to)` besides the scale in front. */
  readonly block: Packed;
  readonly words?: readonly [from: number, to: number];
  /** Without the scale in front, which is in the bits of others. */
  readonly bare?: true;
  readonly weight: (i: number) => number;
}

const entry8 = (book: Codebook, entries: readonly number[], i: number): number =>
  book()[8 * entries[i >> 3]! + (i & 7)]!;
const entry4 = (book: Codebook, entries: readonly number[], i: number): number =>
  book()[4 * entries[i >> 2]! + (i & 3)]!;
const of256 = draw(64, 256);
const of512 = draw(64, 512);
const of1024 = draw(32, 1024);
const of2048 = draw(32, 2048);

const samples: readonly Sample[] = [
  {
    name: "IQ2_XXS",
    block: range(8).reduce(
      (block, group) =>
        block
          .put(2 + 8 * group, 8, of256.slice(4 * group, 4 * group + 4))
          .put(6 + 8 * group, 7, signs7.slice(4 * group, 4 * group + 4))
          .put(9 + 8 * group, 8, [scales4[group]! << 4]),
      new Packed(66).put(0, 16, [D_BITS]),
    ),
    words: [2, 66],
    weight: (i) => D * (scales4[i >> 5]! + 0.5) * 0.25 * entry8(IQ2_XXS_BOOK, of256, i) * negative(completed, i),
  },
  {
    name: "IQ2_XS",
    block: new Packed(74)
      .put(0, 16, [D_BITS])
      .put(
        2,
        16,
        range(32).map((octet) => of512[octet]! + 512 * signs7[octet]!),
      )
      .put(66, 4, scales4),
    words: [2, 66],
    weight: (i) => D * (scales4[i >> 4]! + 0.5) * 0.25 * entry8(IQ2_XS_BOOK, of512, i) * negative(completed, i),
  },
  {
    name: "IQ2_S",
    block: new Packed(82)
      .put(0, 16, [D_BITS])
      .put(2, 8, of1024)
      .put(34, 8, signs8)
      .put(
        66,
        2,
        of1024.map((entry) => entry >> 8),
      )
      .put(74, 4, scales4),
    weight: (i) => D * (scales4[i >> 4]! + 0.5) * 0.25 * entry8(IQ2_S_BOOK, of1024, i) * negative(signs8, i),
  },
  {
    name: "IQ3_XXS",
    block: range(8).reduce(
      (block, group) =>
        block
          .put(66 + 4 * group, 7, signs7.slice(4 * group, 4 * group + 4))
          .put(69 + 4 * group, 8, [scales4[group]! << 4]),
      new Packed(98).put(0, 16, [D_BITS]).put(2, 8, of256),
    ),
    weight: (i) => D * (scales4[i >> 5]! + 0.5) * 0.5 * entry4(IQ3_XXS_BOOK, of256, i) * negative(completed, i),
  },
  {
    name: "IQ3_S",
    block: new Packed(110)
      .put(0, 16, [D_BITS])
      .put(2, 8, of512)
      .put(
        66,
        1,
        of512.map((entry) => entry >> 8),
      )
      .put(74, 8, signs8)
      .put(106, 4, scales4.slice(0, 8)),
    weight: (i) => D * (2 * scales4[i >> 5]! + 1) * entry4(IQ3_S_BOOK, of512, i) * negative(signs8, i),
  },
  {
    name: "IQ1_S",
    block: range(8).reduce(
      (block, group) =>
        block
          .put(
            34 + 2 * group,
            3,
            of2048.slice(4 * group, 4 * group + 4).map((entry) => entry >> 8),
          )
          .put(35 + 2 * group, 8, [(scales3[group]! << 4) | (minus[group]! << 7)]),
      new Packed(50).put(0, 16, [D_BITS]).put(2, 8, of2048),
    ),
    words: [34, 50],
    weight: (i) => D * (2 * scales3[i >> 5]! + 1) * (entry8(IQ1_BOOK, of2048, i) + shift(i >> 5)),
  },
  {
    name: "IQ1_M",
    block: range(4).reduce(
      (block, pair) =>
        block
          .put(48 + 2 * pair, 3, scales3.slice(4 * pair, 4 * pair + 4))
          .put(49 + 2 * pair, 8, [((D_BITS >> (4 * pair)) & 15) << 4]),
      new Packed(56).put(0, 8, of2048).put(
        32,
        4,
        range(32).map((octet) => (of2048[octet]! >> 8) | (minus[octet]! << 3)),
      ),
    ),
    bare: true,
    weight: (i) => D * (2 * scales3[i >> 4]! + 1) * (entry8(IQ1_BOOK, of2048, i) + shift(i >> 3)),
  },
];

describe.each([{ littleEndian: true }, { littleEndian: false }])(
  "packed here, little endian: $littleEndian",
  ({ littleEndian }) => {
    it.each(samples)("$name", ({ name, block, words, bare, weight }) => {
      const type = blockTypeNamed(name)!;
      expect(block.bytes).toHaveLength(type.blockBytes);
      const stored = new Packed(2 * type.blockBytes);
      // A block of other weights in front: the second is read from its own bytes.
      stored.bytes.set(block.bytes, type.blockBytes);
      if (!littleEndian && bare === undefined) stored.swapped(type.blockBytes, type.blockBytes + 2);
      if (!littleEndian && words !== undefined) stored.swapped(type.blockBytes + words[0], type.blockBytes + words[1]);
      const single = new Float32Array(512);
      type.dequantise(stored.bytes, single, littleEndian);
      const expected = range(256).map(weight);
      expect([...single.subarray(256)]).toEqual(expected.map(Math.fround));
      expect(single.subarray(0, 256).every((value) => value === 0)).toBe(true);
      // Products are exact in double precision.
      const double = new Float64Array(512);
      type.dequantise(stored.bytes, double, littleEndian);
      expect([...double.subarray(256)]).toEqual(expected);
    });
  },
);
