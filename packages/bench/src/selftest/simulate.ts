/**
 * Simulated runs of the gate: samples as a machine would give them, screened, confirmed and judged by the real code. For
 * questions that need thousands of runs: false alarms, power, coverage.
 */

import { Random } from "../harness/random.ts";
import { extendable, judge, suspectsOf } from "../gate/judge.ts";
import type { GatePolicy } from "../gate/policy.ts";
import type { GateRecord, MeasuredBench, MeasuredControl, Verdicts } from "../gate/types.ts";
import type { PairRecord, StageRecord } from "../results/schema.ts";

/** Noise of the log-ratio of a pair. */
export interface Noise {
  /** Standard deviation of most pairs. */
  readonly core: number;
  /** Share of pairs that are worse, and by what factor. */
  readonly tail: number;
  readonly tailFactor: number;
}

export function normalNoise(core: number): Noise {
  return { core, tail: 0, tailFactor: 1 };
}

/** As measured in a bad hour of a shared machine: one pair in six is off by several times the usual. */
export function heavyNoise(core: number): Noise {
  return { core, tail: 0.16, tailFactor: 6 };
}

export function drawNoise({ core, tail, tailFactor }: Noise, random: Random): number {
  return core * random.normal() * (random.uniform() < tail ? tailFactor : 1);
}

export interface SimulatedBench {
  readonly id: string;
  /** Head over base. */
  readonly ratio: number;
  readonly noise: Noise;
  readonly delta?: number;
}

export interface Simulation {
  readonly benches: readonly SimulatedBench[];
  readonly policy: GatePolicy;
  readonly seed: number;
  /** Names the run in the random stream. */
  readonly run: number | string;
  readonly controls?: readonly SimulatedBench[];
  /** Rounds of a pair and the noise of one round; by default one round, without noise of its own. */
  readonly rounds?: number;
  readonly roundNoise?: number;
}

/** Measures, by chance, as a gate would: all benches, then the suspects again. */
export function simulateRecord(simulation: Simulation): GateRecord {
  const { benches, controls = [], policy, seed, run } = simulation;
  const random = Random.of(seed, "simulated run", run);
  const stages = new Map<string, StageRecord[]>();
  let first = 0;
  const measure = (stage: StageRecord["stage"], pairs: number, ids: readonly string[]): void => {
    for (const bench of [...benches, ...controls]) {
      if (!ids.includes(bench.id) && !controls.includes(bench)) continue;
      const record = { stage, pairs: drawPairs(bench, pairs, first, simulation, random) };
      stages.set(bench.id, [...(stages.get(bench.id) ?? []), record]);
    }
    first += pairs;
  };
  const record = (): GateRecord => ({
    seed,
    benches: benches.map((bench) => measuredBench(bench, stages.get(bench.id) ?? [], policy)),
    controls: controls.map(({ id }): MeasuredControl => ({ id, stages: stages.get(id) ?? [] })),
    changed: [],
  });
  measure(
    "screen",
    policy.screenPairs,
    benches.map(({ id }) => id),
  );
  const suspects = suspectsOf(record(), policy);
  if (suspects.length > 0) measure("confirm", policy.confirmPairs, suspects);
  const open = extendable(record(), policy);
  if (open.length > 0) measure("extension", policy.extensionPairs, open);
  return record();
}

export function simulateGate(simulation: Simulation): Verdicts {
  return judge(simulateRecord(simulation), simulation.policy);
}

function measuredBench(
  { id, delta }: SimulatedBench,
  stages: readonly StageRecord[],
  policy: GatePolicy,
): MeasuredBench {
  return { id, delta: delta ?? policy.delta, stages, flags: [], check: { checked: 1, maxError: 0, passed: true } };
}

const BASE_NS = 1e6;

function drawPairs(
  { ratio, noise }: SimulatedBench,
  pairs: number,
  first: number,
  { rounds = 1, roundNoise = 0 }: Simulation,
  random: Random,
): PairRecord[] {
  return Array.from({ length: pairs }, (_, pair): PairRecord => {
    const shift = Math.log(ratio) + drawNoise(noise, random);
    const base = Array.from({ length: rounds }, () => BASE_NS * Math.exp(roundNoise * random.normal()));
    const head = base.map((time) => time * Math.exp(shift + roundNoise * random.normal()));
    return { index: first + pair, order: pair % 2 === 0 ? "base-first" : "head-first", base, head };
  });
}
