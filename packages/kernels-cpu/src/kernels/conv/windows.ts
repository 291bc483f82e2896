/**
 * The loops that depthwise convolution and pooling share: every output pixel combines the window of input pixels of
 * the same channel. Vectors run along channels; a tile of neighbouring pixels shares the loads of a row of taps.
 *
 * Rows of taps outside the image are left out by the bounds of a loop. Pixels near the left and right border are known
 * when the kernel is made, and get code with only the taps that exist, so nothing is padded, copied or tested.
 */

import { type Buffer, type GroupKernel, type KValue, type Local, vectorType } from "@quern/core";
import { type Window, outputPlace } from "./geometry.ts";

export interface WindowWork {
  /** First value of the accumulator. */
  readonly start: number;
  /** The accumulator with one more element; `tap` is ky · kernelWidth + kx, `channel` that of lane 0. */
  combine(acc: KValue, x: KValue, tap: KValue, channel: KValue, mask: KValue | undefined): KValue;
  /** The result from the accumulator, the number of existing tap rows and of taps in each. */
  finish(acc: KValue, tapRows: KValue, tapsPerRow: number, channel: KValue, mask: KValue | undefined): KValue;
}

export interface WindowLoops {
  readonly kernel: GroupKernel;
  readonly x: Buffer;
  readonly window: Window;
  readonly lanes: number;
  readonly threads: number;
  readonly rank: number;
  readonly work: WindowWork;
}

const TILE_PIXELS = 6;

export function emitWindows(loops: WindowLoops): void {
  const { kernel, window: g, lanes, threads } = loops;
  const { k } = kernel;
  const [left, right] = interior(g);
  const vectors = Math.ceil(g.channels / lanes);
  const rowsPerTask = Math.max(1, Math.ceil(g.outHeight / (threads === 1 ? 1 : 4 * threads)));
  k.parallel(g.n, (n) =>
    k.parallel(Math.ceil(g.outHeight / rowsPerTask), (task) => {
      const first = k.mul(task, rowsPerTask);
      const end = k.min(k.add(first, rowsPerTask), g.outHeight);
      k.for({ start: first, end }, (row) => {
        const top = k.sub(k.mul(row, g.strideY), g.padTop);
        // Rows of taps ky with 0 <= top + ky · dilationY < height.
        const kyFirst = k.div(k.add(k.max(k.sub(0, top), 0), g.dilationY - 1), g.dilationY);
        const kyEnd = k.min(k.div(k.add(k.max(k.sub(g.height, top), 0), g.dilationY - 1), g.dilationY), g.kernelHeight);
        k.for({ end: vectors }, (vector) => {
          const channel = k.mul(vector, lanes);
          const mask =
            g.channels % lanes === 0
              ? undefined
              : k.lt(k.iota(channel, lanes), k.broadcast(k.index(g.channels), lanes));
          const pixels = (count: number, column: KValue | number, taps: readonly number[]): void =>
            emitPixels(loops, { n, row, top, kyFirst, kyEnd, channel, mask }, count, column, taps);
          for (let column = 0; column < left; column++) pixels(1, column, existingTaps(g, column));
          const whole = left + Math.floor((right - left) / TILE_PIXELS) * TILE_PIXELS;
          const all = Array.from({ length: g.kernelWidth }, (_, kx) => kx);
          if (whole > left)
            k.for({ start: left, end: whole, step: TILE_PIXELS }, (column) => pixels(TILE_PIXELS, column, all));
          if (right > whole) pixels(right - whole, whole, all);
          for (let column = right; column < g.outWidth; column++) pixels(1, column, existingTaps(g, column));
        });
      });
    }),
  );
}

/** Pixels [left, right) of a row whose taps all lie in the image. */
function interior(g: Window): [number, number] {
  const left = Math.min(g.outWidth, Math.ceil(g.padLeft / g.strideX));
  const last = Math.floor((g.width - 1 + g.padLeft - (g.kernelWidth - 1) * g.dilationX) / g.strideX);
  return [left, Math.max(left, Math.min(g.outWidth, last + 1))];
}

function existingTaps(g: Window, column: number): number[] {
  const taps: number[] = [];
  for (let kx = 0; kx < g.kernelWidth; kx++) {
    const x = column * g.strideX - g.padLeft + kx * g.dilationX;
    if (x >= 0 && x < g.width) taps.push(kx);
  }
  return taps;
}

interface RowPlace {
  readonly n: KValue;
  readonly row: KValue;
  readonly top: KValue;
  readonly kyFirst: KValue;
  readonly kyEnd: KValue;
  readonly channel: KValue;
  readonly mask: KValue | undefined;
}

function emitPixels(
  loops: WindowLoops,
  place: RowPlace,
  count: number,
  column: KValue | number,
  taps: readonly number[],
): void {
  const { kernel, x, window: g, lanes, rank, work } = loops;
  const { k } = kernel;
  const { channel, mask } = place;
  const first = k.index(column);
  const acc: Local[] = Array.from({ length: count }, (_, p) => k.local(`p${p}`, vectorType("f32", lanes), work.start));
  k.for({ start: place.kyFirst, end: place.kyEnd }, (ky) => {
    const inputRow = k.add(k.mul(place.n, g.height), k.add(place.top, k.mul(ky, g.dilationY)));
    const left = k.sub(k.mul(first, g.strideX), g.padLeft);
    const base = k.add(k.mul(k.add(k.mul(inputRow, g.width), left), g.channels), channel);
    // One load per input column serves every pixel of the tile whose window holds it.
    const loaded = new Map<number, KValue>();
    const element = (at: number): KValue => {
      let value = loaded.get(at);
      if (value === undefined) loaded.set(at, (value = k.load(x, k.add(base, at * g.channels), { lanes, mask })));
      return value;
    };
    for (const kx of taps) {
      const tap = k.add(k.mul(ky, g.kernelWidth), kx);
      acc.forEach((sum, p) =>
        k.assign(sum, work.combine(k.read(sum), element(p * g.strideX + kx * g.dilationX), tap, channel, mask)),
      );
    }
  });
  const tapRows = k.sub(place.kyEnd, place.kyFirst);
  acc.forEach((sum, p) => {
    const value = work.finish(k.read(sum), tapRows, taps.length, channel, mask);
    kernel.store(value, { index: outputPlace(rank, place.n, place.row, k.add(first, p), channel), lanes, mask });
  });
}
