/**
 * The inner loop of products with block-quantised weights: a block of rows of x times a panel of 16 weights rows, over the
 * whole depth, on integer dot products (VNNI, or what stands for it).
 *
 * Per chunk of weights: the dots of 4 bytes add up in i32 lanes, one lane per weight row, and are then scaled into the
 * f32 accumulators, so that no lane is ever summed across. Formats with a bias start the integer sums at -bias · Σ q;
 * those with minima subtract min · factor · Σ q.
 */

import type { Buffer, GroupKernel, KValue, Local } from "@quern/core";
import { MAX_BLOCK_ROWS } from "./activations.ts";
import type { BlockReader } from "./format.ts";
import { type PanelSource, panelReader } from "./panel-reader.ts";

export interface TileSource extends PanelSource {
  readonly depth: number;
  readonly words: Buffer;
  readonly factors: Buffer;
  readonly sums: Buffer;
}

/** What is done for how many rows of x: the first case whose `most` is not exceeded. There are at most `most` rows. */
export function byRowCount(
  kernel: GroupKernel,
  count: KValue,
  cases: readonly { readonly most: number; readonly body: () => void }[],
  most: number = Infinity,
): void {
  const [first, ...rest] = cases;
  if (first === undefined) return;
  if (first.most >= most) return first.body();
  kernel.k.if(kernel.k.le(count, first.most), first.body, () => byRowCount(kernel, count, rest, most));
}

/** Up to so many rows, weights are unpacked again for every eight of them: that costs less than keeping them unpacked. */
export const UNPACKED_AGAIN_ROWS: number = 2 * MAX_BLOCK_ROWS;

/**
 * Computes `rows` rows of x, the first of block `block` of `stride` rows, times parts of panels: `parts` count vectors of
 * lanes among the weight rows. Gives f32 sums, [part][row].
 */
export function emitTile(
  kernel: GroupKernel,
  source: TileSource,
  { rows, stride, block, parts }: { rows: number; stride: number; block: KValue; parts: readonly KValue[] },
): KValue[][] {
  const { k } = kernel;
  const { format, layout, depth, lanes } = source;
  const sums: Local[][] = parts.map((_, part) =>
    Array.from({ length: rows }, (__, row) => k.local(`y${part}_${row}`, { dtype: "f32", lanes, rows: 1 }, 0)),
  );
  const sumOf = (part: number, row: number): Local => sums[part]?.[row] as Local;
  const { chunk } = format;
  const chunks = format.blockWeights / chunk;
  // Where the rows of x begin, in elements.
  const wordsAt = k.mul(block, (depth / 4) * stride);
  const factorsAt = k.mul(block, (depth / chunk) * stride);
  k.for({ end: layout.blocks }, (step) => {
    const readers = parts.map((part) => panelReader(kernel, source, part, step));
    const scales = readers.map((reader) => format.scalesOf(k, reader));
    for (let at = 0; at < chunks; at++) {
      readers.forEach((reader) => reader.prefetch(at, chunks));
      const chunkAt = k.add(k.mul(step, chunks), at);
      const words = k.add(wordsAt, k.mul(chunkAt, (chunk / 4) * stride));
      const factors = k.add(factorsAt, k.mul(chunkAt, stride));
      const integers = emitDots(kernel, source, readers, at * chunk, { rows, stride, words, sums: factors });
      const group = Math.floor((at * chunk) / format.group);
      const own = scales.map((scaleOf) => scaleOf(group));
      for (let row = 0; row < rows; row++) {
        const factor = k.broadcast(k.load(source.factors, k.add(factors, row)), lanes);
        own.forEach(({ scale }, part) =>
          addTo(kernel, sumOf(part, row), k.cast(integers[part]?.[row] as KValue, "f32"), k.mul(scale, factor)),
        );
      }
      if (format.bias !== 0) continue;
      const negative = own.map(({ min }) => k.neg(min as KValue));
      for (let row = 0; row < rows; row++) {
        const sum = k.broadcast(k.load(source.sums, k.add(factors, row)), lanes);
        negative.forEach((min, part) => addTo(kernel, sumOf(part, row), min, sum));
      }
    }
  });
  return sums.map((own) => own.map((sum) => k.read(sum)));
}

/** sum += a · b. */
export function addTo({ k }: GroupKernel, sum: Local, a: KValue, b: KValue): void {
  k.assign(sum, k.fma(a, b, k.read(sum)));
}

/** Rows of x, and where their words and sums of a chunk begin. */
interface Rows {
  readonly rows: number;
  readonly stride: number;
  readonly words: KValue;
  readonly sums: KValue;
}

/** Integer sums of the chunk from weight `first` of a block on, [part][row]. What is broadcast serves all parts. */
function emitDots(
  { k }: GroupKernel,
  { format, lanes, words, sums }: TileSource,
  readers: readonly BlockReader[],
  first: number,
  of: Rows,
): KValue[][] {
  const type = { dtype: "i32", lanes, rows: 1 } as const;
  const dot = format.small ? "dot4u7i8" : "dot4u8i8";
  const [group, within] = [Math.floor(first / format.group), (first % format.group) / 4];
  const starts = Array.from({ length: of.rows }, (_, row) =>
    format.bias === 0 ? k.const(type, 0) : k.broadcast(k.load(sums, k.add(of.sums, row)), lanes),
  );
  const integers = readers.map(() => [...starts]);
  for (let quad = 0; quad < format.chunk / 4; quad++) {
    const weights = readers.map((reader) => format.quad(k, reader, group, within + quad));
    for (let row = 0; row < of.rows; row++) {
      const x = k.broadcast(k.load(words, k.add(of.words, quad * of.stride + row)), lanes);
      weights.forEach((word, part) => {
        const own = integers[part] as KValue[];
        own[row] = k.intrinsic(dot, [own[row] as KValue, word, x], type);
      });
    }
  }
  return integers;
}
