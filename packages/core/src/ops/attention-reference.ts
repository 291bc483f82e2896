/**
 * Attention over a paged cache in plain loops: first every token is appended to the cache, then every query reads it.
 *
 * The cache is written in place and holds what its dtype holds: floats rounded to nearest, i8 in blocks of 32 with an f16
 * scale (the scheme of GGUF's Q8_0). Quantising is stated in f32 operations, so that kernels can agree to the last bit.
 */

import type { Attrs } from "../graph/graph.ts";
import { reject } from "./check.ts";
import {
  ATTENTION_INPUTS,
  type AttentionProblem,
  RUN_FIELDS,
  SCALED_BLOCK,
  attentionProblem,
} from "./attention-problem.ts";
import type { RefTensor } from "./op.ts";
import { input, newRef, roundFloat, roundHalfEven } from "./ref-tensor.ts";

/** Consecutive tokens of one sequence. */
interface Run {
  readonly first: number;
  readonly count: number;
  readonly sequence: number;
  readonly position: number;
}

export function attend(inputs: readonly (RefTensor | undefined)[], attrs: Attrs): RefTensor {
  const problem = attentionProblem(inputs, attrs);
  const runs = runsOf(input(inputs, ATTENTION_INPUTS.runs), problem.tokens as number);
  const cache = new Cache(inputs, problem);
  const [q, k, v] = [0, 1, 2].map((at) => input(inputs, at)) as [RefTensor, RefTensor, RefTensor];
  for (const { first, count, sequence, position } of runs) {
    for (let i = 0; i < count; i++) cache.append(sequence, position + i, k.data, v.data, first + i);
  }
  const result = newRef("f32", q.shape);
  for (const run of runs) attendRun(run, problem, cache, q.data, result.data);
  return result;
}

/** Throws a `UserError` unless the runs cover the tokens 0..T-1 in order. */
function runsOf({ data, shape }: RefTensor, tokens: number): Run[] {
  const runs: Run[] = [];
  let next = 0;
  for (let row = 0; row < (shape[0] as number); row++) {
    const [first, count, sequence, position] = data.subarray(row * RUN_FIELDS, (row + 1) * RUN_FIELDS) as never as [
      number,
      number,
      number,
      number,
    ];
    if (count === 0) continue;
    if (count < 0 || first !== next || position < 0)
      reject(
        "attention",
        `row ${row} of "runs" is (${first}, ${count}, ${sequence}, ${position}), the next token is ${next}`,
        "runs cover all tokens in order; rows of count 0 are ignored",
      );
    runs.push({ first, count, sequence, position });
    next += count;
  }
  if (next !== tokens) reject("attention", `"runs" cover ${next} of ${tokens} tokens`);
  return runs;
}

/** The cache as the elements that its sequences see. */
class Cache {
  readonly #problem: AttentionProblem;
  readonly #pages: RefTensor;
  readonly #keys: RefTensor;
  readonly #values: RefTensor;
  readonly #keyScales: RefTensor | undefined;
  readonly #valueScales: RefTensor | undefined;

  constructor(inputs: readonly (RefTensor | undefined)[], problem: AttentionProblem) {
    this.#problem = problem;
    this.#pages = input(inputs, ATTENTION_INPUTS.pages);
    this.#keys = input(inputs, ATTENTION_INPUTS.keys);
    this.#values = input(inputs, ATTENTION_INPUTS.values);
    this.#keyScales = inputs[ATTENTION_INPUTS.keyScales];
    this.#valueScales = inputs[ATTENTION_INPUTS.valueScales];
  }

  /** Writes all heads of token `token` of `k` and `v` at `position` of `sequence`. */
  append(sequence: number, position: number, k: Float64Array, v: Float64Array, token: number): void {
    const { kvHeads, head } = this.#problem;
    const page = this.#page(sequence, position);
    const slot = position % this.#problem.pageSize;
    for (let h = 0; h < kvHeads; h++) {
      const from = (token * kvHeads + h) * head;
      const at = page * kvHeads + h;
      this.#put(k.subarray(from, from + head), this.#keys, this.#keyScales, (d, length) =>
        this.#keyAt(at, d, length, slot),
      );
      this.#put(v.subarray(from, from + head), this.#values, this.#valueScales, (d, length) =>
        this.#valueAt(at, d, length, slot),
      );
    }
  }

  /** Σ q[d] · key[d] over one head. */
  score(sequence: number, position: number, h: number, q: Float64Array): number {
    const at = this.#page(sequence, position) * this.#problem.kvHeads + h;
    const slot = position % this.#problem.pageSize;
    let sum = 0;
    for (let d = 0; d < q.length; d++)
      sum +=
        (q[d] as number) *
        this.#element(this.#keys, this.#keyScales, d, (i, length) => this.#keyAt(at, i, length, slot));
    return sum;
  }

  /** Adds `weight` times the value of one head to `sum`. */
  addValue(sequence: number, position: number, h: number, weight: number, sum: Float64Array): void {
    const at = this.#page(sequence, position) * this.#problem.kvHeads + h;
    const slot = position % this.#problem.pageSize;
    for (let d = 0; d < sum.length; d++)
      (sum[d] as number) +=
        weight * this.#element(this.#values, this.#valueScales, d, (i, length) => this.#valueAt(at, i, length, slot));
  }

  #page(sequence: number, position: number): number {
    const [sequences, perSequence] = this.#pages.shape as [number, number];
    const index = Math.floor(position / this.#problem.pageSize);
    if (sequence < 0 || sequence >= sequences || index >= perSequence)
      reject(
        "attention",
        `position ${position} of sequence ${sequence} has no entry in "pages", which is [${sequences}, ${perSequence}]`,
      );
    const page = this.#pages.data[sequence * perSequence + index] as number;
    const pool = this.#keys.shape[0] as number;
    if (page < 0 || page >= pool)
      reject("attention", `page ${page} of sequence ${sequence} is not among the ${pool} of the cache`);
    return page;
  }

  /** [pages · Hkv, D, pageSize], or the scales with D / 32 in place of D. */
  #keyAt(at: number, d: number, length: number, slot: number): number {
    return (at * length + d) * this.#problem.pageSize + slot;
  }

  /** [pages · Hkv, pageSize, D]. */
  #valueAt(at: number, d: number, length: number, slot: number): number {
    return (at * this.#problem.pageSize + slot) * length + d;
  }

  #element(
    cache: RefTensor,
    scales: RefTensor | undefined,
    d: number,
    place: (d: number, length: number) => number,
  ): number {
    const { head } = this.#problem;
    const element = cache.data[place(d, head)] as number;
    if (scales === undefined) return element;
    return element * (scales.data[place(Math.floor(d / SCALED_BLOCK), head / SCALED_BLOCK)] as number);
  }

  #put(
    elements: Float64Array,
    cache: RefTensor,
    scales: RefTensor | undefined,
    place: (d: number, length: number) => number,
  ): void {
    const { head } = this.#problem;
    if (scales === undefined) {
      elements.forEach((x, d) => (cache.data[place(d, head)] = roundFloat(cache.dtype, x)));
      return;
    }
    for (let block = 0; block < head / SCALED_BLOCK; block++) {
      const part = elements.subarray(block * SCALED_BLOCK, (block + 1) * SCALED_BLOCK);
      const { scale, quants } = quantiseBlock(part);
      scales.data[place(block, head / SCALED_BLOCK)] = scale;
      quants.forEach((x, i) => (cache.data[place(block * SCALED_BLOCK + i, head)] = x));
    }
  }
}

/** A block as integers in -127..127 times an f16 scale; every step is one f32 operation. */
function quantiseBlock(block: Float64Array): { scale: number; quants: Float64Array } {
  const most = block.reduce((top, x) => Math.max(top, Math.abs(x)), 0);
  const scale = Math.f16round(Math.fround(most * Math.fround(1 / 127)));
  const inverse = scale > 0 ? Math.fround(1 / scale) : 0;
  const quants = block.map((x) => Math.min(Math.max(roundHalfEven(Math.fround(x * inverse)), -127), 127));
  return { scale, quants };
}

function attendRun(run: Run, problem: AttentionProblem, cache: Cache, q: Float64Array, result: Float64Array): void {
  const { queryHeads, group, head, scale, softcap, window } = problem;
  for (let i = 0; i < run.count; i++) {
    const position = run.position + i;
    const from = window === 0 ? 0 : Math.max(0, position - window + 1);
    for (let h = 0; h < queryHeads; h++) {
      const at = ((run.first + i) * queryHeads + h) * head;
      const kvHead = Math.floor(h / group);
      const scores = new Float64Array(position + 1 - from);
      for (let p = from; p <= position; p++) {
        const score = cache.score(run.sequence, p, kvHead, q.subarray(at, at + head)) * scale;
        scores[p - from] = softcap === 0 ? score : softcap * Math.tanh(score / softcap);
      }
      const top = scores.reduce((most, x) => Math.max(most, x), -Infinity);
      const weights = scores.map((x) => Math.exp(x - top));
      const total = weights.reduce((sum, x) => sum + x, 0);
      const sum = result.subarray(at, at + head);
      weights.forEach((weight, j) => cache.addValue(run.sequence, from + j, kvHead, weight / total, sum));
    }
  }
}
