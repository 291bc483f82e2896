/**
 * The input of a convolution as bf16 terms in scratch: rows of pixels with zeros around them, so that one strided tile
 * load takes 32 values of 16 consecutive windows (no im2col).
 *
 * Layout [term][row][pixel][cell], cell = the channels, or those padded to a multiple of 32. The values that a window
 * takes of one row are contiguous. Loads may run past a window's end: the weights are zero there, and whatever is read
 * is the image's own or zero.
 */

import { type Buffer, type KernelBuilder, type KValue } from "@quern/core";
import type { ConvGeometry } from "../conv/geometry.ts";
import { type Terms, TILE_DEPTH, storeSplit } from "./split.ts";

export interface ImageLayout {
  readonly terms: Terms;
  /** Elements of a pixel. */
  readonly cell: number;
  /** Pixels and elements of a row. */
  readonly rowPixels: number;
  readonly rowStride: number;
  /** Steps of 32 in a row of a window. */
  readonly rowSteps: number;
  /** Most rows that a task holds, and elements behind them that loads reach. */
  readonly rows: number;
  readonly tail: number;
  /** Distance of the terms. */
  readonly plane: number;
}

/** Rows of the input that `outRows` rows of the result need. */
export function inputRows(g: ConvGeometry, outRows: number): number {
  return (outRows - 1) * g.strideY + (g.kernelHeight - 1) * g.dilationY + 1;
}

export function imageLayout(g: ConvGeometry, terms: Terms, cell: number, outRows: number): ImageLayout {
  const rowStride = g.reachX * cell;
  const rowSteps = Math.ceil(((g.kernelWidth - 1) * cell + g.channels) / TILE_DEPTH);
  const rows = inputRows(g, outRows);
  const tail = (Math.ceil((16 * g.strideX * cell) / TILE_DEPTH) + rowSteps) * TILE_DEPTH;
  const plane = Math.ceil((rows * rowStride + tail) / TILE_DEPTH) * TILE_DEPTH;
  return { terms, cell, rowPixels: g.reachX, rowStride, rowSteps, rows, tail, plane };
}

/** Converts `rows` input rows from row `firstInput` (which may lie above the image) on. */
export function convertImage(
  k: KernelBuilder,
  g: ConvGeometry,
  layout: ImageLayout,
  x: Buffer,
  to: Buffer,
  n: KValue,
  firstInput: KValue,
  rows: KValue,
): void {
  const { cell, rowStride, tail } = layout;
  // Pixels of a scratch row that exist in the image: [left, right).
  const left = Math.min(g.padLeft, g.reachX);
  const right = Math.max(left, Math.min(g.padLeft + g.width, g.reachX));
  k.for({ end: rows }, (row) => {
    const input = k.add(firstInput, row);
    const at = k.mul(row, rowStride);
    k.if(
      k.and(k.ge(input, 0), k.lt(input, g.height)),
      () => {
        const from = k.mul(k.add(k.mul(n, g.height), input), g.width * g.channels);
        // Each part may run over into the next, which is written later.
        clear(k, layout, to, at, left * cell);
        convertPixels(k, g, layout, x, from, to, k.add(at, left * cell), right - left);
        clear(k, layout, to, k.add(at, right * cell), (g.reachX - right) * cell);
      },
      () => clear(k, layout, to, at, rowStride),
    );
  });
  clear(k, layout, to, k.mul(rows, rowStride), tail);
}

/** Zeros in every term, at least `count` of them and less than 32 more. */
function clear(k: KernelBuilder, { terms, plane }: ImageLayout, to: Buffer, at: KValue, count: number): void {
  if (count === 0) return;
  const zero = k.broadcast(k.const("bf16", 0), TILE_DEPTH);
  k.for({ end: count, step: TILE_DEPTH }, (i) => {
    for (let term = 0; term < terms; term++) k.store(to, k.add(k.add(at, i), term * plane), zero);
  });
}

function convertPixels(
  k: KernelBuilder,
  g: ConvGeometry,
  layout: ImageLayout,
  x: Buffer,
  from: KValue,
  to: Buffer,
  at: KValue,
  pixels: number,
): void {
  const { cell, terms, plane } = layout;
  const convert = (source: KValue, target: KValue, rest: number): void => {
    const halves = [0, 1].map((half) => {
      const lanes = rest - 16 * half;
      const mask = lanes >= 16 ? undefined : k.lt(k.iota(k.index(16 * half), 16), k.broadcast(k.index(rest), 16));
      return k.load(x, k.add(source, 16 * half), { lanes: 16, mask });
    });
    storeSplit(k, to, target, halves as [KValue, KValue], terms, plane);
  };
  const run = (source: KValue, target: KValue, count: number): void => {
    const whole = Math.floor(count / TILE_DEPTH) * TILE_DEPTH;
    k.for({ end: whole, step: TILE_DEPTH }, (i) => convert(k.add(source, i), k.add(target, i), TILE_DEPTH));
    if (whole < count) convert(k.add(source, whole), k.add(target, whole), count - whole);
  };
  if (cell === g.channels) return run(from, at, pixels * g.channels);
  k.for({ end: pixels }, (pixel) =>
    run(k.add(from, k.mul(pixel, g.channels)), k.add(at, k.mul(pixel, cell)), g.channels),
  );
}
