/**
 * One token against a long cache, by several threads: where there are fewer heads than threads, each takes a share of the
 * pages, and a second launch merges what the shares gave ("Flash-Decoding", Dao and others, 2023).
 */

import {
  type AttentionProblem,
  type KValue,
  type KernelBuilder,
  type KernelSite,
  type Launch,
  type MatmulPrecision,
  type Temporary,
  dimMul,
  kernelMath,
} from "@quern/core";
import { AttentionKernel, type TokenRun, problemOf } from "./layout.ts";
import { LOWEST } from "./softmax.ts";

/** Fewer tokens than this are not worth sharing. */
const LEAST_TOKENS = 256;

/** The shares of the pages of a run, and what they leave to be merged: [runs, parts, query heads]. */
export interface Parts {
  readonly count: number;
  /** Not yet divided by the sums, with rows of `stride` elements. */
  readonly results: Temporary;
  readonly stride: number;
  /** Maxima of the scores. */
  readonly tops: Temporary;
  /** Sums of the weights. */
  readonly sums: Temporary;
}

/** Parts that make the tasks of one token a multiple of the threads; `undefined` where the heads do already. */
export function partsFor(site: KernelSite, threads: number): Parts | undefined {
  const { kvHeads, queryHeads, runs, head } = problemOf(site);
  let count = 1;
  while (count < threads && (kvHeads * count) % threads !== 0) count++;
  if (count === 1) return undefined;
  const rows = dimMul(runs, count * queryHeads);
  const temporary = (name: string, elements: number): Temporary => ({
    name,
    dtype: "f32",
    size: dimMul(rows, elements),
  });
  return {
    count,
    stride: head,
    results: temporary("partResults", head),
    tops: temporary("partTops", 1),
    sums: temporary("partSums", 1),
  };
}

export interface PageRange {
  readonly first: KValue;
  readonly end: KValue;
}

/** The first position that the token at `position` sees. */
export function firstSeen(k: KernelBuilder, window: number, position: KValue): KValue {
  return window === 0 ? k.index(0) : k.max(0, k.sub(position, window - 1));
}

/** The pages that tokens at `count` positions from `position` on see. */
export function seenPages(
  k: KernelBuilder,
  { pageSize, window }: AttentionProblem,
  { position, count }: Pick<TokenRun, "position" | "count">,
): PageRange {
  return pagesOf(k, firstSeen(k, window, position), k.add(position, count), pageSize);
}

/** The pages of the positions `from`..`end` - 1. */
export function pagesOf(k: KernelBuilder, from: KValue, end: KValue, pageSize: number): PageRange {
  return { first: k.div(from, pageSize), end: k.div(k.add(end, pageSize - 1), pageSize) };
}

/** The pages of a part; all of them for every part where the run is not `split`. */
export function shareOf(
  k: KernelBuilder,
  problem: AttentionProblem,
  run: TokenRun,
  part: KValue,
  { count }: Parts,
): { readonly split: KValue; readonly pages: PageRange } {
  const { first, end } = seenPages(k, problem, run);
  const pages = k.sub(end, first);
  const split = k.ge(pages, Math.max(count, Math.ceil(LEAST_TOKENS / problem.pageSize)));
  const each = k.div(k.add(pages, count - 1), count);
  const start = k.min(k.add(first, k.mul(part, each)), end);
  return {
    split,
    pages: {
      first: k.select(split, start, first),
      end: k.select(split, k.min(k.add(start, each), end), end),
    },
  };
}

/** Row of what a part leaves for a query head. */
export function partAt(
  k: KernelBuilder,
  { queryHeads }: AttentionProblem,
  { count }: Parts,
  row: KValue,
  part: KValue,
  queryHead: KValue,
): KValue {
  return k.add(k.mul(k.add(k.mul(row, count), part), queryHeads), queryHead);
}

/** Σ e^(top - highest) · result / Σ e^(top - highest) · sum over the parts of each split run. */
export function mergeLaunch(site: KernelSite, parts: Parts, precision: MatmulPrecision): Launch {
  const { head, runs, queryHeads } = problemOf(site);
  const attention = new AttentionKernel(`attention_merge_d${head}_x${parts.count}`, site, "read");
  const { k, kernel, problem } = attention;
  const [results, tops, sums] = [parts.results, parts.tops, parts.sums].map((each) =>
    kernel.temporary(each, "read"),
  ) as [ReturnType<typeof kernel.temporary>, ReturnType<typeof kernel.temporary>, ReturnType<typeof kernel.temporary>];
  const y = kernel.output();
  k.parallel(runs, (row) => {
    const run = attention.run(row);
    const { split } = shareOf(k, problem, run, k.index(0), parts);
    k.if(k.and(k.eq(run.count, 1), split), () =>
      k.for({ end: queryHeads }, (h) => {
        const at = Array.from({ length: parts.count }, (_, part) => partAt(k, problem, parts, row, k.index(part), h));
        const own = at.map((each) => k.load(tops, each));
        const highest = own.reduce((a, b) => k.max(a, b), k.const("f32", LOWEST));
        const weights = own.map((top) => kernelMath.expNonPositive(k, k.sub(top, highest)));
        const total = at
          .map((each, i) => k.mul(k.load(sums, each), weights[i] as KValue))
          .reduce((a, b) => k.add(a, b));
        const to = k.mul(k.add(k.mul(run.first, queryHeads), h), head);
        const factors = weights.map((weight) => k.div(weight, total));
        k.each(head, (d) => {
          const terms = at.map((each, i) =>
            k.mul(k.load(results, k.add(k.mul(each, parts.stride), d)), factors[i] as KValue),
          );
          k.store(
            y,
            k.add(to, d),
            terms.reduce((a, b) => k.add(a, b)),
          );
        });
      }),
    );
  });
  return kernel.launch({ decision: `merge ${parts.count} parts of the pages`, precision });
}
