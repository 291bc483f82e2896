/**
 * `quern chat`: a conversation with a language model, on a terminal, or with messages from standard input, one a line.
 * What was computed for the conversation so far stays in the cache, so that a turn costs its own tokens.
 */

import type { Command } from "commander";
import { UserError } from "@quern/core";
import type { ChatMessage, GenerateOptions, GenerationSummary, LanguageModel } from "@quern/llm";
import { chatSettings, systemMessages } from "../chat-template.ts";
import { statisticLines } from "../generation-report.ts";
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
import { terminalLines } from "../terminal-lines.ts";
import { inputLines, readText } from "../text-input.ts";
import { TextOutput, writeNotice, writeStatistics } from "../text-output.ts";
import { requireWritable, writeJson } from "../write-file.ts";

interface ChatCommandOptions extends ModelOptions, SamplingOptions {
  readonly system?: string;
  readonly template?: string;
  readonly json?: string;
}

const COMMANDS = `  /clear  begins a new conversation
  /help   shows this
  /exit   ends; so does Ctrl-D
  Ctrl-C  ends the answer, and keeps what there is
  \\       at the end of a line: the message goes on in the next`;

const EXAMPLES = `
In a conversation:
${COMMANDS}

Where standard input is not a terminal, its lines are the messages, and the answers are written to standard output.

Examples:
  quern chat model.gguf
  quern chat model.gguf --system "You answer in rhymes." --temperature 1
  printf 'Who are you?\\nAnd your name?\\n' | quern chat model.gguf --greedy --json conversation.json

Exit code: 0 fine, 2 wrong use or bad input, ${INTERRUPTED} interrupted where there is no terminal.`;

export function addChat(program: Command): void {
  const command = program
    .command("chat")
    .description("Talk with a language model.")
    .argument("<model>", "a .gguf file, or the first of a split model")
    .option("--system <text>", "what the model is told before")
    .option("--template <file>", "Jinja template in place of the model's");
  addSamplingOptions(command);
  addModelOptions(command)
    .option("--json <file>", "write the conversation and its statistics as JSON when it ends")
    .addHelpText("after", EXAMPLES)
    .action(chat);
}

async function chat(path: string, options: ChatCommandOptions): Promise<void> {
  const { json, system, template, stop, quiet } = options;
  if (json === "-") throw new UserError("standard output is for the answers", { where: "--json" });
  if (json !== undefined) requireWritable(json, "--json");
  requireLanguageModel(path);
  const chatTemplate = template === undefined ? undefined : await readText(template, "--template");
  await withModel(path, options, { sequences: 1, tokens: 0 }, async (open) => {
    const settings = { ...generateOptions(options), ...chatSettings(open.model, chatTemplate, stop, quiet) };
    const conversation = new Conversation(open.model, settings, system);
    const interactive = process.stdin.isTTY === true && process.stdout.isTTY === true;
    await (interactive ? talk(open, conversation, quiet) : answerLines(conversation));
    if (json === undefined) return;
    const { messages, turns } = conversation;
    writeJson(json, { file: path, device: open.device.name, messages, turns });
  });
}

/** The messages so far. Generations read the model's cache, which finds again what they have in common. */
class Conversation {
  readonly turns: GenerationSummary[] = [];
  readonly #model: LanguageModel;
  readonly #settings: GenerateOptions;
  readonly #system: readonly ChatMessage[];
  readonly #output = new TextOutput();
  #messages: ChatMessage[];

  /** Throws a `UserError` where options are wrong, or the template refuses such conversations: before anything is said. */
  constructor(model: LanguageModel, settings: GenerateOptions, system: string | undefined) {
    this.#model = model;
    this.#settings = settings;
    this.#system = systemMessages(system);
    this.#messages = [...this.#system];
    model.generate([...this.#messages, { role: "user", content: "?" }], settings);
  }

  get messages(): readonly ChatMessage[] {
    return this.#messages;
  }

  clear(): void {
    this.#messages = [...this.#system];
  }

  /**
   * Writes the answer as it comes. An answer that was interrupted is kept as far as it came. Throws a `UserError`, and forgets
   * the message, where the conversation does not fit into the context any more.
   */
  async answer(content: string, signal: AbortSignal): Promise<GenerationSummary> {
    const messages = [...this.#messages, { role: "user", content }];
    const generation = this.#model.generate(messages, { ...this.#settings, signal });
    let begun = false;
    for await (const { text } of generation) {
      const shown: string = begun ? text : text.trimStart();
      begun ||= shown !== "";
      await this.#output.write(shown);
    }
    await this.#output.write("\n");
    const { finishReason, seed, usage, timings, text } = await generation.result();
    this.#messages = [...messages, { role: "assistant", content: text }];
    const summary = { finishReason, seed, usage, timings };
    this.turns.push(summary);
    return summary;
  }
}

/** Messages from standard input, with no words of ours between the answers. Ctrl-C ends it all. */
async function answerLines(conversation: Conversation): Promise<void> {
  const interrupted = await wasInterrupted(async (signal) => {
    for await (const line of inputLines()) {
      if (line.trim() === "") continue;
      if (line === "/exit") return;
      if (line === "/clear") conversation.clear();
      else await conversation.answer(line, signal);
      if (signal.aborted) return;
    }
  });
  if (interrupted) process.exitCode = INTERRUPTED;
}

/** On a terminal. What goes wrong in a turn is said, and the conversation goes on as it was before. */
async function talk(
  { model, device }: OpenModel,
  conversation: Conversation,
  quiet: boolean | undefined,
): Promise<void> {
  const { hyper, contextLength } = model;
  const about = `${hyper.architecture} on ${device.name}, context of ${contextLength} tokens; /help shows what there is`;
  writeStatistics([about], quiet);
  for await (const line of terminalLines("> ")) {
    const message = line.trim();
    if (message === "") continue;
    if (message === "/exit") return;
    if (message === "/clear") conversation.clear();
    else if (message === "/help") process.stdout.write(`${COMMANDS}\n`);
    else if (/^\/\w+$/.test(message)) process.stdout.write(`there is no ${message}\n${COMMANDS}\n`);
    else await turn(conversation, message, quiet);
  }
}

async function turn(conversation: Conversation, message: string, quiet: boolean | undefined): Promise<void> {
  try {
    let summary: GenerationSummary | undefined;
    await wasInterrupted(async (signal) => {
      summary = await conversation.answer(message, signal);
    });
    if (summary !== undefined) writeStatistics([...statisticLines(summary), ""], quiet);
    if (summary?.finishReason === "context")
      writeNotice("the context is full; /clear begins a new conversation", quiet);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    writeNotice(`${error.message}\n  the message is forgotten; /clear begins a new conversation`, false);
  }
}
