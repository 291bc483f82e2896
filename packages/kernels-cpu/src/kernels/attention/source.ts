/**
 * Pages of the cache as f32 vectors: keys with tokens along the lanes, values with the head along the lanes.
 *
 * Either straight from the cache, converted on the way into registers, or from a copy in f32 that many rows of queries
 * share.
 */

import { type Buffer, type KValue, type KernelBuilder, DTYPE_INFO, SCALED_BLOCK } from "@quern/core";
import type { AttentionKernel, CachePage } from "./layout.ts";

/** Vectors along the head that a tile of the result has: the first lane of each, and how many lanes exist. */
export interface HeadPanel {
  readonly first: number;
  readonly vectors: readonly { readonly at: number; readonly mask: KValue | undefined }[];
}

export interface PageSource {
  /** Walks all elements of the keys in order: gives `vectors` vectors of tokens from `column` on. */
  keys(column: KValue, vectors: number, step: (d: KValue, keys: readonly KValue[]) => void): void;
  /** The vector of element `d` of the keys from token `column` on. */
  key(d: KValue, column: KValue): KValue;
  /** The vectors of a panel of the value of token `token` of the page. */
  values(token: KValue, panel: HeadPanel): KValue[];
}

const LINE_BYTES = 64;

/**
 * A page where it lies. `next` is the page that is used after it: its lines are asked for meanwhile, since the memory
 * behind the end of a page, which the processor would guess, belongs to other heads.
 */
export function cachedPage(
  attention: AttentionKernel,
  page: CachePage,
  lanes: number,
  next: CachePage | undefined,
): PageSource {
  const { k, problem } = attention;
  const { cache, head, pageSize } = problem;
  const [keys, values] = [attention.buffer("keys"), attention.buffer("values")];
  const load = (buffer: Buffer, at: KValue, mask?: KValue): KValue => {
    const x = k.load(buffer, at, { lanes, mask });
    return cache === "f32" ? x : cache === "i8" ? k.cast(k.cast(x, "i32"), "f32") : k.cast(x, "f32");
  };
  const ask = (buffer: Buffer, at: KValue, elements: number): void => {
    if (next === undefined) return;
    const bytes = DTYPE_INFO[cache].bytes;
    const ahead = k.add(next.elements, at);
    for (let byte = 0; byte < elements * bytes; byte += LINE_BYTES) k.prefetch(buffer, k.add(ahead, byte / bytes));
  };
  const row = (column: KValue, d: KValue, vectors: number): KValue[] => {
    const place = k.add(k.mul(d, pageSize), column);
    const at = k.add(page.elements, place);
    ask(keys, place, vectors * lanes);
    return Array.from({ length: vectors }, (_, v) => load(keys, k.add(at, v * lanes)));
  };
  if (cache !== "i8") {
    return {
      keys: (column, vectors, step) => k.for({ end: head }, (d) => step(d, row(column, d, vectors))),
      key: (d, column) => row(column, d, 1)[0] as KValue,
      values: (token, panel) => {
        const place = k.mul(token, head);
        const at = k.add(page.elements, place);
        ask(values, k.add(place, panel.first), panel.vectors.length * lanes);
        return panel.vectors.map(({ at: d, mask }) => load(values, k.add(at, d), mask));
      },
    };
  }
  const blocks = head / SCALED_BLOCK;
  const [keyScales, valueScales] = [attention.buffer("keyScales"), attention.buffer("valueScales")];
  return {
    keys: (column, vectors, step) => {
      k.for({ end: blocks }, (block) => {
        const at = k.add(page.scales, k.add(k.mul(block, pageSize), column));
        const scales = Array.from({ length: vectors }, (_, v) =>
          k.cast(k.load(keyScales, k.add(at, v * lanes), { lanes }), "f32"),
        );
        const start = k.mul(block, SCALED_BLOCK);
        k.for({ end: SCALED_BLOCK }, (i) => {
          const d = k.add(start, i);
          step(
            d,
            row(column, d, vectors).map((x, v) => k.mul(x, scales[v] as KValue)),
          );
        });
      });
    },
    key: (d, column) => {
      const at = k.add(page.scales, k.add(k.mul(k.div(d, SCALED_BLOCK), pageSize), column));
      return k.mul(row(column, d, 1)[0] as KValue, k.cast(k.load(keyScales, at, { lanes }), "f32"));
    },
    values: (token, panel) => {
      const place = k.mul(token, head);
      const at = k.add(page.elements, place);
      ask(values, k.add(place, panel.first), panel.vectors.length * lanes);
      const scaleAt = k.add(page.scales, k.mul(token, blocks));
      const scales = new Map<number, KValue>();
      return panel.vectors.map(({ at: d }) => {
        const block = Math.floor(d / SCALED_BLOCK);
        let scale = scales.get(block);
        if (scale === undefined)
          scales.set(block, (scale = k.broadcast(k.cast(k.load(valueScales, k.add(scaleAt, block)), "f32"), lanes)));
        return k.mul(load(values, k.add(at, d)), scale);
      });
    },
  };
}

/** Scratch for one page in f32: keys [D][page size], values [page size][padded D]. */
export interface PageCopy {
  readonly keys: Buffer;
  readonly values: Buffer;
  readonly paddedHead: number;
}

/** Scratch for pages that need conversion. */
export function pageCopy({ k, problem }: AttentionKernel, paddedHead: number): PageCopy | undefined {
  const { cache, head, pageSize } = problem;
  if (cache === "f32") return undefined;
  return {
    keys: k.scratch("$pageKeys", "f32", head * pageSize),
    values: k.scratch("$pageValues", "f32", pageSize * paddedHead),
    paddedHead,
  };
}

/** Fills a copy: all keys, and the values of the tokens `from`..`to` - 1. */
export function copyPage(
  attention: AttentionKernel,
  source: PageSource,
  copy: PageCopy,
  lanes: number,
  panels: readonly HeadPanel[],
  from: KValue,
  to: KValue,
): void {
  const { k, problem } = attention;
  const { pageSize } = problem;
  const vectors = columnVectors(pageSize, lanes, MAX_COPIED_VECTORS);
  k.for({ end: pageSize, step: vectors * lanes }, (column) =>
    source.keys(column, vectors, (d, keys) => {
      const at = k.add(k.mul(d, pageSize), column);
      keys.forEach((x, v) => k.store(copy.keys, k.add(at, v * lanes), x));
    }),
  );
  k.for({ start: from, end: to }, (token) => {
    for (const panel of panels) {
      const at = k.add(k.mul(token, copy.paddedHead), panel.first);
      source.values(token, panel).forEach((x, v) => k.store(copy.values, k.add(at, v * lanes), x));
    }
  });
}

const MAX_COPIED_VECTORS = 4;

/** The most vectors, up to `limit`, that divide a page into equal parts. */
export function columnVectors(pageSize: number, lanes: number, limit: number): number {
  let vectors = Math.min(limit, pageSize / lanes);
  while ((pageSize / lanes) % vectors !== 0) vectors--;
  return vectors;
}

/** A page from its copy. */
export function copiedPage(
  k: KernelBuilder,
  head: number,
  pageSize: number,
  copy: PageCopy,
  lanes: number,
): PageSource {
  return {
    key: (d, column) => k.load(copy.keys, k.add(k.mul(d, pageSize), column), { lanes }),
    keys: (column, vectors, step) =>
      k.for({ end: head }, (d) => {
        const at = k.add(k.mul(d, pageSize), column);
        step(
          d,
          Array.from({ length: vectors }, (_, v) => k.load(copy.keys, k.add(at, v * lanes), { lanes })),
        );
      }),
    values: (token, panel) => {
      const at = k.add(k.mul(token, copy.paddedHead), panel.first);
      return panel.vectors.map((_, v) => k.load(copy.values, k.add(at, v * lanes), { lanes }));
    },
  };
}
