/**
 * `quern bench`: measures engines against each other and reports. What is measured and how is the business of
 * `@quern/bench`; this file turns options into a plan and writes the reports.
 */

import type { Command } from "commander";
import { UserError, type MatmulPrecision } from "@quern/core";
import {
  CACHE_STATES,
  DEFAULT_SETTINGS,
  bundledModels,
  engines,
  opCases,
  parseCacheState,
  parseOpSizes,
  parseShapes,
  runBench,
  withDefaults,
  type BenchPlan,
  type CacheState,
  type CaseRequest,
} from "@quern/bench/engines";
import {
  PRECISION_DEFAULT,
  QUANTIZE_OPTION,
  collectPairs,
  impliedPrecision,
  numberOption,
  parseDims,
  parseEncoding,
  parseNames,
  parsePrecisions,
  parseSeed,
  parseThreads,
} from "../options.ts";
import { ProgressLine } from "../progress.ts";
import { measureAndReport, outputOption, reportOutputs, type ReportOptions } from "../bench-report.ts";
import { addBenchLlm } from "./bench-llm.ts";

interface BenchOptions extends ReportOptions {
  readonly shapes?: string;
  readonly weights: string;
  readonly cache: CacheState;
  readonly ops?: string[];
  readonly engines: string[];
  readonly defaults: boolean;
  readonly threads: number[];
  readonly precision?: MatmulPrecision[];
  readonly quantize?: string;
  readonly features?: string;
  readonly dim: Record<string, string>;
  readonly time: number;
  readonly processes: number;
  readonly seed: number;
  readonly timeout: number;
}

const DEFAULT_SHAPES = "1024x1024x1024,512x2048x8192,128x768x3072,1x4096x4096";

const EXAMPLES = `
What is measured (several with commas between, as models,gemm,ops):
  models           the models bundled with quern; so does nothing
  gemm             matrix products of the sizes in --shapes
  ops              single ops on 8 MB tensors, or of the sizes in --shapes without gemm beside them:
                   ${opCases.map((record) => record.name).join(", ")}
  model FILE…      ONNX files; inputs from case-K folders beside them, or random
  llm MODEL…       language models; has options of its own: quern bench llm --help
  url ADDRESS      a server with OpenAI's interface, under load: quern bench url --help
  run              the benches of this folder, as quern gate measures them: quern bench run --help
  list             what they are

Numbers in --shapes and --threads may be ranges: first-last, first-last+step, first-last*factor. One number is a square.

Engines:
${engines
  .filter(({ variantOf }) => variantOf === undefined)
  .map(({ name, about }) => `  ${name.padEnd(19)}${about}`)
  .join("\n")}

Examples:
  quern bench
  quern bench gemm --shapes 1024x1024x1024,1x4096x4096 --threads 1,2 --precision highest,high,medium
  quern bench gemm --shapes 256-2048*2 --threads 1-2 --engines quern,openblas,javascript --defaults
  quern bench models,gemm,ops --shapes 128-2048*2 --ops softmax,gelu --threads 1,2 --defaults -o md=engines.md
  quern bench gemm --shapes 1x4096x4096 --weights input --cache soft-cold
  quern bench ops --ops softmax,gelu --shapes 1-4096*8x1024 --time 3
  quern bench model encoder.onnx --quantize Q8_0 --dim batch=1 --dim sequence=128
  quern bench model mnist.onnx --engines quern,onnxruntime --html report.html --json results.json

Exit code: 0 all measured and equal, 1 an output differs or an engine failed, 2 wrong use, 3 no room on the disk to begin,
130 interrupted (what was measured as a whole is reported).`;

export function addBench(program: Command): Command {
  const command = program
    .command("bench")
    // Options behind `llm` are those of `llm`.
    .enablePositionalOptions()
    .description("Measure engines side by side: outputs compared first, slices interleaved, ratios with intervals.")
    .argument("[what]", "models, gemm, ops or model; nothing: the bundled models")
    .argument("[files...]", "model files")
    .option("--shapes <sizes>", "gemm: MxKxN,…; ops: ROWSxCOLUMNS,…; each number may be a range, see below")
    .option("--weights <constant|input>", "whether the second matrix is part of the model", "constant")
    .option(
      "--cache <state>",
      `what caches hold when a call begins: ${CACHE_STATES.join(", ")} (not of constant weights)`,
      parseCacheState,
      "rotating",
    )
    .option("--ops <names>", "op cases to measure (default: all)", parseNames)
    .option("--engines <names>", "engines to measure; onnxruntime is the baseline", parseNames, [
      "quern",
      "onnxruntime",
    ])
    .option(
      "--defaults",
      "measure engines with their default settings too, beside their best ones at the most threads",
      false,
    )
    .option("-t, --threads <counts>", "thread counts", parseThreads, [1])
    .option("--precision <names>", `highest, high, medium ${PRECISION_DEFAULT}`, parsePrecisions)
    .option("--quantize <encoding>", `models: ${QUANTIZE_OPTION}; onnxruntime keeps those of the file`, parseEncoding)
    .option("--features <mask>", "CPU features that quern may use, for instance avx2")
    .option("--dim <name=size>", "size of a symbolic dimension (repeatable)", collectPairs("--dim"), {})
    .option(
      "--time <seconds>",
      "timed seconds per engine, case and thread count",
      numberOption("--time", 0.01, 3600),
      DEFAULT_SETTINGS.secondsPerEngine,
    )
    .option(
      "--processes <count>",
      "fresh processes per engine; three or more give intervals that see them",
      numberOption("--processes", 1, 100, true),
      DEFAULT_SETTINGS.processes,
    )
    .option(
      "--timeout <seconds>",
      "longest wait for an engine",
      numberOption("--timeout", 1, 86400),
      DEFAULT_SETTINGS.timeoutMs / 1000,
    )
    .option("--seed <number>", "seed of inputs and orders", parseSeed, DEFAULT_SETTINGS.seed)
    .addOption(outputOption())
    .option("--json <file>", "write the results (schema quern.results/1); - is standard output")
    .option("--html <file>", "write a report that needs no network")
    .addHelpText("after", EXAMPLES)
    .hook("preSubcommand", refuseOptionsBefore)
    .action(bench);
  addBenchLlm(command);
  return command;
}

/** Options that only some of what is measured has a use for. */
const ONLY_OF: Readonly<Record<string, readonly string[]>> = {
  shapes: ["gemm", "ops"],
  weights: ["gemm"],
  ops: ["ops"],
};

/** An option that would be ignored is a slip: of the option, or of what is measured. */
function requireUse(kinds: readonly string[], command: Command): void {
  for (const [option, users] of Object.entries(ONLY_OF)) {
    if (command.getOptionValueSource(option) !== "cli" || users.some((kind) => kinds.includes(kind))) continue;
    throw new UserError(`--${option} says nothing about ${kinds.join(" and ")}`, {
      where: `--${option}`,
      hint: `It is for ${users.map((kind) => `quern bench ${kind}`).join(" and ")}.`,
    });
  }
}

/** Options before the name of a command below belong to `bench`, which does nothing then. */
function refuseOptionsBefore(command: Command, below: Command): void {
  const given = command.options.find((option) => command.getOptionValueSource(option.attributeName()) === "cli");
  if (given === undefined) return;
  const [option, name] = [`--${given.name()}`, below.name()];
  throw new UserError(`${option} would be ignored before ${name}`, {
    where: `bench ${option} … ${name}`,
    hint: `Options of ${name} follow it: see quern bench ${name} --help.`,
  });
}

function kindsOf(what: string | undefined): string[] {
  return [...new Set((what ?? "models").split(","))];
}

function requestsOf(what: string | undefined, files: readonly string[], options: BenchOptions): CaseRequest[] {
  const kinds = kindsOf(what);
  if (what !== "model" && files.length > 0) {
    throw new UserError(`"${files.join(" ")}" is not expected here`, {
      where: `bench ${what ?? ""}`.trim(),
      hint: "Model files follow `bench model`.",
    });
  }
  const { cache } = options;
  // Sizes of products and of ops have different forms: beside products, ops have their usual size.
  const opShapes = kinds.includes("gemm") ? undefined : options.shapes;
  return kinds.flatMap((kind): CaseRequest[] => {
    switch (kind) {
      case "models":
        return bundledModels().map((file) => ({ kind: "model", file, cache }));
      case "gemm":
        return gemmRequests(options);
      case "ops":
        return opRequests(options, opShapes);
      case "model": {
        if (kinds.length > 1) throw new UserError("files are measured alone", { where: `bench ${what}` });
        if (files.length === 0)
          throw new UserError("no model file is given", {
            where: "bench model",
            hint: "For instance: quern bench model mnist.onnx",
          });
        return files.map((file) => ({ kind: "model", file, cache }));
      }
      default:
        throw new UserError(`"${kind}" cannot be measured`, {
          where: "bench",
          hint: `Choose models, gemm, ops or model FILE…${kind.endsWith(".onnx") ? ` (quern bench model ${kind})` : ""}`,
        });
    }
  });
}

function gemmRequests({ weights, shapes, cache }: BenchOptions): CaseRequest[] {
  if (weights !== "constant" && weights !== "input") {
    throw new UserError(`"${weights}" is neither constant nor input`, { where: "--weights" });
  }
  return parseShapes(shapes ?? DEFAULT_SHAPES, weights, cache).map((gemm) => ({ kind: "gemm", gemm }));
}

function opRequests({ ops, cache }: BenchOptions, shapes: string | undefined): CaseRequest[] {
  const names = ops ?? opCases.map((record) => record.name);
  const sizes = shapes === undefined ? [undefined] : parseOpSizes(shapes);
  return names.flatMap((name) =>
    sizes.map((size) => ({ kind: "op", name, cache, ...(size === undefined ? {} : { sizes: size }) })),
  );
}

async function bench(
  what: string | undefined,
  files: readonly string[],
  options: BenchOptions,
  command: Command,
): Promise<void> {
  const cases = requestsOf(what, files, options);
  requireUse(kindsOf(what), command);
  const plan: BenchPlan = {
    cases,
    engines: options.defaults ? withDefaults(options.engines) : options.engines,
    threads: options.threads,
    precisions: options.precision ?? [impliedPrecision(options.quantize)],
    ...(options.quantize === undefined ? {} : { quantize: options.quantize }),
    dims: parseDims(options.dim),
    features: options.features,
  };
  const outputs = reportOutputs(options);

  const progress = new ProgressLine();
  await measureAndReport(command, outputs, progress, options, (settings) => runBench(plan, settings, progress.update));
}
