/** What acceptance tests conclude from runs, which are made up here. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { resolveConfig } from "../define/resolve-config.ts";
import { EXIT } from "../gate/exit-codes.ts";
import { policyOf, presetsWith } from "../gate/presets.ts";
import { Random } from "../harness/random.ts";
import { readFingerprint } from "../paired/fingerprint.ts";
import type { Bound } from "../paired/timed-bench.ts";
import { SAMPLER_VERSION } from "../paired/sampler-version.ts";
import { sampleGate } from "../results/sample-gate.ts";
import type { RatioEstimate, Results, Verdict } from "../results/schema.ts";
import { CHANGED, judgeChanged, judgeUniform } from "./changed-runs.ts";
import { judgeDrift, type DriftingRun } from "./drifting-runs.ts";
import { IDENTICAL, IDENTICAL_TESTS, judgeIdentical } from "./identical-runs.ts";
import { keepRun } from "./kept-runs.ts";
import { seedOf, type MeasuredTest } from "./measured.ts";
import { judgeOverhead } from "./overhead.ts";
import type { SelftestResult } from "./result.ts";
import type { RunFacts } from "./run-facts.ts";
import { SUITE } from "./suite-arms.ts";

const folder = mkdtempSync(join(tmpdir(), "quern-series-"));
afterAll(() => rmSync(folder, { recursive: true }));

const estimate: RatioEstimate = {
  ratio: 1,
  low: 0.99,
  high: 1.01,
  p: 0.5,
  sw: 0.01,
  mde: 0.03,
  pairs: 6,
  stage: "screen",
};

function facts(run: number, verdicts: Readonly<Record<string, Verdict>> = {}, more: Partial<RunFacts> = {}): RunFacts {
  return {
    run,
    seed: 1000 + run,
    exitCode: EXIT.pass,
    wallMs: 1000,
    class: "made-up",
    repeated: 0,
    verdicts: new Map(SUITE.map((id) => [id, verdicts[id] ?? "EQUIVALENT"])),
    estimates: new Map(SUITE.map((id) => [id, estimate])),
    suspects: 0,
    machineMoved: false,
    ...more,
  };
}

const FIRST = SUITE[0] as string;
const INVALID = { exitCode: EXIT.invalid, machineMoved: true };
const all = (verdict: Verdict): Record<string, Verdict> => Object.fromEntries(SUITE.map((id) => [id, verdict]));

type State = "passed" | "failed" | "open";

function stateOf({ passed, undecided }: SelftestResult): State {
  return passed ? "passed" : undecided === undefined ? "failed" : "open";
}

function specOf<Spec extends { readonly test: string }>(specs: readonly Spec[], test: string): Spec {
  return specs.find((spec) => spec.test === test) as Spec;
}

describe("identical code", () => {
  interface Counts {
    readonly valid: number;
    readonly failed?: number;
    readonly invalid?: number;
    readonly errors?: number;
  }

  function judged(test: string, { valid, failed = 0, invalid = 0, errors = 0 }: Counts): SelftestResult {
    const runs = Array.from({ length: valid + invalid + errors }, (_, run) =>
      run < failed
        ? facts(run, { [FIRST]: "REGRESSED" })
        : run < valid
          ? facts(run)
          : facts(run, {}, run < valid + invalid ? INVALID : { exitCode: EXIT.wrong }),
    );
    return judgeIdentical(specOf(IDENTICAL, test), runs, 1);
  }

  it.each<[string, Counts, State]>([
    ["AT1", { valid: 100 }, "passed"],
    ["AT1", { valid: 99 }, "open"],
    ["AT1", { valid: 1 }, "open"],
    ["AT1", { valid: 0, invalid: 100 }, "open"],
    ["AT1", { valid: 91, invalid: 9 }, "open"],
    ["AT1", { valid: 100, invalid: 50 }, "passed"],
    ["AT1", { valid: 100, failed: 1 }, "failed"],
    ["AT1", { valid: 3, failed: 1 }, "failed"],
    ["AT1", { valid: 472, failed: 1 }, "failed"],
    ["AT1", { valid: 473, failed: 1 }, "passed"],
    ["AT1", { valid: 628, failed: 2 }, "passed"],
    ["AT1", { valid: 100, errors: 1 }, "failed"],
    ["AT2", { valid: 20 }, "open"],
    ["AT2", { valid: 20, failed: 2 }, "failed"],
    ["AT2", { valid: 100, failed: 1 }, "passed"],
    ["AT2", { valid: 100, failed: 2 }, "failed"],
    ["AT3", { valid: 100, failed: 1 }, "passed"],
    ["AT3", { valid: 199, failed: 2 }, "failed"],
    ["AT3", { valid: 20, invalid: 10 }, "open"],
  ])("%s, %o: %s", (test, counts, state) => {
    expect(stateOf(judged(test, counts))).toBe(state);
  });

  it("says the bound of the rate, and whether the method's own bar is met", () => {
    const few = judged("AT1", { valid: 100, invalid: 3 });
    expect(few.numbers["upperBound"]).toBeCloseTo(1 - 0.05 ** 0.01, 12);
    expect(few.detail).toContain("0 of 100 valid runs failed; 3 were invalid and are not counted");
    expect(few.detail).toContain("rate of false failures: 2.95 % (the method's bar of 1 % is not met");
    expect(judged("AT1", { valid: 299 }).detail).toContain("(the method's bar of 1 % is met)");
    expect(judged("AT1", { valid: 3 }).undecided).toBe("too few runs to say: 3 valid ones of the 100 that it takes");
  });

  it("AT2 has the floors of the benches in the form of a calibration, of valid runs alone", () => {
    const random = Random.of(5, "floors");
    const runs = Array.from({ length: 40 }, (_, run) => {
      const ratio = Math.exp(0.004 * random.normal());
      return facts(run, {}, { estimates: new Map(SUITE.map((id) => [id, { ...estimate, ratio }])) });
    });
    const wild = facts(40, {}, { ...INVALID, estimates: new Map([[FIRST, { ...estimate, ratio: 9 }]]) });
    const { calibration } = judgeIdentical(specOf(IDENTICAL, "AT2"), [...runs, wild], 7);
    expect(calibration).toMatchObject({ schema: "quern.calibration/1", class: "made-up", runs: 40, seed: 7 });
    expect(Object.keys(calibration?.benches ?? {})).toEqual(SUITE);
    const { sw, layoutFloor = 0, mdes } = calibration?.benches[FIRST] ?? { sw: 0 };
    expect(sw).toBe(0.01);
    expect(mdes).toHaveLength(40);
    expect(layoutFloor).toBeGreaterThan(0.003);
    expect(layoutFloor).toBeLessThan(0.005);
    expect(judgeIdentical(specOf(IDENTICAL, "AT1"), runs, 7).calibration).toBeUndefined();
  });

  it("goes on until so many runs were valid, and takes what a series has left", async () => {
    const flags = { profile: "quick" };
    const config = resolveConfig({ flags, env: {}, file: { version: 1 }, presets: presetsWith(0) });
    const sample = sampleGate();
    const results = (run: number, exitCode: number): Results => ({
      ...sample,
      run: {
        ...(sample.run as NonNullable<Results["run"]>),
        seed: seedOf(1, run),
        policy: policyOf(config),
        tool: { name: "quern-selftest", version: SAMPLER_VERSION },
      },
      environment: {
        ...(sample.environment as NonNullable<Results["environment"]>),
        before: { hash: "", facts: {}, class: readFingerprint(config.nodeOptions).class },
      },
      benches: (sample.benches ?? []).map((bench) => ({ ...bench, verdict: "EQUIVALENT" })),
      summary: { verdict: exitCode === EXIT.pass ? "EQUIVALENT" : "INVALID", exitCode, geomean: 1 },
    });
    const codes = [EXIT.pass, EXIT.invalid, EXIT.pass, EXIT.pass, EXIT.pass, EXIT.pass];
    for (const [run, code] of codes.entries()) keepRun(folder, "AT1", run, 0, results(run, code));
    // All that is asked for is there: nothing is measured.
    const measure = IDENTICAL_TESTS["AT1"] as MeasuredTest;
    const { numbers } = await measure({
      seed: 1,
      runs: 3,
      flags,
      keep: folder,
      progress: () => {},
    });
    expect(numbers).toMatchObject({ runs: 4, valid: 3, invalid: 1, failed: 0 });
  });
});

describe("one bench changed", () => {
  function judged(test: string, found: number, missed: number, invalid = 0, other = 0): SelftestResult {
    const spec = specOf(CHANGED, test);
    const wanted: Verdict = spec.change > 0 ? "REGRESSED" : "IMPROVED";
    const runs = Array.from({ length: found + missed + invalid }, (_, run) => {
      const id = SUITE[run % SUITE.length] as string;
      const neighbour = SUITE[(run + 1) % SUITE.length] as string;
      const verdicts = {
        [id]: run < found ? wanted : "INCONCLUSIVE",
        ...(run < other ? { [neighbour]: "REGRESSED" } : {}),
      };
      return facts(run, verdicts as Record<string, Verdict>, run < found + missed ? {} : INVALID);
    });
    return judgeChanged(spec, runs);
  }

  it.each<[string, number, number, number, State]>([
    ["AT4", 59, 0, 0, "passed"],
    ["AT4", 58, 0, 0, "open"],
    ["AT4", 58, 1, 0, "open"],
    ["AT4", 59, 1, 0, "passed"],
    ["AT4", 58, 2, 0, "failed"],
    ["AT4", 92, 1, 0, "passed"],
    ["AT4", 118, 2, 0, "failed"],
    ["AT4", 122, 2, 0, "passed"],
    ["AT4", 3, 0, 0, "open"],
    ["AT4", 18, 1, 0, "open"],
    ["AT4", 1, 2, 0, "failed"],
    ["AT4", 50, 0, 10, "open"],
    ["AT4", 59, 0, 1, "passed"],
    ["AT4", 0, 0, 0, "open"],
    ["AT6", 20, 0, 0, "passed"],
    ["AT6", 19, 1, 0, "passed"],
    ["AT6", 18, 2, 0, "failed"],
    ["AT6", 5, 0, 0, "open"],
  ])("%s, %i found, %i missed, %i invalid: %s", (test, found, missed, invalid, state) => {
    expect(stateOf(judged(test, found, missed, invalid))).toBe(state);
  });

  it("a bench that was left alone must not be accused", () => {
    expect(stateOf(judged("AT4", 60, 0, 0, 1))).toBe("failed");
    expect(stateOf(judged("AT6", 20, 0, 0, 1))).toBe("failed");
  });

  it("a run with an error has not found the change", () => {
    const runs = Array.from({ length: 60 }, (_, run) =>
      run < 2 ? facts(run, {}, { exitCode: EXIT.wrong }) : facts(run, { [SUITE[run % 20] as string]: "REGRESSED" }),
    );
    expect(judgeChanged(specOf(CHANGED, "AT4"), runs)).toMatchObject({
      passed: false,
      numbers: { valid: 60, found: 58 },
    });
  });

  it("says the bound of the share beside the method's bar, and what the runs promised", () => {
    const bar = judged("AT4", 59, 1);
    expect(bar.numbers["lowerBound"]).toBeCloseTo(0.9234, 3);
    expect(bar.detail).toContain("(the method's bar of 95 % is not met: 59 of 59 show it, 92 of 93, 122 of 124)");
    expect(judged("AT4", 92, 1).detail).toContain("(the method's bar of 95 % is met)");
    expect(bar.detail).toContain(
      "effect that the runs print is 3 %; of the 60 that print at most 5 %, 59 found the change",
    );
  });
});

describe("all benches changed", () => {
  const runs = (count: number, verdicts = all("REGRESSED")): RunFacts[] =>
    Array.from({ length: count }, (_, run) => facts(run, verdicts));

  it.each<[string, readonly RunFacts[], State]>([
    ["all found", runs(5), "passed"],
    ["95 % found", runs(5, { ...all("REGRESSED"), [FIRST]: "INCONCLUSIVE" }), "passed"],
    [
      "less found",
      runs(5, { ...all("REGRESSED"), [FIRST]: "INCONCLUSIVE", [SUITE[1] as string]: "EQUIVALENT" }),
      "failed",
    ],
    ["one found of 20", runs(5, { ...all("EQUIVALENT"), [FIRST]: "REGRESSED" }), "failed"],
    ["one run passes", [...runs(20), facts(20)], "failed"],
    ["too few", runs(4), "open"],
    ["too few, and one bench of 20 missed", runs(1, { ...all("REGRESSED"), [FIRST]: "INCONCLUSIVE" }), "open"],
    ["too few, and most missed", runs(1, { ...all("EQUIVALENT"), [FIRST]: "REGRESSED" }), "failed"],
    ["a machine that moved", [...runs(5), facts(5, {}, INVALID)], "passed"],
    ["contaminated", [...runs(5), facts(5, {}, { exitCode: EXIT.invalid })], "failed"],
    ["an error", [...runs(5), facts(5, {}, { exitCode: EXIT.wrong })], "failed"],
  ])("%s", (_, given, state) => {
    expect(stateOf(judgeUniform(given))).toBe(state);
  });
});

describe("a machine that drifts", () => {
  const SEED = 20261128;

  /** Runs of 16 pairs with a spread of 1 %, each bench biased by its share. */
  function runs(bias: (index: number) => number, count = 3, spread = 0.01, seed = SEED): DriftingRun[] {
    const random = Random.of(seed, "drift");
    return Array.from({ length: count }, (_, run): DriftingRun => {
      const pairs = SUITE.map((id, index): [string, number[]] => [
        id,
        Array.from({ length: 16 }, () => bias(index) + spread * random.normal()),
      ]);
      return { facts: facts(run), pairs: new Map(pairs), covered: 1 };
    });
  }

  it("passes without a bias, whatever the noise of single benches", () => {
    const states = Array.from({ length: 200 }, (_, seed) => stateOf(judgeDrift(runs(() => 0, 3, 0.01, seed))));
    expect(states.filter((state) => state === "passed").length, "seeds 0 to 199").toBeGreaterThanOrEqual(198);
  });

  it.each<[string, (index: number) => number]>([
    ["one bench by 3 %", (index) => (index === 7 ? 0.03 : 0)],
    ["one bench by −2 %", (index) => (index === 19 ? -0.02 : 0)],
    ["ten by +3 % and ten by −3 %", (index) => (index % 2 === 0 ? 0.03 : -0.03)],
    ["all by ±0.8 %, which no single one shows", (index) => (index % 2 === 0 ? 0.008 : -0.008)],
  ])(`fails with a bias of %s (seed ${SEED})`, (_, bias) => {
    expect(stateOf(judgeDrift(runs(bias)))).toBe("failed");
  });

  it("says nothing where it could not see anything", () => {
    expect(stateOf(judgeDrift(runs(() => 0, 3, 0.05)))).toBe("open");
    expect(judgeDrift(runs(() => 0, 3, 0.05)).undecided).toContain("too noisy to say");
    expect(stateOf(judgeDrift(runs(() => 0, 60, 0.05)))).toBe("passed");
    expect(judgeDrift([]).undecided).toContain("too few runs");
  });

  it("a run that failed fails it; what the machine made invalid is left out", () => {
    const [first, ...rest] = runs(() => 0) as [DriftingRun, ...DriftingRun[]];
    expect(stateOf(judgeDrift([{ ...first, facts: facts(0, { [FIRST]: "REGRESSED" }) }, ...rest]))).toBe("failed");
    const [biased] = runs(() => 0.1, 1) as [DriftingRun];
    expect(stateOf(judgeDrift([first, ...rest, { ...biased, facts: facts(9, {}, INVALID) }]))).toBe("passed");
  });
});

describe("overhead", () => {
  const answers = (shares: readonly number[], bound: Bound = "timer-bound"): Parameters<typeof judgeOverhead>[0] =>
    shares.map((share) => ({
      overhead: { bareNs: 1e6, measuredNs: 1e6, share, logs: [share - 1e-4, share, share + 1e-4] },
      shortNs: 20,
      bound,
    }));

  it.each<[string, Parameters<typeof judgeOverhead>[0], State]>([
    ["little", answers([0.001, 0.002, 0.0015, 0.001]), "passed"],
    ["faster than the plain loop by chance", answers([-0.001, 0.001, 0, -0.0005]), "passed"],
    ["too much", answers([0.011, 0.012, 0.01, 0.013]), "failed"],
    ["nobody knows", answers([0.001, 0.02, -0.015, 0.004]), "open"],
    ["too few", answers([0.001, 0.001]), "open"],
    ["a short body that is evaluated", answers([0.001, 0.002, 0.0015], "empty-body"), "failed"],
  ])("%s", (_, given, state) => {
    expect(stateOf(judgeOverhead(given))).toBe(state);
  });
});
