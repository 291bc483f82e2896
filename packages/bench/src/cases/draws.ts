/**
 * How made-up numbers are drawn. Most sets of a pool are normal; one is structured and one adversarial, since speed may depend on
 * values: kernels that look for zeros or repeats, approximations with branches, power that falls with fewer flipping bits.
 *
 * All have the same root mean square, so that what a model overflows with in one set it overflows with in all. None has denormal
 * numbers, which some processors take a hundred times as long for: that would be all that a ratio says.
 */

import type { Random } from "../harness/random.ts";
import type { Fill } from "./workload.ts";

type NormalFill = Extract<Fill, { kind: "normal" }>;

/** What a set is. Pools have three sets at least, so that they have one of each. */
export type SetKind = "normal" | "structured" | "adversarial";

export function setKind(set: number): SetKind {
  return (["normal", "structured", "adversarial"] as const)[set] ?? "normal";
}

/** Samples in a period of the structured set. */
const SHORTEST_PERIOD = 5;
const LONGEST_PERIOD = 50;
const DECADES = 6;

/** The numbers of one input in one set, in order. */
export function drawsOf({ scale }: NormalFill, set: number, random: Random): () => number {
  const kind = setKind(set);
  if (kind === "structured") {
    const step = (2 * Math.PI) / (SHORTEST_PERIOD + (LONGEST_PERIOD - SHORTEST_PERIOD) * random.uniform());
    let angle = 2 * Math.PI * random.uniform();
    return () => scale * Math.SQRT2 * Math.sin((angle += step));
  }
  if (kind === "adversarial") {
    // The mean of 10^2u over [-d, 0] is (1 - 10^-2d) / (2 d ln 10).
    const largest = scale * Math.sqrt((2 * DECADES * Math.LN10) / (1 - 10 ** (-2 * DECADES)));
    return () => (random.below(2) === 0 ? 1 : -1) * largest * 10 ** (-DECADES * random.uniform());
  }
  return () => scale * random.normal();
}

/** For people and files: what the inputs of a fill are. */
export function distributionOf(fill: Fill): string {
  switch (fill.kind) {
    case "files":
      return `values of files; in sets beyond them noise N(0, (${fill.noise} rms)²), integers in other places`;
    case "integers":
      return `integers, uniform below ${fill.below}`;
    case "normal":
      return (
        `N(0, ${fill.scale}²); set 1 a sine with a period of ${SHORTEST_PERIOD} to ${LONGEST_PERIOD} numbers, ` +
        `set 2 of either sign and uniform in the logarithm over ${DECADES} decades, both of the same rms`
      );
  }
}
