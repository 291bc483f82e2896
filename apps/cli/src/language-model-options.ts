/** Options of the commands that generate text: how a model is loaded, and how tokens are chosen. */

import { availableParallelism } from "node:os";
import { type Command, Option } from "commander";
import { type Device, type MappedFile, type MatmulPrecision, UserError } from "@quern/core";
import { type DeviceKind, openDevice, requireModelFile } from "@quern/bench/engines";
import { readGgufFile } from "@quern/importers/gguf";
import {
  type CacheFormat,
  type GenerateOptions,
  type LanguageModel,
  type LoadOptions,
  loadModel,
  readHyperparameters,
} from "@quern/llm";
import { numberOption, parseDevice, parsePrecision } from "./options.ts";
import { ProgressLine } from "./progress.ts";

export interface ModelOptions {
  readonly context?: number;
  readonly kv: CacheFormat;
  readonly pageSize: number;
  readonly device: DeviceKind;
  readonly threads: number;
  readonly precision?: MatmulPrecision;
  readonly features?: string;
  readonly quiet?: boolean;
}

export interface SamplingOptions {
  readonly maxTokens?: number;
  readonly temperature?: number;
  readonly greedy?: boolean;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly typical?: number;
  readonly repeatPenalty?: number;
  readonly presencePenalty?: number;
  readonly frequencyPenalty?: number;
  readonly penaltyWindow?: number;
  readonly seed?: number;
  readonly stop?: string[];
  readonly ignoreEnd?: boolean;
}

const CACHE_FORMATS: readonly CacheFormat[] = ["f32", "f16", "bf16", "q8_0"];
const MOST_TOKENS = 2 ** 24;
const MOST_SEED = 2 ** 53 - 1;

export function parseCacheFormat(text: string): CacheFormat {
  const found = CACHE_FORMATS.find((format) => format === text);
  if (found !== undefined) return found;
  throw new UserError(`there is no cache format "${text}"`, {
    where: "--kv",
    hint: `Choose from: ${CACHE_FORMATS.join(", ")}.`,
  });
}

function parsePageSize(text: string): number {
  const size = Number(text);
  if (Number.isInteger(size) && size > 0 && size % 16 === 0 && size <= 65_536) return size;
  throw new UserError(`"${text}" is not a multiple of 16, up to 65536`, { where: "--page-size" });
}

/** Parser of a number that is above zero. */
function positiveOption(option: string, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== "" && value > 0 && value <= most) return value;
    throw new UserError(`"${text}" is not above 0 and at most ${most}`, { where: option });
  };
}

function collectStop(text: string, previous: readonly string[] = []): string[] {
  if (text === "") throw new UserError("a text that ends the generation cannot be empty", { where: "--stop" });
  return [...previous, text];
}

/** Parser of a number of tokens, or of other things that are counted. */
export const count = (option: string, least: number, most: number = MOST_TOKENS): ((text: string) => number) =>
  numberOption(option, least, most, true);

export function addModelOptions(command: Command): Command {
  const processors = availableParallelism();
  return command
    .option(
      "-c, --context <tokens>",
      "longest prompt and text together (default: what the model has, at most 4096)",
      count("--context", 1),
    )
    .option("--kv <format>", `how keys and values are kept: ${CACHE_FORMATS.join(", ")}`, parseCacheFormat, "f16")
    .option("--page-size <tokens>", "tokens of a page of the cache, a multiple of 16", parsePageSize, 64)
    .option("--device <kind>", "cpu, gpu or reference", parseDevice, "cpu")
    .option(
      "-t, --threads <count>",
      "threads of the CPU device",
      numberOption("--threads", 1, 1024, true),
      Math.min(processors, 1024),
    )
    .option(
      "--precision <name>",
      "of matrix products: highest, high or medium (default: medium, for weights that are floats high)",
      parsePrecision,
    )
    .option("--features <mask>", "CPU features that may be used, for instance avx2")
    .option("-q, --quiet", "no statistics and notices");
}

export function addSamplingOptions(command: Command): Command {
  const penalty = (option: string): ((text: string) => number) => numberOption(option, -100, 100);
  return command
    .option("-n, --max-tokens <count>", "most tokens (default: until the context is full)", count("--max-tokens", 1))
    .option("--temperature <number>", "0 is greedy (default: 0.8)", numberOption("--temperature", 0, 1e6))
    .option("--top-k <count>", "keep so many tokens; 0: all (default: 40)", count("--top-k", 0))
    .option("--top-p <share>", "keep the most probable of this share (default: 0.95)", positiveOption("--top-p", 1))
    .option(
      "--min-p <share>",
      "drop below this share of the most probable (default: 0.05)",
      numberOption("--min-p", 0, 1),
    )
    .option(
      "--typical <share>",
      "keep the most typical of this share (default: 1, off)",
      positiveOption("--typical", 1),
    )
    .option(
      "--repeat-penalty <number>",
      "of tokens that occurred (default: 1, off)",
      positiveOption("--repeat-penalty", 100),
    )
    .option("--presence-penalty <number>", "off their logits, once (default: 0)", penalty("--presence-penalty"))
    .option("--frequency-penalty <number>", "off their logits, each time (default: 0)", penalty("--frequency-penalty"))
    .option(
      "--penalty-window <count>",
      "last tokens that penalties look at (default: 64)",
      count("--penalty-window", 0),
    )
    .addOption(
      new Option("--greedy", "the most probable token always").conflicts([
        "temperature",
        "topK",
        "topP",
        "minP",
        "typical",
      ]),
    )
    .option("-s, --seed <number>", "gives the same choices again (default: random)", count("--seed", 0, MOST_SEED))
    .option("--stop <text>", "ends the text, and is not part of it (repeatable)", collectStop)
    .option("--ignore-end", "go on where the model ends its text, for measurements");
}

/** As `generate` takes them. */
export function generateOptions(options: SamplingOptions): GenerateOptions {
  return {
    maxTokens: options.maxTokens,
    temperature: options.greedy === true ? 0 : options.temperature,
    topK: options.topK,
    topP: options.topP,
    minP: options.minP,
    typicalP: options.typical,
    repetitionPenalty: options.repeatPenalty,
    presencePenalty: options.presencePenalty,
    frequencyPenalty: options.frequencyPenalty,
    penaltyWindow: options.penaltyWindow,
    seed: options.seed,
    stop: options.stop,
    ignoreEnd: options.ignoreEnd,
  };
}

export interface OpenModel {
  readonly model: LanguageModel;
  readonly device: Device;
  readonly loadMs: number;
}

/** Throws a `UserError` unless there is a file to load. For what should be said before other input is read. */
export function requireLanguageModel(path: string): void {
  requireModelFile(path, "Give the path of a .gguf file; of a split model the first.");
}

/** Sequences that are computed together, and tokens that each gets beside what they have in common. */
export interface Together {
  readonly sequences: number;
  readonly tokens: number;
}

/** Loads a model, gives it to `use`, and returns its memory. */
export async function withModel(
  path: string,
  options: ModelOptions,
  together: Together,
  use: (open: OpenModel) => Promise<void>,
): Promise<void> {
  const started = performance.now();
  const device = await openDevice(options.device, options);
  const mappings: MappedFile[] = [];
  try {
    await using model = await load(path, device, mappings, options, together);
    await use({ model, device, loadMs: performance.now() - started });
  } finally {
    device.dispose();
    for (const mapping of mappings) mapping.dispose();
  }
}

/** Files are mapped where the device can, and the mappings added to `mappings`: they must outlive the model. */
async function load(
  path: string,
  device: Device,
  mappings: MappedFile[],
  options: ModelOptions,
  together: Together,
): Promise<LanguageModel> {
  const map = (part: string): Uint8Array => {
    const mapping = device.mapFile!(part);
    mappings.push(mapping);
    return mapping.bytes;
  };
  const progress = new ProgressLine();
  if (options.quiet !== true) progress.update(`loading ${path}`);
  try {
    const file = readGgufFile(path, device.mapFile === undefined ? {} : { read: map });
    return await loadModel(file, {
      device,
      ...loadOptions(readHyperparameters(file).contextLength, options, together),
    });
  } finally {
    progress.clear();
  }
}

const CONTEXT_BY_DEFAULT = 4096;

/** For a model made for sequences of `trained` tokens. */
function loadOptions(
  trained: number,
  { context = Math.min(trained, CONTEXT_BY_DEFAULT), kv, pageSize, precision }: ModelOptions,
  { sequences, tokens }: Together,
): Omit<LoadOptions, "device"> {
  if (context > trained)
    throw new UserError(`the model was made for ${trained} tokens, not ${context}`, {
      where: "--context",
      hint: `Choose ${trained} or fewer.`,
    });
  // Each has its own last page of what they have in common.
  const cacheTokens = context + (sequences - 1) * Math.min(context, tokens + pageSize);
  return { kv, pageSize, matmulPrecision: precision, contextLength: context, cacheTokens, maxSequences: sequences };
}
