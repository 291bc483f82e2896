/** `quern perplexity`: how well a model predicts a text, chunk by chunk, as llama.cpp measures it. */

import type { Command } from "commander";
import { UserError, type MatmulPrecision } from "@quern/core";
import { formatMs } from "@quern/bench/format";
import { DEVICE_KINDS, openDevice, type DeviceKind } from "@quern/bench/engines";
import { loadModel, perplexity, type CacheFormat, type Perplexity } from "@quern/llm";
import { numberOption, parseDevice, parsePrecision } from "../options.ts";
import { ProgressLine } from "../progress.ts";
import { readText } from "../text-input.ts";
import { requireWritable, writeJson } from "../write-file.ts";

interface PerplexityCommandOptions {
  readonly file: string;
  readonly context?: number;
  readonly chunks?: number;
  readonly kv: CacheFormat;
  readonly device: DeviceKind;
  readonly threads: number;
  readonly precision?: MatmulPrecision;
  readonly json?: string;
}

const EXAMPLES = `
The text is cut into chunks of one context; the second half of each is scored, given all before it in the chunk.
Lower is better: the number of tokens that the model hesitates between, so to say.

Examples:
  quern perplexity model.gguf -f wiki.test.raw --threads 2
  quern perplexity model.gguf -f book.txt --context 2048 --chunks 8 --json -`;

const DEFAULT_CONTEXT = 512;
const CACHE_FORMATS: readonly CacheFormat[] = ["f32", "f16", "bf16", "q8_0"];
const count = (option: string, least: number): ((text: string) => number) =>
  numberOption(option, least, 2 ** 31 - 1, true);

export function addPerplexity(program: Command): void {
  program
    .command("perplexity")
    .description("Measure how well a language model predicts a text.")
    .argument("<model>", "a GGUF file")
    .requiredOption("-f, --file <text>", "the text, UTF-8; - is standard input")
    .option(
      "-c, --context <tokens>",
      `tokens of a chunk (default: ${DEFAULT_CONTEXT}, or what the model has)`,
      count("--context", 4),
    )
    .option("--chunks <count>", "most chunks to score (default: all)", count("--chunks", 1))
    .option("--kv <format>", `how keys and values are kept: ${CACHE_FORMATS.join(", ")}`, "f16")
    .option("--device <name>", DEVICE_KINDS.join(", "), parseDevice, "cpu")
    .option("--threads <count>", "threads of the CPU device", numberOption("--threads", 1, 1024, true), 1)
    .option(
      "--precision <name>",
      "highest, high, medium (default: medium, for weights that are floats high)",
      parsePrecision,
    )
    .option("--json <file>", "write the result as JSON; - is standard output")
    .addHelpText("after", EXAMPLES)
    .action(measure);
}

async function measure(path: string, options: PerplexityCommandOptions): Promise<void> {
  const { json, kv, precision, threads } = options;
  if (!CACHE_FORMATS.includes(kv)) {
    const hint = `Choose from: ${CACHE_FORMATS.join(", ")}.`;
    throw new UserError(`there is no cache format "${kv}"`, { where: "--kv", hint });
  }
  if (json !== undefined) requireWritable(json, "--json");
  const text = await readText(options.file, "--file");
  const device = await openDevice(options.device, { threads });
  const progress = new ProgressLine();
  try {
    const settings = { device, kv, matmulPrecision: precision, maxSequences: 1, sharePrefixes: false };
    const contextLength = options.context ?? DEFAULT_CONTEXT;
    await using model = await loadModel(path, { ...settings, contextLength });
    const tokens = model.tokenizer.encode(text, { special: true });
    const { bos } = model.tokenizer.special;
    const started = performance.now();
    const result = await perplexity(model, tokens, {
      contextLength,
      // Where a text gets such a token, every chunk does.
      firstToken: tokens[0] === bos ? bos : undefined,
      chunks: options.chunks,
      onChunk: (sofar, chunks) =>
        progress.update(`chunk ${sofar.chunks} of ${chunks}: ${shown(sofar)}`, sofar.chunks / chunks),
    });
    progress.clear();
    report(path, options, contextLength, result, performance.now() - started);
  } finally {
    progress.clear();
    device.dispose();
  }
}

function shown({ perplexity: value, error }: Perplexity): string {
  return `${value.toFixed(4)}${error === null ? "" : ` ± ${error.toFixed(4)}`}`;
}

function report(
  model: string,
  { file, json, kv, precision }: PerplexityCommandOptions,
  contextLength: number,
  result: Perplexity,
  ms: number,
): void {
  if (json !== undefined) {
    writeJson(json, { model, text: file, contextLength, kv, precision, ...result, ms });
    if (json === "-") return;
  }
  const { tokens, chunks } = result;
  process.stdout.write(
    `perplexity ${shown(result)} over ${tokens} tokens, the second halves of ${chunks} chunks of ${contextLength}; ${formatMs(ms)}\n`,
  );
}
