/** Records of gate runs whose every estimate is known beforehand. */

import type { PairRecord, StageRecord } from "../results/schema.ts";
import type { BenchVerdict, GateRecord, MeasuredBench, Verdicts } from "./types.ts";

/** Pairs around a log-ratio; deviations are symmetric, so that every centre is exactly the shift. */
export function pairs(count: number, shift: number, spread: number, first = 0): PairRecord[] {
  return Array.from({ length: count }, (_, i): PairRecord => {
    const deviation = spread * ((2 * (i + 0.5)) / count - 1);
    const base = [1000, 1010, 1020];
    const head = base.map((time) => time * Math.exp(shift + deviation));
    return { index: first + i, order: i % 2 === 0 ? "base-first" : "head-first", base, head };
  });
}

export function stage(name: StageRecord["stage"], count: number, change: number, spread = 0.01): StageRecord {
  return { stage: name, pairs: pairs(count, Math.log1p(change), spread) };
}

export function bench(id: string, stages: readonly StageRecord[], more: Partial<MeasuredBench> = {}): MeasuredBench {
  return { id, delta: 0.025, stages, flags: [], check: null, ...more };
}

export function run(benches: readonly MeasuredBench[], more: Partial<GateRecord> = {}): GateRecord {
  return { seed: 1, benches, controls: [], changed: [], ...more };
}

/** A bench whose stages all show the same change. */
export function steady(id: string, change: number, more: Partial<MeasuredBench> = {}): MeasuredBench {
  const confirm = Math.abs(change) > 0.01 ? [stage("confirm", 48, change)] : [];
  return bench(id, [stage("screen", 16, change), ...confirm], more);
}

/** The verdict of a run of one bench. */
export function only(verdicts: Verdicts): BenchVerdict {
  const [found, ...more] = verdicts.benches;
  if (found === undefined || more.length > 0)
    throw new Error(`there are verdicts of ${verdicts.benches.length} benches`);
  return found;
}
