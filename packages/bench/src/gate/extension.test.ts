/** The third stage: further pairs for suspects that the confirmation leaves open, judged in a second look at half of q. */

import { describe, expect, it } from "vitest";
import type { MeasurePlan } from "../paired/plan.ts";
import { renderTerminal } from "../report/terminal.ts";
import type { StageRecord } from "../results/schema.ts";
import { normalNoise, simulateGate } from "../selftest/simulate.ts";
import { planText } from "./dry-run.ts";
import { EXIT } from "./exit-codes.ts";
import { gate, partsOf, replays, REQUEST, verdicts, type World } from "./fake-gate.test-support.ts";
import type { GateRequest } from "./gate-request.ts";
import { extendable, judge } from "./judge.ts";
import { bench, only, pairs, run, stage, steady } from "./made-up-runs.test-support.ts";
import { gatePolicy } from "./policy.ts";
import type { MeasuredBench } from "./types.ts";

const POLICY = gatePolicy("ci", { bootstrap: 0, extensionPairs: 0 });
const SEED = Number(process.env["QUERN_SEED"] ?? 7);

describe("extension", () => {
  const extended = gatePolicy("ci", { bootstrap: 0, extensionPairs: 48 });
  const open = [stage("screen", 16, 0.2), stage("confirm", 48, 0.03, 0.08)];

  it("is for suspects left open, judges all fresh pairs, and has half of the rate", () => {
    expect(extendable(run([bench("x", open)]), POLICY)).toEqual([]);
    expect(extendable(run([bench("x", open), steady("clear", 0.1), steady("same", 0)]), extended)).toEqual(["x"]);
    const more = bench("x", [...open, { stage: "extension", pairs: pairs(48, Math.log1p(0.03), 0.08, 64) }]);
    const found = only(judge(run([more]), extended));
    expect(found).toMatchObject({ verdict: "REGRESSED" });
    expect(found.estimate).toMatchObject({ stage: "extension", pairs: 96 });
    // The same pairs under a policy without an extension are not looked at.
    expect(only(judge(run([more]), POLICY)).estimate).toMatchObject({ stage: "confirm", pairs: 48 });
  });

  it("costs: a p between q/2 and q convicts only without it", () => {
    const border = bench("x", [stage("screen", 16, 0.2), stage("confirm", 48, 0.03, 0.0698)]);
    const without = only(judge(run([border]), POLICY));
    expect(without.estimate?.p).toBeGreaterThan(0.005);
    expect(without.estimate?.p).toBeLessThan(0.01);
    expect(without.verdict).toBe("REGRESSED");
    expect(only(judge(run([border]), extended)).verdict).toBe("INCONCLUSIVE");
  });
});

describe("two looks", () => {
  const extended = gatePolicy("ci", { bootstrap: 0, extensionPairs: 48 });
  const later = (change: number, spread: number): StageRecord => ({
    stage: "extension",
    pairs: pairs(48, Math.log1p(change), spread, 64),
  });
  /** A suspect with the same change in the confirmation and the extension. */
  const twice = (id: string, change: number, spread: number): MeasuredBench =>
    bench(id, [stage("screen", 16, 0.2), stage("confirm", 48, change, spread), later(change, spread)]);

  it("the second has half of q too, on all fresh pairs together", () => {
    const border = only(judge(run([twice("x", 0.03, 0.1)]), extended));
    expect(border.estimate).toMatchObject({ stage: "extension", pairs: 96 });
    expect(border.estimate?.p).toBeGreaterThan(0.005);
    expect(border.estimate?.p).toBeLessThan(0.01);
    expect(border.verdict).toBe("INCONCLUSIVE");
    const clear = only(judge(run([twice("x", 0.03, 0.09)]), extended));
    expect(clear.estimate?.p).toBeLessThan(0.005);
    expect(clear.verdict).toBe("REGRESSED");
  });

  it("what the first has decided stays, whatever comes after", () => {
    const convicted = bench("x", [stage("screen", 16, 0.2), stage("confirm", 48, 0.1), later(-0.1, 0.01)]);
    const first = only(judge(run([convicted]), extended));
    expect(first).toMatchObject({ verdict: "REGRESSED", estimate: { stage: "confirm", pairs: 48 } });
    const cleared = bench("x", [stage("screen", 16, 0.2), stage("confirm", 48, 0), later(0.3, 0.01)]);
    expect(only(judge(run([cleared]), extended))).toMatchObject({
      verdict: "EQUIVALENT",
      estimate: { stage: "confirm", pairs: 48 },
    });
  });

  it("faster suspects are extended likewise", () => {
    const faster = bench("x", [stage("screen", 16, -0.2), stage("confirm", 48, -0.03, 0.08), later(-0.03, 0.08)]);
    expect(only(judge(run([faster]), extended))).toMatchObject({
      verdict: "IMPROVED",
      estimate: { stage: "extension", pairs: 96 },
    });
  });

  it("the second corrects for all suspects, those decided before too", () => {
    const weak = twice("weak", 0.03, 0.09);
    const innocent = Array.from({ length: 9 }, (_, i) =>
      bench(`innocent ${i}`, [stage("screen", 16, 0.2), stage("confirm", 48, 0, 0.02)]),
    );
    expect(judge(run([weak]), extended).benches[0]?.verdict).toBe("REGRESSED");
    const among = judge(run([weak, ...innocent]), extended);
    expect(among.benches[0]).toMatchObject({ verdict: "INCONCLUSIVE", estimate: { stage: "extension" } });
    expect(new Set(among.benches.slice(1).map(({ verdict }) => verdict))).toEqual(new Set(["EQUIVALENT"]));
  });

  it("open are suspects that were confirmed and not decided: neither others nor those without fresh pairs", () => {
    const real = bench("real, below its threshold", [stage("screen", 16, 0.2), stage("confirm", 48, 0.0245, 0.01)]);
    const lost = bench("lost", [stage("screen", 16, 0.2)]);
    const blind = bench("no suspect", [stage("screen", 16, 0, 0.3)]);
    const broken = { ...twice("broken", 0.03, 0.1), failure: "head: crash" };
    expect(extendable(run([real, lost, blind, broken]), extended)).toEqual(["real, below its threshold"]);
  });

  it(`both together convict no more than q at the edge of the null hypothesis (seed ${SEED})`, () => {
    const q = 0.05;
    const policy = gatePolicy("ci", {
      bootstrap: 0,
      q,
      delta: 0.0101,
      extensionPairs: 48,
      screenAlpha: 0.5,
      screenEffect: 0,
    });
    const benches = [{ id: "x", ratio: 1 + policy.delta0, noise: normalNoise(0.03) }];
    const found = Array.from({ length: 1500 }, (_, number) =>
      only(simulateGate({ benches, policy, seed: SEED, run: number })),
    );
    const suspects = found.filter(({ suspect }) => suspect === "slower");
    const convicted = suspects.filter(({ verdict }) => verdict === "REGRESSED").length;
    expect(suspects.length).toBeGreaterThan(1000);
    expect(suspects.filter(({ estimate }) => estimate?.stage === "extension").length).toBeGreaterThan(1000);
    // Three standard errors.
    expect(convicted / suspects.length).toBeLessThan(q + 3 * Math.sqrt((q * (1 - q)) / suspects.length));
    expect(convicted / suspects.length).toBeGreaterThan(q / 4);
  });

  it("a minimum detectable effect is that of all fresh pairs at half of q", () => {
    const unmeasured = bench("x", [stage("screen", 16, 0)]);
    const mde = (policy: typeof POLICY): number => only(judge(run([unmeasured]), policy)).estimate?.mde ?? Number.NaN;
    const same = gatePolicy("ci", { bootstrap: 0, confirmPairs: 96, extensionPairs: 0, q: 0.005 });
    expect(mde(extended)).toBe(mde(same));
  });
});

describe("a gate run with an extension", () => {
  const flags: GateRequest["flags"] = { seed: 11, pairs: [16, 48, 48] };
  const screened = { ratio: 1.2, spread: 0.01 };
  /** Neither rejected at half of q nor inside its threshold. */
  const vague = { ratio: 1.03, spread: 0.08 };
  const ratios = { a: 1, clear: 1.1, weak: 1 };

  it("measures more of those that the confirmation leaves open, and judges all fresh pairs", async () => {
    const plans: MeasurePlan[] = [];
    const results = await gate({ ratios, stages: { weak: [screened, vague, vague] }, plans }, { flags });
    expect(plans.map(({ benches, pairs, firstIndex }) => [benches.map(({ id }) => id), pairs, firstIndex])).toEqual([
      [["a", "clear", "weak", "ctl.fma"], 16, 0],
      [["clear", "weak", "ctl.fma"], 48, 16],
      [["weak", "ctl.fma"], 48, 64],
    ]);
    expect(results.run?.policy).toMatchObject({ extensionPairs: 48, q: 0.01 });
    expect(verdicts(results)).toEqual({ a: "EQUIVALENT", clear: "REGRESSED", weak: "REGRESSED" });
    const of = (id: string) => results.benches?.find((bench) => bench.id === id);
    expect(of("weak")?.estimate).toMatchObject({ stage: "extension", pairs: 96 });
    expect(of("weak")?.stages.map(({ stage, pairs }) => [stage, pairs.length])).toEqual([
      ["screen", 16],
      ["confirm", 48],
      ["extension", 48],
    ]);
    expect(of("clear")?.estimate).toMatchObject({ stage: "confirm", pairs: 48 });
    expect(results.environment?.controls[0]?.stages.map(({ stage }) => stage)).toEqual([
      "screen",
      "confirm",
      "extension",
    ]);
    expect(renderTerminal(results)).toContain("suspects 48 more, those left open another 48");
    expect(replays(results)).toBe(true);
  });

  it("can clear a bench, and can leave it open", async () => {
    const back = { ratio: 1 / 1.03, spread: 0.08 };
    const cleared = await gate({ ratios, stages: { weak: [screened, vague, back] } }, { flags });
    expect(verdicts(cleared)["weak"]).toBe("EQUIVALENT");
    const wide = { ratio: 1.03, spread: 0.3 };
    const plans: MeasurePlan[] = [];
    const open = await gate({ ratios, stages: { weak: [screened, wide, wide] }, plans }, { flags });
    expect(verdicts(open)["weak"]).toBe("INCONCLUSIVE");
    // There is one, whatever it says.
    expect(plans).toHaveLength(3);
  });

  it("is not made where nothing is open, nor where none was asked for", async () => {
    const plans: MeasurePlan[] = [];
    await gate({ ratios: { a: 1, clear: 1.1 }, plans }, { flags });
    expect(plans).toHaveLength(2);
    const without = await gate(
      { ratios, stages: { weak: [screened, vague, vague] }, plans },
      {
        flags: { seed: 11, pairs: [16, 48, 0] },
      },
    );
    expect(plans).toHaveLength(4);
    expect(verdicts(without)["weak"]).toBe("INCONCLUSIVE");
    expect(without.run?.policy?.extensionPairs).toBe(0);
    // It is usual, though.
    const { run: usual } = await gate({ ratios: { a: 1 } }, { flags: { seed: 11 } });
    expect(usual?.policy?.extensionPairs).toBe(usual?.policy?.confirmPairs);
  });

  it("is part of the plan", async () => {
    const text = await planText({ ...REQUEST, flags }, () => {}, partsOf({ ratios: { a: 1 } }));
    expect(text).toMatch(/^extension: 48 pairs of each bench that the confirmation leaves open$/m);
  });

  it("that does not fit into the budget is a spent budget, not a pass", async () => {
    const world: World = { ratios: { weak: 1 }, stages: { weak: [screened, vague, vague] }, benchMs: 1000 };
    const results = await gate(world, { flags: { ...flags, budgetS: 133 } });
    expect(results.benches?.[0]?.stages.map(({ stage }) => stage)).toEqual(["screen", "confirm"]);
    expect(results.run?.outOfTime).toBe(true);
    expect(results.summary).toMatchObject({ verdict: "INCONCLUSIVE", exitCode: EXIT.budget });
  });
});
