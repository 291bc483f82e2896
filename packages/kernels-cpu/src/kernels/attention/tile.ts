/**
 * Rows of queries against pages in f32: register tiles of scores along tokens (queries broadcast) and of results along the
 * head (weights broadcast).
 *
 * A token on its own takes its pages straight from the cache, each asked for while the one before is in use; more rows
 * share a copy in f32.
 */

import { type Buffer, type KValue, type KernelBuilder, type Local, vectorType } from "@quern/core";
import type { CpuTarget } from "../../host/cpu-target.ts";
import { type BlockMemory, type BlockMethod, weighTile } from "./block.ts";
import type { AttentionKernel } from "./layout.ts";
import type { ScoreTile, Visible } from "./softmax.ts";
import {
  type HeadPanel,
  type PageSource,
  cachedPage,
  columnVectors,
  copiedPage,
  copyPage,
  pageCopy,
} from "./source.ts";

/** Rows of queries that a task holds at a time: with their results they stay in the second-level cache. */
const BLOCK_ROWS = 128;
/** Most rows of a register tile: with four vectors of 16 lanes, or two of 8, they fill the registers. */
const MAX_TILE_ROWS = 6;

/** Sizes and scratch that the methods of a kernel share. */
export interface F32Tiles {
  readonly lanes: number;
  /** Vectors of tokens in a tile of scores. */
  readonly tokenVectors: number;
  /** The head in the vectors of a tile of results. */
  readonly panels: readonly HeadPanel[];
  /** [rows][D]. */
  readonly queries: Buffer;
  readonly scores: ScoreTile;
}

/** Rows of a tile for the query heads of one token. */
export function singleTileRows(group: number): number {
  return Math.ceil(group / Math.ceil(group / MAX_TILE_ROWS));
}

/** Rows of a tile for several tokens, and how many tokens a task holds. */
export function severalTiles(group: number): { readonly tileRows: number; readonly tokens: number } {
  return { tileRows: MAX_TILE_ROWS, tokens: Math.max(1, Math.floor(BLOCK_ROWS / group)) };
}

/** Tiles for blocks of at most `rows` rows. */
export function f32Tiles({ k, problem }: AttentionKernel, target: CpuTarget, rows: number): F32Tiles {
  const { head, pageSize, softcap } = problem;
  const lanes = target.vectorBytes / 4;
  const vectors = target.vectorRegisters >= 32 ? 4 : 2;
  const scores = k.scratch("$scores", "f32", MAX_TILE_ROWS * pageSize);
  return {
    lanes,
    tokenVectors: columnVectors(pageSize, lanes, vectors),
    panels: panelsOf(k, head, lanes, vectors),
    queries: k.scratch("$queries", "f32", rows * head),
    scores: {
      scores,
      pageSize,
      softcap,
      vectors: 1,
      // Weights take the place of their scores.
      keep: (row, column, [weights]) => k.store(scores, k.add(k.mul(row, pageSize), column), weights as KValue),
    },
  };
}

/** The query heads of one token. */
export function singleToken(attention: AttentionKernel, memory: BlockMemory, tiles: F32Tiles): BlockMethod {
  const tileRows = singleTileRows(attention.problem.group);
  return {
    tileRows,
    tokens: 1,
    queries: (at, rows, padded) => copyQueries(attention, tiles, at, rows, padded),
    page: (at, view) => {
      const source = cachedPage(attention, at(0), tiles.lanes, at(1));
      return (firstRow) => addPage(attention, memory, tiles, source, view, tileRows, firstRow);
    },
  };
}

/** Several tokens. */
export function severalTokens(attention: AttentionKernel, memory: BlockMemory, tiles: F32Tiles): BlockMethod {
  const { k, problem } = attention;
  const { head, pageSize, group } = problem;
  const { tileRows, tokens } = severalTiles(group);
  const { lanes, panels } = tiles;
  const copy = pageCopy(attention, Math.ceil(head / lanes) * lanes);
  return {
    tileRows,
    tokens,
    queries: (at, rows, padded) => copyQueries(attention, tiles, at, rows, padded),
    page: (at, view) => {
      let source = cachedPage(attention, at(0), lanes, undefined);
      if (copy !== undefined) {
        copyPage(attention, source, copy, lanes, panels, view.from, view.to);
        source = copiedPage(k, head, pageSize, copy, lanes);
      }
      return (firstRow) => addPage(attention, memory, tiles, source, view, tileRows, firstRow);
    },
  };
}

function copyQueries(
  attention: AttentionKernel,
  { queries }: F32Tiles,
  at: (row: KValue) => KValue,
  rows: KValue,
  padded: KValue,
): void {
  const { k, problem } = attention;
  const { head, scale, softcap } = problem;
  const q = attention.buffer("q");
  const factor = softcap === 0 ? scale : scale / softcap;
  k.for({ end: rows }, (row) => {
    const [from, to] = [at(row), k.mul(row, head)];
    k.each(head, (d) => k.store(queries, k.add(to, d), k.mul(k.load(q, k.add(from, d)), factor)));
  });
  k.for({ start: k.mul(rows, head), end: k.mul(padded, head) }, (i) => k.store(queries, i, 0));
}

/** Adds a page to `rows` rows of the block from `firstRow` on. */
function addPage(
  attention: AttentionKernel,
  memory: BlockMemory,
  tiles: F32Tiles,
  source: PageSource,
  view: Parameters<typeof weighTile>[3],
  rows: number,
  firstRow: KValue,
): void {
  const seen = weighTile(attention, memory, tiles.scores, view, rows, firstRow, (from, to) =>
    scorePage(attention, tiles, source, rows, firstRow, { from, to }),
  );
  for (const panel of tiles.panels) addValues(attention, memory, tiles, source, panel, rows, firstRow, seen);
}

/** Scores of tokens, and of what else is in their vectors, to scratch. */
function scorePage(
  { k, problem }: AttentionKernel,
  { lanes, tokenVectors, queries, scores }: F32Tiles,
  source: PageSource,
  rows: number,
  firstRow: KValue,
  { from, to }: Pick<Visible, "from" | "to">,
): void {
  const { head, pageSize } = problem;
  const columns = tokenVectors * lanes;
  const queryAt = k.mul(firstRow, head);
  k.for({ start: k.mul(k.div(from, columns), columns), end: to, step: columns }, (column) => {
    const acc = locals(k, "score", rows, tokenVectors, lanes);
    for (const sum of acc.flat()) k.assign(sum, 0);
    source.keys(column, tokenVectors, (d, keys) => {
      acc.forEach((sums, r) => {
        const q = k.broadcast(k.load(queries, k.add(queryAt, k.add(d, r * head))), lanes);
        sums.forEach((sum, v) => k.assign(sum, k.fma(q, keys[v] as KValue, k.read(sum))));
      });
    });
    acc.forEach((sums, r) =>
      sums.forEach((sum, v) => k.store(scores.scores, k.add(column, r * pageSize + v * lanes), k.read(sum))),
    );
  });
}

/** Multiplies the results of a panel with the decay of their rows, and adds weight · value of the tokens. */
function addValues(
  { k, problem: { pageSize } }: AttentionKernel,
  { paddedHead, results, decay: decays }: BlockMemory,
  { lanes, scores: { scores } }: F32Tiles,
  source: PageSource,
  panel: HeadPanel,
  rows: number,
  firstRow: KValue,
  { from, to }: Pick<Visible, "from" | "to">,
): void {
  const acc = locals(k, "result", rows, panel.vectors.length, lanes);
  const place = (r: number, v: number): KValue =>
    k.add(k.mul(firstRow, paddedHead), r * paddedHead + panel.first + v * lanes);
  acc.forEach((sums, r) => {
    const decay = k.broadcast(k.load(decays, r), lanes);
    sums.forEach((sum, v) => k.assign(sum, k.mul(k.load(results, place(r, v), { lanes }), decay)));
  });
  k.for({ start: from, end: to }, (token) => {
    const values = source.values(token, panel);
    acc.forEach((sums, r) => {
      const weight = k.broadcast(k.load(scores, k.add(token, r * pageSize)), lanes);
      sums.forEach((sum, v) => k.assign(sum, k.fma(weight, values[v] as KValue, k.read(sum))));
    });
  });
  acc.forEach((sums, r) => sums.forEach((sum, v) => k.store(results, place(r, v), k.read(sum))));
}

function locals(k: KernelBuilder, name: string, rows: number, vectors: number, lanes: number): Local[][] {
  return Array.from({ length: rows }, (_, r) =>
    Array.from({ length: vectors }, (_vector, v) => k.local(`${name}${r}_${v}`, vectorType("f32", lanes))),
  );
}

/** The head in panels of at most `limit` vectors, as even as possible; lanes beyond the head are masked. */
function panelsOf(k: KernelBuilder, head: number, lanes: number, limit: number): HeadPanel[] {
  const vectors = Math.ceil(head / lanes);
  const count = Math.ceil(vectors / limit);
  const panels: HeadPanel[] = [];
  let next = 0;
  for (let panel = 0; panel < count; panel++) {
    const size = Math.ceil((vectors - next) / (count - panel));
    panels.push({
      first: next * lanes,
      vectors: Array.from({ length: size }, (_, v) => {
        const at = (next + v) * lanes;
        const mask =
          at + lanes <= head ? undefined : k.lt(k.iota(k.index(at), lanes), k.broadcast(k.index(head), lanes));
        return { at, mask };
      }),
    });
    next += size;
  }
  return panels;
}
