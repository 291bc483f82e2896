/**
 * `quern generate`: goes on with a text, or answers a message. The text is written as it comes; nothing is written before
 * everything that the user gave has been checked.
 */

import { type Command, Option } from "commander";
import { UserError } from "@quern/core";
import { formatMs, formatTable } from "@quern/bench/format";
import type { GenerateOptions, Generation, GenerationChunk, LanguageModel, Prompt } from "@quern/llm";
import { chatSettings, messagesOf } from "../chat-template.ts";
import {
  type Completion,
  completionJson,
  probabilityRows,
  statisticLines,
  togetherLine,
} from "../generation-report.ts";
import { INTERRUPTED, wasInterrupted } from "../interrupt.ts";
import {
  type ModelOptions,
  type OpenModel,
  type SamplingOptions,
  addModelOptions,
  addSamplingOptions,
  generateOptions,
  requireLanguageModel,
  withModel,
} from "../language-model-options.ts";
import { numberOption } from "../options.ts";
import { readText } from "../text-input.ts";
import { TextOutput, writeStatistics } from "../text-output.ts";
import { requireWritable, writeJson } from "../write-file.ts";

interface GenerateCommandOptions extends ModelOptions, SamplingOptions {
  readonly prompt?: string;
  readonly file?: string;
  readonly chat?: boolean;
  readonly system?: string;
  readonly template?: string;
  readonly special?: boolean;
  readonly logprobs?: number;
  readonly parallel: number;
  readonly json?: string;
}

const EXAMPLES = `
The prompt is gone on with as it is; with --chat it is a message, or a JSON list of messages with role and content. Of the
last line of a file the end is not part of the prompt. Statistics are shown where standard error is a terminal. Ctrl-C ends
the text, and keeps what there is.

Examples:
  quern generate model.gguf -p "Once upon a time" -n 100
  quern generate model.gguf -f prompt.txt --greedy --stop "###" --quiet
  git diff | quern generate model.gguf -f - --chat --system "Write a message for this commit." > message.txt
  quern generate model.gguf -p "A name for a mill:" --parallel 4 --seed 1 --json names.json

Exit code: 0 fine, 2 wrong use or bad input, ${INTERRUPTED} interrupted.`;

export function addGenerate(program: Command): void {
  const command = program
    .command("generate")
    .description("Generate text with a language model.")
    .argument("<model>", "a .gguf file, or the first of a split model")
    .option("-p, --prompt <text>", "the text to go on with")
    .addOption(new Option("-f, --file <file>", "the same from a file; - is standard input").conflicts("prompt"))
    .addOption(new Option("--raw", "go on with the prompt as it is (default)").conflicts("chat"))
    .option("--chat", "answer the prompt, by the model's chat template")
    .option("--system <text>", "what the model is told before, with --chat")
    .option("--template <file>", "Jinja template in place of the model's, with --chat")
    .option("--special", "names of control tokens in the prompt stand for these tokens");
  addSamplingOptions(command)
    .option(
      "--logprobs <count>",
      "show how probable tokens and so many others were",
      numberOption("--logprobs", 0, 1000, true),
    )
    .option(
      "--parallel <count>",
      "so many texts at once, by seeds that follow",
      numberOption("--parallel", 1, 1024, true),
      1,
    );
  addModelOptions(command)
    .option("--json <file>", "write texts, tokens and statistics as JSON; - is standard output")
    .addHelpText("after", EXAMPLES)
    .action(generate);
}

async function generate(path: string, options: GenerateCommandOptions): Promise<void> {
  const { json, parallel } = options;
  for (const name of ["system", "template"] as const) {
    if (options[name] !== undefined && options.chat !== true)
      throw new UserError(`--${name} is of use with --chat only`, { where: `--${name}` });
  }
  if (json !== undefined) requireWritable(json, "--json");
  requireLanguageModel(path);
  const text = await readPrompt(options);
  const template = options.template === undefined ? undefined : await readText(options.template, "--template");
  const together = { sequences: parallel, tokens: options.maxTokens ?? Infinity };
  await withModel(path, options, together, async (open) => {
    const { prompt, settings } = promptOf(text, template, open.model, options);
    let completions: Completion[] = [];
    const interrupted = await wasInterrupted(async (signal) => {
      const generations = start(open.model, prompt, { ...settings, signal }, parallel);
      completions = await show(open.model, generations, options);
    });
    report(path, open, completions, options);
    if (interrupted) process.exitCode = INTERRUPTED;
  });
}

async function readPrompt({ prompt, file }: GenerateCommandOptions): Promise<string> {
  if (prompt !== undefined) return prompt;
  if (file === undefined) {
    throw new UserError("no prompt is given", {
      hint: 'Give it as -p "…", as -f FILE, or on standard input with -f -.',
    });
  }
  return (await readText(file, "--file")).replace(/\r?\n$/, "");
}

function promptOf(
  text: string,
  template: string | undefined,
  model: LanguageModel,
  options: GenerateCommandOptions,
): { prompt: Prompt; settings: GenerateOptions } {
  const { chat, system, stop, quiet, logprobs, special } = options;
  const settings = { ...generateOptions(options), logProbabilities: logprobs };
  if (chat !== true) return { prompt: text, settings: { ...settings, parseSpecial: special } };
  const prompt = messagesOf(text, system);
  return { prompt, settings: { ...settings, ...chatSettings(model, template, stop, quiet) } };
}

/** Begins all generations, so that they are computed together. Throws before any of them began. */
function start(model: LanguageModel, prompt: Prompt, settings: GenerateOptions, parallel: number): Generation[] {
  const generations = [model.generate(prompt, settings)];
  for (let i = 1; i < parallel; i++) {
    const seed = settings.seed === undefined ? undefined : settings.seed + i;
    generations.push(model.generate(prompt, { ...settings, seed }));
  }
  for (const generation of generations) generation.result().catch(() => {});
  return generations;
}

/** Writes one text after the other; those behind the first have often ended when their turn comes. */
async function show(
  model: LanguageModel,
  generations: readonly Generation[],
  { json, logprobs, parallel }: GenerateCommandOptions,
): Promise<Completion[]> {
  const output = new TextOutput();
  const silent = json === "-";
  const completions: Completion[] = [];
  for (const [i, generation] of generations.entries()) {
    if (parallel > 1 && !silent) await output.write(`${i === 0 ? "" : "\n"}── ${i + 1} of ${parallel} ──\n`);
    const chunks: GenerationChunk[] = [];
    for await (const chunk of generation) {
      chunks.push(chunk);
      if (!silent) await output.write(chunk.text);
    }
    if (!silent) {
      await output.endLine();
      if (logprobs !== undefined) await output.write(`\n${probabilityTable(model, chunks)}\n`);
    }
    const { text, ...summary } = await generation.result();
    completions.push({ text, chunks, summary });
  }
  return completions;
}

function probabilityTable(model: LanguageModel, chunks: readonly GenerationChunk[]): string {
  const columns = [
    { title: "token", align: "left" },
    { title: "probability", align: "right" },
    { title: "others", align: "left" },
  ] as const;
  return formatTable(columns, probabilityRows(model, chunks)).join("\n");
}

function report(
  path: string,
  { model, device, loadMs }: OpenModel,
  completions: readonly Completion[],
  { json, quiet, kv, precision }: GenerateCommandOptions,
): void {
  if (json !== undefined) {
    const { contextLength, cacheBytes } = model;
    const settings = { file: path, device: device.name, precision, kv, contextLength, cacheBytes, loadMs };
    const summary = { ...settings, completions: completions.map((each) => completionJson(model, each)) };
    writeJson(json, summary);
  }
  const summaries = completions.map(({ summary }) => summary);
  const lines = summaries.flatMap(statisticLines);
  if (summaries.length > 1) lines.push(togetherLine(summaries));
  writeStatistics(["", `loaded     in ${formatMs(loadMs)} on ${device.name}`, ...lines], quiet);
}
