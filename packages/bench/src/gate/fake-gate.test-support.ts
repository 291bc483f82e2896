/** Gate runs of which arms, machine and measuring are made up; everything else is real. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UserError } from "@quern/core/errors";
import { afterAll } from "vitest";
import type { BenchParams } from "../define/bench.ts";
import type { ListedBench, ListOptions } from "../define/list-benches.ts";
import { Random } from "../harness/random.ts";
import type { ArmName, LoadedFile, StagedArm } from "../paired/arms/arm.ts";
import { fingerprintOf } from "../paired/fingerprint.ts";
import type { BenchSamples, MeasurePlan, PairSample, PairSamples } from "../paired/plan.ts";
import { parseResults } from "../results/read.ts";
import type { Results } from "../results/schema.ts";
import { GATE_PARTS, type GateParts } from "./gate-parts.ts";
import { judged } from "./gate-results.ts";
import type { GateRequest } from "./gate-request.ts";
import { storedPolicy } from "./policy.ts";
import { runGate } from "./run-gate.ts";

/** Stands for the repository of the user. */
export const folder: string = mkdtempSync(join(tmpdir(), "quern-run-gate-test-"));
afterAll(() => rmSync(folder, { recursive: true }));

export interface World {
  /** Head over base, by bench. */
  readonly ratios: Readonly<Record<string, number>>;
  /** Benches that only the base has. */
  readonly gone?: readonly string[];
  /** Benches that only the head has. */
  readonly fresh?: readonly string[];
  /** The base has no benches at all. */
  readonly allNew?: boolean;
  readonly failures?: Readonly<Record<string, string>>;
  /** Beside these: of the base alone, what first calls end with, and what is wrong with their outputs. */
  readonly baseFaults?: Readonly<Record<string, Pick<ListedBench, "failure" | "wrong">>>;
  /** Of the head alone. */
  readonly headFaults?: Readonly<Record<string, Pick<ListedBench, "failure" | "wrong">>>;
  /** The head has no benches at all. */
  readonly emptyHead?: boolean;
  /** File of the benches in the base. */
  readonly baseFile?: string;
  /** Parameters of all benches in an arm. */
  readonly params?: Partial<Record<ArmName, BenchParams>>;
  /** Time of one pair of one bench, ms of a clock that only measuring moves. */
  readonly benchMs?: number;
  readonly plans?: MeasurePlan[];
  readonly abortIn?: string;
  /** A bench whose head hangs while it is measured. */
  readonly hangsIn?: string;
  /** A bench that is too short to be evaluated. */
  readonly boundIn?: string;
  readonly quotaChanges?: boolean;
  readonly throttled?: boolean;
  /** Why the controls cannot be measured. */
  readonly controlFails?: string;
  /** Instead of `ratios`: what a bench shows in each stage, its pairs evenly spread on both sides. */
  readonly stages?: Readonly<Record<string, readonly { readonly ratio: number; readonly spread: number }[]>>;
  /** Both arms are the same file by file. */
  readonly same?: boolean;
  /** Where code of the benches ran whose files are not seen. */
  readonly unseen?: readonly string[];
  /** What the measured processes of an arm load in each stage. */
  readonly loads?: Partial<Record<ArmName, readonly (readonly LoadedFile[])[]>>;
  readonly asked?: Pick<ListOptions, "what" | "filter" | "attempt">[];
}

/** A machine with a spread of 0.3 % between pairs, and a clock of its own. */
export function partsOf(world: World): GateParts {
  const { ratios, gone = [], fresh = [], failures = {}, benchMs = 1000, plans = [] } = world;
  let clock = 1_700_000_000_000;
  let looks = 0;
  let speeds = 0;
  let measured = 0;
  const listed = (arm: ArmName, id: string): ListedBench => {
    const params = world.params?.[arm];
    return {
      id,
      file: (arm === "base" ? world.baseFile : undefined) ?? "bench/all.bench.js",
      index: 0,
      ...(params === undefined ? {} : { params }),
      ...(failures[id] === undefined ? {} : { failure: failures[id] }),
      ...(arm === "base" ? world.baseFaults?.[id] : world.headFaults?.[id]),
    };
  };
  const measure = (plan: MeasurePlan, id: string): BenchSamples => {
    const random = Random.of(plan.seed, id, plan.firstIndex);
    const control = plan.benches.find((bench) => bench.id === id)?.control === true;
    const ratio = control ? 1 : (ratios[id] ?? 1);
    const exact = world.stages?.[id]?.[measured];
    const pairs = Array.from({ length: plan.pairs }, (_, pair): PairSample => {
      const shift =
        exact === undefined
          ? ratio * Math.exp(0.003 * random.normal())
          : exact.ratio * Math.exp(exact.spread * ((2 * (pair + 0.5)) / plan.pairs - 1));
      const base = Array.from({ length: plan.rounds }, () => 1000 * Math.exp(0.002 * random.normal()));
      const order = pair % 2 === 0 ? "base-first" : "head-first";
      return { index: plan.firstIndex + pair, order, base, head: base.map((ns) => ns * shift) };
    });
    const ref = plan.benches.find((bench) => bench.id === id) ?? { id, file: "" };
    if (control && world.controlFails !== undefined) {
      const error = { kind: "crash", arm: "base", reason: world.controlFails } as const;
      return { id, ref, pairs: [], flags: [], check: null, error };
    }
    if (id === world.hangsIn) {
      const error = { kind: "timeout", arm: "head", reason: "gave no answer within 60 s" } as const;
      return { id, ref, pairs: pairs.slice(0, 1), flags: [], check: null, error };
    }
    if (id === world.boundIn) return { id, ref, pairs: [], flags: ["timer-bound"], check: null };
    return { id, ref, pairs, flags: [], check: control ? null : { checked: 3, maxError: 0, passed: true } };
  };
  return {
    ...GATE_PARTS,
    now: () => clock,
    stageArms: async () => ({ ...fakeArms, remove: () => {} }),
    listBenches: async ({ directory }, { what, filter, attempt, mayBeEmpty }) => {
      world.asked?.push({
        what,
        ...(filter === undefined ? {} : { filter }),
        ...(attempt === undefined ? {} : { attempt }),
      });
      const arm = what === "base" ? what : "head";
      if (arm === "base" ? world.allNew === true : world.emptyHead === true) {
        if (mayBeEmpty !== true) throw new UserError(`${arm} has no bench files`);
        return { benches: [], loaded: [] };
      }
      return {
        benches: [...Object.keys(ratios), ...(arm === "base" ? gone : fresh)].map((id) => listed(arm, id)),
        loaded: [{ path: join(directory, "code.js"), sha256: (world.same === true ? "same" : what).repeat(16) }],
        ...(world.unseen === undefined ? {} : { unseen: world.unseen }),
      };
    },
    controlBenches: () => [{ id: "ctl.fma", file: "/controls.mjs", control: true }],
    wait: async () => {},
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
      const stage = measured++;
      const loaded = { base: world.loads?.base?.[stage] ?? [], head: world.loads?.head?.[stage] ?? [] };
      return { benches, aborted, outOfTime, wallMs, loaded, changedFiles: [] };
    },
  };
}

function fakeArm(name: ArmName, letter: "a" | "b"): StagedArm {
  const directory = join(folder, letter);
  return { name, letter, source: "x", resolved: "x", directory, project: directory };
}

export const fakeArms: { readonly base: StagedArm; readonly head: StagedArm } = {
  base: fakeArm("base", "a"),
  head: fakeArm("head", "b"),
};

export const REQUEST: GateRequest = {
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

export function gate(world: World, change: Partial<GateRequest> = {}): Promise<Results> {
  return runGate({ ...REQUEST, ...change }, () => {}, partsOf(world));
}

/** Of every bench. */
export function verdicts({ benches = [] }: Results): Record<string, string> {
  return Object.fromEntries(benches.map(({ id, verdict }) => [id, verdict]));
}

/** Whether the verdicts of a result follow from what is stored of it, byte for byte. */
export function replays(results: Results): boolean {
  const read = parseResults(JSON.stringify(results), "the run");
  const { run } = read;
  if (run?.policy === undefined) throw new Error("the run has no policy");
  return JSON.stringify(judged(read, storedPolicy(run.policy))) === JSON.stringify(read);
}
