/**
 * Encoders of the types in `four-bit-tables.ts`. The nearest value of a table is looked up: all values are integers, so
 * the borders between them are multiples of one half, and a half-integer cell belongs to one value.
 */

import { type EncodeBlock, commonScale, roundScale } from "./block.ts";
import { ROUNDER, extreme } from "./encode-search.ts";
import { FLOAT4, UNEVEN } from "./four-bit-values.ts";

const REACH = 128;

/** Index of the value nearest to those in `[cell / 2, (cell + 1) / 2)`, by `cell + 2 · REACH`. */
function nearestCells(values: readonly number[]): Uint8Array {
  return Uint8Array.from({ length: 4 * REACH }, (_, cell) => {
    const middle = (cell + 0.5) / 2 - REACH;
    let nearest = 0;
    for (const [i, value] of values.entries())
      if (Math.abs(value - middle) < Math.abs(values[nearest]! - middle)) nearest = i;
    return nearest;
  });
}

const uneven = Float64Array.from(UNEVEN);
const unevenCells = nearestCells(UNEVEN);
const float4 = Float64Array.from(FLOAT4);
const float4Cells = nearestCells(FLOAT4);

/** Index into a table of cells; values beyond its ends belong to the outermost ones. */
function cellOf(value: number): number {
  const cell = 2 * value + 2 * REACH;
  if (!(cell > 0)) return 0;
  return cell >= 4 * REACH ? 4 * REACH - 1 : cell | 0;
}

/**
 * What the largest value is multiplied to, -127 first: the largest value takes the larger end of the table, or nearly, or
 * the other end, which is far from -127.
 */
const TARGETS = Float64Array.of(-127, -124, -121, -118, -115, -131, -135, 113, 110, 116);

/** The scale d for which d · `UNEVEN[q]` is closest to 32 values, weighted by their squares. */
function unevenScale(x: Float32Array, from: number): number {
  const largest = extreme(x, from, 32);
  if (largest === 0) return 0;
  let best = 0;
  let scale = -largest / 127;
  for (let target = 0; target < TARGETS.length; target++) {
    const inverse = TARGETS[target]! / largest;
    let products = 0;
    let squares = 0;
    for (let i = from; i < from + 32; i++) {
      const value = x[i]!;
      const level = uneven[unevenCells[cellOf(value * inverse)]!]!;
      const weighted = value * value * level;
      products += weighted * value;
      squares += weighted * level;
    }
    if (products * products > best * squares) {
      best = (products * products) / squares;
      scale = products / squares;
    }
  }
  return scale;
}

/** Nibbles of 32 weights in the order of Q4_0. */
function putNearest(
  x: Float32Array,
  from: number,
  inverse: number,
  cells: Uint8Array,
  block: DataView,
  at: number,
): void {
  for (let j = 0; j < 16; j++) {
    const low = cells[cellOf(x[from + j]! * inverse)]!;
    const high = cells[cellOf(x[from + j + 16]! * inverse)]!;
    block.setUint8(at + j, low | (high << 4));
  }
}

export const encodeIQ4_NL: EncodeBlock = (values, from, block, at) => {
  const d = roundScale("IQ4_NL", unevenScale(values, from));
  block.setFloat16(at, d, true);
  putNearest(values, from, d === 0 ? 0 : 1 / d, unevenCells, block, at + 2);
};

const scales = new Float64Array(8);

export const encodeIQ4_XS: EncodeBlock = (values, from, block, at) => {
  let largest = 0;
  for (let group = 0; group < 8; group++) {
    scales[group] = unevenScale(values, from + 32 * group);
    if (Math.abs(scales[group]!) > Math.abs(largest)) largest = scales[group]!;
  }
  const d = commonScale("IQ4_XS", largest, -32);
  block.setFloat16(at, d, true);
  let high = 0;
  for (let group = 0; group < 8; group++) {
    const integer = d === 0 ? 0 : scales[group]! / d + ROUNDER - ROUNDER;
    const scale = Math.min(31, Math.max(-32, integer));
    scales[group] = scale;
    high |= ((scale + 32) >> 4) << (2 * group);
    const stored = d * scale;
    putNearest(values, from + 32 * group, stored === 0 ? 0 : 1 / stored, unevenCells, block, at + 8 + 16 * group);
  }
  block.setUint16(at + 2, high, true);
  for (let pair = 0; pair < 4; pair++) {
    block.setUint8(at + 4 + pair, ((scales[2 * pair]! + 32) & 15) | (((scales[2 * pair + 1]! + 32) & 15) << 4));
  }
};

/** With a larger scale the largest value would be beyond f32. */
const MOST_EXPONENT = 252;

/** Scales are powers of two: the one that holds the largest value without saturation, and the two below it, are tried. */
export const encodeMXFP4: EncodeBlock = (values, from, block, at) => {
  const largest = Math.abs(extreme(values, from, 32));
  // 12 is the largest of the doubled values.
  const top = largest === 0 ? 0 : Math.min(MOST_EXPONENT, Math.max(0, Math.ceil(Math.log2(largest / 12)) + 128));
  let exponent = top;
  let best = Infinity;
  for (let candidate = top; candidate >= Math.max(0, top - 2); candidate--) {
    const d = 2 ** (candidate - 128);
    const inverse = 1 / d;
    let error = 0;
    for (let i = from; i < from + 32; i++) {
      const value = values[i]!;
      const difference = value - d * float4[float4Cells[cellOf(value * inverse)]!]!;
      error += difference * difference;
    }
    if (error < best) {
      best = error;
      exponent = candidate;
    }
  }
  block.setUint8(at, exponent);
  putNearest(values, from, 2 ** (128 - exponent), float4Cells, block, at + 1);
};
