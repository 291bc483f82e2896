/**
 * Many rows of x against a part of a panel: its quants are unpacked to bytes and its scales to f32 once, in scratch memory
 * that stays in the second-level cache, and every block of rows reads them there.
 */

import type { Buffer, GroupKernel, KValue, Local } from "@quern/core";
import { MAX_BLOCK_ROWS } from "./activations.ts";
import { PANEL_ROWS } from "./format.ts";
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

/** The scratch memory of a kernel for some parts. */
export function expandedParts({ k }: GroupKernel, { format, depth, lanes }: TileSource, count: number): ExpandedPart[] {
  const perChunk = (depth / format.chunk) * lanes;
  return Array.from({ length: count }, (_, part) => ({
    words: k.scratch(`u${part}`, "u32", (depth / 4) * lanes),
    scales: k.scratch(`scales${part}`, "f32", perChunk),
    offsets: format.bias === 0 ? k.scratch(`offsets${part}`, "f32", perChunk) : undefined,
  }));
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

/** Rows of a block of x that a tile takes: `rows` of them from `first` on. */
export interface TileRows {
  readonly block: KValue;
  readonly first: number;
  readonly rows: number;
}

/**
 * Rows by parts of a tile. Two parts share what is broadcast of x, which saves loads; AVX2 has registers for four sums and
 * their results.
 */
export function tileShape(lanes: number, parts: number): { readonly rows: number; readonly parts: number } {
  if (lanes < PANEL_ROWS) return { rows: 4, parts: 1 };
  return parts % 2 === 0 ? { rows: 4, parts: 2 } : { rows: 8, parts: 1 };
}

/** f32 sums of some rows of x against expanded parts, [part][row]. */
export function emitExpandedTile(
  kernel: GroupKernel,
  source: TileSource,
  parts: readonly ExpandedPart[],
  of: TileRows,
): KValue[][] {
  const { k } = kernel;
  const { format, depth, lanes } = source;
  const chunks = depth / format.chunk;
  const sums = parts.map((_, part) =>
    Array.from({ length: of.rows }, (__, row) => k.local(`z${part}_${row}`, { dtype: "f32", lanes, rows: 1 }, 0)),
  );
  const wordsAt = k.mul(of.block, (depth / 4) * MAX_BLOCK_ROWS);
  const factorsAt = k.mul(of.block, chunks * MAX_BLOCK_ROWS);
  const step = (at: KValue): void =>
    addChunk(kernel, source, parts, sums, at, {
      words: k.add(k.add(wordsAt, k.mul(at, (format.chunk / 4) * MAX_BLOCK_ROWS)), of.first),
      factors: k.add(k.add(factorsAt, k.mul(at, MAX_BLOCK_ROWS)), of.first),
    });
  const whole = Math.floor(chunks / UNROLL) * UNROLL;
  k.for({ end: whole, step: UNROLL }, (at) => {
    for (let i = 0; i < UNROLL; i++) step(k.add(at, i));
  });
  for (let at = whole; at < chunks; at++) step(k.index(at));
  return sums.map((own) => own.map((sum) => k.read(sum)));
}

/** Adds chunk `at`, whose words and factors of the first row begin at the places given. */
function addChunk(
  kernel: GroupKernel,
  source: TileSource,
  parts: readonly ExpandedPart[],
  sums: readonly (readonly Local[])[],
  at: KValue,
  from: { readonly words: KValue; readonly factors: KValue },
): void {
  const { k } = kernel;
  const { format, lanes } = source;
  const type = { dtype: "i32", lanes, rows: 1 } as const;
  const dot = format.small ? "dot4u7i8" : "dot4u8i8";
  const rows = (sums[0] as readonly Local[]).map((_, row) => row);
  const spread = (buffer: Buffer, first: KValue, row: number): KValue =>
    k.broadcast(k.load(buffer, k.add(first, row)), lanes);
  const starts = rows.map((row) => (format.bias === 0 ? k.const(type, 0) : spread(source.sums, from.factors, row)));
  const integers = parts.map(() => [...starts]);
  for (let quad = 0; quad < format.chunk / 4; quad++) {
    const weights = parts.map(({ words }) =>
      k.load(words, k.mul(k.add(k.mul(at, format.chunk / 4), quad), lanes), { lanes }),
    );
    for (const row of rows) {
      const x = spread(source.words, k.add(from.words, quad * MAX_BLOCK_ROWS), row);
      weights.forEach((word, part) => {
        const own = integers[part] as KValue[];
        own[row] = k.intrinsic(dot, [own[row] as KValue, word, x], type);
      });
    }
  }
  const scales = parts.map((part) => k.load(part.scales, k.mul(at, lanes), { lanes }));
  for (const row of rows) {
    const factor = spread(source.factors, from.factors, row);
    scales.forEach((scale, part) =>
      addTo(kernel, sums[part]?.[row] as Local, k.cast(integers[part]?.[row] as KValue, "f32"), k.mul(scale, factor)),
    );
  }
  if (format.bias !== 0) return;
  const offsets = parts.map(({ offsets: own }) => k.load(own as Buffer, k.mul(at, lanes), { lanes }));
  for (const row of rows) {
    const sum = spread(source.sums, from.factors, row);
    offsets.forEach((offset, part) => addTo(kernel, sums[part]?.[row] as Local, offset, sum));
  }
}

/** Every block of rows against the parts from `first` on, as many as the shape has; `store` takes the sums of a tile. */
export function emitExpandedRows(
  kernel: GroupKernel,
  source: TileSource,
  parts: readonly ExpandedPart[],
  blocks: KValue,
  shape: { readonly rows: number },
  firstBlock: KValue,
  store: (block: KValue, firstRow: number, sums: readonly (readonly KValue[])[]) => void,
): void {
  const { k } = kernel;
  k.for({ end: blocks }, (block) => {
    for (let first = 0; first < MAX_BLOCK_ROWS; first += shape.rows)
      store(
        block,
        first,
        emitExpandedTile(kernel, source, parts, { block: k.add(firstBlock, block), first, rows: shape.rows }),
      );
  });
}
