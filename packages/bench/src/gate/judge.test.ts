import { describe, expect, it } from "vitest";
import { Random } from "../harness/random.ts";
import type { StageRecord } from "../results/schema.ts";
import { simulateGate, simulateRecord, normalNoise, type SimulatedBench } from "../selftest/simulate.ts";
import { EXIT } from "./exit-codes.ts";
import { judge, suspectsOf } from "./judge.ts";
import { bench, only, pairs, run, stage, steady } from "./made-up-runs.test-support.ts";
import { gatePolicy, storedPolicy } from "./policy.ts";
import type { BenchVerdict, GateRecord, MeasuredBench } from "./types.ts";

const SEED = 20261128;
const POLICY = gatePolicy("ci", { bootstrap: 0, extensionPairs: 0 });

describe("verdict of one bench", () => {
  it.each([
    [0.05, "REGRESSED", "slower by 5.0 %"],
    [-0.05, "IMPROVED", "faster by 5.0 %"],
    [0.001, "EQUIVALENT", "inside ±2.5 %"],
    [0.018, "EQUIVALENT", "slower, but by too little to matter"],
  ] as const)("a change of %d is %s", (change, verdict, reason) => {
    const found = only(judge(run([steady("x", change)]), POLICY));
    expect(found.verdict).toBe(verdict);
    expect(found.reason).toContain(reason);
    expect(found.estimate?.ratio).toBeCloseTo(1 + change, 10);
    expect(found.fails).toBe(verdict === "REGRESSED");
  });

  it("the screening alone convicts nobody, and the confirmation alone decides", () => {
    const clear = bench("x", [stage("screen", 16, 0.2), stage("confirm", 48, 0)]);
    const found = only(judge(run([clear]), POLICY));
    expect(found).toMatchObject({ verdict: "EQUIVALENT", suspect: "slower", fails: false });
    expect(found.estimate).toMatchObject({ stage: "confirm", pairs: 48 });
    expect(found.estimate?.ratio).toBeCloseTo(1, 10);
    const unconfirmed = only(judge(run([bench("x", [stage("screen", 16, 0.2)])]), POLICY));
    expect(unconfirmed).toMatchObject({ verdict: "INCONCLUSIVE", fails: false });
    expect(unconfirmed.reason).toBe(
      "suspected to be slower (+20.0 % in the screening), not confirmed: there are no fresh pairs; it can find changes from 2.7 % on",
    );
    // Fresh pairs of a bench that nobody suspected change nothing.
    const innocent = only(judge(run([bench("x", [stage("screen", 16, 0), stage("confirm", 48, 0.2)])]), POLICY));
    expect(innocent).toMatchObject({ verdict: "EQUIVALENT", suspect: null });
  });

  it("a change that is real but below the threshold is no regression; its own threshold counts", () => {
    const found = only(judge(run([steady("x", 0.0245)]), POLICY));
    expect(found.verdict).toBe("INCONCLUSIVE");
    expect(found.reason).toContain("slower by 2.4 %, less than its threshold of 2.5 %");
    expect(only(judge(run([steady("x", 0.0245, { delta: 0.02 })]), POLICY)).verdict).toBe("REGRESSED");
    expect(only(judge(run([steady("x", 0.0245, { delta: 0.05 })]), POLICY)).verdict).toBe("EQUIVALENT");
  });

  it("no suspect passes with an interval inside twice the threshold, and a blind one does not", () => {
    const wide = only(judge(run([bench("x", [stage("screen", 16, 0, 0.1)])]), POLICY));
    expect(wide).toMatchObject({ verdict: "EQUIVALENT", suspect: null });
    expect(wide.reason).toContain("inside ±5 %");
    const blind = only(judge(run([bench("x", [stage("screen", 16, 0, 0.3)])]), { ...POLICY, recheck: false }));
    expect(blind.verdict).toBe("INCONCLUSIVE");
    expect(blind.reason).toMatch(/no suspect, but not cleared: 95 % interval .*; needs about \d+ more pairs/);
  });

  describe("what the screening cannot clear is measured again", () => {
    const blind = stage("screen", 16, 0.001, 0.3);
    const judged = (...fresh: Parameters<typeof stage>[]): BenchVerdict =>
      only(judge(run([bench("x", [blind, ...fresh.map((args) => stage(...args))])]), POLICY));

    it("and stays open without fresh pairs", () => {
      expect(suspectsOf(run([bench("x", [blind])]), POLICY)).toEqual(["x"]);
      const reason =
        /^not cleared by the screening \(\+\d.* in the screening\), nor measured again: there are no fresh pairs/;
      expect(judged()).toMatchObject({ verdict: "INCONCLUSIVE", reason: expect.stringMatching(reason) as string });
    });

    it("and is cleared, convicted or left open by fresh pairs alone", () => {
      expect(judged(["confirm", 48, 0, 0.1])).toMatchObject({
        verdict: "EQUIVALENT",
        reason: expect.stringContaining("left open by the screening, cleared: 95 % interval") as string,
      });
      expect(judged(["confirm", 48, 0.05])).toMatchObject({ verdict: "REGRESSED", fails: true });
      expect(judged(["confirm", 16, 0.001, 0.3])).toMatchObject({
        verdict: "INCONCLUSIVE",
        reason: expect.stringContaining("nor by fresh pairs") as string,
      });
    });

    it("whichever way the noise of the screening pointed", () => {
      const misleading = stage("screen", 16, -0.03, 0.3);
      for (const [change, verdict] of [
        [0.05, "REGRESSED"],
        [-0.05, "IMPROVED"],
      ] as const) {
        const found = only(judge(run([bench("x", [misleading, stage("confirm", 48, change)])]), POLICY));
        expect(found).toMatchObject({ verdict, suspect: null });
      }
    });

    it("counting among the tests of both directions", () => {
      // One suspect of either direction that is just convicted alone, beside benches that were left open and not measured again.
      const weak = (id: string, change: number): MeasuredBench =>
        bench(id, [stage("screen", 16, change), stage("confirm", 8, change, 0.04)]);
      const open = Array.from({ length: 30 }, (_, i) => bench(`open/${i}`, [blind]));
      const verdicts = (others: readonly MeasuredBench[]): string[] =>
        judge(run([weak("slower", 0.05), weak("faster", -0.05), ...others]), POLICY)
          .benches.slice(0, 2)
          .map(({ verdict }) => verdict);
      expect(verdicts([])).toEqual(["REGRESSED", "IMPROVED"]);
      expect(verdicts(open)).toEqual(["INCONCLUSIVE", "INCONCLUSIVE"]);
    });

    it("but not by policies stored before that was the rule", () => {
      const older = Object.fromEntries(Object.entries(POLICY).filter(([key]) => key !== "recheck"));
      expect(suspectsOf(run([bench("x", [blind])]), storedPolicy(older as unknown as typeof POLICY))).toEqual([]);
    });
  });

  it("the pairs that are said to be needed are enough", () => {
    const found = only(judge(run([bench("x", [stage("screen", 16, 0, 0.2)])]), { ...POLICY, recheck: false }));
    const more = Number(/about (\d+) more/.exec(found.reason)?.[1]);
    const enough = only(judge(run([bench("x", [stage("screen", 16 + more, 0, 0.2)])]), POLICY));
    expect(enough.verdict).toBe("EQUIVALENT");
  });

  it("three pairs are the fewest that say anything", () => {
    const found = only(judge(run([bench("x", [stage("screen", 2, 0.5)])]), POLICY));
    expect(found).toMatchObject({
      verdict: "INCONCLUSIVE",
      estimate: null,
      reason: "2 pairs are too few to say anything",
    });
  });
});

describe("errors", () => {
  const passed = { checked: 3, maxError: 0, passed: true };
  it.each([
    ["a crash", { failure: "head: exited with signal SIGSEGV" }, "head: exited with signal SIGSEGV"],
    ["wrong outputs", { check: { ...passed, passed: false } }, "its output is wrong"],
    ["no samples", { stages: [] }, "it gave no samples"],
    [
      "a time that is none",
      { stages: [{ stage: "screen", pairs: [{ index: 4, order: "base-first", base: [1], head: [Number.NaN] }] }] },
      "pair 4 (screen) has a time of NaN ns",
    ],
    [
      "lost slices",
      { stages: [{ stage: "screen", pairs: [{ index: 0, order: "base-first", base: [1, 2], head: [1] }] }] },
      "pair 0 (screen) has 2 slices of base and 1 of head",
    ],
  ] as [string, Partial<MeasuredBench>, string][])("%s", (_, more, reason) => {
    const verdicts = judge(run([{ ...steady("x", 0), ...more }, steady("fine", 0)]), POLICY);
    expect(verdicts.benches[0]).toMatchObject({ verdict: "ERROR", reason, fails: true, estimate: null });
    expect(verdicts.benches[1]?.verdict).toBe("EQUIVALENT");
    expect(verdicts.summary).toMatchObject({ verdict: "ERROR", exitCode: EXIT.wrong });
  });

  it("no benches at all are an error, not a pass", () => {
    expect(judge(run([]), POLICY).summary).toEqual({ verdict: "ERROR", exitCode: EXIT.wrong, geomean: null });
  });

  it("a body shorter than the timer is not evaluated", () => {
    const found = only(judge(run([steady("x", 0.5, { flags: ["timer-bound"] })]), POLICY));
    expect(found).toMatchObject({ verdict: "INCONCLUSIVE", estimate: null, suspect: null });
    expect(found.reason).toBe("a call is shorter than the timer: not evaluated");
  });
});

describe("controls and environment", () => {
  const control = (id: string, change: number, spread = 0.01, shared = false): GateRecord["controls"][number] => ({
    id,
    stages: [stage("screen", 16, change, spread)],
    shared,
  });

  it("a control that moved makes the run invalid, whatever the benches say", () => {
    const verdicts = judge(run([steady("x", 0.05)], { controls: [control("ctl.fma", 0.02)] }), POLICY);
    expect(verdicts.controls[0]).toMatchObject({ id: "ctl.fma", moved: true });
    expect(only(verdicts)).toMatchObject({ verdict: "INVALID", fails: false });
    expect(only(verdicts).reason).toBe("the control ctl.fma, the same code in both arms, changed by +2.0 %");
    expect(verdicts.summary).toMatchObject({ verdict: "INVALID", exitCode: EXIT.invalid });
  });

  it("an interval that overlaps plus or minus 1 % is no movement; one stage that moved is", () => {
    const fine = judge(run([steady("x", 0)], { controls: [control("c", 0.02, 0.05)] }), POLICY);
    expect(fine.summary.exitCode).toBe(EXIT.pass);
    const late = { id: "c", stages: [stage("screen", 40, 0), stage("confirm", 12, 0.03)] };
    expect(judge(run([steady("x", 0)], { controls: [late] }), POLICY).summary.exitCode).toBe(EXIT.invalid);
  });

  it("an error is an error in an invalid run too; a changed machine is invalid", () => {
    const broken = steady("x", 0, { failure: "base: timeout" });
    const verdicts = judge(run([broken, steady("y", 0)], { changed: ["governor"] }), POLICY);
    expect(verdicts.benches.map(({ verdict }) => verdict)).toEqual(["ERROR", "INVALID"]);
    expect(verdicts.summary.exitCode).toBe(EXIT.wrong);
    const throttled = judge(run([steady("y", 0)], { disturbances: ["the machine was throttled"] }), POLICY);
    expect(only(throttled).reason).toBe("the machine was throttled");
    expect(judge(run([steady("y", 0)], { changed: ["governor"] }), POLICY).invalid).toEqual([
      "the machine changed during the run: governor",
    ]);
  });

  /** Samples in which every `every`-th pair has one slice of the head that takes `factor` times as long. */
  const spiked = (every: number, factor: number): StageRecord => ({
    stage: "screen",
    pairs: pairs(16, 0, 0.005).map((pair, i) => ({
      ...pair,
      base: [1000, 1000],
      head: [1000 * (i % every === 0 ? factor : 1), 1000],
    })),
  });

  it("rounds with one control slice above 1.5 times the other are dropped; more than a quarter are too many", () => {
    const some = judge(run([steady("x", 0)], { controls: [{ id: "c", stages: [spiked(4, 3)] }] }), POLICY);
    expect(some.controls[0]).toMatchObject({ disturbed: 0.125, moved: false });
    expect(some.controls[0]?.estimate?.ratio).toBe(1);
    const most = judge(run([steady("x", 0)], { controls: [{ id: "c", stages: [spiked(1, 3)] }] }), POLICY);
    expect(most.controls[0]).toMatchObject({ disturbed: 0.5, moved: true });
    expect(most.invalid).toEqual(["50 % of the rounds of the control c have one slice above 1.5 times the other"]);
    const slight = judge(run([steady("x", 0)], { controls: [{ id: "c", stages: [spiked(1, 1.4)] }] }), POLICY);
    expect(slight.controls[0]?.disturbed).toBe(0);
    // A machine that is slow in both arms of a pair disturbs nothing.
    const slow = pairs(16, 0, 0.005).map((pair, i) => ({
      ...pair,
      base: Array<number>(2).fill(i < 8 ? 1000 : 3000),
      head: Array<number>(2).fill(i < 8 ? 1000 : 3000),
    }));
    const common = judge(
      run([steady("x", 0)], { controls: [{ id: "c", stages: [{ stage: "screen", pairs: slow }] }] }),
      POLICY,
    );
    expect(common.controls[0]).toMatchObject({ disturbed: 0, moved: false });
  });

  it("benches lose the same rounds where the control ran between them, for both arms, and only there", () => {
    const stages = [{ ...spiked(1, 10), pairs: spiked(1, 10).pairs.map((pair) => ({ ...pair, head: [5000, 1000] })) }];
    // Of the two rounds of each pair the first is bad.
    const noisy: StageRecord = {
      stage: "screen",
      pairs: pairs(16, 0, 0.005).map((pair) => ({ ...pair, base: [1000, 1000], head: [9000, 1000] })),
    };
    const lenient = gatePolicy("ci", { bootstrap: 0, maxDisturbed: 1 });
    const shared = judge(run([bench("x", [noisy])], { controls: [{ id: "c", stages, shared: true }] }), lenient);
    expect(shared.benches[0]?.estimate?.ratio).toBe(1);
    const apart = judge(run([bench("x", [noisy])], { controls: [{ id: "c", stages }] }), lenient);
    expect(apart.benches[0]?.estimate?.ratio).toBeCloseTo(3, 10);
  });
});

describe("many suspects", () => {
  /** p of one bench against 1 %, from the judge itself. */
  const p = (change: number, spread: number): number =>
    only(judge(run([bench("x", [stage("screen", 16, 0.2), stage("confirm", 48, change, spread)])]), POLICY)).estimate
      ?.p ?? Number.NaN;

  it("one weak suspect is convicted alone, and not among nine innocent ones", () => {
    const weak = bench("weak", [stage("screen", 16, 0.2), stage("confirm", 48, 0.03, 0.064)]);
    expect(p(0.03, 0.064)).toBeGreaterThan(0.002);
    expect(p(0.03, 0.064)).toBeLessThan(0.01);
    const innocent = (id: number): MeasuredBench =>
      bench(`innocent ${id}`, [stage("screen", 16, 0.2), stage("confirm", 48, 0, 0.02)]);
    const alone = judge(run([weak]), POLICY);
    expect(alone.benches[0]?.verdict).toBe("REGRESSED");
    const many = judge(run([weak, ...Array.from({ length: 9 }, (_, i) => innocent(i))]), POLICY);
    expect(many.benches[0]?.verdict).toBe("INCONCLUSIVE");
    // Suspects of the other direction are another family.
    const faster = Array.from({ length: 9 }, (_, i) =>
      bench(`faster ${i}`, [stage("screen", 16, -0.2), stage("confirm", 48, 0, 0.02)]),
    );
    expect(judge(run([weak, ...faster]), POLICY).benches[0]?.verdict).toBe("REGRESSED");
    // So are suspects that were never measured again: they count as innocent.
    const unmeasured = Array.from({ length: 9 }, (_, i) => bench(`lost ${i}`, [stage("screen", 16, 0.2)]));
    expect(judge(run([weak, ...unmeasured]), POLICY).benches[0]?.verdict).toBe("INCONCLUSIVE");
  });

  it("Benjamini and Yekutieli's correction is stricter", () => {
    const weak = (id: number): MeasuredBench =>
      bench(`weak ${id}`, [stage("screen", 16, 0.2), stage("confirm", 48, 0.03, 0.0698)]);
    const record = run([weak(0), weak(1), weak(2)]);
    expect(judge(record, POLICY).benches.map(({ verdict }) => verdict)).toEqual(Array(3).fill("REGRESSED"));
    const by = gatePolicy("ci", { bootstrap: 0, fdr: "by" });
    expect(judge(record, by).benches.map(({ verdict }) => verdict)).toEqual(Array(3).fill("INCONCLUSIVE"));
  });

  it("a uniform regression of all benches is a regression of all (AT7)", () => {
    const verdicts = judge(run(Array.from({ length: 20 }, (_, i) => steady(`b${i}`, 0.05))), POLICY);
    expect(new Set(verdicts.benches.map(({ verdict }) => verdict))).toEqual(new Set(["REGRESSED"]));
    expect(verdicts.summary.exitCode).toBe(EXIT.regressed);
    expect(verdicts.summary.geomean).toBeCloseTo(1.05, 10);
  });
});

describe("accepted regressions", () => {
  const accepted = (limit: number): Partial<MeasuredBench> => ({
    accepted: { trailer: "Bench-Accept: x +6% exact rounding", limit, reason: "exact rounding" },
  });

  it("pass up to their limit, stay REGRESSED, and fail above it", () => {
    const within = judge(run([steady("x", 0.05, accepted(0.06))]), POLICY);
    expect(only(within)).toMatchObject({ verdict: "REGRESSED", fails: false });
    expect(only(within).reason).toContain("; accepted up to +6.0 %: exact rounding");
    expect(within.summary).toMatchObject({ verdict: "REGRESSED", exitCode: EXIT.pass });
    const beyond = judge(run([steady("x", 0.08, accepted(0.06))]), POLICY);
    expect(only(beyond).reason).toContain("; more than the +6.0 % accepted (exact rounding)");
    expect(beyond.summary.exitCode).toBe(EXIT.regressed);
  });

  it("excuse no other bench and no error", () => {
    const record = run([steady("x", 0.05, accepted(0.06)), steady("y", 0.05)]);
    expect(judge(record, POLICY).summary.exitCode).toBe(EXIT.regressed);
    const error = run([steady("x", 0, { ...accepted(0.06), failure: "head: crash" })]);
    expect(judge(error, POLICY).summary.exitCode).toBe(EXIT.wrong);
  });
});

describe("run as a whole", () => {
  const blind = bench("x", [stage("screen", 16, 0, 0.3)]);
  const strict = gatePolicy("ci", { bootstrap: 0, strict: true });

  it("an inconclusive bench warns, and fails with strict", () => {
    expect(judge(run([blind, steady("y", 0)]), POLICY).summary).toMatchObject({ verdict: "INCONCLUSIVE", exitCode: 0 });
    expect(judge(run([blind]), strict).summary.exitCode).toBe(EXIT.inconclusive);
  });

  it("an advisory run fails by errors and invalid machines only", () => {
    const advisory = { advisory: true };
    expect(judge(run([steady("x", 0.05)], advisory), POLICY).summary).toMatchObject({
      verdict: "REGRESSED",
      exitCode: 0,
    });
    expect(judge(run([blind], advisory), strict).summary.exitCode).toBe(0);
    expect(judge(run([steady("x", 0)], { ...advisory, changed: ["kernel"] }), POLICY).summary.exitCode).toBe(
      EXIT.invalid,
    );
    expect(judge(run([steady("x", 0, { failure: "?" })], advisory), POLICY).summary.exitCode).toBe(EXIT.wrong);
  });

  it("a spent budget and an interruption are never a pass", () => {
    const suspect = bench("x", [stage("screen", 16, 0.2)]);
    const spent = judge(run([suspect, steady("y", 0)], { outOfTime: true }), POLICY);
    expect(spent.benches[0]?.reason).toContain("not confirmed: the budget was spent");
    expect(spent.summary).toMatchObject({ verdict: "INCONCLUSIVE", exitCode: EXIT.budget });
    expect(judge(run([steady("y", 0)], { outOfTime: true }), POLICY).summary.exitCode).toBe(EXIT.pass);
    const stopped = judge(run([bench("x", []), steady("y", 0)], { aborted: true }), POLICY);
    expect(stopped.benches[0]).toMatchObject({
      verdict: "INCONCLUSIVE",
      reason: "not measured: the run was interrupted",
    });
    expect(stopped.summary.exitCode).toBe(EXIT.interrupted);
  });

  it("nothing but improvements is IMPROVED, nothing at all EQUIVALENT; the mean is of all", () => {
    const better = judge(run([steady("x", -0.05), steady("y", 0)]), POLICY).summary;
    expect(better.verdict).toBe("IMPROVED");
    expect(better.geomean).toBeCloseTo(Math.sqrt(0.95), 10);
    expect(judge(run([steady("y", 0)]), POLICY).summary).toMatchObject({ verdict: "EQUIVALENT", exitCode: 0 });
  });

  it("a bench that was blind in three runs on end is unstable", () => {
    const once = (recentMdes: readonly number[]): readonly string[] =>
      only(judge(run([{ ...blind, recentMdes }]), POLICY)).flags;
    expect(once([])).toEqual([]);
    expect(once([0.2, 0.2])).toEqual(["unstable"]);
    expect(once([0.2, 0.03])).toEqual([]);
    expect(once([0.03, 0.2, 0.2])).toEqual(["unstable"]);
  });
});

describe(`simulated runs (seed ${SEED})`, () => {
  const benches: SimulatedBench[] = [
    { id: "same", ratio: 1, noise: normalNoise(0.01) },
    { id: "slower", ratio: 1.05, noise: normalNoise(0.01) },
    { id: "faster", ratio: 0.95, noise: normalNoise(0.01) },
  ];

  it("finds what was put in", () => {
    const { benches: found } = simulateGate({ benches, policy: POLICY, seed: SEED, run: 1 });
    expect(found.map(({ verdict }) => verdict)).toEqual(["EQUIVALENT", "REGRESSED", "IMPROVED"]);
  });

  it("suspects are what the judge says, in the order of the benches", () => {
    const record = simulateRecord({ benches, policy: POLICY, seed: SEED, run: 2 });
    expect(suspectsOf(record, POLICY)).toEqual(["slower", "faster"]);
  });

  it("the bootstrap is shown beside the interval, and seeded by run and bench", () => {
    const shown = gatePolicy("ci", { bootstrap: 300 });
    const record = simulateRecord({ benches, policy: shown, seed: SEED, run: 3, rounds: 20, roundNoise: 0.02 });
    const [first] = judge(record, shown).benches;
    const { low, high } = first?.estimate?.bootstrap ?? { low: 0, high: 0 };
    expect(low).toBeLessThan(first?.estimate?.ratio ?? 0);
    expect(high).toBeGreaterThan(first?.estimate?.ratio ?? 2);
    expect(judge({ ...record, seed: SEED + 1 }, shown).benches[0]?.estimate?.bootstrap).not.toEqual({ low, high });
  });

  it("the order of the pairs in the record does not matter", () => {
    const record = simulateRecord({ benches, policy: POLICY, seed: SEED, run: 4 });
    const random = new Random(SEED);
    const shuffled = {
      ...record,
      benches: record.benches.map((each) => ({
        ...each,
        stages: each.stages.map((one) => ({ ...one, pairs: random.shuffle(one.pairs) })),
      })),
    };
    expect(judge(shuffled, POLICY)).toEqual(judge(record, POLICY));
  });
});
