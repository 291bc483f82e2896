/**
 * Twenty small kernels of different natures: arithmetic, memory, branches, tables, text, allocation.
 *
 * A unit takes a few microseconds and depends on `part` (0 to 19), so that calls that repeat units compute everything again.
 * `data` holds 4096 numbers from 0 to 1.
 */

import { hash, levenshtein, numbersOfText, sortedMedian, tableChecksum, wordsCounted } from "./text-kernels.ts";

export interface Kernel {
  readonly id: string;
  readonly unit: (data: Float64Array, part: number) => number;
}

/** How many different units a kernel has. */
export const PARTS = 20;

const at = (data: Float64Array, index: number): number => data[index & 4095] as number;

const row = new Float64Array(64);

/** A quarter of the work for one row of a product of 64 × 64 matrices. */
function gemmRow(data: Float64Array, part: number): number {
  row.fill(0);
  for (let k = 0; k < 16; k++) {
    const factor = at(data, part * 64 + k);
    for (let j = 0; j < 64; j++) row[j] = (row[j] as number) + factor * at(data, k * 64 + j);
  }
  let sum = 0;
  for (let j = 0; j < 64; j++) sum += (row[j] as number) * (j + 1);
  return sum;
}

const triadOut = new Float64Array(1024);

function triad(data: Float64Array, part: number): number {
  const scale = 1 + part;
  for (let i = 0; i < 1024; i++) triadOut[i] = at(data, i) + scale * at(data, i + 2048);
  return (triadOut[part] as number) + (triadOut[1023] as number);
}

function softmax(data: Float64Array, part: number): number {
  let greatest = -Infinity;
  for (let i = 0; i < 64; i++) greatest = Math.max(greatest, at(data, part * 97 + i));
  let sum = 0;
  for (let i = 0; i < 64; i++) sum += Math.exp(at(data, part * 97 + i) - greatest);
  return Math.exp(at(data, part * 97) - greatest) / sum;
}

function dot(data: Float64Array, part: number): number {
  let sum = 0;
  for (let i = 0; i < 768; i++) sum += at(data, i) * at(data, i + part * 61);
  return sum;
}

function layerNorm(data: Float64Array, part: number): number {
  const from = part * 103;
  let sum = 0;
  for (let i = 0; i < 512; i++) sum += at(data, from + i);
  const mean = sum / 512;
  let squares = 0;
  for (let i = 0; i < 512; i++) squares += (at(data, from + i) - mean) ** 2;
  return (at(data, from) - mean) / Math.sqrt(squares / 512 + 1e-5);
}

function convolution(data: Float64Array, part: number): number {
  let sum = 0;
  for (let y = 1; y < 9; y++) {
    for (let x = 1; x < 9; x++) {
      let value = 0;
      for (let dy = -1; dy <= 1; dy++) {
        for (let dx = -1; dx <= 1; dx++) value += at(data, part * 31 + (y + dy) * 10 + x + dx) * (1 + dx + 2 * dy);
      }
      sum += value > 0 ? value : 0;
    }
  }
  return sum;
}

const spectrum = new Float64Array(128);

/** Butterflies of a transform of 64 complex numbers. */
function butterflies(data: Float64Array, part: number): number {
  for (let i = 0; i < 128; i++) spectrum[i] = at(data, part * 113 + i);
  for (let half = 1; half < 64; half *= 2) {
    for (let i = 0; i < 64; i++) {
      if ((i & half) !== 0) continue;
      const a = spectrum[2 * i] as number;
      const b = spectrum[2 * (i + half)] as number;
      spectrum[2 * i] = a + 0.75 * b;
      spectrum[2 * (i + half)] = a - 0.75 * b;
    }
  }
  return (spectrum[0] as number) - (spectrum[64] as number);
}

const bins = new Int32Array(64);

function histogram(data: Float64Array, part: number): number {
  bins.fill(0);
  for (let i = 0; i < 400; i++) {
    const bin = Math.floor(at(data, i + part * 53) * 63);
    bins[bin] = (bins[bin] as number) + 1;
  }
  let sum = 0;
  for (let i = 0; i < 64; i++) sum += (bins[i] as number) * i;
  return sum;
}

const prefix = new Float64Array(1024);

function prefixSum(data: Float64Array, part: number): number {
  let sum = 0;
  for (let i = 0; i < 1024; i++) {
    sum += at(data, i * 3 + part);
    prefix[i] = sum;
  }
  return (prefix[1023] as number) - (prefix[part] as number);
}

function binarySearch(data: Float64Array, part: number): number {
  prefixSum(data, 0);
  let found = 0;
  for (let i = 0; i < 48; i++) {
    const wanted = at(data, part * 48 + i) * (prefix[1023] as number);
    let low = 0;
    let high = 1023;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((prefix[middle] as number) < wanted) low = middle + 1;
      else high = middle;
    }
    found += low;
  }
  return found;
}

function randomWalk(data: Float64Array, part: number): number {
  let state = 1 + Math.floor(at(data, part) * 1e9);
  let place = 0;
  for (let i = 0; i < 600; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    place += state & 1 ? 1 : -1;
  }
  return place;
}

function bitCount(data: Float64Array, part: number): number {
  let count = 0;
  for (let i = 0; i < 600; i++) {
    let word = Math.floor(at(data, i + part * 41) * 2 ** 31);
    word -= (word >>> 1) & 0x55555555;
    word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
    count += Math.imul((word + (word >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
  }
  return count;
}

function polynomial(data: Float64Array, part: number): number {
  let sum = 0;
  for (let i = 0; i < 256; i++) {
    const x = at(data, i + part * 67);
    let value = 0;
    for (let c = 0; c < 8; c++) value = value * x + (c + 1);
    sum += value;
  }
  return sum;
}

/** Chases indices through the table: each load waits for the one before. */
function pointerChase(data: Float64Array, part: number): number {
  let place = part * 199;
  for (let i = 0; i < 400; i++) place = (Math.floor(at(data, place) * 4096) + i) & 4095;
  return place;
}

export const kernels: readonly Kernel[] = [
  { id: "gemm/64", unit: gemmRow },
  { id: "triad/1024", unit: triad },
  { id: "softmax/64", unit: softmax },
  { id: "dot/768", unit: dot },
  { id: "layer-norm/512", unit: layerNorm },
  { id: "conv/3x3", unit: convolution },
  { id: "fft/64", unit: butterflies },
  { id: "histogram/64", unit: histogram },
  { id: "prefix-sum/1024", unit: prefixSum },
  { id: "search/48", unit: binarySearch },
  { id: "walk/600", unit: randomWalk },
  { id: "popcount/600", unit: bitCount },
  { id: "polynomial/8", unit: polynomial },
  { id: "chase/400", unit: pointerChase },
  { id: "sort/48", unit: sortedMedian },
  { id: "hash/512", unit: hash },
  { id: "crc/512", unit: tableChecksum },
  { id: "parse/64", unit: numbersOfText },
  { id: "edit-distance/12", unit: levenshtein },
  { id: "word-count/48", unit: wordsCounted },
];
