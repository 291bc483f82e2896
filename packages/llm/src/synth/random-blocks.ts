/**
 * Random weights of a wanted spread, made as stored: nothing is computed and encoded.
 *
 * Quants are random bits, so they are spread evenly over their levels. The fields that are no quants (scales, minima)
 * come from a pool of random blocks whose common factor is set so that decoded weights have the wanted standard
 * deviation and, but for a small random part, mean zero. Plain floats are drawn from a table of normally distributed
 * values. This writes models as fast as memory is filled, where encoding would take minutes.
 */

import { type BlockType, UnsupportedError, UserError } from "@quern/core";
import { RandomBits } from "./random.ts";

/** Makes `count` blocks or elements of one type; `out` has room for them and is aligned to 4 bytes. */
export type FillBlocks = (random: RandomBits, out: Uint8Array, count: number) => void;

/** What blocks have besides quants. */
interface Fields {
  /** Byte ranges within a block, `[from, to)`, that `write` fills. */
  readonly ranges: readonly (readonly [from: number, to: number])[];
  /** Writes them for a block at `at`; weights are proportional to `factor`. */
  write(view: DataView, at: number, factor: number, random: RandomBits): void;
  /** A stored quant that encoders do not make, and kernels may rely on that. */
  readonly avoid?: number;
}

const signed = (random: RandomBits, value: number): number => (random.next() & 1 ? value : -value);
const between = (random: RandomBits, least: number, most: number): number => least + random.below(most - least + 1);
const varied = (random: RandomBits, value: number): number => value * (0.75 + random.next() / 2 ** 33);

/** One f16 scale of either sign in front. */
const oneScale: Fields = {
  ranges: [[0, 2]],
  write: (view, at, factor, random) => view.setFloat16(at, signed(random, varied(random, factor)), true),
};

/** An f16 scale and an f16 minimum in front; `middle` is the mean of the quants. */
const scaleAndMinimum = (middle: number): Fields => ({
  ranges: [[0, 4]],
  write(view, at, factor, random) {
    const scale = varied(random, factor);
    view.setFloat16(at, scale, true);
    view.setFloat16(at + 2, -middle * scale * (0.98 + 0.04 * (random.next() / 2 ** 32)), true);
  },
});

/** Eight groups with scales and minima of 6 bits, packed as in Q4_K. */
const packedGroups = (middle: number): Fields => ({
  ranges: [[0, 16]],
  write(view, at, factor, random) {
    view.setFloat16(at, factor, true);
    view.setFloat16(at + 2, middle * factor, true);
    const scales = Array.from({ length: 8 }, () => between(random, 32, 61));
    // Close to the scale, so that the mean stays near zero, but not equal to it.
    const mins = scales.map((scale) => scale + between(random, -2, 2));
    for (let j = 0; j < 4; j++) {
      const [s, m, s4, m4] = [scales[j]!, mins[j]!, scales[j + 4]!, mins[j + 4]!];
      view.setUint8(at + 4 + j, s | ((s4 >> 4) << 6));
      view.setUint8(at + 8 + j, m | ((m4 >> 4) << 6));
      view.setUint8(at + 12 + j, (s4 & 15) | ((m4 & 15) << 4));
    }
  },
});

const FIELDS: Readonly<Record<string, Fields>> = {
  Q4_0: oneScale,
  Q4_1: scaleAndMinimum(7.5),
  Q5_0: oneScale,
  Q5_1: scaleAndMinimum(15.5),
  Q8_0: { ...oneScale, avoid: 0x80 },
  IQ4_NL: oneScale,
  Q2_K: {
    ranges: [
      [0, 16],
      [80, 84],
    ],
    write(view, at, factor, random) {
      for (let group = 0; group < 16; group++) {
        const scale = between(random, 7, 14);
        view.setUint8(at + group, scale | (Math.min(15, scale + between(random, -1, 1)) << 4));
      }
      view.setFloat16(at + 80, factor, true);
      view.setFloat16(at + 82, 1.5 * factor, true);
    },
  },
  Q3_K: {
    ranges: [[96, 110]],
    write(view, at, factor, random) {
      const scales = Array.from({ length: 16 }, () => 32 + signed(random, between(random, 16, 31)));
      for (let j = 0; j < 8; j++) view.setUint8(at + 96 + j, (scales[j]! & 15) | ((scales[j + 8]! & 15) << 4));
      for (let j = 0; j < 4; j++) {
        const high = [0, 1, 2, 3].reduce((bits, k) => bits | ((scales[j + 4 * k]! >> 4) << (2 * k)), 0);
        view.setUint8(at + 104 + j, high);
      }
      view.setFloat16(at + 108, factor, true);
    },
  },
  Q4_K: packedGroups(7.5),
  Q5_K: packedGroups(15.5),
  Q6_K: {
    ranges: [[192, 210]],
    write(view, at, factor, random) {
      for (let group = 0; group < 16; group++) view.setInt8(at + 192 + group, signed(random, between(random, 64, 127)));
      view.setFloat16(at + 208, factor, true);
    },
  },
  IQ4_XS: {
    ranges: [[0, 8]],
    write(view, at, factor, random) {
      view.setFloat16(at, factor, true);
      let high = 0;
      for (let group = 0; group < 8; group += 2) {
        const [even, odd] = [
          32 + signed(random, between(random, 16, 31)),
          32 + signed(random, between(random, 16, 31)),
        ];
        view.setUint8(at + 4 + (group >> 1), (even & 15) | ((odd & 15) << 4));
        high |= ((even >> 4) << (2 * group)) | ((odd >> 4) << (2 * group + 2));
      }
      view.setUint16(at + 2, high, true);
    },
  },
  MXFP4: {
    ranges: [[0, 1]],
    write(view, at, factor, random) {
      // A power of two: the two next to the factor, in such shares that the mean square is the wanted one.
      const lower = Math.floor(Math.log2(factor));
      const share = ((factor / 2 ** lower) ** 2 - 1) / 3;
      const exponent = lower + (random.next() / 2 ** 32 < share ? 1 : 0);
      view.setUint8(at, Math.min(254, Math.max(0, exponent + 128)));
    },
  },
};

/** A power of two. */
const POOL = 512;

/**
 * How to make weights of standard deviation `spread` in `type`. Throws an `UnsupportedError` for a type that cannot be
 * made. The pool of scales is that of `seed`.
 */
export function randomBlocks(type: BlockType, spread: number, seed: number): FillBlocks {
  if (!(spread > 0 && spread < 1000)) throw new UserError(`${spread} is no spread of weights`);
  if (type.blockWeights === 1) return plainFloats(type, 0, spread);
  const fields = FIELDS[type.name];
  if (fields === undefined) {
    throw new UnsupportedError({
      op: `random blocks of type ${type.name}`,
      where: "synthetic model",
      reason: "not made",
    });
  }
  const factor = spread / spreadOfPool(type, fields, makePool(type, fields, 1, seed), seed);
  return withPool(type, fields, makePool(type, fields, factor, seed));
}

/** Blocks of which only the fields are set. */
function makePool({ name, blockBytes }: BlockType, fields: Fields, factor: number, seed: number): Uint8Array {
  const pool = new Uint8Array(POOL * blockBytes);
  const view = new DataView(pool.buffer);
  const random = new RandomBits(seed, `scales of ${name}`);
  for (let block = 0; block < POOL; block++) fields.write(view, block * blockBytes, factor, random);
  return pool;
}

/** The standard deviation of weights made with a pool, measured. */
function spreadOfPool(type: BlockType, fields: Fields, pool: Uint8Array, seed: number): number {
  const count = 8 * POOL;
  const bytes = new Uint8Array(count * type.blockBytes);
  withPool(type, fields, pool)(new RandomBits(seed, "measured"), bytes, count);
  const weights = new Float32Array(count * type.blockWeights);
  type.dequantise(bytes, weights);
  let squares = 0;
  for (const weight of weights) squares += weight * weight;
  return Math.sqrt(squares / weights.length);
}

function withPool({ blockBytes }: BlockType, { ranges, avoid }: Fields, pool: Uint8Array): FillBlocks {
  // Most blocks are a whole number of 16-bit words, and so are their fields.
  const unit = [blockBytes, ...ranges.flat()].every((at) => at % 2 === 0) ? 2 : 1;
  const offsets = ranges.flatMap(([from, to]) => Array.from({ length: (to - from) / unit }, (_, i) => from / unit + i));
  const fields = Uint32Array.from(offsets);
  const source = unit === 2 ? new Uint16Array(pool.buffer) : pool;
  return (random, out, count) => {
    const size = count * blockBytes;
    const words = new Uint32Array(out.buffer, out.byteOffset, Math.floor(size / 4));
    random.fill(words);
    // Up to three bytes, of seven bits: there is nothing to avoid in them.
    for (let at = 4 * words.length; at < size; at++) out[at] = random.next() & 0x7f;
    if (avoid !== undefined) replaceByte(words, avoid);
    const choices = drawWords(random, 2 * count);
    const to = unit === 2 ? new Uint16Array(out.buffer, out.byteOffset, size / 2) : out;
    copyFields(source, to, choices, fields, blockBytes / unit);
  };
}

/** Copies the elements `fields` of a block of the pool that is chosen at random to each block. */
function copyFields(
  pool: Uint16Array | Uint8Array,
  out: Uint16Array | Uint8Array,
  choices: Uint32Array,
  fields: Uint32Array,
  block: number,
): void {
  for (let i = 0; i < choices.length; i++) {
    const source = (choices[i]! & (POOL - 1)) * block;
    const to = i * block;
    for (let k = 0; k < fields.length; k++) out[to + fields[k]!] = pool[source + fields[k]!]!;
  }
}

/** Makes bytes that are `byte` one more. Most words have none, which one look at the word shows. */
function replaceByte(words: Uint32Array, byte: number): void {
  const pattern = Math.imul(byte, 0x01010101);
  for (let i = 0; i < words.length; i++) {
    // A zero byte of `rest` borrows from its top bit.
    const rest = words[i]! ^ pattern;
    if (((rest - 0x01010101) & ~rest & 0x80808080) === 0) continue;
    for (let shift = 0; shift < 32; shift += 8) {
      if (((rest >>> shift) & 255) === 0) words[i] = words[i]! + (1 << shift);
    }
  }
}

/** Small enough for the nearest cache, with a largest value of about 3.5 standard deviations. */
const TABLE = 2 ** 12;
let normals: Float32Array | undefined;

/** Standard normal values whose mean is 0 and whose standard deviation is 1 exactly. */
function normalTable(): Float32Array {
  if (normals !== undefined) return normals;
  const random = new RandomBits(0, "normal");
  const half = Float64Array.from({ length: TABLE / 2 }, () => random.normal());
  const scale = Math.sqrt(half.length / half.reduce((sum, value) => sum + value * value, 0));
  normals = Float32Array.from({ length: TABLE }, (_, i) => (i & 1 ? -1 : 1) * half[i >> 1]! * scale);
  return normals;
}

/** Elements of F32, F16 or BF16, normally distributed around `mean`. `out` is aligned to elements. */
export function plainFloats(type: BlockType, mean: number, spread: number): FillBlocks {
  const values = normalTable().map((value) => mean + spread * value);
  if (type.name === "F32") {
    return (random, out, count) => drawSingle(random, values, new Float32Array(out.buffer, out.byteOffset, count));
  }
  const table = halfTable(type, values);
  return (random, out, count) => drawHalf(random, table, new Uint16Array(out.buffer, out.byteOffset, count));
}

function halfTable({ name }: BlockType, values: Float32Array): Uint16Array {
  if (name === "F16") return new Uint16Array(Float16Array.from(values).buffer);
  if (name === "BF16") return Uint16Array.from(new Uint32Array(values.buffer), (bits) => (bits + 0x8000) >>> 16);
  throw new UnsupportedError({ op: `random elements of type ${name}`, where: "synthetic model", reason: "not made" });
}

// One loop for each element type: a loop that meets arrays of several types is several times slower.

function drawSingle(random: RandomBits, table: Float32Array, out: Float32Array): void {
  const bits = drawWords(random, out.length);
  const pairs = out.length >> 1;
  for (let i = 0; i < pairs; i++) {
    const word = bits[i]!;
    out[2 * i] = table[word & (TABLE - 1)]!;
    out[2 * i + 1] = table[(word >>> 16) & (TABLE - 1)]!;
  }
  if (out.length & 1) out[2 * pairs] = table[bits[pairs]! & (TABLE - 1)]!;
}

function drawHalf(random: RandomBits, table: Uint16Array, out: Uint16Array): void {
  const bits = drawWords(random, out.length);
  const pairs = out.length >> 1;
  for (let i = 0; i < pairs; i++) {
    const word = bits[i]!;
    out[2 * i] = table[word & (TABLE - 1)]!;
    out[2 * i + 1] = table[(word >>> 16) & (TABLE - 1)]!;
  }
  if (out.length & 1) out[2 * pairs] = table[bits[pairs]! & (TABLE - 1)]!;
}

let words = new Uint32Array(0);

/** A word for every two elements, in memory that the next call takes again. */
function drawWords(random: RandomBits, elements: number): Uint32Array {
  const count = Math.ceil(elements / 2);
  if (words.length < count) words = new Uint32Array(count);
  const drawn = words.subarray(0, count);
  random.fill(drawn);
  return drawn;
}
