/**
 * Block types against the published vectors, bit for bit, and against encoders written here the other way round: they
 * take quants and scales in the order of the weights and pack them, so a decoder that reads a field from the wrong place
 * disagrees. The shared vectors are skipped where the data folder is absent.
 */

import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { type BlockType, blockTypeOf, blockTypes } from "@quern/core";
import { ByteWriter } from "./encode.test-support.ts";
import { refusedTypes } from "./refused-types.ts";

const VECTORS = resolve(import.meta.dirname, "../../../../../shared/data/gguf/dequant");

const bitsOf = (values: Float32Array): Uint32Array => new Uint32Array(values.buffer, values.byteOffset, values.length);

function typeNamed(name: string): BlockType {
  const type = blockTypes.find((each) => each.name === name);
  if (type === undefined) throw new Error(`no type ${name}`);
  return type;
}

function decode(name: string, bytes: Uint8Array, littleEndian = true): number[] {
  const type = typeNamed(name);
  const out = new Float32Array((bytes.length / type.blockBytes) * type.blockWeights);
  type.dequantise(bytes, out, littleEndian);
  return [...out];
}

describe("published vectors", () => {
  const present = existsSync(VECTORS);
  const hasVectors = ({ name }: BlockType): boolean => existsSync(join(VECTORS, `${name}.bin`));
  it.each(blockTypes.filter(hasVectors))("$name", (type) => {
    const bytes = readFileSync(join(VECTORS, `${type.name}.bin`));
    const expected = new Float32Array(new Uint8Array(readFileSync(join(VECTORS, `${type.name}.f32`))).buffer);
    expect(expected).toHaveLength((bytes.length / type.blockBytes) * type.blockWeights);
    const single = new Float32Array(expected.length);
    type.dequantise(bytes, single);
    expect(bitsOf(single)).toEqual(bitsOf(expected));
    // Double precision holds the exact values: rounded once they are the same.
    const double = new Float64Array(expected.length);
    type.dequantise(bytes, double);
    expect(bitsOf(Float32Array.from(double))).toEqual(bitsOf(expected));
  });

  it("cover every type but those listed here", (context) => {
    if (!present) context.skip(`${VECTORS} is not there`);
    const without = blockTypes.filter((type) => !hasVectors(type)).map(({ name }) => name);
    expect(without).toEqual(["F32", "Q8_1", "Q8_K", "I8", "I16", "I32", "I64", "F64", "Q1_0"]);
  });
});

/** Quants from a fixed sequence without a pattern: multiplication in a prime field. */
function quants(count: number, levels: number): number[] {
  return Array.from({ length: count }, (_, i) => ((i + 3) ** 3 % 1021) % levels);
}

const D = 0.0123443603515625; // an f16
const M = -1.3759765625; // an f16
const range = (count: number): number[] => [...Array(count).keys()];

/** Puts `bits` bits of `value` at bit `at` of `fields`, counted from the lowest bit of the first byte. */
function putBits(fields: number[], at: number, bits: number, value: number): void {
  for (let i = 0; i < bits; i++) {
    const bit = at + i;
    fields[bit >> 3] = (fields[bit >> 3] ?? 0) | (((value >> i) & 1) << (bit & 7));
  }
}

interface Sample {
  readonly name: string;
  /** Writes the fields of one block. */
  readonly write: (out: ByteWriter) => void;
  readonly expected: readonly number[];
}

/** f16 by its bits: what `D` and `M` are is checked by the types that hold them. */
const f16 = (out: ByteWriter, ...values: number[]): void => {
  for (const value of values) {
    const bits = new Uint16Array(Float16Array.of(value).buffer)[0]!;
    out.scalar("u16", bits);
  }
};

const nibbles = (q: readonly number[]): number[] => range(16).map((j) => (q[j]! & 15) + 16 * (q[j + 16]! & 15));

const fifthBits = (q: readonly number[]): number[] => {
  const bytes = [0, 0, 0, 0];
  for (const [j, value] of q.entries()) putBits(bytes, j, 1, value >> 4);
  return bytes;
};

/** 2-bit fields of 256 weights in 64 bytes: four weights to a byte, 32 apart. */
const twoBits = (q: readonly number[]): number[] => {
  const bytes: number[] = Array(64).fill(0);
  for (const half of [0, 1])
    for (const shift of range(4))
      for (const l of range(32)) putBits(bytes, 8 * (32 * half + l) + 2 * shift, 2, q[128 * half + 32 * shift + l]!);
  return bytes;
};

const fourBitsOf256 = (q: readonly number[]): number[] => {
  const bytes: number[] = Array(128).fill(0);
  for (const group of range(8))
    for (const l of range(32))
      putBits(bytes, 8 * (32 * (group >> 1) + l) + 4 * (group % 2), 4, q[32 * group + l]! & 15);
  return bytes;
};

/** Eight scales and minima of 6 bits in 12 bytes. */
const packedScales = (scales: readonly number[], mins: readonly number[]): number[] => {
  const bytes: number[] = Array(12).fill(0);
  for (const j of range(4)) {
    putBits(bytes, 8 * j, 6, scales[j]!);
    putBits(bytes, 8 * (j + 4), 6, mins[j]!);
    putBits(bytes, 8 * (j + 8), 4, scales[j + 4]! & 15);
    putBits(bytes, 8 * (j + 8) + 4, 4, mins[j + 4]! & 15);
    putBits(bytes, 8 * j + 6, 2, scales[j + 4]! >> 4);
    putBits(bytes, 8 * (j + 4) + 6, 2, mins[j + 4]! >> 4);
  }
  return bytes;
};

const q4 = quants(32, 16);
const q5 = quants(32, 32);
const q8 = quants(256, 255).map((q) => q - 127);
const k2 = quants(256, 4);
const k3 = quants(256, 8);
const k4 = quants(256, 16);
const k5 = quants(256, 32);
const k6 = quants(256, 64);
const scale4 = quants(16, 16);
const min4 = quants(16, 16).toReversed();
const scale6 = quants(16, 64);
const min6 = quants(16, 64).toReversed();
const ternary = quants(256, 3);

const samples: readonly Sample[] = [
  { name: "Q4_0", write: (out) => (f16(out, D), out.raw(nibbles(q4))), expected: q4.map((q) => D * (q - 8)) },
  { name: "Q4_1", write: (out) => (f16(out, D, M), out.raw(nibbles(q4))), expected: q4.map((q) => D * q + M) },
  {
    name: "Q5_0",
    write: (out) => (f16(out, D), out.raw(fifthBits(q5)).raw(nibbles(q5))),
    expected: q5.map((q) => D * (q - 16)),
  },
  {
    name: "Q5_1",
    write: (out) => (f16(out, D, M), out.raw(fifthBits(q5)).raw(nibbles(q5))),
    expected: q5.map((q) => D * q + M),
  },
  {
    name: "Q8_0",
    write: (out) => (f16(out, D), out.raw(q8.slice(0, 32).map((q) => q & 255))),
    expected: q8.slice(0, 32).map((q) => D * q),
  },
  {
    name: "Q8_1",
    write: (out) => (f16(out, D, M), out.raw(q8.slice(0, 32).map((q) => q & 255))),
    expected: q8.slice(0, 32).map((q) => D * q),
  },
  {
    name: "Q2_K",
    write: (out) => {
      out.raw(range(16).map((g) => scale4[g]! + 16 * min4[g]!)).raw(twoBits(k2));
      f16(out, D, M);
    },
    expected: k2.map((q, i) => D * scale4[i >> 4]! * q - M * min4[i >> 4]!),
  },
  {
    name: "Q3_K",
    write: (out) => {
      const high: number[] = Array(32).fill(0);
      for (const [i, q] of k3.entries()) putBits(high, 8 * (i % 32) + Math.floor(i / 32), 1, q >> 2);
      const scales: number[] = Array(12).fill(0);
      for (const [g, scale] of scale6.entries()) {
        putBits(scales, 8 * (g % 8) + 4 * Math.floor(g / 8), 4, scale & 15);
        putBits(scales, 64 + 8 * (g % 4) + 2 * Math.floor(g / 4), 2, scale >> 4);
      }
      out.raw(high).raw(twoBits(k3)).raw(scales);
      f16(out, D);
    },
    expected: k3.map((q, i) => D * (scale6[i >> 4]! - 32) * (q - 4)),
  },
  {
    name: "Q4_K",
    write: (out) => (f16(out, D, M), out.raw(packedScales(scale6, min6)).raw(fourBitsOf256(k4))),
    expected: k4.map((q, i) => D * scale6[i >> 5]! * q - M * min6[i >> 5]!),
  },
  {
    name: "Q5_K",
    write: (out) => {
      const high: number[] = Array(32).fill(0);
      for (const [i, q] of k5.entries()) putBits(high, 8 * (i % 32) + Math.floor(i / 32), 1, q >> 4);
      f16(out, D, M);
      out.raw(packedScales(scale6, min6)).raw(high).raw(fourBitsOf256(k5));
    },
    expected: k5.map((q, i) => D * scale6[i >> 5]! * q - M * min6[i >> 5]!),
  },
  {
    name: "Q6_K",
    write: (out) => {
      const low: number[] = Array(128).fill(0);
      for (const [i, q] of k6.entries()) {
        const inHalf = i % 128;
        putBits(low, 8 * (64 * Math.floor(i / 128) + (inHalf % 64)) + 4 * Math.floor(inHalf / 64), 4, q & 15);
      }
      out.raw(low).raw(twoBits(k6.map((q) => q >> 4)));
      out.raw(scale6.map((scale) => (scale - 32) & 255));
      f16(out, D);
    },
    expected: k6.map((q, i) => D * (scale6[i >> 4]! - 32) * (q - 32)),
  },
  {
    name: "Q8_K",
    write: (out) => {
      out.scalar("f32", 0.1).raw(q8.map((q) => q & 255));
      for (const sum of range(16)) out.scalar("i16", -sum);
    },
    expected: q8.map((q) => Math.fround(0.1) * q),
  },
  {
    name: "Q1_0",
    write: (out) => {
      const bytes: number[] = Array(16).fill(0);
      for (const j of range(128)) putBits(bytes, j, 1, k2[j]! & 1);
      f16(out, D);
      out.raw(bytes);
    },
    expected: k2.slice(0, 128).map((q) => ((q & 1) === 1 ? D : -D)),
  },
  {
    name: "TQ1_0",
    write: (out) => {
      const place = (first: number, count: number, digits: number): number[] =>
        range(count).map((i) => {
          // The digits as a fraction in base 3, rounded up to 1/256.
          let value = 0;
          for (let digit = 0; digit < 5; digit++)
            value = value * 3 + (digit < digits ? ternary[first + digit * count + i]! : 0);
          return Math.ceil((value * 256) / 243);
        });
      out
        .raw(place(0, 32, 5))
        .raw(place(160, 16, 5))
        .raw(place(240, 4, 4));
      f16(out, D);
    },
    expected: ternary.map((q) => D * (q - 1)),
  },
  {
    name: "TQ2_0",
    write: (out) => (out.raw(twoBits(ternary)), f16(out, D)),
    expected: ternary.map((q) => D * (q - 1)),
  },
  {
    name: "F64",
    write: (out) => out.scalar("f64", Math.PI),
    expected: [Math.PI],
  },
  { name: "F32", write: (out) => out.scalar("f32", 0.1), expected: [0.1] },
  { name: "F16", write: (out) => f16(out, M), expected: [M] },
  { name: "BF16", write: (out) => out.scalar("u16", 0xc049), expected: [-3.140625] },
  { name: "I8", write: (out) => out.scalar("i8", -100), expected: [-100] },
  { name: "I16", write: (out) => out.scalar("i16", -30000), expected: [-30000] },
  { name: "I32", write: (out) => out.scalar("i32", -123456789), expected: [-123456789] },
  { name: "I64", write: (out) => out.scalar("i64", -(2n ** 40n) - 1n), expected: [-(2 ** 40) - 1] },
];

describe.each([{ littleEndian: true }, { littleEndian: false }])(
  "packed here, little endian: $littleEndian",
  ({ littleEndian }) => {
    it.each(samples)("$name", ({ name, write, expected }) => {
      const out = new ByteWriter(littleEndian);
      write(out);
      expect(out.length).toBe(typeNamed(name).blockBytes);
      expect(decode(name, out.done(), littleEndian)).toEqual(expected.map(Math.fround));
    });
  },
);

describe("plain types", () => {
  it.each([true, false])("of many elements at any address, little endian: %s", (littleEndian) => {
    const values = Array.from({ length: 10_000 }, (_, i) => i - 5000);
    const out = new ByteWriter(littleEndian).raw([0]);
    for (const value of values) out.scalar("i16", value);
    expect(decode("I16", out.done().subarray(1), littleEndian)).toEqual(values);
    const bf16 = new ByteWriter(littleEndian).raw([0]);
    for (const value of values) bf16.scalar("u16", value & 0xffff);
    const bits = Uint32Array.from(values, (value) => value << 16);
    const decoded = Float32Array.from(decode("BF16", bf16.done().subarray(1), littleEndian));
    // Numbers that are not a number have no one representation.
    expect(decoded).toEqual(new Float32Array(bits.buffer));
  });
});

describe("tables of 16 values", () => {
  it("IQ4_NL", () => {
    const bytes = Uint8Array.from([0x00, 0x3c, ...range(16).map((j) => j | ((15 - j) << 4))]);
    const table = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
    expect(decode("IQ4_NL", bytes)).toEqual([...table, ...table.toReversed()]);
  });

  it("IQ4_XS", () => {
    // Group g has scale g + 1 + 32: low nibbles g + 1, high bits 2.
    const low = range(4).map((i) => 2 * i + 1 + 16 * (2 * i + 2));
    const bytes = Uint8Array.from([0x00, 0x3c, 0xaa, 0xaa, ...low, ...Array(128).fill(0x8f)]);
    const expected = range(8).flatMap((g) => [...Array(16).fill(113 * (g + 1)), ...Array(16).fill(g + 1)]);
    expect(decode("IQ4_XS", bytes)).toEqual(expected);
  });

  const float4 = [0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6];

  it.each([0, 1, 2, 127, 130])("MXFP4 with exponent %d", (exponent) => {
    const bytes = Uint8Array.from([exponent, ...range(16).map((j) => j | ((15 - j) << 4))]);
    const expected = [...float4, ...float4.toReversed()].map((value) => value * 2 ** (exponent - 127));
    expect(decode("MXFP4", bytes)).toEqual(expected.map(Math.fround));
  });

  it("NVFP4 with scales that are normal, subnormal, the largest, and not a number", () => {
    const group = range(8).map((j) => j | ((j + 8) << 4));
    const bytes = Uint8Array.from([0x3c, 0x03, 0x7e, 0x7f, ...group, ...group, ...group, ...group]);
    const expected = [1.5, 3 / 512, 448, 0].flatMap((scale) => float4.map((value) => value * scale));
    expect(decode("NVFP4", bytes).map((value) => value + 0)).toEqual(expected.map((value) => value + 0));
  });
});

describe("the table of types", () => {
  it("has each number and name once, and finds them", () => {
    const ids = [...blockTypes.map(({ id }) => id), ...refusedTypes.keys()];
    expect(new Set(ids).size).toBe(ids.length);
    expect(new Set(blockTypes.map(({ name }) => name)).size).toBe(blockTypes.length);
    for (const type of blockTypes) expect(blockTypeOf(type.id)).toBe(type);
    expect(blockTypeOf(4)).toBeUndefined();
    // 0 to 42 without gaps: the numbers that ggml has given out.
    expect(ids.toSorted((a, b) => a - b)).toEqual(range(43));
  });

  it("refuses sizes that do not belong together", () => {
    const { dequantise } = typeNamed("Q4_0");
    expect(() => dequantise(new Uint8Array(17), new Float32Array(32))).toThrow(
      "Q4_0: 17 bytes do not hold 32 weights\n  a block of 18 bytes holds 32",
    );
    expect(() => dequantise(new Uint8Array(18), new Float32Array(33))).toThrow("18 bytes do not hold 33 weights");
  });
});
