/** AT13: p-values of identical builds are uniform, and intervals cover what was injected. */

import { Random } from "../harness/random.ts";
import { analyse, pBeyond } from "../gate/estimate.ts";
import { kolmogorovSmirnov } from "../statistics/kolmogorov-smirnov.ts";
import { scaled, type SelftestOptions, type SelftestResult } from "./result.ts";
import { drawNoise, heavyNoise, normalNoise, type Noise } from "./simulate.ts";

const INJECTED = 0.05;
const ROUNDS = 8;
const ROUND_SPREAD = 0.015;

const NOISES: readonly (readonly [name: string, noise: Noise])[] = [
  ["normal", normalNoise(0.01)],
  ["heavy tails", heavyNoise(0.01)],
];

/** 500 A/A p-values of 16 and of 48 pairs against no change, and 4000 intervals of each around +5 %. */
export async function testCalibration(options: SelftestOptions): Promise<SelftestResult> {
  const tests = scaled(500, options);
  const intervals = scaled(4000, options);
  const numbers: Record<string, number> = { tests, intervals };
  const lines: string[] = [];
  let passed = true;
  for (const [name, noise] of NOISES) {
    for (const pairs of [16, 48]) {
      const label = `${name}, ${pairs} pairs`;
      const random = Random.of(options.seed, "calibration", label);
      const p = kolmogorovSmirnov(Array.from({ length: tests }, () => slowerP(pairs, noise, random))).p;
      const coverage = coverageOf(intervals, pairs, noise, random);
      passed &&= p > 0.01 && coverage >= 0.93 && coverage <= 0.97;
      numbers[`${label}: p of uniformity`] = p;
      numbers[`${label}: coverage`] = coverage;
      lines.push(`${label}: KS p = ${p.toPrecision(2)}, coverage ${(100 * coverage).toFixed(1)} %`);
    }
  }
  return {
    test: "AT13",
    title: "p-values are uniform and intervals cover",
    passed,
    detail: `${lines.join("\n")}\n(limits: KS p above 0.01, coverage from 93 % to 97 %)`,
    numbers,
  };
}

/** Log-ratios of pairs that differ by `shift`, and by noise of pairs and of rounds. */
function drawLogRatios(pairs: number, shift: number, noise: Noise, random: Random): number[][] {
  return Array.from({ length: pairs }, () => {
    const pair = shift + drawNoise(noise, random);
    return Array.from({ length: ROUNDS }, () => pair + ROUND_SPREAD * random.normal());
  });
}

function slowerP(pairs: number, noise: Noise, random: Random): number {
  const analysis = analyse(drawLogRatios(pairs, 0, noise, random));
  return analysis === null ? Number.NaN : pBeyond(analysis, "slower", 0);
}

function coverageOf(intervals: number, pairs: number, noise: Noise, random: Random): number {
  const truth = Math.log1p(INJECTED);
  let covered = 0;
  for (let i = 0; i < intervals; i++) {
    const analysis = analyse(drawLogRatios(pairs, truth, noise, random));
    if (analysis !== null && analysis.low <= truth && truth <= analysis.high) covered++;
  }
  return covered / intervals;
}
