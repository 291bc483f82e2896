/**
 * Encoders of the types in `legacy.ts`. Quants are computed with the scale as it is stored, after rounding to f16.
 */

import { type EncodeBlock, roundScale } from "./block.ts";
import { type Affine, type AffineSearch, ROUNDER, affineFit, extreme, symmetricScale } from "./encode-search.ts";

const q = new Uint8Array(32);

/** Quants of 32 weights as unsigned numbers with `reach` for 0. */
function symmetricQuants(values: Float32Array, from: number, scale: number, reach: number): void {
  const inverse = scale === 0 ? 0 : 1 / scale;
  for (let j = 0; j < 32; j++) {
    let quant = values[from + j]! * inverse + ROUNDER - ROUNDER;
    if (quant < -reach) quant = -reach;
    else if (quant > reach - 1) quant = reach - 1;
    q[j] = quant + reach;
  }
}

function affineQuants(values: Float32Array, from: number, scale: number, offset: number, levels: number): void {
  const inverse = scale === 0 ? 0 : 1 / scale;
  for (let j = 0; j < 32; j++) {
    let quant = (values[from + j]! - offset) * inverse + ROUNDER - ROUNDER;
    if (quant < 0) quant = 0;
    else if (quant > levels - 1) quant = levels - 1;
    q[j] = quant;
  }
}

/** The low four bits: weights 0 to 15 in low nibbles, 16 to 31 in high ones. */
function putNibbles(block: DataView, at: number): void {
  for (let j = 0; j < 16; j++) block.setUint8(at + j, (q[j]! & 15) | ((q[j + 16]! & 15) << 4));
}

function putFifthBits(block: DataView, at: number): void {
  let bits = 0;
  for (let j = 0; j < 32; j++) bits |= (q[j]! >> 4) << j;
  block.setUint32(at, bits, true);
}

export const encodeQ4_0: EncodeBlock = (values, from, block, at) => {
  const d = roundScale("Q4_0", symmetricScale(values, from, 32, 8));
  symmetricQuants(values, from, d, 8);
  block.setFloat16(at, d, true);
  putNibbles(block, at + 2);
};

export const encodeQ5_0: EncodeBlock = (values, from, block, at) => {
  const d = roundScale("Q5_0", symmetricScale(values, from, 32, 16));
  symmetricQuants(values, from, d, 16);
  block.setFloat16(at, d, true);
  putFifthBits(block, at + 2);
  putNibbles(block, at + 6);
};

const FREE: AffineSearch = { first: -1.2, step: 0.25, count: 8, free: true };
const fit: Affine = { scale: 0, offset: 0 };

export const encodeQ4_1: EncodeBlock = (values, from, block, at) => {
  affineFit(values, from, 32, 16, FREE, fit);
  const d = roundScale("Q4_1", fit.scale);
  const m = roundScale("Q4_1", fit.offset);
  affineQuants(values, from, d, m, 16);
  block.setFloat16(at, d, true);
  block.setFloat16(at + 2, m, true);
  putNibbles(block, at + 4);
};

export const encodeQ5_1: EncodeBlock = (values, from, block, at) => {
  affineFit(values, from, 32, 32, FREE, fit);
  const d = roundScale("Q5_1", fit.scale);
  const m = roundScale("Q5_1", fit.offset);
  affineQuants(values, from, d, m, 32);
  block.setFloat16(at, d, true);
  block.setFloat16(at + 2, m, true);
  putFifthBits(block, at + 4);
  putNibbles(block, at + 8);
};

/** With so many levels a search gains nothing: the largest weight decides. */
export const encodeQ8_0: EncodeBlock = (values, from, block, at) => {
  const d = roundScale("Q8_0", Math.abs(extreme(values, from, 32)) / 127);
  const inverse = d === 0 ? 0 : 1 / d;
  block.setFloat16(at, d, true);
  for (let j = 0; j < 32; j++) {
    let quant = values[from + j]! * inverse + ROUNDER - ROUNDER;
    if (quant < -127) quant = -127;
    else if (quant > 127) quant = 127;
    block.setInt8(at + 2 + j, quant);
  }
};
