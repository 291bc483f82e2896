/**
 * `quern bench llm`: language models, Quern beside llama.cpp: prompts, generation, depth, several sequences, the first
 * token, memory. A model is a GGUF file or the name of a shape, which is written with random weights and kept.
 */

import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { UserError, type MatmulPrecision } from "@quern/core";
import { FileSink } from "@quern/importers/gguf";
import {
  DEFAULT_SETTINGS,
  llmEngines,
  parseNumbers,
  parseTests,
  withLlmDefaults,
  runLlmBench,
  type LlmOptions,
  type LlmPlan,
  type LlmTest,
} from "@quern/bench/engines";
import { defaultCacheFolder } from "@quern/kernels-cpu";
import { quantMixNamed } from "@quern/llm/quantise";
import { planSynth, synthPresets, writeSynthInTurns } from "@quern/llm/synth";
import { numberOption, parseNames, parsePrecision, parseSeed, parseThreads } from "../options.ts";
import { whole } from "../interrupt.ts";
import { ProgressLine } from "../progress.ts";
import { measureAndReport, outputOption, reportOutputs, type ReportOptions } from "../bench-report.ts";

interface BenchLlmOptions extends ReportOptions {
  readonly prompt: number[];
  readonly generate: number[];
  readonly depth: number[];
  readonly parallel: number[];
  readonly tests?: LlmTest[];
  readonly quant: string[];
  readonly kv: LlmOptions["cache"];
  readonly engines: string[];
  readonly defaults: boolean;
  readonly threads: number[];
  readonly precision: MatmulPrecision;
  readonly features?: string;
  readonly time: number;
  readonly processes: number;
  readonly timeout: number;
  readonly seed: number;
}

const EXAMPLES = `
Models:
  FILE.gguf        of a split model the first file
  a shape          written with random weights, in each quantisation of --quant, and kept for later:
                   ${Object.keys(synthPresets)
                     .filter((name) => !name.startsWith("tiny-"))
                     .join(", ")}

What is measured:
  first-token      from opening the model to the first token behind 16, of quern with the kernels that an earlier start has
                   kept; loading, memory
  ppN              evaluation of N tokens at once        (--prompt)
  tgN              generation of N tokens, one by one    (--generate)
  …@dN             the same behind N tokens              (--depth)
  tgNxS            S sequences that generate together    (--parallel)
--prompt, --generate, --depth and --parallel are combined with each other; --tests names single tests in these words.

Engines: ${llmEngines.map(({ name, about }) => `${name} (${about})`).join(", ")}

Examples:
  quern bench llm llama-3.2-1b --threads 2
  quern bench llm model.gguf --prompt 512 --generate 128 --depth 0,4096
  quern bench llm llama-3.2-1b --quant Q4_K_M,Q8_0,F16 --tests pp512,tg64,tg16x4,pp512@d4096 -o md=table.md
  quern bench llm qwen3-4b --quant Q6_K --parallel 1,8 --engines quern,llama.cpp --json results.json

Exit code: 0 all measured and equal, 1 logits differ or an engine failed, 2 wrong use, 130 interrupted (what was
measured as a whole is reported).`;

const CACHE_FORMATS: readonly LlmOptions["cache"][] = ["f32", "f16", "q8_0"];

function counts(option: string, least: number, most: number): (text: string) => number[] {
  const count = numberOption(option, least, most, true);
  return (text) =>
    parseNumbers(text, option, `${option} 1,8 or ${option} 128-1024*2`).map((value) => count(String(value)));
}

function parseCache(text: string): LlmOptions["cache"] {
  const found = CACHE_FORMATS.find((format) => format === text);
  if (found !== undefined) return found;
  throw new UserError(`there is no cache format "${text}"`, {
    where: "--kv",
    hint: `Choose from: ${CACHE_FORMATS.join(", ")}.`,
  });
}

function parseQuants(text: string): string[] {
  const names = parseNames(text);
  return [...new Set((names.length === 0 ? [text] : names).map((name) => quantMixNamed(name, "--quant").name))];
}

const MOST_TOKENS = 2 ** 20;

/** Adds the command to `bench`. */
export function addBenchLlm(bench: Command): void {
  bench
    .command("llm")
    .description("Measure language models: prompts and generation, in tokens per second.")
    .argument("<models...>", "GGUF files or names of shapes, see below")
    .option("-p, --prompt <counts>", "tokens of prompts; 0: none", counts("--prompt", 0, MOST_TOKENS), [512])
    .option("-n, --generate <counts>", "tokens to generate; 0: none", counts("--generate", 0, MOST_TOKENS), [128])
    .option("-d, --depth <counts>", "tokens before", counts("--depth", 0, MOST_TOKENS), [0])
    .option("--parallel <counts>", "sequences that generate together", counts("--parallel", 1, 1024), [1])
    .option("--tests <names>", "tests by name instead, as pp512,tg64,tg16x4,pp512@d4096", parseTests)
    .option("--quant <names>", "of shapes", parseQuants, ["Q4_K_M"])
    .option("--kv <format>", `how keys and values are kept: ${CACHE_FORMATS.join(", ")}`, parseCache, "f16")
    .option("--engines <names>", "engines to measure", parseNames, ["quern", "llama.cpp"])
    .option("--defaults", "measure engines with their default settings too, beside their best ones", false)
    .option("-t, --threads <counts>", "thread counts", parseThreads, [1])
    .option("--precision <name>", "of quern's products", parsePrecision, "medium")
    .option("--features <mask>", "CPU features that quern may use, for instance avx2")
    .option("--time <seconds>", "timed seconds per engine and test", numberOption("--time", 0.01, 3600), 10)
    .option("--processes <count>", "fresh processes per engine", numberOption("--processes", 1, 100, true), 3)
    .option("--timeout <seconds>", "longest wait for an engine", numberOption("--timeout", 1, 86400), 600)
    .option("--seed <number>", "seed of tokens, orders and random weights", parseSeed, DEFAULT_SETTINGS.seed)
    .addOption(outputOption())
    .option("--json <file>", "write the results (schema quern.results/1); - is standard output")
    .option("--html <file>", "write a report that needs no network")
    .addHelpText("after", EXAMPLES)
    .action(benchLlm);
}

async function benchLlm(models: readonly string[], options: BenchLlmOptions, command: Command): Promise<void> {
  const outputs = reportOutputs(options);
  const tests = testsOf(options, command);
  requireShapes(models, command);
  const progress = new ProgressLine();
  try {
    const files = await modelFiles(models, options, progress);
    if (files === undefined) return;
    const plan: LlmPlan = {
      models: files,
      tests,
      engines: options.defaults ? withLlmDefaults(options.engines) : options.engines,
      threads: options.threads,
      precision: options.precision,
      cache: options.kv,
      features: options.features,
    };
    await measureAndReport(command, outputs, progress, options, (settings) =>
      runLlmBench(plan, settings, progress.update),
    );
  } finally {
    progress.clear();
  }
}

/** A file has the quantisation that it has. */
function requireShapes(models: readonly string[], command: Command): void {
  if (command.getOptionValueSource("quant") !== "cli" || models.some((model) => !existsSync(model))) return;
  throw new UserError("files are measured as they are", {
    where: "--quant",
    hint: "It is for shapes; `quern quantize` writes a file in another quantisation.",
  });
}

/** What the options of combined tests are called. */
const COMBINED = ["prompt", "generate", "depth", "parallel"];

function testsOf({ tests, prompt, generate, depth, parallel }: BenchLlmOptions, command: Command): LlmTest[] {
  if (tests !== undefined) {
    const other = COMBINED.find((name) => command.getOptionValueSource(name) === "cli");
    if (other === undefined) return tests;
    throw new UserError("tests are named or combined, not both", {
      where: `--tests, --${other}`,
      hint: "Leave one of them out.",
    });
  }
  return depth
    .flatMap((before) => [
      ...prompt.map((tokens): LlmTest => ({ kind: "prompt", tokens, depth: before, sequences: 1 })),
      ...generate.flatMap((tokens) =>
        parallel.map((sequences): LlmTest => ({ kind: "generate", tokens, depth: before, sequences })),
      ),
    ])
    .filter(({ tokens }) => tokens > 0);
}

/** The files of all models, shapes in each quantisation. Undefined after Ctrl-C. */
async function modelFiles(
  models: readonly string[],
  { quant, seed }: BenchLlmOptions,
  progress: ProgressLine,
): Promise<string[] | undefined> {
  const files: string[] = [];
  for (const model of models) {
    // A file is what it is.
    for (const name of existsSync(model) ? quant.slice(0, 1) : quant) {
      const file = await modelFile(model, name, seed, progress);
      if (file === undefined) return undefined;
      files.push(file);
    }
  }
  return files;
}

/** The path of a file, or of the model of that shape, written if it is not there. Undefined after Ctrl-C. */
async function modelFile(
  model: string,
  quant: string,
  seed: number,
  progress: ProgressLine,
): Promise<string | undefined> {
  if (existsSync(model)) return model;
  if (!Object.hasOwn(synthPresets, model)) {
    throw new UserError("there is neither such a file nor such a shape", {
      where: model,
      hint: `Give a GGUF file, or one of: ${Object.keys(synthPresets).join(", ")}.`,
    });
  }
  const folder = join(defaultCacheFolder(), "models");
  const file = join(folder, `${model}-${quant}${seed === 1 ? "" : `-seed${seed}`}.gguf`);
  if (existsSync(file)) return file;
  mkdirSync(folder, { recursive: true });
  const onProgress = (written: number, total: number): void => progress.update(`writing ${file}`, written / total);
  const done = await whole(async (signal) => {
    await writeSynthInTurns(planSynth({ model, quant, seed }), new FileSink(file), { signal, onProgress });
  });
  return done ? file : undefined;
}
