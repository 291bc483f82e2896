/**
 * Bootstrap intervals, seeded; for display beside the interval that decides, because with few samples they are too short
 * (percentiles of a median: 90 to 94 % instead of 95 %).
 */

import { Random } from "../harness/random.ts";
import { ascending, median, type Estimate } from "./basics.ts";
import { trimCount, trimmed } from "./trimmed.ts";

/** Percentile bootstrap interval of the median. */
export function bootstrapMedian(values: readonly number[], seed: number, rounds = 2000, confidence = 0.95): Estimate {
  const centre = median(values);
  if (values.length < 2) return { centre, low: null, high: null, method: "none" };
  const random = Random.of(seed, "bootstrap");
  const medians = Array.from({ length: rounds }, () =>
    median(values.map(() => values[random.below(values.length)] as number)),
  );
  return { centre, ...percentiles(medians, confidence), method: "bootstrap" };
}

/** Resampled medians of a pair that are drawn from: enough to have its spread, far fewer than one for each resample. */
const MEDIANS = 64;

/**
 * Hierarchical bootstrap of pairs and of the rounds inside them: pairs are drawn with replacement, then rounds of each
 * drawn pair; its number is the median of them, and the centre the trimmed mean of the pairs. `pairs` are log-ratios; labels
 * after the seed give each bench its own stream.
 */
export function hierarchicalBootstrap(
  pairs: readonly (readonly number[])[],
  seed: number | readonly [seed: number, ...labels: (string | number)[]],
  resamples = 4000,
  confidence = 0.95,
): Estimate {
  const used = pairs.filter((rounds) => rounds.length > 0).map(ascending);
  const { centre } = trimmed(used.map(median));
  if (used.length < 2) return { centre, low: null, high: null, method: "none" };
  const [start, ...labels] = typeof seed === "number" ? [seed] : seed;
  const random = Random.of(start, "hierarchical bootstrap", ...labels);
  const medians = used.map((sorted) => Array.from({ length: MEDIANS }, () => resampledMedian(sorted, random)));
  const cut = trimCount(used.length);
  const drawn = new Float64Array(used.length); // sorts without calling back: most of the time goes there
  const centres = Array.from({ length: resamples }, () => {
    for (let i = 0; i < drawn.length; i++) {
      const pair = medians[random.below(medians.length)] as number[];
      drawn[i] = pair[random.below(MEDIANS)] as number;
    }
    drawn.sort();
    let sum = 0;
    for (let i = cut; i < drawn.length - cut; i++) sum += drawn[i] as number;
    return sum / (drawn.length - 2 * cut);
  });
  return { centre, ...percentiles(centres, confidence), method: "bootstrap" };
}

/** Median of a resample of sorted values: ranks are drawn and counted, which is faster than sorting. */
function resampledMedian(sorted: readonly number[], random: Random): number {
  const n = sorted.length;
  const counts = new Uint32Array(n);
  for (let i = 0; i < n; i++) {
    const rank = random.below(n);
    counts[rank] = (counts[rank] as number) + 1;
  }
  const at = (place: number): number => {
    let rank = 0;
    for (let seen = counts[0] as number; seen <= place; seen += counts[rank] as number) rank++;
    return sorted[rank] as number;
  };
  const upper = at(n >> 1);
  return n % 2 === 1 ? upper : (at((n >> 1) - 1) + upper) / 2;
}

function percentiles(estimates: readonly number[], confidence: number): { low: number; high: number } {
  const sorted = ascending(estimates);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] as number;
  return { low: at((1 - confidence) / 2), high: at((1 + confidence) / 2) };
}
