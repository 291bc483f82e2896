/** What comes before measuring: how long it may take, what a calibration says, what commit messages accept. */

import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { MeasurePlan } from "../paired/plan.ts";
import { makeRepository, temporaryFolder, type Repository } from "../paired/arms/repository.test-support.ts";
import { machineLine } from "../report/gate-facts.ts";
import type { Results } from "../results/schema.ts";
import { ceilingsOf } from "./ceilings.ts";
import { EXIT } from "./exit-codes.ts";
import { fakeArms, gate, partsOf, replays, REQUEST, type World } from "./fake-gate.test-support.ts";
import type { GateParts } from "./gate-parts.ts";
import { runGate } from "./run-gate.ts";

describe("the limits of time", () => {
  it("of the whole run bound its preparation too", async () => {
    const stageArms: GateParts["stageArms"] = ({ signal }, progress) => {
      progress("preparing head: npm ci");
      return new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason as Error)));
    };
    const run = runGate({ ...REQUEST, flags: { seed: 1, budgetS: 1 } }, () => {}, {
      ...partsOf({ ratios: { a: 1 } }),
      stageArms,
    });
    await expect(run).rejects.toMatchObject({ exitCode: EXIT.budget, where: "preparing head: npm ci" });
  });

  it("of a process hold for the first calls too", async () => {
    const parts = partsOf({ ratios: { a: 1 } });
    const asked: (number | undefined)[] = [];
    const listBenches: GateParts["listBenches"] = (arm, options) => {
      asked.push(options.timeoutMs);
      return parts.listBenches(arm, options);
    };
    await runGate({ ...REQUEST, flags: { seed: 1, timeoutS: 7 } }, () => {}, { ...parts, listBenches });
    expect(asked).toEqual([7000, 7000]);
  });
});

describe("a calibration", () => {
  const roofline = [
    { threads: 1, fmaGflops: 100, matrixGflops: null, readGBps: 10, l1ReadGBps: 300 },
    { threads: 2, fmaGflops: 190, matrixGflops: null, readGBps: 11, l1ReadGBps: 500 },
  ];

  /** A run beside a calibration file that has `change`. */
  async function beside(change: object, world: World): Promise<Results> {
    const calibrationFile = join(temporaryFolder(), "bench.calibration.json");
    const facts = { schema: "quern.calibration/1", createdAt: "2026-11-01T00:00:00Z", runs: 3, seed: 1, benches: {} };
    const ofThis = partsOf(world).readFingerprint().class;
    writeFileSync(calibrationFile, JSON.stringify({ ...facts, class: ofThis, ...change }));
    return gate(world, { calibrationFile });
  }

  it("gives the peaks of this machine to the result and to the check for what is impossible", async () => {
    const plans: MeasurePlan[] = [];
    const { machine } = await beside({ roofline }, { ratios: { a: 1 }, plans });
    expect(machine.roofline).toEqual(roofline);
    expect(plans[0]?.peaks).toEqual(ceilingsOf(roofline));
    const others: MeasurePlan[] = [];
    const other = await beside({ roofline, class: "another" }, { ratios: { a: 1 }, plans: others });
    expect(other.machine.roofline).toEqual([]);
    expect(machineLine(other)).toMatch(/; calibration of another class of machine, not used$/);
    expect(other.environment?.foreignCalibration).toBe(true);
    expect(others[0]?.peaks).toEqual({});
  });

  it("of an older version makes nothing impossible by the peaks of one thread", async () => {
    const plans: MeasurePlan[] = [];
    await beside({ peaks: { gflops: 100, gbps: 10 } }, { ratios: { a: 1 }, plans });
    expect(plans[0]?.peaks).toEqual({});
  });

  it("makes a bench unstable that could see no small change in it, nor now", async () => {
    const wide = { ratio: 1, spread: 0.3 };
    const noisy: World = { ratios: { a: 1 }, stages: { a: [wide, wide, wide] } };
    const flags = ({ benches = [] }: Results): unknown => benches.map((bench) => bench.flags);
    const blind = { a: { sw: 0.2, mdes: [0.01, 0.2, 0.3] } };
    const unstable = await beside({ benches: blind }, noisy);
    expect(flags(unstable)).toEqual([["unstable"]]);
    expect(unstable.benches?.[0]?.recentMdes).toEqual([0.2, 0.3]);
    expect(replays(unstable)).toBe(true);
    expect(flags(await beside({ benches: { a: { sw: 0.2, mdes: [0.2, 0.01] } } }, noisy))).toEqual([[]]);
    expect(flags(await beside({ benches: blind }, { ratios: { a: 1 } }))).toEqual([[]]);
    expect(flags(await gate(noisy))).toEqual([[]]);
  });
});

describe("acceptances in commit messages", () => {
  interface History extends Repository {
    readonly commits: readonly [base: string, middle: string, head: string];
  }

  function history(): History {
    const repository = makeRepository();
    const base = repository.commit("base", { "a.js": "1" });
    const middle = repository.commit("exact sums\n\nBench-Accept: a +50% exact sums", { "a.js": "2" });
    const head = repository.commit("head", { "a.js": "3" });
    return { ...repository, commits: [base, middle, head] };
  }

  function accepted(cwd: string, base: string, head: string): Promise<readonly (string | undefined)[]> {
    const parts: GateParts = {
      ...partsOf({ ratios: { a: 1.1 } }),
      stageArms: async () => ({
        base: { ...fakeArms.base, commit: base },
        head: { ...fakeArms.head, commit: head },
        remove: () => {},
      }),
    };
    return runGate({ ...REQUEST, cwd }, () => {}, parts).then(({ benches = [] }) =>
      benches.map((bench) => bench.accepted?.reason),
    );
  }

  it("are read from base to head", async () => {
    const { folder, commits } = history();
    const [base, middle, head] = commits;
    expect(await accepted(folder, base, head)).toEqual(["exact sums"]);
    expect(await accepted(folder, middle, head)).toEqual([undefined]);
  });

  it("that cannot be read are an error, not none", async () => {
    const { folder, commits } = history();
    const [base, middle, head] = commits;
    rmSync(join(folder, ".git/objects", middle.slice(0, 2), middle.slice(2)));
    await expect(accepted(folder, base, head)).rejects.toThrow(
      /commit messages between base and head cannot be read.*\n {2}at /,
    );
  });

  it("are none where there is no repository, or an arm is no commit of it", async () => {
    const { folder, commits } = history();
    expect(await accepted(temporaryFolder(), commits[0], commits[2])).toEqual([undefined]);
    expect(await accepted(folder, "f".repeat(40), commits[2])).toEqual([undefined]);
  });
});

it("what others took in the course of a run is recorded", async () => {
  const counts = { stealMs: 100, throttledPeriods: 2, involuntarySwitches: 5, stalledMs: null };
  const later = { stealMs: 350, throttledPeriods: 2, involuntarySwitches: 9, stalledMs: null };
  const read = [counts, later];
  const parts: GateParts = { ...partsOf({ ratios: { a: 1 } }), readPressure: () => read.shift() ?? later };
  const results = await runGate(REQUEST, () => {}, parts);
  expect(results.environment?.pressure).toEqual({
    stealMs: 250,
    throttledPeriods: 0,
    involuntarySwitches: 4,
    stalledMs: null,
  });
  expect(replays(results)).toBe(true);
});
