/**
 * Many rows of x against a part of a panel: its quants are unpacked to bytes and its scales to f32 once, in scratch memory
 * that stays in the second-level cache, and every block of rows reads them there.
 */

import type { Buffer, GroupKernel, KValue, Local } from "@quern/core";
import { panelReader } from "./panel-reader.ts";
import { type TileSource, addTo } from "./tile.ts";

/** Chunks per iteration of the inner loop. */
const UNROLL = 2;

export interface ExpandedPart {
  /** Unsigned quants, four to a word: [quad][lane]. */
  readonly words: Buffer;
  /** [chunk][lane]. */
  readonly scales: Buffer;
  /** What is added per chunk and Σ x: the minima, negative. Absent for formats with a bias. */
  readonly offsets: Buffer | undefined;
}

/** The scratch memory of a kernel for one part. */
export function expandedPart({ k }: GroupKernel, { format, depth, lanes }: TileSource): ExpandedPart {
  const perChunk = (depth / format.chunk) * lanes;
  return {
    words: k.scratch("u", "u32", (depth / 4) * lanes),
    scales: k.scratch("scales", "f32", perChunk),
    offsets: format.bias === 0 ? k.scratch("offsets", "f32", perChunk) : undefined,
  };
}

/** Emits the unpacking of part `part`. */
export function emitExpansion(kernel: GroupKernel, source: TileSource, part: KValue, to: ExpandedPart): void {
  const { k } = kernel;
  const { format, layout, lanes } = source;
  const { chunk, group, blockWeights } = format;
  const quads = chunk / 4;
  k.for({ end: layout.blocks }, (step) => {
    const reader = panelReader(kernel, source, part, step);
    const scales = format.scalesOf(k, reader);
    for (let at = 0; at < blockWeights / chunk; at++) {
      const own = Math.floor((at * chunk) / group);
      const chunkAt = k.add(k.mul(step, blockWeights / chunk), at);
      const { scale, min } = scales(own);
      k.store(to.scales, k.mul(chunkAt, lanes), scale);
      if (min !== undefined) k.store(to.offsets as Buffer, k.mul(chunkAt, lanes), k.neg(min));
      const first = (at * quads) % (group / 4);
      for (let quad = 0; quad < quads; quad++)
        k.store(to.words, k.mul(k.add(k.mul(chunkAt, quads), quad), lanes), format.quad(k, reader, own, first + quad));
    }
  });
}

/** f32 sums of `rows` rows of x, those of block `block` of as many, against an expanded part. */
export function emitExpandedTile(
  kernel: GroupKernel,
  source: TileSource,
  part: ExpandedPart,
  rows: number,
  block: KValue,
): KValue[] {
  const { k } = kernel;
  const { format, depth, lanes } = source;
  const chunks = depth / format.chunk;
  const sums = Array.from({ length: rows }, (_, row) => k.local(`z${row}`, { dtype: "f32", lanes, rows: 1 }, 0));
  const wordsAt = k.mul(block, (depth / 4) * rows);
  const factorsAt = k.mul(block, chunks * rows);
  const step = (at: KValue): void =>
    addChunk(
      kernel,
      source,
      part,
      sums,
      at,
      k.add(wordsAt, k.mul(at, (format.chunk / 4) * rows)),
      k.add(factorsAt, k.mul(at, rows)),
    );
  const whole = Math.floor(chunks / UNROLL) * UNROLL;
  k.for({ end: whole, step: UNROLL }, (at) => {
    for (let i = 0; i < UNROLL; i++) step(k.add(at, i));
  });
  for (let at = whole; at < chunks; at++) step(k.index(at));
  return sums.map((sum) => k.read(sum));
}

function addChunk(
  kernel: GroupKernel,
  source: TileSource,
  part: ExpandedPart,
  sums: readonly Local[],
  at: KValue,
  wordsAt: KValue,
  factorsAt: KValue,
): void {
  const { k } = kernel;
  const { format, lanes } = source;
  const type = { dtype: "i32", lanes, rows: 1 } as const;
  const dot = format.small ? "dot4u7i8" : "dot4u8i8";
  const spread = (buffer: Buffer, from: KValue, row: number): KValue =>
    k.broadcast(k.load(buffer, k.add(from, row)), lanes);
  let integers = sums.map((_, row) => (format.bias === 0 ? k.const(type, 0) : spread(source.sums, factorsAt, row)));
  for (let quad = 0; quad < format.chunk / 4; quad++) {
    const weights = k.load(part.words, k.mul(k.add(k.mul(at, format.chunk / 4), quad), lanes), { lanes });
    integers = integers.map((sum, row) =>
      k.intrinsic(dot, [sum, weights, spread(source.words, k.add(wordsAt, quad * sums.length), row)], type),
    );
  }
  const scale = k.load(part.scales, k.mul(at, lanes), { lanes });
  integers.forEach((integer, row) =>
    addTo(kernel, sums[row] as Local, k.cast(integer, "f32"), k.mul(scale, spread(source.factors, factorsAt, row))),
  );
  if (part.offsets === undefined) return;
  const offset = k.load(part.offsets, k.mul(at, lanes), { lanes });
  sums.forEach((sum, row) => addTo(kernel, sum, offset, spread(source.sums, factorsAt, row)));
}
