/** AT1, AT2, AT3: runs in which nothing has changed. How often do they fail? */

import { CALIBRATION_SCHEMA, type Calibration } from "../gate/calibration.ts";
import { EXIT } from "../gate/exit-codes.ts";
import { median, standardDeviation } from "../statistics/basics.ts";
import { rateUpperBound } from "../statistics/proportions.ts";
import { startBurstyLoad } from "./load.ts";
import { gateSuite, middle, type MeasuredOptions, type MeasuredTest } from "./measured.ts";
import { decision, percent, scaled, tooFew, type SelftestResult } from "./result.ts";
import { accusedIn, factsOf, isError, isValid, type RunFacts } from "./run-facts.ts";
import { SUITE, type SuiteArm } from "./suite-arms.ts";

/** With fewer valid runs nothing is said. It takes 299 without a failure to bound the rate by 1 %. */
const FEWEST_RUNS = 100;
const BAR = 0.01;
/** Fewer estimates have a spread that says nothing. */
const FEWEST_FOR_FLOOR = 5;

export interface IdenticalTest {
  readonly test: string;
  readonly title: string;
  /** Valid runs by default. */
  readonly runs: number;
  readonly head: (run: number) => SuiteArm;
  readonly load?: boolean;
  /** Failures that may be among so many valid runs. */
  readonly allowed: (valid: number) => number;
  /** What the spread of the estimates is: builds differ, so that it is a floor for thresholds. */
  readonly floors?: boolean;
}

/** None, or as many as still bound the rate of failures by 1 %: one in 473, two in 628. */
function failuresAllowed(valid: number): number {
  let allowed = 0;
  while (rateUpperBound(allowed + 1, Math.max(valid, allowed + 1)) <= BAR) allowed++;
  return allowed;
}

/**
 * Gates identical code until so many runs were valid. An invalid one says nothing about false alarms and is not counted: others
 * are measured in its place, half as many as were asked for at most.
 */
function identical(spec: IdenticalTest): MeasuredTest {
  return async (options: MeasuredOptions): Promise<SelftestResult> => {
    const wanted = options.runs ?? scaled(spec.runs, options);
    const most = wanted + Math.ceil(wanted / 2);
    const stopLoad = spec.load === true ? startBurstyLoad(options.seed) : (): void => {};
    const runs: RunFacts[] = [];
    try {
      for (let run = 0; run < most && runs.filter(isValid).length < wanted; run++) {
        const arms = { base: {}, head: spec.head(run) };
        runs.push(factsOf(run, await gateSuite(spec.test, run, arms, options, { repeatInvalid: () => false })));
      }
    } finally {
      stopLoad();
    }
    return judgeIdentical(spec, runs, options.seed);
  };
}

/** Verdicts count and not exit codes, which an advisory profile softens. */
export function judgeIdentical(
  { test, title, allowed, floors = false }: IdenticalTest,
  runs: readonly RunFacts[],
  seed: number,
): SelftestResult {
  const valid = runs.filter(isValid);
  const failed = valid.filter((run) => accusedIn(run).length > 0);
  const count = (code: number): number => runs.filter(({ exitCode }) => exitCode === code).length;
  const errors = runs.filter(({ exitCode }) => isError(exitCode)).length;
  const open = valid.filter(({ verdicts }) => [...verdicts.values()].includes("INCONCLUSIVE")).length;
  const suspects = runs.reduce((sum, run) => sum + run.suspects, 0);
  const bound = rateUpperBound(failed.length, valid.length);
  const missing = tooFew(valid.length, FEWEST_RUNS);
  const wrong = errors > 0 || failed.length > allowed(Math.max(valid.length, FEWEST_RUNS));
  const spreads = SUITE.flatMap((id) => spreadOf(id, valid));
  const calibration = floors ? calibrationOf(valid, seed) : undefined;
  const result = bound <= BAR ? "is met" : "is not met: 299 runs without a failure show it, 473 with one, 628 with two";
  return {
    test,
    title,
    ...decision(wrong, missing),
    detail: [
      `${failed.length} of ${valid.length} valid runs failed; ${count(EXIT.invalid)} were invalid and are not counted, ` +
        `${errors} had errors, ${open} left a bench open, ${suspects} suspects in all`,
      `95 % upper bound of the rate of false failures: ${percent(bound)} (the method's bar of ${percent(BAR)} ${result})`,
      ...failed.map((run) => `run ${run.run} (seed ${run.seed}): ${accusedIn(run).join(", ")}`),
      ...(calibration === undefined ? [] : ["the floors of the benches are in the member `calibration` of --json"]),
    ].join("\n"),
    numbers: {
      runs: runs.length,
      valid: valid.length,
      failed: failed.length,
      upperBound: bound,
      invalid: count(EXIT.invalid),
      errors,
      open,
      passes: count(EXIT.pass),
      suspects,
      ...(runs.length === 0 ? {} : { medianWallMs: middle(runs.map(({ wallMs }) => wallMs)) }),
      ...(spreads.length === 0
        ? {}
        : {
            medianSd: middle(spreads.map(([, sd]) => sd)),
            largestSd: Math.max(...spreads.map(([, sd]) => sd)),
          }),
      ...Object.fromEntries(spreads.map(([id, sd]) => [`sd ${id}`, sd])),
    },
    ...(calibration === undefined ? {} : { calibration }),
  };
}

function logsOf(id: string, runs: readonly RunFacts[]): number[] {
  return runs.flatMap(({ estimates }) => {
    const ratio = estimates.get(id)?.ratio;
    return ratio === undefined ? [] : [Math.log(ratio)];
  });
}

function spreadOf(id: string, runs: readonly RunFacts[]): [string, number][] {
  const logs = logsOf(id, runs);
  return logs.length < 2 ? [] : [[id, standardDeviation(logs)]];
}

/** What `calibrate` writes, of the suite; undefined: too few runs. */
function calibrationOf(runs: readonly RunFacts[], seed: number): Calibration | undefined {
  const [first] = runs;
  const measured = SUITE.filter((id) => logsOf(id, runs).length >= FEWEST_FOR_FLOOR);
  if (first === undefined || measured.length === 0) return undefined;
  const benches = measured.map((id) => {
    const estimates = runs.flatMap((run) => run.estimates.get(id) ?? []);
    const layoutFloor = standardDeviation(logsOf(id, runs));
    return [id, { sw: median(estimates.map(({ sw }) => sw)), mdes: estimates.map(({ mde }) => mde), layoutFloor }];
  });
  return {
    schema: CALIBRATION_SCHEMA,
    createdAt: new Date().toISOString(),
    class: first.class,
    runs: runs.length,
    seed,
    benches: Object.fromEntries(benches) as Calibration["benches"],
  };
}

export const IDENTICAL: readonly IdenticalTest[] = [
  { test: "AT1", title: "identical code passes", runs: 100, head: () => ({}), allowed: failuresAllowed },
  {
    test: "AT2",
    title: "another build of the same source passes",
    runs: 20,
    head: (run) => ({ comment: `build ${run} ${"of the same source ".repeat(run % 7)}` }),
    allowed: () => 1,
    floors: true,
  },
  {
    test: "AT3",
    title: "identical code passes under load",
    runs: 20,
    head: () => ({}),
    load: true,
    allowed: (valid) => Math.floor(BAR * valid),
  },
];

export const IDENTICAL_TESTS: Readonly<Record<string, MeasuredTest>> = Object.fromEntries(
  IDENTICAL.map((spec) => [spec.test, identical(spec)]),
);
