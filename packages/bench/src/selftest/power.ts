/** AT5: the minimum detectable effect that is printed is the one that is found in 95 of 100 runs. */

import { gatePolicy } from "../gate/policy.ts";
import { median } from "../statistics/basics.ts";
import { scaled, type SelftestOptions, type SelftestResult } from "./result.ts";
import { heavyNoise, normalNoise, simulateGate, type Noise } from "./simulate.ts";

const EFFECTS = [0.02, 0.03, 0.04, 0.05, 0.08];
/** Where the power curve crosses 95 % is looked for on this grid: +1.5 % to +9 %. */
const GRID = Array.from({ length: 31 }, (_, i) => 0.015 + 0.0025 * i);
const LARGEST_ERROR = 0.005;

const NOISES: readonly (readonly [name: string, noise: Noise])[] = [
  ["1 %", normalNoise(0.01)],
  ["2 %", normalNoise(0.02)],
  ["4 %", normalNoise(0.04)],
  ["1 % with heavy tails", heavyNoise(0.01)],
  ["2 % with heavy tails", heavyNoise(0.02)],
];

const policy = gatePolicy("ci", { bootstrap: 0 });

/** Power of the ci profile at +2, 3, 4, 5 and 8 %, and the point of 95 % beside the one that runs print. */
export async function testPower(options: SelftestOptions): Promise<SelftestResult> {
  const runs = scaled(400, options);
  const numbers: Record<string, number> = { runs };
  const lines: string[] = [];
  let worst = 0;
  for (const [name, noise] of NOISES) {
    const curve = GRID.map((effect) => powerAt(effect, noise, runs, options.seed));
    const measured = crossing(curve.map(({ power }) => power));
    // What a run prints that would be looking at such a change.
    const printed = median(curve.map(({ printed: mde }) => mde));
    const error = Math.abs(printed - measured);
    worst = Math.max(worst, Number.isNaN(error) ? Infinity : error);
    const shown = EFFECTS.map((effect) => {
      const { power } = powerAt(effect, noise, runs, options.seed);
      numbers[`spread ${name}: power at +${percent(effect)}`] = power;
      return `+${percent(effect)} ${(100 * power).toFixed(0)} %`;
    });
    numbers[`spread ${name}: measured`] = measured;
    numbers[`spread ${name}: printed`] = printed;
    lines.push(`spread ${name}: ${shown.join(", ")}; 95 % at +${percent(measured)}, printed ${percent(printed)}`);
  }
  numbers["largest error"] = worst;
  return {
    test: "AT5",
    title: "printed and measured detectable effect",
    passed: worst <= LARGEST_ERROR,
    detail: `${lines.join("\n")}\n(limit: they differ by at most half a percentage point)`,
    numbers,
  };
}

function percent(value: number): string {
  return `${Number((100 * value).toFixed(2))} %`;
}

function powerAt(effect: number, noise: Noise, runs: number, seed: number): { power: number; printed: number } {
  const printed: number[] = [];
  let found = 0;
  for (let run = 0; run < runs; run++) {
    const benches = [{ id: "bench", ratio: 1 + effect, noise }];
    const [bench] = simulateGate({ benches, policy, seed, run: `power ${effect} ${run}` }).benches;
    if (bench?.verdict === "REGRESSED") found++;
    if (bench?.estimate != null) printed.push(bench.estimate.mde);
  }
  return { power: found / runs, printed: median(printed) };
}

/**
 * Effect at which the curve passes 95 % for good, between two points of the grid. The curve is smoothed first: it must not
 * fall, so each point takes the mean of a run of points that fall (pool adjacent violators). NaN if it stays below.
 */
function crossing(power: readonly number[]): number {
  const smooth = isotonic(power);
  const at = smooth.findIndex((value) => value >= 0.95);
  if (at < 0) return Number.NaN;
  const right = GRID[at] as number;
  if (at === 0) return right;
  const left = GRID[at - 1] as number;
  const before = smooth[at - 1] as number;
  return left + ((right - left) * (0.95 - before)) / ((smooth[at] as number) - before);
}

function isotonic(values: readonly number[]): number[] {
  const blocks: { sum: number; count: number }[] = [];
  for (const value of values) {
    let block = { sum: value, count: 1 };
    for (
      let last = blocks.at(-1);
      last !== undefined && last.sum / last.count > block.sum / block.count;
      last = blocks.at(-1)
    ) {
      block = { sum: block.sum + last.sum, count: block.count + last.count };
      blocks.pop();
    }
    blocks.push(block);
  }
  return blocks.flatMap(({ sum, count }) => Array<number>(count).fill(sum / count));
}
