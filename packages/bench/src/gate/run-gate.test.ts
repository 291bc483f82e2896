/** The orchestration alone: arms, machine and measuring are made up, everything else is real. */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { MeasurePlan } from "../paired/plan.ts";
import { parseResults } from "../results/read.ts";
import { planText } from "./dry-run.ts";
import { verdictSentence } from "../report/verdicts.ts";
import { patienceMs } from "./budget.ts";
import { EXIT } from "./exit-codes.ts";
import { folder, gate, partsOf, replays, REQUEST, verdicts, type World } from "./fake-gate.test-support.ts";
import { judged } from "./gate-results.ts";
import type { GateRequest } from "./gate-request.ts";
import { POLICIES, storedPolicy } from "./policy.ts";
import { runGate } from "./run-gate.ts";

describe("a gate run", () => {
  it("passes identical code, and measures nothing twice", async () => {
    const plans: MeasurePlan[] = [];
    const results = await gate({ ratios: { a: 1, b: 1 }, plans });
    expect(results.summary).toMatchObject({ exitCode: EXIT.pass, verdict: "EQUIVALENT" });
    expect(plans).toHaveLength(1);
  });

  it("confirms suspects, with controls, on fresh pairs, and fails", async () => {
    const plans: MeasurePlan[] = [];
    const results = await gate({ ratios: { a: 1, slow: 1.06, fast: 0.95 }, plans });
    expect(results.summary?.exitCode).toBe(EXIT.regressed);
    expect(verdicts(results)).toEqual({ a: "EQUIVALENT", slow: "REGRESSED", fast: "IMPROVED" });
    const [screen, confirm] = plans as [MeasurePlan, MeasurePlan];
    expect(confirm.benches.map(({ id }) => id)).toEqual(["slow", "fast", "ctl.fma"]);
    expect(confirm.firstIndex).toBe(screen.pairs);
    expect(
      results.benches?.find(({ id }) => id === "slow")?.stages.map(({ stage, pairs }) => [stage, pairs.length]),
    ).toEqual([
      ["screen", 16],
      ["confirm", 48],
    ]);
  });

  it("is a valid result file whose verdicts follow from its samples, byte for byte", async () => {
    const results = await gate({ ratios: { a: 1, slow: 1.06 } });
    const read = parseResults(JSON.stringify(results), "the run");
    const again = judged(read, storedPolicy(read.run!.policy!));
    // A boolean: the texts are long.
    expect(JSON.stringify(again) === JSON.stringify(read)).toBe(true);
    expect(again.summary).toEqual(results.summary);
  });

  it("ab finds the same and fails nothing", async () => {
    const results = await gate({ ratios: { slow: 1.06 } }, { kind: "ab" });
    expect(results.summary).toMatchObject({ verdict: "REGRESSED", exitCode: EXIT.pass });
  });

  it("advisory and quick show regressions and fail nothing", async () => {
    for (const change of [
      { advisory: true },
      { flags: { profile: "quick", seed: 3 } },
    ] satisfies Partial<GateRequest>[]) {
      const results = await gate({ ratios: { slow: 1.08 } }, change);
      expect(results.summary).toMatchObject({ verdict: "REGRESSED", exitCode: EXIT.pass });
      expect(results.run?.advisory).toBe(true);
    }
  });

  it("takes a reviewed acceptance, and refuses one that speaks of no bench", async () => {
    const file = join(folder, "pull-request.txt");
    writeFileSync(file, "Bench-Accept: slow +10% exact sums\n");
    const results = await gate({ ratios: { slow: 1.06 } }, { acceptFrom: file });
    expect(results.summary?.exitCode).toBe(EXIT.pass);
    expect(results.benches?.[0]?.accepted?.reason).toBe("exact sums");
    expect(readFileSync(file, "utf8")).toContain(results.benches?.[0]?.accepted?.trailer ?? "?");
    await expect(gate({ ratios: { other: 1 } }, { acceptFrom: file })).rejects.toThrow(/speaks of no bench/);
  });
});

describe("what makes a run worthless", () => {
  it("a changed quota is exit code 3, whatever the benches say", async () => {
    const results = await gate({ ratios: { slow: 1.2 }, quotaChanges: true });
    expect(results.summary).toMatchObject({ verdict: "INVALID", exitCode: EXIT.invalid });
    expect(results.environment?.changed).toEqual(["quota"]);
  });

  it("so is a throttled processor", async () => {
    const results = await gate({ ratios: { slow: 1.2 }, throttled: true });
    expect(results.summary?.exitCode).toBe(EXIT.invalid);
  });

  it("a bench that fails or is gone is exit code 4, and the others are measured", async () => {
    const broken = await gate({ ratios: { a: 1, broken: 1 }, failures: { broken: "it threw" } });
    expect(broken.summary?.exitCode).toBe(EXIT.wrong);
    expect(verdicts(broken)).toEqual({ a: "EQUIVALENT", broken: "ERROR" });
    const gone = await gate({ ratios: { a: 1 }, gone: ["old"] });
    expect(gone.summary?.exitCode).toBe(EXIT.wrong);
    expect(gone.benches?.find(({ id }) => id === "old")?.reason).toMatch(/missing/);
    const declared = await gate({ ratios: { a: 1 }, gone: ["old"] }, { config: { version: 1, removed: ["old"] } });
    expect(declared.summary?.exitCode).toBe(EXIT.pass);
    expect(declared.skipped.map(({ case: name }) => name)).toEqual(["old"]);
  });

  it("a filter that leaves nothing is refused", async () => {
    await expect(gate({ ratios: { a: 1 } }, { filter: ["nothing"] })).rejects.toThrow(/nothing/);
  });

  it("an interruption keeps what there is, and is marked", async () => {
    const results = await gate({ ratios: { a: 1.3 }, abortIn: "a" });
    expect(results.run?.aborted).toBe(true);
    expect(results.summary?.exitCode).toBe(EXIT.interrupted);
    expect(results.benches?.[0]?.stages[0]?.pairs).toHaveLength(1);
  });

  it("so does one while the machine is looked at once more", async () => {
    const controller = new AbortController();
    let looks = 0;
    const measureSpeed = async (): Promise<number> => {
      if (looks++ === 0) return 1000;
      controller.abort();
      // As where Ctrl-C has killed its process.
      throw new Error("the process of the speed control was ended by SIGKILL");
    };
    const parts = { ...partsOf({ ratios: { a: 1 } }), measureSpeed };
    const results = await runGate({ ...REQUEST, signal: controller.signal }, () => {}, parts);
    expect(results.run?.aborted).toBe(true);
    expect(results.summary?.exitCode).toBe(EXIT.interrupted);
    expect(results.benches?.[0]?.stages[0]?.pairs).toHaveLength(16);
  });

  it("a control that cannot be measured is exit code 3: nobody would know of a disturbance", async () => {
    const results = await gate({ ratios: { a: 1, slow: 1.2 }, controlFails: "it crashed\nstack" });
    expect(results.summary).toMatchObject({ verdict: "INVALID", exitCode: EXIT.invalid });
    expect(results.environment?.disturbances).toEqual(["the control ctl.fma could not be measured: it crashed"]);
  });
});

describe("a filter", () => {
  it("says which benches are tried; all are known", async () => {
    const asked: NonNullable<World["asked"]> = [];
    const file = join(folder, "of-another.txt");
    writeFileSync(file, "Bench-Accept: other +10% exact sums\n");
    const world: World = { ratios: { a: 1, other: 1 }, asked, failures: { other: "it throws, and nobody asked" } };
    const results = await gate(world, { filter: ["a"], acceptFrom: file });
    expect(asked).toEqual([
      { what: "base", filter: ["a"], attempt: true },
      { what: "head", filter: ["a"], attempt: true },
    ]);
    expect(verdicts(results)).toEqual({ a: "EQUIVALENT" });
    writeFileSync(file, "Bench-Accept: nobody +10% exact sums\n");
    await expect(gate(world, { filter: ["a"], acceptFrom: file })).rejects.toThrow(/speaks of no bench/);
  });

  it("with a term that is none is refused before anything is built", async () => {
    const asked: NonNullable<World["asked"]> = [];
    await expect(gate({ ratios: { a: 1 }, asked }, { filter: ["!!a"] })).rejects.toThrow('"!!a" is no filter');
    expect(asked).toEqual([]);
  });
});

describe("profile quick", () => {
  const several = { a: 1, slow: 1.06, slower: 1.07, slowest: 1.08 };

  it("takes no more time for suspects than a developer waits, and fails by none that it left open", async () => {
    const results = await gate({ ratios: several, benchMs: 1950 }, { flags: { seed: 11, profile: "quick" } });
    expect(results.run).toMatchObject({ cutShort: true, advisory: true, policy: { patienceS: 4.1 } });
    expect(results.run?.outOfTime).toBeUndefined();
    expect(results.run?.wallMs).toBeLessThan(90_000);
    expect(verdicts(results)).toMatchObject({ a: "EQUIVALENT", slow: "INCONCLUSIVE" });
    expect(results.benches?.[1]?.reason).toMatch(/not confirmed: quick takes no more time for it;/);
    expect(results.summary).toMatchObject({ verdict: "INCONCLUSIVE", exitCode: EXIT.pass });
    expect(verdictSentence(results)).toContain("quick takes no more time for what is open");
    expect(replays(results)).toBe(true);
  });

  it("screens with as many pairs as the machine has time for, 8 to 12", async () => {
    const screened = async (benchMs: number, flags: Partial<GateRequest["flags"]> = {}): Promise<number[]> => {
      const plans: MeasurePlan[] = [];
      const request = { flags: { seed: 11, profile: "quick", ...flags } } as const;
      const results = await gate({ ratios: { a: 1, b: 1 }, benchMs, plans }, request);
      expect(results.benches?.[0]?.stages.map(({ stage }) => stage)).toEqual(["screen"]);
      expect(results.run?.cutShort).toBeUndefined();
      expect(plans.map(({ firstIndex }) => firstIndex)).toEqual(plans.length === 2 ? [0, plans[0]?.pairs] : [0]);
      expect(results.benches?.[0]?.stages[0]?.pairs).toHaveLength(plans.reduce((sum, { pairs }) => sum + pairs, 0));
      expect(replays(results)).toBe(true);
      return plans.map(({ pairs }) => pairs);
    };
    expect(await screened(300)).toEqual([8, 4]);
    expect(await screened(1950)).toEqual([8, 2]);
    expect(await screened(2500)).toEqual([8]);
    expect(await screened(2500, { pairs: [12, 24] })).toEqual([12]);
    expect(await screened(300, { budgetS: null })).toEqual([12]);
  });

  it("measures no more pairs of what has failed, nor of code that was not asked for", async () => {
    const quick = { flags: { seed: 11, profile: "quick" } } as const;
    const plans: MeasurePlan[] = [];
    const ratios = { a: 1, hangs: 1 };
    const hangs = await gate({ ratios, hangsIn: "hangs", benchMs: 300, plans }, quick);
    expect(verdicts(hangs)).toEqual({ a: "EQUIVALENT", hangs: "ERROR" });
    expect(plans.map(({ benches }) => benches.map(({ id }) => id))).toEqual([
      ["a", "hangs", "ctl.fma"],
      ["a", "ctl.fma"],
    ]);
    plans.length = 0;
    await gate({ ratios, abortIn: "a", benchMs: 300, plans }, quick);
    expect(plans).toHaveLength(1);
  });

  it("nor of what cannot be evaluated, nor of controls that have failed; none at all where nothing is left", async () => {
    const quick = { flags: { seed: 11, profile: "quick" } } as const;
    const measured = async (world: World): Promise<string[][]> => {
      const plans: MeasurePlan[] = [];
      await gate({ ...world, benchMs: 300, plans }, quick);
      return plans.map(({ benches }) => benches.map(({ id }) => id));
    };
    const ratios = { a: 1, short: 1 };
    expect(await measured({ ratios, boundIn: "short", controlFails: "it hung" })).toEqual([
      ["a", "short", "ctl.fma"],
      ["a"],
    ]);
    expect(await measured({ ratios: { short: 1 }, boundIn: "short" })).toEqual([["short", "ctl.fma"]]);
  });

  it("every stage knows what those before it have found: how a bench is timed, how often it was too short", async () => {
    const plans: MeasurePlan[] = [];
    await gate({ ratios: { slow: 1.08 }, benchMs: 300, plans }, { flags: { seed: 11, profile: "quick" } });
    expect(plans.length).toBeGreaterThan(2);
    expect(plans[0]?.memory).toBeDefined();
    for (const { memory } of plans) expect(memory).toBe(plans[0]?.memory);
  });

  it("measures all where there is time, which grows with the suite", async () => {
    const results = await gate({ ratios: several, benchMs: 300 }, { flags: { seed: 11, profile: "quick" } });
    expect(results.run?.cutShort).toBeUndefined();
    expect(verdicts(results).slow).toBe("REGRESSED");
    expect(patienceMs(POLICIES.quick, 3)).toBe(patienceMs(POLICIES.quick, 20));
    expect(patienceMs(POLICIES.quick, 40)).toBeCloseTo(164_000);
    expect(patienceMs(POLICIES.ci, 40)).toBeNull();
  });
});

describe("a budget", () => {
  const wide = { a: 1, b: 1, c: 1, slow: 1.06 };

  it("has fewer pairs where it is short, and 6 where suspects stay open", async () => {
    const results = await gate({ ratios: wide, benchMs: 3000 }, { flags: { seed: 11, budgetS: 60 } });
    expect(results.run?.outOfTime).toBe(true);
    expect(results.run?.wallMs).toBeLessThan(60_000 + 6000);
    expect(results.summary?.exitCode).toBe(EXIT.budget);
  });

  it("changes nothing where there is enough", async () => {
    const results = await gate({ ratios: wide, benchMs: 300 }, { flags: { seed: 11, budgetS: 600 } });
    expect(results.run?.outOfTime).toBeUndefined();
    expect(results.summary?.exitCode).toBe(EXIT.regressed);
  });

  it("takes the place of the patience of quick", async () => {
    const flags = { seed: 11, profile: "quick", budgetS: 600 } as const;
    const results = await gate({ ratios: wide, benchMs: 1000 }, { flags });
    expect(results.run?.cutShort).toBeUndefined();
    expect(results.run?.policy?.patienceS).toBe(0);
    expect(verdicts(results).slow).toBe("REGRESSED");
    const endless = await gate({ ratios: wide, benchMs: 1950 }, { flags: { ...flags, budgetS: null } });
    expect(endless.run?.wallMs).toBeGreaterThan(90_000);
    expect(verdicts(endless).slow).toBe("REGRESSED");
  });

  it("never passes on nothing", async () => {
    const results = await gate({ ratios: { a: 1 }, benchMs: 60_000 }, { flags: { seed: 11, budgetS: 10 } });
    expect(results.summary?.exitCode).toBe(EXIT.budget);
  });
});

describe("a dry run", () => {
  it("says what would be measured and measures nothing", async () => {
    const plans: MeasurePlan[] = [];
    const text = await planText(REQUEST, () => {}, partsOf({ ratios: { a: 1, b: 1 }, plans }));
    expect(plans).toEqual([]);
    expect(text).toMatch(/screening: 16 pairs of 2 benches/);
    expect(text).toMatch(/MDE: unknown before/);
  });

  it("says what would be found once the noise is known", async () => {
    const calibrationFile = join(folder, "bench.calibration.json");
    const benches = { a: { sw: 0.01 }, b: { sw: 0.02, layoutFloor: 0.02 } };
    const world: World = { ratios: { a: 1, b: 1 } };
    const facts = { schema: "quern.calibration/1", createdAt: "2026-11-01T00:00:00Z", runs: 5, seed: 1, benches };
    const machine = partsOf(world).readFingerprint().class;
    writeFileSync(calibrationFile, JSON.stringify({ ...facts, class: machine }));
    const text = await planText({ ...REQUEST, calibrationFile }, () => {}, partsOf(world));
    expect(text).toMatch(/^a +2\.5\d* % +2\.\d+ %/m);
    // Twice the floor.
    expect(text).toMatch(/^b +4\.0\d* %/m);
    // Nothing of it is known of another machine.
    writeFileSync(calibrationFile, JSON.stringify({ ...facts, class: "another" }));
    const other = await planText({ ...REQUEST, calibrationFile }, () => {}, partsOf(world));
    expect(other).toMatch(/^b +2\.5\d* % +–/m);
    expect(other).toMatch(/MDE: unknown, the calibration is of another class of machine/);
  });

  it("refuses a calibration that is none", async () => {
    const calibrationFile = join(folder, "wrong.json");
    writeFileSync(calibrationFile, "{");
    await expect(planText({ ...REQUEST, calibrationFile }, () => {}, partsOf({ ratios: { a: 1 } }))).rejects.toThrow(
      /calibration/,
    );
  });
});
