/** AT17: change points of synthetic histories; AT15: creep that no single gate run sees. */

import { Random } from "../harness/random.ts";
import { gatePolicy } from "../gate/policy.ts";
import { analyseSeries, LEAST_POINTS, newlyFound } from "../history/analyse.ts";
import { RECORD_VERSION } from "../history/record.ts";
import type { Series } from "../history/series.ts";
import { changePoints } from "../statistics/change-points.ts";
import { scaled, type SelftestOptions, type SelftestResult } from "./result.ts";
import { normalNoise, simulateGate } from "./simulate.ts";

const POINTS = 100;
const STEP_AT = 60;
const SPREAD = 0.02;
const STEP = 0.05;

/** Histories of 100 points with 2 % noise: a step of 5 % at point 60 must be found, and nothing where there is none. */
export async function testChangePoints(options: SelftestOptions): Promise<SelftestResult> {
  const series = scaled(1000, options);
  let found = 0;
  let more = 0;
  let falseAlarms = 0;
  for (let i = 0; i < series; i++) {
    const flat = history(options.seed, `flat ${i}`, () => 0);
    if (changePoints(flat).length > 0) falseAlarms++;
    const stepped = changePoints(history(options.seed, `step ${i}`, (t) => (t >= STEP_AT ? Math.log1p(STEP) : 0)));
    if (stepped.some(({ index }) => Math.abs(index - STEP_AT) <= 2)) found++;
    if (stepped.length > 1) more++;
  }
  const numbers = { series, found: found / series, falseAlarms: falseAlarms / series, more: more / series };
  return {
    test: "AT17",
    title: "change points of synthetic histories",
    passed: numbers.found >= 0.95 && numbers.falseAlarms <= 0.01,
    detail:
      `a step of 5 % was found within 2 points in ${found} of ${series} histories (at least 95 %), ` +
      `${falseAlarms} of ${series} histories without a step were flagged (at most 1 %)`,
    numbers,
  };
}

function history(seed: number, label: string, level: (point: number) => number): number[] {
  const random = Random.of(seed, "history", label);
  return Array.from({ length: POINTS }, (_, t) => level(t) + SPREAD * random.normal());
}

const COMMITS = 6;
const CREEP = 0.015;
const NIGHTS_BEFORE = 30;
const NIGHTS_AFTER = 3;
/** Of the difference between bench and control in one night: a night has many pairs. */
const NIGHTLY_SPREAD = 0.01;
const PAIR_SPREAD = 0.01;
const NIGHT = 86_400_000;
/** What the nightly job goes by: `history analyze --fail-since 3d`. */
const NEW_FOR = 3 * NIGHT;

/**
 * One commit a night, six times +1.5 %. No gate run may fail, since each is below the threshold of 2.5 %; the nightly run
 * against the last release must see it three nights after the sum exceeds the threshold, and the alarm of the nightly job
 * on its history three nights after the last commit.
 */
export async function testCreep(options: SelftestOptions): Promise<SelftestResult> {
  const histories = scaled(100, options);
  const policy = gatePolicy("ci", { bootstrap: 0 });
  const fails = (ratio: number, run: string): boolean => {
    const benches = [{ id: "bench", ratio, noise: normalNoise(PAIR_SPREAD) }];
    return simulateGate({ benches, policy, seed: options.seed, run }).benches[0]?.verdict === "REGRESSED";
  };
  const dueAt = Math.ceil(Math.log1p(policy.delta) / Math.log1p(CREEP)) + NIGHTS_AFTER;
  let gateFailures = 0;
  let byRelease = 0;
  let byHistory = 0;
  let tooEarly = 0;
  for (let i = 0; i < histories; i++) {
    for (let commit = 0; commit < COMMITS; commit++) {
      if (fails(1 + CREEP, `gate ${i} ${commit}`)) gateFailures++;
    }
    const nights = Array.from({ length: dueAt }, (_, night) => Math.min(night + 1, COMMITS));
    if (nights.some((commits, night) => fails((1 + CREEP) ** commits, `release ${i} ${night}`))) byRelease++;
    const alarms = nightlyAlarms(creepingSeries(Random.of(options.seed, "creep", i)));
    if (alarms.some((night) => night >= NIGHTS_BEFORE)) byHistory++;
    if (alarms.some((night) => night < NIGHTS_BEFORE)) tooEarly++;
  }
  const gateRuns = histories * COMMITS;
  const share = (count: number): number => count / histories;
  const numbers = {
    histories,
    gateFailures: gateFailures / gateRuns,
    foundByRelease: share(byRelease),
    foundByHistory: share(byHistory),
    alarmsBefore: share(tooEarly),
  };
  return {
    test: "AT15",
    title: "creep: six commits of +1.5 % each",
    passed: numbers.gateFailures <= 0.01 && numbers.foundByRelease >= 0.95 && numbers.foundByHistory >= 0.95,
    detail:
      `${gateFailures} of ${gateRuns} gate runs of single commits failed (at most 1 %); within ${NIGHTS_AFTER} nights the run ` +
      `against the release found it in ${byRelease} of ${histories} histories and the alarm on the history in ${byHistory} ` +
      `(at least 95 %); in ${tooEarly} histories there was one in the ${NIGHTS_BEFORE} nights before`,
    numbers,
  };
}

/** A night's record each: a level, then one commit a night that is slower, then the level they left. */
function creepingSeries(random: Random): Series {
  const points = Array.from({ length: NIGHTS_BEFORE + COMMITS + NIGHTS_AFTER }, (_, night) => {
    const commits = Math.min(COMMITS, Math.max(0, night - NIGHTS_BEFORE + 1));
    const value = Math.exp(commits * Math.log1p(CREEP) + NIGHTLY_SPREAD * random.normal());
    const record = {
      schema: RECORD_VERSION,
      run: `night ${night}`,
      at: new Date(night * NIGHT).toISOString(),
      kind: "gate",
      class: "simulated",
      fingerprint: "simulated",
      bench: "bench",
      unit: "ns",
      value,
      controls: {},
    } as const;
    return { record, value };
  });
  return { bench: "bench", params: {}, class: "simulated", unit: "ns", controls: [], points };
}

/** Nights, counted from 0, on which the nightly job fails by a slow-down that it finds only since a few days. */
function nightlyAlarms(series: Series): number[] {
  return series.points.flatMap(({ record }, night) => {
    if (night + 1 < LEAST_POINTS) return [];
    const analysis = analyseSeries({ ...series, points: series.points.slice(0, night + 1) });
    const alarms = newlyFound(analysis, Date.parse(record.at) - NEW_FOR).filter(({ ratio }) => ratio > 1);
    return alarms.length > 0 ? [night] : [];
  });
}
