/** The orchestration alone: arms, machine and measuring are made up, everything else is real. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { ListedBench } from "../define/list-benches.ts";
import { Random } from "../harness/random.ts";
import { fingerprintOf } from "../paired/fingerprint.ts";
import type { BenchSamples, MeasurePlan, PairSamples } from "../paired/plan.ts";
import { parseResults } from "../results/read.ts";
import type { Results } from "../results/schema.ts";
import { planText } from "./dry-run.ts";
import { EXIT } from "./exit-codes.ts";
import { GATE_PARTS, type GateParts } from "./gate-parts.ts";
import { judged } from "./gate-results.ts";
import type { GateRequest } from "./gate-request.ts";
import { storedPolicy } from "./policy.ts";
import { runGate } from "./run-gate.ts";

const folder = mkdtempSync(join(tmpdir(), "quern-run-gate-test-"));
afterAll(() => rmSync(folder, { recursive: true }));

interface World {
  /** Head over base, by bench. */
  readonly ratios: Readonly<Record<string, number>>;
  /** Benches that only the base has. */
  readonly gone?: readonly string[];
  readonly failures?: Readonly<Record<string, string>>;
  /** Time of one pair of one bench, ms of a clock that only measuring moves. */
  readonly benchMs?: number;
  readonly plans?: MeasurePlan[];
  readonly abortIn?: string;
  readonly quotaChanges?: boolean;
  readonly throttled?: boolean;
}

/** A machine with a spread of 0.3 % between pairs, and a clock of its own. */
function partsOf(world: World): GateParts {
  const { ratios, gone = [], failures = {}, benchMs = 1000, plans = [] } = world;
  let clock = 1_700_000_000_000;
  let looks = 0;
  let speeds = 0;
  const listed = (id: string): ListedBench => ({
    id,
    file: "bench/all.bench.js",
    index: 0,
    ...(failures[id] === undefined ? {} : { failure: failures[id] }),
  });
  const measure = (plan: MeasurePlan, id: string): BenchSamples => {
    const random = Random.of(plan.seed, id, plan.firstIndex);
    const control = plan.benches.find((bench) => bench.id === id)?.control === true;
    const ratio = control ? 1 : (ratios[id] ?? 1);
    const pairs = Array.from({ length: plan.pairs }, (_, pair) => {
      const shift = ratio * Math.exp(0.003 * random.normal());
      const base = Array.from({ length: plan.rounds }, () => 1000 * Math.exp(0.002 * random.normal()));
      const order = pair % 2 === 0 ? ("base-first" as const) : ("head-first" as const);
      return { index: plan.firstIndex + pair, order, base, head: base.map((ns) => ns * shift) };
    });
    const ref = plan.benches.find((bench) => bench.id === id) ?? { id, file: "" };
    return { id, ref, pairs, flags: [], check: control ? null : { checked: 3, maxError: 0, passed: true } };
  };
  return {
    ...GATE_PARTS,
    now: () => clock,
    stageArms: async () => {
      const arm = { source: "x", resolved: "x", directory: folder, project: folder } as const;
      return {
        base: { ...arm, name: "base", letter: "a" },
        head: { ...arm, name: "head", letter: "b" },
        remove: () => {},
      };
    },
    listBenches: async (_, { what }) => ({
      benches: [...Object.keys(ratios), ...(what === "base" ? gone : [])].map(listed),
      loaded: [{ kind: "module", path: join(folder, `${what}.js`), sha256: what.repeat(16) }],
    }),
    preflight: (_, lists, options) => GATE_PARTS.preflight(fakeArms, lists, options),
    controlBenches: () => [{ id: "ctl.fma", file: "/controls.mjs", control: true }],
    measureSpeed: async () => (speeds++ > 0 && world.throttled === true ? 1500 : 1000),
    readFingerprint: () => {
      const quota = looks++ > 0 && world.quotaChanges === true ? "50000" : "max";
      return fingerprintOf({ quota, platform: "linux x64", cores: "2", "node major": "24" });
    },
    measurePairs: async (plan): Promise<PairSamples> => {
      plans.push(plan);
      const aborted = plan.benches.some(({ id }) => id === world.abortIn);
      const most =
        plan.deadline === undefined
          ? plan.pairs
          : Math.floor((plan.deadline - clock) / (benchMs * plan.benches.length));
      const pairs = Math.max(0, Math.min(plan.pairs, aborted ? 1 : most));
      clock += pairs * benchMs * plan.benches.length;
      const benches = plan.benches.map(({ id }) => measure({ ...plan, pairs }, id));
      const wallMs = pairs * benchMs * plan.benches.length;
      const outOfTime = pairs < plan.pairs && !aborted;
      return { benches, aborted, outOfTime, wallMs, loaded: { base: [], head: [] }, changedFiles: [] };
    },
  };
}

const fakeArm = { source: "x", resolved: "x", directory: folder, project: folder } as const;
const fakeArms = {
  base: { ...fakeArm, name: "base" as const, letter: "a" as const },
  head: { ...fakeArm, name: "head" as const, letter: "b" as const, directory: folder },
};

const REQUEST: GateRequest = {
  kind: "gate",
  base: "main",
  head: ".",
  cwd: folder,
  config: { version: 1 },
  flags: { seed: 11 },
  env: {},
  tool: { name: "quern", version: "0.0.0" },
  argv: ["gate", "--base", "main"],
};

function gate(world: World, change: Partial<GateRequest> = {}): Promise<Results> {
  return runGate({ ...REQUEST, ...change }, () => {}, partsOf(world));
}

const verdicts = ({ benches = [] }: Results): Record<string, string> =>
  Object.fromEntries(benches.map(({ id, verdict }) => [id, verdict]));

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
    writeFileSync(
      calibrationFile,
      JSON.stringify({
        schema: "quern.calibration/1",
        createdAt: "2026-11-01T00:00:00Z",
        class: "x",
        runs: 5,
        seed: 1,
        benches,
      }),
    );
    const text = await planText({ ...REQUEST, calibrationFile }, () => {}, partsOf({ ratios: { a: 1, b: 1 } }));
    expect(text).toMatch(/^a +2\.5\d* % +2\.\d+ %/m);
    // Twice the floor.
    expect(text).toMatch(/^b +4\.0\d* %/m);
  });

  it("refuses a calibration that is none", async () => {
    const calibrationFile = join(folder, "wrong.json");
    writeFileSync(calibrationFile, "{");
    await expect(planText({ ...REQUEST, calibrationFile }, () => {}, partsOf({ ratios: { a: 1 } }))).rejects.toThrow(
      /calibration/,
    );
  });
});
