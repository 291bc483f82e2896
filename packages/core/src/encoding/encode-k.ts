/**
 * Encoders of the types in `k-quants.ts`: a scale (and minimum) for each group by least squares, the groups' scales as
 * integers of one scale per block, then quants with the scales as they are stored.
 */

import { type EncodeBlock, commonScale } from "./block.ts";
import { type Affine, type AffineSearch, ROUNDER, affineFit, symmetricScale } from "./encode-search.ts";

const q = new Uint8Array(256);
const scales = new Float64Array(16);
const mins = new Float64Array(16);
const fit: Affine = { scale: 0, offset: 0 };

/** The value of largest magnitude among the first `count`, with its sign. */
function largest(list: Float64Array, count: number): number {
  let value = 0;
  for (let i = 0; i < count; i++) if (Math.abs(list[i]!) > Math.abs(value)) value = list[i]!;
  return value;
}

/** `values / scale` as integers from `least` to `most`, in place. */
function roundTo(list: Float64Array, count: number, scale: number, least: number, most: number): void {
  for (let i = 0; i < count; i++) {
    const integer = scale === 0 ? 0 : list[i]! / scale + ROUNDER - ROUNDER;
    list[i] = Math.min(most, Math.max(least, integer));
  }
}

/** Unsigned quants, `reach` for 0, of the `count` weights of a group that starts at `first` of the block. */
function symmetricQuants(
  values: Float32Array,
  from: number,
  first: number,
  count: number,
  scale: number,
  reach: number,
): void {
  const inverse = scale === 0 ? 0 : 1 / scale;
  for (let i = first; i < first + count; i++) {
    let quant = values[from + i]! * inverse + ROUNDER - ROUNDER;
    if (quant < -reach) quant = -reach;
    else if (quant > reach - 1) quant = reach - 1;
    q[i] = quant + reach;
  }
}

/** Scales and minima of groups of `size` weights, as integers up to `most`; gives the block's two scales. */
function affineGroups(
  name: string,
  values: Float32Array,
  from: number,
  size: number,
  levels: number,
  most: number,
  search: AffineSearch,
): readonly [d: number, dmin: number] {
  const count = 256 / size;
  for (let group = 0; group < count; group++) {
    affineFit(values, from + group * size, size, levels, search, fit);
    scales[group] = fit.scale;
    mins[group] = -fit.offset;
  }
  const d = commonScale(name, largest(scales, count), most);
  const dmin = commonScale(name, largest(mins, count), most);
  roundTo(scales, count, d, 0, most);
  roundTo(mins, count, dmin, 0, most);
  for (let group = 0; group < count; group++) {
    const scale = d * scales[group]!;
    const min = dmin * mins[group]!;
    const inverse = scale === 0 ? 0 : 1 / scale;
    for (let i = group * size; i < group * size + size; i++) {
      let quant = (values[from + i]! + min) * inverse + ROUNDER - ROUNDER;
      if (quant < 0) quant = 0;
      else if (quant > levels - 1) quant = levels - 1;
      q[i] = quant;
    }
  }
  return [d, dmin];
}

/** The bits from `shift` on, two of each quant, in 64 bytes: four weights to a byte, 32 apart. */
function putPairs(block: DataView, at: number, shift: number): void {
  for (let half = 0; half < 2; half++) {
    for (let l = 0; l < 32; l++) {
      const i = 128 * half + l;
      const byte =
        ((q[i]! >> shift) & 3) |
        (((q[i + 32]! >> shift) & 3) << 2) |
        (((q[i + 64]! >> shift) & 3) << 4) |
        (((q[i + 96]! >> shift) & 3) << 6);
      block.setUint8(at + 32 * half + l, byte);
    }
  }
}

/** The low four bits in 128 bytes: weights `distance` apart share a byte, the first of a run of 2 · `distance` is low. */
function putNibbles(block: DataView, at: number, distance: number): void {
  let to = at;
  for (let run = 0; run < 256; run += 2 * distance) {
    for (let i = run; i < run + distance; i++) block.setUint8(to++, (q[i]! & 15) | ((q[i + distance]! & 15) << 4));
  }
}

/** One bit of each quant in 32 bytes: bit i / 32 of byte i mod 32. */
function putBits(block: DataView, at: number, bit: number): void {
  for (let l = 0; l < 32; l++) {
    let byte = 0;
    for (let group = 0; group < 8; group++) byte |= ((q[32 * group + l]! >> bit) & 1) << group;
    block.setUint8(at + l, byte);
  }
}

const SEARCH_2: AffineSearch = { first: -0.6, step: 0.2, count: 8, free: false };

export const encodeQ2_K: EncodeBlock = (values, from, block, at) => {
  const [d, dmin] = affineGroups("Q2_K", values, from, 16, 4, 15, SEARCH_2);
  for (let group = 0; group < 16; group++) block.setUint8(at + group, scales[group]! | (mins[group]! << 4));
  putPairs(block, at + 16, 0);
  block.setFloat16(at + 80, d, true);
  block.setFloat16(at + 82, dmin, true);
};

export const encodeQ3_K: EncodeBlock = (values, from, block, at) => {
  for (let group = 0; group < 16; group++) scales[group] = symmetricScale(values, from + 16 * group, 16, 4);
  const d = commonScale("Q3_K", largest(scales, 16), -32);
  roundTo(scales, 16, d, -32, 31);
  for (let group = 0; group < 16; group++) symmetricQuants(values, from, 16 * group, 16, d * scales[group]!, 4);
  putBits(block, at, 2);
  putPairs(block, at + 32, 0);
  for (let j = 0; j < 8; j++) {
    block.setUint8(at + 96 + j, ((scales[j]! + 32) & 15) | (((scales[j + 8]! + 32) & 15) << 4));
  }
  for (let j = 0; j < 4; j++) {
    let high = 0;
    for (let k = 0; k < 4; k++) high |= ((scales[j + 4 * k]! + 32) >> 4) << (2 * k);
    block.setUint8(at + 104 + j, high);
  }
  block.setFloat16(at + 108, d, true);
};

const SEARCH: AffineSearch = { first: -1, step: 0.25, count: 8, free: false };

/** f16 d and dmin, and the 12 bytes of scales and minima that `k-quants.ts` draws. */
function putGroups(block: DataView, at: number, d: number, dmin: number): void {
  block.setFloat16(at, d, true);
  block.setFloat16(at + 2, dmin, true);
  for (let j = 0; j < 4; j++) {
    const s = scales[j]!;
    const m = mins[j]!;
    const s4 = scales[j + 4]!;
    const m4 = mins[j + 4]!;
    block.setUint8(at + 4 + j, s | ((s4 >> 4) << 6));
    block.setUint8(at + 8 + j, m | ((m4 >> 4) << 6));
    block.setUint8(at + 12 + j, (s4 & 15) | ((m4 & 15) << 4));
  }
}

export const encodeQ4_K: EncodeBlock = (values, from, block, at) => {
  const [d, dmin] = affineGroups("Q4_K", values, from, 32, 16, 63, SEARCH);
  putGroups(block, at, d, dmin);
  putNibbles(block, at + 16, 32);
};

export const encodeQ5_K: EncodeBlock = (values, from, block, at) => {
  const [d, dmin] = affineGroups("Q5_K", values, from, 32, 32, 63, SEARCH);
  putGroups(block, at, d, dmin);
  putBits(block, at + 16, 4);
  putNibbles(block, at + 48, 32);
};

export const encodeQ6_K: EncodeBlock = (values, from, block, at) => {
  for (let group = 0; group < 16; group++) scales[group] = symmetricScale(values, from + 16 * group, 16, 32);
  const d = commonScale("Q6_K", largest(scales, 16), -128);
  roundTo(scales, 16, d, -128, 127);
  for (let group = 0; group < 16; group++) {
    symmetricQuants(values, from, 16 * group, 16, d * scales[group]!, 32);
    block.setInt8(at + 192 + group, scales[group]!);
  }
  putNibbles(block, at, 64);
  putPairs(block, at + 128, 4);
  block.setFloat16(at + 208, d, true);
};
