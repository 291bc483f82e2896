/**
 * Encoders: how close decoded weights are to the originals, and what happens to values at the ends of every range. Limits
 * of the error are a few hundredths above what the encoders reach; plain rounding with the scale of the largest weight
 * stays above them, as the last test of that group shows.
 */

import { describe, expect, it } from "vitest";
import { UserError } from "../errors.ts";
import type { BlockType } from "./block.ts";
import { blockTypeNamed, blockTypes } from "./registry.ts";

const encoded = blockTypes.filter((type) => type.quantise !== undefined);
const blocks = encoded.filter((type) => type.blockWeights > 1);

const SEED = 20_480;

/** Normally distributed values (a linear congruential generator and Box and Muller's transform). */
function normal(count: number, seed = SEED): Float32Array {
  let state = seed;
  const uniform = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return ((state >>> 0) + 0.5) / 2 ** 32;
  };
  return Float32Array.from({ length: count }, () => {
    const radius = Math.sqrt(-2 * Math.log(uniform()));
    return radius * Math.cos(2 * Math.PI * uniform());
  });
}

function encode(type: BlockType, values: Float32Array): Uint8Array {
  const out = new Uint8Array((values.length / type.blockWeights) * type.blockBytes).fill(0xa5);
  type.quantise!(values, out);
  return out;
}

function decode(type: BlockType, bytes: Uint8Array): Float32Array {
  const out = new Float32Array((bytes.length / type.blockBytes) * type.blockWeights);
  type.dequantise(bytes, out);
  return out;
}

const roundTrip = (type: BlockType, values: Float32Array): Float32Array => decode(type, encode(type, values));

/** Root of the mean squared difference, relative to the root mean square of the values. */
function relativeError(values: Float32Array, found: Float32Array): number {
  let difference = 0;
  let power = 0;
  for (let i = 0; i < values.length; i++) {
    difference += (values[i]! - found[i]!) ** 2;
    power += values[i]! ** 2;
  }
  return Math.sqrt(difference / power);
}

/** Largest relative error on normal values. */
const LIMITS: Readonly<Record<string, number>> = {
  F32: 0,
  F16: 0.000_22,
  BF16: 0.0017,
  Q8_0: 0.0055,
  Q6_K: 0.0182,
  Q5_1: 0.035,
  Q5_K: 0.0372,
  Q5_0: 0.0425,
  Q4_1: 0.0725,
  Q4_K: 0.0735,
  IQ4_NL: 0.078,
  IQ4_XS: 0.079,
  Q4_0: 0.0858,
  MXFP4: 0.1145,
  Q3_K: 0.1555,
  Q2_K: 0.283,
};

describe(`normal values, seed ${SEED}`, () => {
  it("limits cover every type that is encoded", () => {
    expect(Object.keys(LIMITS).sort()).toEqual(encoded.map(({ name }) => name).sort());
  });

  it.each(encoded)("$name", (type) => {
    const values = normal(256 * 64);
    const error = relativeError(values, roundTrip(type, values));
    expect(error).toBeLessThanOrEqual(LIMITS[type.name]!);
    // Much better than the limit would mean that the limit proves nothing.
    expect(error).toBeGreaterThanOrEqual(0.9 * LIMITS[type.name]!);
  });

  it.each(blocks)("$name: the error does not depend on the size of the values", (type) => {
    const values = normal(256 * 16);
    const error = relativeError(values, roundTrip(type, values));
    for (const factor of [2 ** -6, 2 ** 6]) {
      const scaled = values.map((value) => factor * value);
      expect(Math.abs(relativeError(scaled, roundTrip(type, scaled)) / error - 1)).toBeLessThan(0.02);
    }
  });

  it("rounding with the scale of the largest weight does not meet the limits", () => {
    const values = normal(256 * 64);
    for (const [name, group, reach] of [
      ["Q4_0", 32, 8],
      ["Q5_0", 32, 16],
      ["Q3_K", 16, 4],
      ["Q6_K", 16, 32],
    ] as const) {
      const plain = values.slice();
      for (let at = 0; at < plain.length; at += group) {
        const part = plain.subarray(at, at + group);
        const scale = part.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0) / -reach;
        for (let i = 0; i < group; i++) part[i] = scale * Math.min(reach - 1, Math.round(part[i]! / scale));
      }
      expect(relativeError(values, plain), name).toBeGreaterThan(LIMITS[name]!);
    }
  });
});

describe("weights of other kinds", () => {
  it.each(blocks)("$name: one outlier among small values keeps its size", (type) => {
    const values = normal(256).map((value) => 0.01 * value);
    values[77] = 1;
    const found = roundTrip(type, values);
    expect(Math.abs(found[77]! - 1)).toBeLessThan(type.name === "MXFP4" ? 0.26 : 0.05);
  });

  it.each(blocks)("$name: values of one sign", (type) => {
    for (const sign of [1, -1]) {
      const values = normal(256 * 8).map((value) => sign * (3 + 0.5 * value));
      expect(relativeError(values, roundTrip(type, values))).toBeLessThan(LIMITS[type.name]!);
    }
  });

  it.each(blocks)("$name: groups of very different size", (type) => {
    const values = normal(256 * 8).map((value, i) => value * (i % 256 < 128 ? 1 : 0.01));
    expect(relativeError(values, roundTrip(type, values))).toBeLessThan(1.02 * LIMITS[type.name]!);
  });
});

describe("what can be represented stays as it is", () => {
  it.each(encoded)("$name: zeros", (type) => {
    const zeros = new Float32Array(512);
    expect(roundTrip(type, zeros)).toEqual(zeros);
  });

  it.each(blocks)("$name: constant blocks", (type) => {
    for (const value of [1, -1, 0.3, -1e-3, 100]) {
      const values = new Float32Array(256).fill(value);
      // The scale of MXFP4 is a power of two, and 0.3 is far from the next of its values.
      const tolerance = type.name === "MXFP4" ? 0.17 : 0.012;
      for (const found of roundTrip(type, values)) expect(Math.abs(found / value - 1)).toBeLessThan(tolerance);
    }
  });

  it.each(encoded)("$name: encoding again changes little", (type) => {
    const once = roundTrip(type, normal(256 * 16));
    const exact = !["Q2_K", "Q3_K", "Q5_K", "Q6_K"].includes(type.name);
    const again = roundTrip(type, once);
    if (exact) expect(relativeError(once, again)).toBe(0);
    // Groups that do not use all their quants may get another scale.
    else expect(relativeError(once, again)).toBeLessThan(0.1 * LIMITS[type.name]!);
  });

  it.each<[string, (q: number) => number, number]>([
    ["Q4_0", (q) => 0.25 * (q - 8), 16],
    ["Q4_1", (q) => 0.25 * q - 5, 16],
    ["Q5_0", (q) => 0.125 * (q - 16), 32],
    ["Q5_1", (q) => 0.125 * q + 7, 32],
    ["Q8_0", (q) => 0.0625 * (q - 127), 255],
    ["Q2_K", (q) => 0.5 * q - 0.5, 4],
    ["Q3_K", (q) => 0.5 * (q - 4), 8],
    ["Q4_K", (q) => 0.25 * q - 1.5, 16],
    ["Q5_K", (q) => 0.125 * q - 2.5, 32],
    ["Q6_K", (q) => 0.125 * (q - 32), 64],
  ])("%s: a whole range of quants", (name, value, levels) => {
    const type = blockTypeNamed(name)!;
    // Each group of 16 or 32 has the least and the greatest value, in changing places.
    const values = Float32Array.from({ length: 256 }, (_, i) => {
      if (i % 16 === 3) return value(0);
      return value(i % 16 === 8 ? levels - 1 : (i * 29) % levels);
    });
    const found = roundTrip(type, values);
    // Scales that have to be integers of a common one are not exact.
    const tolerance = name.endsWith("_K") ? 2e-3 : 0;
    expect(relativeError(values, found)).toBeLessThanOrEqual(tolerance);
  });

  it("MXFP4 and the tables of IQ4: every value", () => {
    const float4 = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.5, -1, -1.5, -2, -3, -4, -6, 0];
    const values = Float32Array.from({ length: 64 }, (_, i) => float4[i % 16]! * (i < 32 ? 2 ** -20 : 2 ** 30));
    expect(roundTrip(blockTypeNamed("MXFP4")!, values)).toEqual(values);
    const uneven = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
    for (const factor of [0.5, -0.25]) {
      const levels = Float32Array.from({ length: 32 }, (_, i) => factor * uneven[i % 16]!);
      expect(roundTrip(blockTypeNamed("IQ4_NL")!, levels)).toEqual(levels);
      const eight = Float32Array.from({ length: 256 }, (_, i) => factor * uneven[(7 * i) % 16]!);
      expect(roundTrip(blockTypeNamed("IQ4_XS")!, eight)).toEqual(eight);
    }
  });
});

describe("ends of the range", () => {
  it.each(encoded)("$name: tiny values vanish or stay tiny", (type) => {
    for (const size of [1e-7, 1e-12, 1e-30, 1e-44]) {
      const values = normal(256).map((value) => size * value);
      for (const [i, found] of roundTrip(type, values).entries()) {
        expect(Number.isFinite(found)).toBe(true);
        // Half the smallest f16 times the largest product of quants, at most.
        expect(Math.abs(found - values[i]!)).toBeLessThan(2 ** -25 * 128 * 32 + size);
      }
    }
  });

  it.each(encoded.filter(({ name }) => !["F32", "BF16", "MXFP4"].includes(name)))(
    "$name: values beyond f16 scales are refused",
    (type) => {
      const values = new Float32Array(512).fill(1);
      values[300] = 3e38;
      const attempt = (): unknown => encode(type, values);
      expect(attempt).toThrow(UserError);
      expect(attempt).toThrow(type.name);
      values[300] = 60_000;
      const found = roundTrip(type, values);
      expect(Math.abs(found[300]! / 60_000 - 1)).toBeLessThan(0.05);
    },
  );

  it("MXFP4, BF16 and F32 hold the largest f32", () => {
    const values = new Float32Array(32).fill(3.38e38);
    for (const name of ["MXFP4", "BF16", "F32"]) {
      const [found] = roundTrip(blockTypeNamed(name)!, values);
      expect(Math.abs(found! / 3.38e38 - 1), name).toBeLessThan(0.3);
    }
    const beyond = Float32Array.of(3.4e38);
    expect(() => encode(blockTypeNamed("BF16")!, beyond)).toThrow("is too large for this type");
  });

  it.each(encoded)("$name: NaN and infinities are refused", (type) => {
    for (const value of [Number.NaN, Infinity, -Infinity]) {
      const values = normal(512);
      values[300] = value;
      const attempt = (): unknown => encode(type, values);
      expect(attempt).toThrow(UserError);
      expect(attempt).toThrow(`${type.name}: value 300 is ${value}, only finite numbers can be encoded`);
    }
  });

  it.each(encoded)("$name: sizes that do not belong together are refused", (type) => {
    const attempt = (): unknown => type.quantise!(new Float32Array(256), new Uint8Array(type.blockBytes * 256 + 1));
    expect(attempt).toThrow(UserError);
  });
});
