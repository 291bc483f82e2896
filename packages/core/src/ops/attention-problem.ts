/**
 * What an `attention` node is about: sizes and attributes, checked once for inference, reference and kernels.
 *
 * In: the types of the inputs and the attributes. Out: numbers and dimensions by name, or the `UserError` of the op.
 */

import { type Dim, printDim } from "../dim.ts";
import type { DType } from "../dtype.ts";
import type { Attrs, TensorType } from "../graph/graph.ts";
import { printTensorType } from "../graph/print.ts";
import { numberAttr } from "./attrs.ts";
import { type Types, checkRank, checkSize, given, reject, typedAs } from "./check.ts";

const OP = "attention";

/** Positions of the inputs of the op. */
export const ATTENTION_INPUTS = {
  q: 0,
  k: 1,
  v: 2,
  runs: 3,
  pages: 4,
  keys: 5,
  values: 6,
  keyScales: 7,
  valueScales: 8,
} as const;

/** Numbers of a row of `runs`: first token, count, sequence, first position. */
export const RUN_FIELDS = 4;
/** Elements along the head that share a scale in an i8 cache. */
export const SCALED_BLOCK = 32;
/** Page sizes are multiples of it, so that no vector of tokens leaves a page. */
export const PAGE_QUANTUM = 16;

export type CacheDType = "f32" | "f16" | "bf16" | "i8";
const CACHE_DTYPES: readonly CacheDType[] = ["f32", "f16", "bf16", "i8"];

export interface AttentionProblem {
  /** T, tokens of the step. */
  readonly tokens: Dim;
  readonly queryHeads: number;
  readonly kvHeads: number;
  /** Query heads that share a head of the cache. */
  readonly group: number;
  /** D, elements of a head. */
  readonly head: number;
  /** R, rows of `runs`. */
  readonly runs: Dim;
  /** S and P, the shape of `pages`. */
  readonly sequences: Dim;
  readonly pagesPerSequence: Dim;
  /** N, pages of the pool. */
  readonly pool: Dim;
  /** Tokens of a page. */
  readonly pageSize: number;
  readonly cache: CacheDType;
  readonly scale: number;
  /** 0 for none. */
  readonly softcap: number;
  /** 0 for none. */
  readonly window: number;
}

/** Throws a `UserError` where types or attributes break a rule of the op. */
export function attentionProblem(types: Types, attrs: Attrs): AttentionProblem {
  const at = ATTENTION_INPUTS;
  const [q, k, v] = (["q", "k", "v"] as const).map((name) => ranked(types, at[name], name, ["f32"], 3)) as [
    TensorType,
    TensorType,
    TensorType,
  ];
  const [tokens, queryHeads, head] = [q.shape[0] as Dim, known(q, "q", 1, "heads"), known(q, "q", 2, "head size")];
  const kvHeads = known(k, "k", 1, "heads");
  if (head < 1 || kvHeads < 1) reject(OP, `k is ${printTensorType(k)}: it needs a head of at least one element`);
  if (queryHeads % kvHeads !== 0)
    reject(OP, `${queryHeads} query heads do not divide into groups over ${kvHeads} key heads`);
  checkShape("k", k, [tokens, kvHeads, head]);
  checkShape("v", v, [tokens, kvHeads, head]);
  const runs = ranked(types, at.runs, "runs", ["i32"], 2);
  checkSize(OP, 'axis 1 of "runs"', runs.shape[1] as Dim, RUN_FIELDS);
  const pages = ranked(types, at.pages, "pages", ["i32"], 2);
  const keys = ranked(types, at.keys, "keys", CACHE_DTYPES, 4);
  const pool = keys.shape[0] as Dim;
  const pageSize = known(keys, "keys", 3, "page size");
  if (pageSize < 1 || pageSize % PAGE_QUANTUM !== 0)
    reject(OP, `pages of ${pageSize} tokens`, `give a multiple of ${PAGE_QUANTUM}, the last axis of "keys"`);
  checkShape("keys", keys, [pool, kvHeads, head, pageSize]);
  checkShape("values", ranked(types, at.values, "values", [keys.dtype], 4), [pool, kvHeads, pageSize, head]);
  checkScales(types, keys.dtype, [pool, kvHeads, head, pageSize]);
  return {
    tokens,
    queryHeads,
    kvHeads,
    group: queryHeads / kvHeads,
    head,
    runs: runs.shape[0] as Dim,
    sequences: pages.shape[0] as Dim,
    pagesPerSequence: pages.shape[1] as Dim,
    pool,
    pageSize,
    cache: keys.dtype as CacheDType,
    scale: positive(attrs, "scale", 1 / Math.sqrt(head)),
    softcap: notNegative(attrs, "softcap"),
    window: integral("window", notNegative(attrs, "window")),
  };
}

function ranked(types: Types, at: number, name: string, dtypes: readonly DType[], rank: number): TensorType {
  const type = typedAs(OP, types, at, name, dtypes);
  checkRank(OP, type, name, rank);
  return type;
}

/** A size that kernels are made for. */
function known(type: TensorType, name: string, axis: number, what: string): number {
  const dim = type.shape[axis] as Dim;
  if (typeof dim !== "number")
    reject(OP, `the ${what} of "${name}" must be a number, got ${printDim(dim)} in ${printTensorType(type)}`);
  return dim;
}

function checkShape(name: string, type: TensorType, expected: readonly Dim[]): void {
  expected.forEach((size, axis) => checkSize(OP, `axis ${axis} of "${name}"`, type.shape[axis] as Dim, size));
}

/** An i8 cache has scales, the others have none. */
function checkScales(
  types: Types,
  cache: DType,
  [pool, kvHeads, head, pageSize]: readonly [Dim, Dim, number, Dim],
): void {
  const at = ATTENTION_INPUTS;
  if (cache !== "i8") {
    for (const name of ["keyScales", "valueScales"] as const)
      if (types[at[name]] !== undefined) reject(OP, `input "${name}" belongs to a cache of i8, not ${cache}`);
    return;
  }
  if (head % SCALED_BLOCK !== 0)
    reject(OP, `a cache of i8 has a scale for every ${SCALED_BLOCK} elements of a head, which has ${head}`);
  const blocks = head / SCALED_BLOCK;
  given(OP, types, at.keyScales, "keyScales");
  given(OP, types, at.valueScales, "valueScales");
  checkShape("keyScales", ranked(types, at.keyScales, "keyScales", ["f16"], 4), [pool, kvHeads, blocks, pageSize]);
  checkShape("valueScales", ranked(types, at.valueScales, "valueScales", ["f16"], 4), [
    pool,
    kvHeads,
    pageSize,
    blocks,
  ]);
}

function notNegative(attrs: Attrs, name: string): number {
  const value = numberAttr(OP, attrs, name, 0);
  if (!(value >= 0 && value < Infinity)) reject(OP, `attribute "${name}" is ${value}, expected at least 0 (0: none)`);
  return value;
}

function positive(attrs: Attrs, name: string, fallback: number): number {
  const value = numberAttr(OP, attrs, name, fallback);
  if (!(value > 0 && value < Infinity)) reject(OP, `attribute "${name}" is ${value}, expected a positive number`);
  return value;
}

function integral(name: string, value: number): number {
  if (!Number.isInteger(value)) reject(OP, `attribute "${name}" is ${value}, expected a whole number of tokens`);
  return value;
}
