/** When requests are due, and what they ask: from one seed, but for the word by which runs differ. */

import { Random } from "../harness/random.ts";
import type { Arrivals } from "./types.ts";

/** Times of a Poisson process, in milliseconds from its start: gaps are exponential with mean 1 / rate. */
export function poissonTimes(rate: number, count: number, seed: number): number[] {
  const random = Random.of(seed, "arrivals");
  let at = 0;
  return Array.from({ length: count }, () => {
    const due = at;
    at += (-1000 / rate) * Math.log(1 - random.uniform());
    return due;
  });
}

/** When each request is due; undefined: when its client is free. */
export function dueTimes(arrivals: Arrivals, count: number, seed: number): (number | undefined)[] {
  if (arrivals.kind === "poisson") return poissonTimes(arrivals.rate, count, seed);
  return Array.from({ length: count }, () => (arrivals.kind === "burst" ? 0 : undefined));
}

/** Common short words, most of them one token to every tokeniser. */
const WORDS =
  "the of and to in is that it for was on are as with his they at be this from have or by one had not but what all were when we there can an your which their said if do will each about how up out them then she many some so these would other into has more her two like him see time could no make than first been its who now people my made over did down only way find use may water long little very after words called just where most know".split(
    " ",
  );

/**
 * A prompt of `words` words. The first is the number of the request and `nonce`, another text for every run: a server that keeps
 * what prompts begin with has met it neither in this run nor in one before. The number comes first, since what all prompts of a run
 * begin with would be kept after the first of them.
 */
export function promptOf(index: number, words: number, seed: number, nonce: string): string {
  const random = Random.of(seed, "prompt", index);
  const drawn = Array.from({ length: words - 1 }, () => WORDS[random.below(WORDS.length)]);
  return [`${index}-${nonce}`, ...drawn].join(" ");
}
