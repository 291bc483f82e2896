/**
 * The inner loop of products with block-quantised weights: a block of rows of x times a panel of 16 weights rows, over the
 * whole depth, on integer dot products (VNNI, or what stands for it).
 *
 * Per chunk of weights: the dots of 4 bytes add up in i32 lanes, one lane per weight row, and are then scaled into the
 * f32 accumulators, so that no lane is ever summed across. Formats with a bias start the integer sums at -bias · Σ q;
 * those with minima subtract min · factor · Σ q.
 */

import type { Buffer, GroupKernel, KValue, Local } from "@quern/core";
import type { BlockFormat, BlockReader } from "./format.ts";
import { type PanelSource, panelReader } from "./panel-reader.ts";

export interface TileSource extends PanelSource {
  readonly depth: number;
  readonly words: Buffer;
  readonly factors: Buffer;
  readonly sums: Buffer;
}

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
  const { chunk } = format;
  const chunks = format.blockWeights / chunk;
  const streams = rows <= 2;
  // Where the rows of x begin, in elements.
  const wordsAt = k.mul(block, (depth / 4) * stride);
  const factorsAt = k.mul(block, (depth / chunk) * stride);
  k.for({ end: layout.blocks }, (step) => {
    const readers = parts.map((part) => panelReader(kernel, source, part, step));
    const scales = readers.map((reader) => format.scalesOf(k, reader));
    if (streams) readers.forEach((reader) => reader.prefetch());
    for (let at = 0; at < chunks; at++) {
      const chunkAt = k.add(k.mul(step, chunks), at);
      const words = k.add(wordsAt, k.mul(chunkAt, (chunk / 4) * stride));
      const factors = k.add(factorsAt, k.mul(chunkAt, stride));
      readers.forEach((reader, part) => {
        const integers = emitDots(kernel, source, reader, at * chunk, { rows, stride, words, sums: factors });
        const { scale, min } = (scales[part] as ReturnType<BlockFormat["scalesOf"]>)(
          Math.floor((at * chunk) / format.group),
        );
        const own = sums[part] as Local[];
        integers.forEach((integer, row) => {
          const factor = k.broadcast(k.load(source.factors, k.add(factors, row)), lanes);
          addTo(kernel, own[row] as Local, k.cast(integer, "f32"), k.mul(scale, factor));
        });
        if (min === undefined) return;
        const negative = k.neg(min);
        own.forEach((sum, row) =>
          addTo(kernel, sum, negative, k.broadcast(k.load(source.sums, k.add(factors, row)), lanes)),
        );
      });
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

/** Integer sums of the chunk from weight `first` of a block on, per row. */
function emitDots(
  { k }: GroupKernel,
  { format, lanes, words, sums }: TileSource,
  reader: BlockReader,
  first: number,
  of: Rows,
): KValue[] {
  const type = { dtype: "i32", lanes, rows: 1 } as const;
  const dot = format.small ? "dot4u7i8" : "dot4u8i8";
  const [group, within] = [Math.floor(first / format.group), (first % format.group) / 4];
  let integers = Array.from({ length: of.rows }, (_, row) =>
    format.bias === 0 ? k.const(type, 0) : k.broadcast(k.load(sums, k.add(of.sums, row)), lanes),
  );
  for (let quad = 0; quad < format.chunk / 4; quad++) {
    const weights = format.quad(k, reader, group, within + quad);
    integers = integers.map((sum, row) => {
      const x = k.broadcast(k.load(words, k.add(of.words, quad * of.stride + row)), lanes);
      return k.intrinsic(dot, [sum, weights, x], type);
    });
  }
  return integers;
}
