/**
 * A whole language-model benchmark: models × threads, to one result file of the same schema as other benchmarks.
 */

import { resolve } from "node:path";
import { UserError, type MatmulPrecision } from "@quern/core";
import { distinctNames, fileNameParts } from "../cases/model-name.ts";
import { llmEngineNamed } from "../engines/llm-engines.ts";
import type { LlmOptions } from "../engines/llm-engine.ts";
import { filesSha256, recipeSha256 } from "../harness/claim-facts.ts";
import { ComparisonRun, type BenchSettings } from "../harness/comparison.ts";
import { withProcess } from "../harness/engine-process.ts";
import type { Progress } from "../harness/interleave.ts";
import { describeMachine } from "../harness/machine.ts";
import type { EngineRecord, Machine, Result, Results, RooflinePoint, Skipped } from "../results/schema.ts";
import { measureLlm } from "./measure.ts";
import { readModelFacts, type ModelFacts } from "./model-facts.ts";
import type { LlmMeasured } from "./rows.ts";
import { TEXTS, contextOf, testName, type LlmTest } from "./tests.ts";

export interface LlmPlan {
  /** GGUF files; of split models the first. */
  readonly models: readonly string[];
  readonly tests: readonly LlmTest[];
  readonly engines: readonly string[];
  readonly threads: readonly number[];
  /** Of engines that choose. */
  readonly precision: MatmulPrecision;
  readonly cache: LlmOptions["cache"];
  readonly features?: string | undefined;
}

/** Runs the plan. `progress` is told what is going on and the share done. Ctrl-C is handled as by `runBench`. */
export async function runLlmBench(plan: LlmPlan, settings: BenchSettings, progress: Progress): Promise<Results> {
  if (plan.models.length === 0) throw new UserError("bench llm: no model to measure");
  if (plan.engines.length === 0) throw new UserError("bench llm: no engine to measure", { where: "--engines" });
  if (plan.tests.length === 0) throw new UserError("bench llm: neither a prompt nor generation is to be measured");
  const families = plan.engines.map((name) => llmEngineNamed(name).family);
  if (plan.features !== undefined && !families.includes("quern"))
    throw new UserError("none of the engines can be told which CPU features to use", {
      where: "--features",
      hint: "Add the engine quern.",
    });
  const models = await checkedModels(plan);
  const engines = await describeEngines(plan, settings.timeoutMs);
  // Now: a file that cannot be read any more would take everything measured with it.
  const hashes = new Map(models.map((facts) => [facts, filesSha256(facts.files)]));
  const run = new ComparisonRun("llm", settings);
  const measured: LlmMeasured[] = [];
  const groups = models.length * plan.threads.length;
  const roofline = await run.betweenPeaks(plan.threads, progress, async () => {
    for (const facts of models) {
      for (const threads of plan.threads) {
        const options = optionsOf(plan, threads);
        const done = measured.length;
        const report: Progress = (text, share) =>
          progress(`${facts.name}, ${threads} thread${threads === 1 ? "" : "s"}: ${text}`, (done + share) / groups);
        const { tests } = plan;
        const group = { facts, tests, engines: enginesAt(plan, threads), options, settings };
        measured.push({ facts, options, tests, outcomes: await measureLlm(group, report) });
      }
    }
  });
  return run.results({ engines, ...(await rowsOf(measured, hashes, settings.seed, describeMachine(roofline))) });
}

/** Default settings have a thread budget of their own, so that they are measured once, beside the most threads. */
function enginesAt(plan: LlmPlan, threads: number): string[] {
  const most = threads === Math.max(...plan.threads);
  return plan.engines.filter((name) => most || llmEngineNamed(name).variantOf === undefined);
}

/** Each file once, by a name of its own. */
async function checkedModels({ models, tests }: LlmPlan): Promise<ModelFacts[]> {
  const names = distinctNames(models, fileNameParts);
  const facts: ModelFacts[] = [];
  for (const path of new Map(models.map((model) => [resolve(model), model])).values()) {
    const found = await checkedFacts(path, tests);
    facts.push({ ...found, name: names.get(resolve(path)) ?? found.name });
  }
  return facts;
}

async function checkedFacts(path: string, tests: readonly LlmTest[]): Promise<ModelFacts> {
  const facts = await readModelFacts(path);
  const trained = facts.hyper.contextLength;
  const longest = tests.find(({ depth, tokens }) => depth + tokens > trained);
  if (longest === undefined) return facts;
  throw new UserError(`${testName(longest)} is longer than the ${trained} tokens that the model was made for`, {
    where: path,
    hint: "Choose fewer tokens with --prompt, --generate and --depth.",
  });
}

function optionsOf(plan: LlmPlan, threads: number): LlmOptions {
  const { precision, cache, tests, features } = plan;
  return {
    threads,
    contextLength: contextOf(tests),
    sequences: Math.max(...tests.map(({ sequences }) => sequences)),
    cache,
    precision,
    ...(features === undefined ? {} : { features }),
  };
}

async function describeEngines(plan: LlmPlan, timeoutMs: number): Promise<EngineRecord[]> {
  const records: EngineRecord[] = [];
  for (const engine of plan.engines) {
    const ask = { kind: "llm-describe", engine, options: optionsOf(plan, plan.threads[0] ?? 1) } as const;
    records.push(await withProcess(engine, async (process) => (await process.ask(ask, timeoutMs)).record));
  }
  return records;
}

async function rowsOf(
  measured: readonly LlmMeasured[],
  hashes: ReadonlyMap<ModelFacts, string>,
  seed: number,
  machine: Machine,
): Promise<Pick<Results, "machine" | "results" | "comparisons" | "skipped">> {
  // Brings the distribution functions, which compile when they are loaded: not at the start of every command.
  const { llmComparisons, llmRows } = await import("./rows.ts");
  const peaksOf = (threads: number): RooflinePoint | undefined =>
    machine.roofline.find((candidate) => candidate.threads === threads);
  const peaksAt = (threads: number): Parameters<typeof llmRows>[1] => {
    const point = peaksOf(threads);
    return point === undefined ? undefined : { point, single: peaksOf(1), caches: machine.cpu.caches };
  };
  const results = measured
    .flatMap((one) => {
      const modelSha256 = hashes.get(one.facts);
      const facts = { ...(modelSha256 === undefined ? {} : { modelSha256 }), ...llmClaimFacts(one, seed) };
      return llmRows(one, peaksAt(one.options.threads)).map(
        (row) =>
          ({
            ...row,
            ...facts,
            // Files are in the system's cache from the start; prompts and generation get other tokens from text to text.
            cacheState: row.tokens === undefined ? "warm" : "rotating",
          }) satisfies Result,
      );
    })
    .map((row) => {
      const idle = machine.cpu.features.includes("amx_int8") && leavesMatrixUnit(row);
      return idle ? { ...row, note: "no AMX buffer, though the processor has a matrix unit" } : row;
    });
  return { machine, results, comparisons: measured.flatMap(llmComparisons), skipped: measured.flatMap(skippedOf) };
}

/** All engines get the file, and tokens that follow from the seed. */
function llmClaimFacts({ facts, tests, options }: LlmMeasured, seed: number): Partial<Result> {
  return {
    inputsSha256: recipeSha256([seed, facts.name, facts.hyper.vocabulary, tests, TEXTS]),
    bytesPerWeight: facts.tensorBytes / facts.parameters,
    keyValues: options.cache,
  };
}

/** llama.cpp says where its weights lie. Not of every block type it has a layout for the matrix unit. */
function leavesMatrixUnit({ engine, phase, device, note }: Result): boolean {
  return llmEngineNamed(engine).baseline && phase === "steady" && note === undefined && !/\bAMX\b/.test(device ?? "");
}

function skippedOf({ facts, options, outcomes }: LlmMeasured): Skipped[] {
  return outcomes.flatMap(({ engine, failure }) =>
    failure === undefined
      ? []
      : [
          {
            case: `llm/${facts.name}`,
            engine,
            threads: options.threads,
            precision: options.precision,
            reason: failure.reason,
            failed: !failure.unsupported,
          },
        ],
  );
}
