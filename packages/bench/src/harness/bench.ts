/**
 * A whole benchmark: cases × threads × engines and precisions, to one result file.
 *
 * In: a plan (what to measure) and settings. Out: `Results`. Every case becomes a workload, the oracle's outputs are
 * made once per model, each thread count is one interleaved group, and rows are derived from what the groups gave.
 */

import { rmSync } from "node:fs";
import { resolve } from "node:path";
import { UserError, weightEncodingNamed, type MatmulPrecision } from "@quern/core";
import { gemmPool, gemmWorkload, type GemmCase } from "../cases/gemm.ts";
import { modelWorkload, requireModelFile, requireWarmWeights } from "../cases/model.ts";
import type { CacheState } from "../cases/caches.ts";
import { opPool, opWorkload, type OpSizes } from "../cases/ops.ts";
import type { Workload } from "../cases/workload.ts";
import { engineNamed, engines as allEngines } from "../engines/index.ts";
import type { Engine, EngineOptions } from "../engines/engine.ts";
import { makeTemporaryFolder } from "../paired/temporary-folder.ts";
import type { Comparison, EngineRecord, Machine, Result, Results, Skipped } from "../results/schema.ts";
import { describeAffinity } from "./affinity.ts";
import { IDLE, cleanUpAtEnd, withProcess } from "./engine-process.ts";
import { workloadFacts, type ClaimFacts } from "./claim-facts.ts";
import { ComparisonRun, type BenchSettings } from "./comparison.ts";
import { makeExpected, withOracleNote } from "./expected.ts";
import { reasonOf } from "./failures.ts";
import { inspectInputs, modelRefusal } from "./inspect.ts";
import { measureGroup, type Arm, type ArmOutcome, type GroupSettings, type Progress } from "./interleave.ts";
import { describeMachine } from "./machine.ts";
import { PlannedModels } from "./planned-models.ts";

export type CaseRequest =
  | { readonly kind: "gemm"; readonly gemm: GemmCase }
  | { readonly kind: "op"; readonly name: string; readonly sizes?: OpSizes; readonly cache?: CacheState }
  | { readonly kind: "model"; readonly file: string; readonly cache?: CacheState };

export interface BenchPlan {
  readonly cases: readonly CaseRequest[];
  readonly engines: readonly string[];
  readonly threads: readonly number[];
  /** Measured for every engine that has them. */
  readonly precisions: readonly MatmulPrecision[];
  /** Sizes of symbolic dimensions for models without case folders; each must be one of some model. */
  readonly dims: Readonly<Record<string, number>>;
  readonly features?: string | undefined;
  /** Encoding that weights of models are quantised to, by engines that do that; the others compute with those of the file. */
  readonly quantize?: string | undefined;
}

/** A second of timed calls for each engine, case and thread count, in four fresh processes; slices of 5 ms. */
export const DEFAULT_SETTINGS: GroupSettings = {
  seed: 1,
  secondsPerEngine: 1,
  processes: 4,
  sliceMs: 5,
  timeoutMs: 120_000,
};

const BASELINE = "onnxruntime";

/**
 * Runs the plan. `progress` is told what is going on and the share done. Ctrl-C by `settings.signal`: the results are those
 * of whole repeats until then, marked as aborted; the reason of the signal is thrown where there are none. Throws a `UserError` for a
 * plan that cannot be, an engine that is not there, and where nothing could be measured.
 */
export async function runBench(plan: BenchPlan, settings: BenchSettings, progress: Progress): Promise<Results> {
  if (plan.cases.length === 0) throw new UserError("bench: nothing to measure");
  if (plan.engines.length === 0) throw new UserError("bench: no engine to measure", { where: "--engines" });
  const cases = distinctCases(plan.cases);
  for (const request of cases) requireCase(request, plan);
  requireTaken(plan);
  const engines = await describeEngines(plan, settings.timeoutMs);
  const models = plannedModels(cases, plan, settings);
  await models.requireUse(plan.dims);
  const run = new ComparisonRun("engines", settings);
  const directory = makeTemporaryFolder("quern-bench-");
  const removeDirectory = cleanUpAtEnd(() => rmSync(directory, { recursive: true, force: true }));
  try {
    const skipped: Skipped[] = [];
    const measured: Measured[] = [];
    const groups = cases.length * plan.threads.length;
    const roofline = await run.betweenPeaks(plan.threads, progress, async () => {
      for (const [index, request] of cases.entries()) {
        settings.signal?.throwIfAborted();
        let prepared: PreparedCase;
        try {
          prepared = await prepareCase(request, plan, models, settings, directory);
        } catch (error) {
          settings.signal?.throwIfAborted();
          skipped.push(...skippedCase(request, plan, models, reasonOf(error)));
          continue;
        }
        const { workload } = prepared;
        for (const [turn, threads] of plan.threads.entries()) {
          const done = index * plan.threads.length + turn;
          const report: Progress = (text, share) =>
            progress(`${workload.id}, ${threads} thread${threads === 1 ? "" : "s"}: ${text}`, (done + share) / groups);
          const arms = armsOf(plan, workload, threads, skipped);
          measured.push({ ...prepared, threads, outcomes: await measureGroup(workload, arms, settings, report) });
        }
      }
    });
    const machine = describeMachine(roofline);
    const affinity = await describeAffinity();
    return run.results({ machine, engines, affinity, ...(await rowsOf(measured, machine, skipped)) });
  } finally {
    removeDirectory();
  }
}

/** A case that is ready to be measured. */
interface PreparedCase {
  readonly workload: Workload;
  readonly facts: ClaimFacts;
  /** Why there are not all outputs to compare with. */
  readonly oracleFailure: string | undefined;
}

/** One group: a case at a thread count. */
interface Measured extends PreparedCase {
  readonly threads: number;
  readonly outcomes: readonly ArmOutcome[];
}

async function rowsOf(
  measured: readonly Measured[],
  { roofline, cpu }: Machine,
  skippedBefore: readonly Skipped[],
): Promise<Pick<Results, "results" | "comparisons" | "skipped">> {
  // Rows bring the distribution functions, which compile when they are loaded: not at the start of every command.
  const { compareArms, rowsOfArm, withKnownFlops } = await import("./rows.ts");
  const results: Result[] = [];
  const comparisons: Comparison[] = [];
  const skipped = [...skippedBefore];
  for (const { workload: asked, facts, oracleFailure, threads, outcomes } of measured) {
    const workload = withKnownFlops(asked, outcomes);
    const single = roofline.find((candidate) => candidate.threads === 1);
    const point = roofline.find((candidate) => candidate.threads === threads);
    const peaks = point === undefined ? undefined : { point, single, caches: cpu.caches };
    for (const outcome of outcomes) {
      for (const row of rowsOfArm(workload, outcome, peaks)) {
        const noted = withOracleNote(row, oracleFailure);
        results.push({ ...noted, ...facts, ...(row.phase === "steady" ? {} : { cacheState: "warm" }) });
      }
      if (outcome.failure === undefined) continue;
      const { reason, unsupported } = outcome.failure;
      skipped.push({ ...skippedArm(workload, outcome.arm), reason, failed: !unsupported });
    }
    comparisons.push(...compareArms(workload, outcomes, BASELINE));
  }
  return { results, comparisons, skipped };
}

/** Each case once: what is asked for twice would have two rows of one name. */
function distinctCases(cases: readonly CaseRequest[]): CaseRequest[] {
  const keyOf = (request: CaseRequest): string =>
    JSON.stringify(request.kind === "model" ? [resolve(request.file), request.cache ?? "rotating"] : request);
  return [...new Map(cases.map((request) => [keyOf(request), request])).values()];
}

function plannedModels(cases: readonly CaseRequest[], plan: BenchPlan, settings: GroupSettings): PlannedModels {
  const files = cases.flatMap((request) => (request.kind === "model" ? [request.file] : []));
  const options = engineOptions(plan, 1, "highest");
  // The baseline first: it is what the others are compared with.
  const names = plan.engines.toSorted((a, b) => Number(b === BASELINE) - Number(a === BASELINE));
  return new PlannedModels(files, (modelPath) =>
    inspectInputs(names, modelPath, (engine) => {
      settings.signal?.throwIfAborted();
      const ask = { kind: "inspect", engine, options, modelPath } as const;
      return withProcess(engine, async (process) => (await process.ask(ask, settings.timeoutMs)).inputs);
    }),
  );
}

/** Finds what is misspelt or missing, or cannot be, before anything is measured. */
function requireCase(request: CaseRequest, { quantize }: BenchPlan): void {
  if (quantize !== undefined) {
    weightEncodingNamed(quantize, "--quantize");
    // The outputs of the others are judged by what their own weights give.
    if (request.kind !== "model") throw new UserError("only weights of models are quantised", { where: "--quantize" });
  }
  if (request.kind === "gemm") gemmPool(request.gemm);
  if (request.kind === "op") opPool(request.name, request.sizes, request.cache);
  if (request.kind === "model") {
    requireModelFile(request.file);
    requireWarmWeights(request.cache);
  }
}

/** An option that no engine of the plan takes would say of its rows what they are not. */
function requireTaken(plan: BenchPlan): void {
  const planned = plan.engines.map(engineNamed);
  const requireOne = (where: string, what: string, takes: (engine: Engine) => boolean | undefined): void => {
    if (planned.some(takes)) return;
    const able = allEngines.filter(takes).map(({ name }) => name);
    throw new UserError(`none of the engines ${what}`, { where, hint: `Add one of these: ${able.join(", ")}.` });
  };
  if (plan.quantize !== undefined) requireOne("--quantize", "quantises weights", ({ quantises }) => quantises);
  if (plan.features !== undefined)
    requireOne("--features", "can be told which CPU features to use", ({ takesFeatures }) => takesFeatures);
}

function engineOptions(plan: BenchPlan, threads: number, precision: MatmulPrecision): EngineOptions {
  return { threads, precision, idle: IDLE, ...(plan.features === undefined ? {} : { features: plan.features }) };
}

/** In processes of their own: opening a device here would leave its threads and its warnings behind. */
async function describeEngines(plan: BenchPlan, timeoutMs: number): Promise<EngineRecord[]> {
  const records: EngineRecord[] = [];
  for (const engine of plan.engines) {
    const options = engineOptions(plan, plan.threads[0] ?? 1, "highest");
    const ask = { kind: "describe", engine, options } as const;
    records.push(await withProcess(engine, async (process) => (await process.ask(ask, timeoutMs)).record));
  }
  return records;
}

function skippedArm(workload: Workload, arm: Arm): Omit<Skipped, "reason"> {
  return { case: workload.id, engine: arm.engine, threads: arm.threads, precision: arm.precision };
}

/** A case that cannot even be prepared leaves the others measured. */
function skippedCase(request: CaseRequest, plan: BenchPlan, models: PlannedModels, reason: string): Skipped[] {
  const name = caseName(request, models);
  return plan.engines.flatMap((engine) => {
    const refusal = request.kind === "model" ? modelRefusal(engineNamed(engine), request.file) : undefined;
    const why: Pick<Skipped, "reason" | "failed"> =
      refusal === undefined ? { reason, failed: true } : { reason: refusal };
    return plan.threads.map((threads) => ({
      case: name,
      engine,
      threads,
      precision: plan.precisions[0] ?? "highest",
      ...why,
    }));
  });
}

function caseName(request: CaseRequest, models: PlannedModels): string {
  switch (request.kind) {
    case "gemm":
      return gemmPool(request.gemm).id;
    case "op":
      return opPool(request.name, request.sizes, request.cache).id;
    case "model":
      return `model/${models.nameOf(request.file)}`;
  }
}

/** Engines and precisions to measure; what an engine does not support goes to `skipped`. */
function armsOf(plan: BenchPlan, workload: Workload, threads: number, skipped: Skipped[]): Arm[] {
  const arms: Arm[] = [];
  for (const name of plan.engines) {
    const engine = engineNamed(name);
    // Default settings have a thread budget of their own, so that they are measured once, beside the most threads.
    if (engine.variantOf !== undefined && threads < Math.max(...plan.threads)) continue;
    const offered = plan.precisions.filter((precision) => engine.precisions.includes(precision));
    // An engine with one precision stands beside all that are asked for.
    for (const precision of offered.length > 0 ? offered : engine.precisions.slice(0, 1)) {
      const arm: Arm = {
        engine: name,
        precision,
        threads,
        ...(plan.features === undefined ? {} : { features: plan.features }),
        ...(plan.quantize === undefined || !engine.quantises ? {} : { quantize: plan.quantize }),
      };
      const reason = engine.supports(workload, engineOptions(plan, threads, precision));
      if (reason === undefined) arms.push(arm);
      else skipped.push({ ...skippedArm(workload, arm), reason });
    }
  }
  return arms;
}

async function prepareCase(
  request: CaseRequest,
  plan: BenchPlan,
  models: PlannedModels,
  settings: BenchSettings,
  directory: string,
): Promise<PreparedCase> {
  const workload = await makeWorkload(request, plan, models, settings, directory);
  const oracleFailure = await makeExpected(BASELINE, workload, settings);
  // Now, since Ctrl-C takes away the files of generated cases.
  return { workload, facts: workloadFacts(workload, settings.seed), oracleFailure };
}

async function makeWorkload(
  request: CaseRequest,
  { dims }: BenchPlan,
  models: PlannedModels,
  settings: BenchSettings,
  directory: string,
): Promise<Workload> {
  switch (request.kind) {
    case "gemm":
      return gemmWorkload(request.gemm, settings.seed, directory);
    case "op":
      return opWorkload(request.name, settings.seed, directory, request.sizes, request.cache);
    case "model":
      return modelWorkload(request.file, {
        seed: settings.seed,
        name: models.nameOf(request.file),
        dims,
        cache: request.cache,
        directory,
        describeInputs: (file) => models.inputsOf(file),
      });
  }
}
