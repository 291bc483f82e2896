/** Acceptance tests over the suite of 20 benches: identical code, and changes of a known size. */

import { standardDeviation } from "../statistics/basics.ts";
import { EXIT } from "../gate/exit-codes.ts";
import { startBurstyLoad } from "./load.ts";
import { benchesWith, gateSuite, middle, verdictOf, type MeasuredOptions, type MeasuredTest } from "./measured.ts";
import { scaled, type SelftestResult } from "./result.ts";
import { SUITE, type SuiteArm } from "./suite-arms.ts";

/** Failures that a series of identical pairs may have: with one more, 1 % would lie below the 95 % upper bound. */
function failuresAllowed(runs: number): number {
  return runs >= 628 ? 2 : runs >= 473 ? 1 : 0;
}

/** Changes that a series may miss: one in 60. */
function missesAllowed(runs: number): number {
  return Math.floor(runs / 60);
}

interface Identical {
  readonly test: string;
  readonly title: string;
  readonly runs: number;
  readonly head: (run: number) => SuiteArm;
  readonly load?: boolean;
  readonly failures: (runs: number) => number;
}

/** A series of runs in which nothing has changed. Verdicts count and not exit codes, which an advisory profile softens. */
async function identical(
  { test, title, runs: usual, head, load, failures }: Identical,
  options: MeasuredOptions,
): Promise<SelftestResult> {
  const runs = options.runs ?? scaled(usual, options);
  const stopLoad = load === true ? startBurstyLoad(options.seed) : (): void => {};
  const codes: number[] = [];
  const wall: number[] = [];
  const estimates = new Map<string, number[]>(SUITE.map((id) => [id, []]));
  const failed: string[] = [];
  let suspects = 0;
  try {
    for (let run = 0; run < runs; run++) {
      // Under load invalid is a right answer: nothing is repeated until it is green.
      const made = await gateSuite(test, run, { base: {}, head: head(run) }, options, { repeatInvalid: false });
      codes.push(made.exitCode);
      wall.push(made.results.run?.wallMs ?? 0);
      for (const { id, estimate, stages } of made.results.benches ?? []) {
        if (estimate !== null) estimates.get(id)?.push(Math.log(estimate.ratio));
        if (stages.some(({ stage }) => stage === "confirm")) suspects += 1;
      }
      const accused = benchesWith(made.results, "REGRESSED");
      if (accused.length > 0) failed.push(`run ${run} (seed ${made.results.run?.seed}): ${accused.join(", ")}`);
    }
  } finally {
    stopLoad();
  }
  const count = (code: number): number => codes.filter((other) => other === code).length;
  const errors = codes.filter((code) => code === EXIT.wrong || code === EXIT.internal).length;
  const spreads = [...estimates.values()].filter((logs) => logs.length > 1).map(standardDeviation);
  const floors = Object.fromEntries(
    [...estimates].filter(([, logs]) => logs.length > 1).map(([id, logs]) => [`sd ${id}`, standardDeviation(logs)]),
  );
  return {
    test,
    title,
    passed: failed.length <= failures(runs) && errors === 0,
    detail: [
      `${failed.length} of ${runs} runs failed, ${count(EXIT.invalid)} were invalid, ${suspects} suspects in all`,
      ...failed,
    ].join("\n"),
    numbers: {
      runs,
      failed: failed.length,
      invalid: count(EXIT.invalid),
      errors,
      passes: count(EXIT.pass),
      suspects,
      medianWallMs: middle(wall),
      ...(spreads.length === 0 ? {} : { medianSd: middle(spreads), largestSd: Math.max(...spreads) }),
      ...floors,
    },
  };
}

const at1: MeasuredTest = (options) =>
  identical(
    { test: "AT1", title: "identical code passes", runs: 100, head: () => ({}), failures: failuresAllowed },
    options,
  );

const at2: MeasuredTest = (options) =>
  identical(
    {
      test: "AT2",
      title: "another build of the same source passes",
      runs: 20,
      head: (run) => ({ comment: `build ${run} ${"of the same source ".repeat(run % 7)}` }),
      failures: (runs) => (runs >= 100 ? 1 : 0),
    },
    options,
  );

const at3: MeasuredTest = (options) =>
  identical(
    {
      test: "AT3",
      title: "identical code passes under load",
      runs: 20,
      head: () => ({}),
      load: true,
      failures: failuresAllowed,
    },
    options,
  );

/** One bench of the suite has changed, each in turn. */
async function changed(
  test: string,
  title: string,
  change: number,
  usual: number,
  options: MeasuredOptions,
): Promise<SelftestResult> {
  const wanted = change > 0 ? "REGRESSED" : "IMPROVED";
  const runs = options.runs ?? scaled(usual, options);
  let found = 0;
  let invalid = 0;
  let others = 0;
  let failures = 0;
  const misses: string[] = [];
  const ratios: number[] = [];
  const mdes: number[] = [];
  for (let run = 0; run < runs; run++) {
    const id = SUITE[run % SUITE.length] as string;
    const made = await gateSuite(test, run, { base: {}, head: { change: { [id]: change } } }, options);
    invalid += made.invalid;
    const verdict = verdictOf(made.results, id);
    const estimate = made.results.benches?.find((bench) => bench.id === id)?.estimate;
    if (estimate != null) {
      ratios.push(estimate.ratio);
      mdes.push(estimate.mde);
    }
    if (verdict === wanted) found += 1;
    else
      misses.push(
        `run ${run}: ${id} is ${verdict}, ratio ${estimate?.ratio.toFixed(4) ?? "none"}, exit code ${made.exitCode}`,
      );
    const accused = benchesWith(made.results, "REGRESSED");
    others += accused.filter((other) => other !== id).length;
    if (accused.length > 0) failures += 1;
  }
  return {
    test,
    title,
    passed: runs - found <= missesAllowed(runs) && others === 0 && (change > 0 || failures === 0),
    detail: [`${found} of ${runs} found, ${others} others accused, ${invalid} invalid runs repeated`, ...misses].join(
      "\n",
    ),
    numbers: {
      runs,
      found,
      others,
      failures,
      invalid,
      ...(ratios.length === 0 ? {} : { medianRatio: middle(ratios), medianMde: middle(mdes) }),
    },
  };
}

const at4: MeasuredTest = (options) => changed("AT4", "5 % more work in one of 20 benches is found", 0.05, 60, options);

const at6: MeasuredTest = (options) =>
  changed("AT6", "5 % less work is an improvement and fails nothing", -0.05, 20, options);

const at7: MeasuredTest = async (options) => {
  const runs = options.runs ?? scaled(5, options);
  const change = Object.fromEntries(SUITE.map((id) => [id, 0.05]));
  let red = 0;
  let found = 0;
  let invalid = 0;
  for (let run = 0; run < runs; run++) {
    const made = await gateSuite("AT7", run, { base: {}, head: { change } }, options);
    invalid += made.invalid;
    const accused = benchesWith(made.results, "REGRESSED");
    if (accused.length > 0) red += 1;
    found += accused.length;
  }
  return {
    test: "AT7",
    title: "5 % more work in all benches is a regression, not a disturbed machine",
    passed: red === runs,
    detail: `${red} of ${runs} runs failed; ${found} of ${runs * SUITE.length} benches REGRESSED`,
    numbers: { runs, red, found, benches: runs * SUITE.length, invalid },
  };
};

/** The drift of the first run; that of the others takes as long as the run before. */
const FIRST_DRIFT_MS = 90_000;

const at14: MeasuredTest = async (options) => {
  const runs = options.runs ?? scaled(3, options);
  const biases: number[] = [];
  let failed = 0;
  let driftMs = FIRST_DRIFT_MS;
  for (let run = 0; run < runs; run++) {
    const from = Date.now();
    const drift = { from, to: from + driftMs, share: 0.2 };
    // The drift is made of work, in equal measure in both arms; that the controls do not see it is part of the test.
    const made = await gateSuite("AT14", run, { base: { drift }, head: { drift } }, options, { repeatInvalid: false });
    if (benchesWith(made.results, "REGRESSED").length > 0) failed += 1;
    driftMs = made.results.run?.wallMs ?? driftMs;
    const logs = (made.results.benches ?? []).flatMap(({ estimate }) =>
      estimate === null ? [] : [Math.log(estimate.ratio)],
    );
    biases.push(Math.abs(Math.expm1(middle(logs))));
  }
  const bias = Math.max(...biases);
  return {
    test: "AT14",
    title: "a machine that becomes 20 % slower moves no ratio",
    passed: bias < 0.005 && failed === 0,
    detail: `largest bias ${(100 * bias).toFixed(2)} % in ${runs} runs, ${failed} failed`,
    numbers: { runs, bias, failed },
  };
};

export const SUITE_TESTS: Readonly<Record<string, MeasuredTest>> = {
  AT1: at1,
  AT2: at2,
  AT3: at3,
  AT4: at4,
  AT6: at6,
  AT7: at7,
  AT14: at14,
};
