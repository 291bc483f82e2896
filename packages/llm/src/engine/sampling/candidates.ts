/**
 * The tokens that may come next, with their logits. It begins with the whole vocabulary; samplers change logits and drop
 * tokens. The memory is reused from token to token, for any number of sequences: sampling does not wait in between. Nothing
 * is copied or sorted that need not be: a vocabulary has up to a quarter of a million tokens.
 */

import { UserError } from "@quern/core";
import { expOfNegative } from "./exponential.ts";
import { greatest, largest } from "./largest.ts";

/** Up to this many candidates are sorted; of more, only those near the boundary. */
const SORTED = 512;
const BUCKETS = 2048;

export class Candidates {
  readonly #ids: Int32Array;
  readonly #own: Float32Array;
  readonly #weights: Float64Array;
  readonly #buckets: Float64Array = new Float64Array(BUCKETS);
  #logits: Float32Array;
  /** Every token is there: the one at place i has id i. */
  #whole = true;
  #size = 0;

  constructor(vocabularySize: number) {
    this.#ids = new Int32Array(vocabularySize);
    this.#own = new Float32Array(vocabularySize);
    this.#weights = new Float64Array(vocabularySize);
    this.#logits = this.#own;
  }

  get size(): number {
    return this.#size;
  }

  /** The first `size` are those of the candidates. Not to be written. */
  get logits(): Float32Array {
    return this.#logits;
  }

  /** The ids of the candidates, in order. */
  get ids(): number[] {
    return Array.from({ length: this.#size }, (_, place) => this.idAt(place));
  }

  idAt(place: number): number {
    return this.#whole ? place : (this.#ids[place] as number);
  }

  /** Starts over with all tokens. `row` is read until the next call, and never written. */
  load(row: Float32Array): this {
    this.#logits = row;
    this.#size = row.length;
    this.#whole = true;
    return this;
  }

  /** The logits, to be changed. */
  writable(): Float32Array {
    if (this.#logits !== this.#own) {
      this.#own.set(this.#logits.subarray(0, this.#size));
      this.#logits = this.#own;
    }
    return this.#own;
  }

  /** Greatest logit. Throws a `UserError` when no token is possible. */
  max(): number {
    const max = greatest(this.#logits, this.#size);
    if (max === Number.NEGATIVE_INFINITY || max === Number.POSITIVE_INFINITY) throw noToken();
    return max;
  }

  /** Keeps the tokens at these places, in this order. */
  keep(places: Int32Array): void {
    const ids = Int32Array.from(places, (place) => this.idAt(place));
    const logits = Float32Array.from(places, (place) => this.#logits[place] as number);
    this.#ids.set(ids);
    this.#own.set(logits);
    this.#logits = this.#own;
    this.#size = places.length;
    this.#whole = false;
  }

  /** Keeps the tokens whose logit is at least `threshold`. */
  keepFrom(threshold: number): void {
    const logits = this.#logits;
    let kept = 0;
    for (let i = 0; i < this.#size; i++) {
      const logit = logits[i] as number;
      if (!(logit >= threshold)) continue;
      this.#ids[kept] = this.idAt(i);
      this.#own[kept++] = logit;
    }
    this.#logits = this.#own;
    this.#size = kept;
    this.#whole = false;
  }

  /** exp(logit − maximum) of every candidate, and their sum. Valid until candidates change. */
  weigh(): { readonly weights: Float64Array; readonly sum: number; readonly max: number } {
    const max = this.max();
    const [logits, weights] = [this.#logits, this.#weights];
    let sum = 0;
    for (let i = 0; i < this.#size; i++) {
      const weight = expOfNegative((logits[i] as number) - max);
      weights[i] = weight;
      sum += weight;
    }
    return { weights, sum, max };
  }

  /**
   * Keeps as few tokens as have at least the share `mass` of all probability together, best score first; one at least.
   * `scores` are their logits unless given.
   */
  keepMass(mass: number, scores: Float32Array = this.#logits): void {
    const { weights, sum } = this.weigh();
    const enough = mass * sum;
    if (this.#size <= SORTED) {
      const order = largest(scores, this.#size, this.#size);
      this.keep(order.subarray(0, countFor(enough, order, weights)));
      return;
    }
    const bucketOf = bucketing(scores, this.#size);
    const buckets = this.#buckets.fill(0);
    for (let i = 0; i < this.#size; i++) {
      const bucket = bucketOf(scores[i] as number);
      buckets[bucket] = (buckets[bucket] as number) + (weights[i] as number);
    }
    let [boundary, above] = [0, 0];
    while (boundary < BUCKETS - 1 && above + (buckets[boundary] as number) < enough)
      above += buckets[boundary++] as number;
    const kept: number[] = [];
    const near: number[] = [];
    for (let i = 0; i < this.#size; i++) {
      const bucket = bucketOf(scores[i] as number);
      if (bucket < boundary) kept.push(i);
      else if (bucket === boundary) near.push(i);
    }
    const nearScores = Float32Array.from(near, (place) => scores[place] as number);
    const order = largest(nearScores, near.length, near.length).map((i) => near[i] as number);
    for (const place of order.subarray(0, countFor(enough - above, order, weights))) kept.push(place);
    this.keep(Int32Array.from(kept));
  }

  /** The token at `share` (0 to 1) of all probability, in the order of the candidates. */
  draw(share: number): number {
    const { weights, sum } = this.weigh();
    let left = share * sum;
    let last = 0;
    for (let i = 0; i < this.#size; i++) {
      const weight = weights[i] as number;
      if (weight === 0) continue;
      last = i;
      left -= weight;
      if (left < 0) break;
    }
    return this.idAt(last);
  }
}

/** How many of `order` it takes to have `enough` weight; one at least. */
function countFor(enough: number, order: Int32Array, weights: Float64Array): number {
  let count = 1;
  let sum = weights[order[0] as number] as number;
  while (count < order.length && sum < enough) sum += weights[order[count++] as number] as number;
  return count;
}

/** Cuts the range of the finite scores into buckets of the same width, the best score in the first. */
function bucketing(scores: Float32Array, size: number): (score: number) => number {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let i = 0; i < size; i++) {
    const score = scores[i] as number;
    if (score > high) high = score;
    if (score < low && score > Number.NEGATIVE_INFINITY) low = score;
  }
  const perUnit = high > low ? (BUCKETS - 2) / (high - low) : 0;
  // What is excluded has infinite distance, and comes last.
  return (score) => (score >= low ? Math.floor((high - score) * perUnit) : BUCKETS - 1);
}

export function noToken(): UserError {
  return new UserError("no token can come next: the logits are not numbers, or all are excluded", {
    hint: "look at logitBias; if there is none, the model or its file is damaged",
  });
}
