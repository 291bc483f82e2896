/**
 * Several tokens on the matrix unit, for precision "medium": queries, pages and weights in bf16, scores, sums and results
 * in f32.
 *
 * A page is brought into tiles of the right side once per block of rows: keys by pairs of elements, values by pairs of
 * tokens. Rows come in tiles of 32: per page two by two tiles of scores, softmax, and the weights, as tiles of the left
 * side, times the values.
 */

import { type Buffer, type KValue, vectorType } from "@quern/core";
import { TILE_DEPTH, TILE_ELEMENTS, storeInterleaved } from "../amx/split.ts";
import { addStep, clearBlock, loadBlock, newBlock, storeBlock } from "../amx/tile-block.ts";
import { type BlockMemory, type BlockMethod, type PageView, weighTile } from "./block.ts";
import type { AttentionKernel } from "./layout.ts";
import type { ScoreTile } from "./softmax.ts";
import { type HeadPanel, type PageSource, cachedPage } from "./source.ts";

/** Rows of queries that a task holds at a time. */
const BLOCK_ROWS = 256;
/** Rows, tokens and elements of a head come in so many: two tiles, or the depth of one. */
export const UNIT_QUANTUM = 32;
const LANES = 16;

export function unitTiles(group: number): { readonly tileRows: number; readonly tokens: number } {
  return { tileRows: UNIT_QUANTUM, tokens: Math.max(1, Math.floor(BLOCK_ROWS / group)) };
}

/** Operands in the layouts of the unit; every tile is 16 rows of 32 bf16, one after the other. */
interface UnitTiles {
  /** Steps of 32 along the head, and of 32 tokens along a page. */
  readonly headSteps: number;
  readonly tokenSteps: number;
  /** [16 rows][step along the head]. */
  readonly queries: Buffer;
  /** [16 tokens][step along the head], pairs of elements together. */
  readonly keys: Buffer;
  /** [16 elements][step along the page], pairs of tokens together. */
  readonly values: Buffer;
  /** [16 rows][step along the page]. */
  readonly weights: Buffer;
  readonly scores: ScoreTile;
}

/** Blocks of at most `rows` rows. */
export function unitTokens(attention: AttentionKernel, memory: BlockMemory, rows: number): BlockMethod {
  const tiles = unitMemory(attention, rows);
  return {
    ...unitTiles(attention.problem.group),
    queries: (at, count, padded) => {
      convertQueries(attention, tiles, at, count, padded);
      clearPadding(attention, tiles);
    },
    page: (at, view) => {
      const source = cachedPage(attention, at(0), LANES, undefined);
      convertKeys(attention, tiles, source);
      convertValues(attention, tiles, source, view);
      return (firstRow) => addPage(attention, memory, tiles, view, firstRow);
    },
  };
}

function unitMemory({ k, problem }: AttentionKernel, rows: number): UnitTiles {
  const { head, pageSize, softcap } = problem;
  const headSteps = Math.ceil(head / TILE_DEPTH);
  const tokenSteps = pageSize / TILE_DEPTH;
  const scores = k.scratch("$unitScores", "f32", UNIT_QUANTUM * pageSize);
  const weights = k.scratch("$unitWeights", "bf16", UNIT_QUANTUM * pageSize);
  return {
    headSteps,
    tokenSteps,
    queries: k.scratch("$unitQueries", "bf16", rows * headSteps * TILE_DEPTH),
    keys: k.scratch("$unitKeys", "bf16", pageSize * headSteps * TILE_DEPTH),
    values: k.scratch("$unitValues", "bf16", pageSize * headSteps * TILE_DEPTH),
    weights,
    scores: {
      scores,
      pageSize,
      softcap,
      vectors: 2,
      keep: (row, column, [low, high]) => {
        const tile = k.add(k.mul(k.div(row, 16), tokenSteps), k.div(column, TILE_DEPTH));
        const at = k.add(k.mul(tile, TILE_ELEMENTS), k.mul(k.rem(row, 16), TILE_DEPTH));
        k.store(weights, at, k.intrinsic("bf16Pair", [high as KValue, low as KValue], vectorType("bf16", TILE_DEPTH)));
      },
    },
  };
}

function convertQueries(
  attention: AttentionKernel,
  { queries, headSteps }: UnitTiles,
  at: (row: KValue) => KValue,
  rows: KValue,
  padded: KValue,
): void {
  const { k, problem } = attention;
  const { head, scale, softcap } = problem;
  const q = attention.buffer("q");
  const factor = softcap === 0 ? scale : scale / softcap;
  const place = (row: KValue, step: number): KValue =>
    k.add(k.mul(k.add(k.mul(k.div(row, 16), headSteps), step), TILE_ELEMENTS), k.mul(k.rem(row, 16), TILE_DEPTH));
  k.for({ end: rows }, (row) => {
    const from = at(row);
    const part = (d: number): KValue => {
      if (d >= head) return k.const(vectorType("f32", LANES), 0);
      return k.mul(k.load(q, k.add(from, d), { lanes: LANES, mask: maskFrom(attention, d) }), factor);
    };
    for (let step = 0; step < headSteps; step++) {
      const [low, high] = [part(step * TILE_DEPTH), part(step * TILE_DEPTH + LANES)];
      k.store(queries, place(row, step), k.intrinsic("bf16Pair", [high, low], vectorType("bf16", TILE_DEPTH)));
    }
  });
  const zero = k.const(vectorType("bf16", TILE_DEPTH), 0);
  k.for({ start: rows, end: padded }, (row) => {
    for (let step = 0; step < headSteps; step++) k.store(queries, place(row, step), zero);
  });
}

/** Lanes of the vector at element `d` that the head has; `undefined` for all. */
function maskFrom({ k, problem: { head } }: AttentionKernel, d: number): KValue | undefined {
  return d + LANES <= head ? undefined : k.lt(k.iota(k.index(d), LANES), k.broadcast(k.index(head), LANES));
}

/** Elements of tiles beyond the head are zeros, whatever the page. */
function clearPadding({ k, problem }: AttentionKernel, { keys, values, headSteps, tokenSteps }: UnitTiles): void {
  const { head, pageSize } = problem;
  const zero = k.const(vectorType("bf16", TILE_DEPTH), 0);
  for (let pair = Math.ceil(head / 2); pair < headSteps * 16; pair++)
    for (let tile = 0; tile < pageSize / 16; tile++) k.store(keys, keyPlace(headSteps, tile, pair), zero);
  for (let tile = Math.ceil(head / LANES); tile < headSteps * 2; tile++)
    for (let row = 0; row < tokenSteps * 16; row++)
      k.store(values, tile * tokenSteps * TILE_ELEMENTS + row * TILE_DEPTH, zero);
}

/** Row of a pair of elements in the tiles of 16 tokens. */
function keyPlace(headSteps: number, tile: number, pair: number): number {
  return (tile * headSteps + Math.floor(pair / 16)) * TILE_ELEMENTS + (pair % 16) * TILE_DEPTH;
}

function convertKeys({ k, problem }: AttentionKernel, { keys, headSteps }: UnitTiles, source: PageSource): void {
  const { head, pageSize } = problem;
  const tiles = pageSize / LANES;
  const put = (pair: KValue, last: boolean): void => {
    const at = k.add(k.mul(k.div(pair, 16), TILE_ELEMENTS), k.mul(k.rem(pair, 16), TILE_DEPTH));
    const d = k.mul(pair, 2);
    for (let tile = 0; tile < tiles; tile++) {
      const column = k.index(tile * LANES);
      const even = source.key(d, column);
      const odd = last ? k.const(vectorType("f32", LANES), 0) : source.key(k.add(d, 1), column);
      storeInterleaved(k, keys, k.add(at, tile * headSteps * TILE_ELEMENTS), even, odd, 1, 0);
    }
  };
  const pairs = Math.floor(head / 2);
  k.for({ end: pairs }, (pair) => put(pair, false));
  if (head % 2 === 1) put(k.index(pairs), true);
}

/** Values of the tokens that are seen; others of their steps are zeros, since nothing times a weight of 0 may be NaN. */
function convertValues(
  attention: AttentionKernel,
  { values, tokenSteps }: UnitTiles,
  source: PageSource,
  { from, to }: PageView,
): void {
  const { k, problem } = attention;
  const { head } = problem;
  const panel: HeadPanel = {
    first: 0,
    vectors: Array.from({ length: Math.ceil(head / LANES) }, (_, v) => ({
      at: v * LANES,
      mask: maskFrom(attention, v * LANES),
    })),
  };
  const zero = k.const(vectorType("f32", LANES), 0);
  const put = (token: KValue, whole: boolean): void => {
    const row = (at: KValue): KValue[] => {
      const seen = k.and(k.ge(at, from), k.lt(at, to));
      return source.values(at, panel).map((x) => (whole ? x : k.select(k.broadcast(seen, LANES), x, zero)));
    };
    const [even, odd] = [row(token), row(k.add(token, 1))];
    const place = k.add(
      k.mul(k.div(token, TILE_DEPTH), TILE_ELEMENTS),
      k.mul(k.div(k.rem(token, TILE_DEPTH), 2), TILE_DEPTH),
    );
    even.forEach((x, tile) =>
      storeInterleaved(k, values, k.add(place, tile * tokenSteps * TILE_ELEMENTS), x, odd[tile] as KValue, 1, 0),
    );
  };
  const start = k.mul(k.div(from, TILE_DEPTH), TILE_DEPTH);
  const end = k.mul(k.div(k.add(to, TILE_DEPTH - 1), TILE_DEPTH), TILE_DEPTH);
  k.if(
    k.and(k.eq(from, start), k.eq(to, end)),
    () => k.for({ start, end, step: 2 }, (token) => put(token, true)),
    () => k.for({ start, end, step: 2 }, (token) => put(token, false)),
  );
}

function addPage(
  attention: AttentionKernel,
  memory: BlockMemory,
  tiles: UnitTiles,
  view: PageView,
  firstRow: KValue,
): void {
  const { k, problem } = attention;
  const { pageSize } = problem;
  const { headSteps, tokenSteps } = tiles;
  const seen = weighTile(attention, memory, tiles.scores, view, UNIT_QUANTUM, firstRow, (from, to) => {
    const queryAt = k.mul(k.div(firstRow, 16), headSteps * TILE_ELEMENTS);
    k.for({ start: k.div(from, UNIT_QUANTUM), end: stepsTo(to) }, (pair) => {
      const acc = newBlock(k, { rows: 2, columns: 2 }, "s");
      clearBlock(k, acc);
      const keyAt = k.mul(pair, 2 * headSteps * TILE_ELEMENTS);
      k.for({ end: headSteps }, (step) => {
        const stepAt = k.mul(step, TILE_ELEMENTS);
        addStep(
          k,
          acc,
          {
            a: tiles.queries,
            aStride: TILE_DEPTH,
            aIndex: (row) => k.add(k.add(queryAt, stepAt), row * headSteps * TILE_ELEMENTS),
            b: tiles.keys,
            bIndex: (column) => k.add(k.add(keyAt, stepAt), column * headSteps * TILE_ELEMENTS),
          },
          1,
        );
      });
      storeBlock(k, acc, tiles.scores.scores, k.mul(pair, UNIT_QUANTUM), pageSize);
    });
  });
  function stepsTo(to: KValue): KValue {
    return k.div(k.add(to, UNIT_QUANTUM - 1), UNIT_QUANTUM);
  }
  decayResults(attention, memory, firstRow);
  const { results, paddedHead } = memory;
  k.for({ end: headSteps }, (pair) => {
    const acc = newBlock(k, { rows: 2, columns: 2 }, "o");
    const at = k.add(k.mul(firstRow, paddedHead), k.mul(pair, UNIT_QUANTUM));
    loadBlock(k, acc, results, at, paddedHead);
    const valueAt = k.mul(pair, 2 * tokenSteps * TILE_ELEMENTS);
    k.for({ start: k.div(seen.from, TILE_DEPTH), end: stepsTo(seen.to) }, (step) => {
      const stepAt = k.mul(step, TILE_ELEMENTS);
      addStep(
        k,
        acc,
        {
          a: tiles.weights,
          aStride: TILE_DEPTH,
          aIndex: (row) => k.add(stepAt, row * tokenSteps * TILE_ELEMENTS),
          b: tiles.values,
          bIndex: (column) => k.add(k.add(valueAt, stepAt), column * tokenSteps * TILE_ELEMENTS),
        },
        1,
      );
    });
    storeBlock(k, acc, results, at, paddedHead);
  });
}

/** Multiplies the results of a tile of rows with their decay, unless no maximum has changed. */
function decayResults({ k }: AttentionKernel, { results, paddedHead, decay }: BlockMemory, firstRow: KValue): void {
  const least = Array.from({ length: UNIT_QUANTUM / LANES }, (_, v) =>
    k.load(decay, v * LANES, { lanes: LANES }),
  ).reduce((a, b) => k.min(a, b));
  k.if(k.lt(k.horizontal("min", least), 1), () =>
    k.for({ end: UNIT_QUANTUM }, (r) => {
      const factor = k.broadcast(k.load(decay, r), LANES);
      const at = k.mul(k.add(firstRow, r), paddedHead);
      for (let d = 0; d < paddedHead; d += LANES) {
        const place = k.add(at, d);
        k.store(results, place, k.mul(k.load(results, place, { lanes: LANES }), factor));
      }
    }),
  );
}
