/** The statistics of the gate itself, from the sources of the arm: `@quern/bench` would be the harness in both. */

import { defineBench } from "@quern/bench/define";
import { changePoints, type ChangePoint } from "../packages/bench/src/statistics/change-points.ts";
import { hierarchicalBootstrap } from "../packages/bench/src/statistics/bootstrap.ts";
import { pAbove, trimmed } from "../packages/bench/src/statistics/trimmed.ts";

const PAIRS = 48;
const ROUNDS = 20;
const RESAMPLES = 100;

const estimate = defineBench<undefined, number[][], Float64Array>({
  id: "statistics/estimate",
  params: { pairs: PAIRS, rounds: ROUNDS, resamples: RESAMPLES },
  inputs: (random) =>
    Array.from({ length: PAIRS }, () => Array.from({ length: ROUNDS }, () => 0.05 + 0.02 * random.normal())),
  run(_, pairs) {
    const { centre, low, high } = hierarchicalBootstrap(pairs, 1, RESAMPLES);
    const p = pAbove(trimmed(pairs.map((rounds) => rounds[0] ?? 0)), 0.01);
    return Float64Array.of(centre, low ?? 0, high ?? 0, p);
  },
  check: (_, [centre = 0, low = 0, high = 0, p = 1]) =>
    low < centre && centre < high && Math.abs(centre - 0.05) < 0.01 && p < 0.001 ? 0 : 1,
});

const POINTS = 100;
const STEP = 60;

const changes = defineBench<undefined, Float64Array, readonly ChangePoint[]>({
  id: "statistics/change-points",
  params: { points: POINTS },
  inputs: (random) => Float64Array.from({ length: POINTS }, (_, i) => (i < STEP ? 0 : 0.1) + 0.02 * random.normal()),
  run: (_, series) => changePoints(Array.from(series)),
  outputs: (found) => found.map(({ index }) => index),
  check: (_, found) => (found.some(({ index }) => Math.abs(index - STEP) <= 2) ? 0 : 1),
});

export default [estimate, changes];
