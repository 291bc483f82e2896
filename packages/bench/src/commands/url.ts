/**
 * `bench url`: a load test of any server that has OpenAI's `chat/completions`, streamed. What is measured and how is the
 * business of `serving/`; this file turns options into a plan and writes the result.
 */

import type { Command } from "commander";
import { UserError } from "@quern/core/errors";
import { EXIT } from "../gate/exit-codes.ts";
import { renderTerminal } from "../report/terminal.ts";
import type { Results } from "../results/schema.ts";
import { publicUrl } from "../serving/address.ts";
import { parseGoals } from "../serving/goals.ts";
import { runLoadTest } from "../serving/load-test.ts";
import { servingResults } from "../serving/results.ts";
import type { Arrivals, Goals, ServingPlan } from "../serving/types.ts";
import { interruptible, sayInterrupted } from "./interrupt.ts";
import { outputOption, parseOutputs, writeOutputs } from "./outputs.ts";
import { GateProgress } from "./progress.ts";
import { pathOf, toolOf } from "./tool.ts";

interface UrlOptions {
  readonly model: string;
  readonly requests: number;
  readonly warmUp: number;
  readonly rate?: Arrivals;
  readonly concurrency?: number;
  readonly words: number;
  readonly maxTokens: number;
  readonly goodput?: Goals;
  readonly body?: Record<string, unknown>;
  readonly header?: Record<string, string>;
  readonly timeout: number;
  readonly seed: number;
  readonly output?: readonly string[];
  readonly json?: string;
  readonly quiet?: boolean;
}

const EXAMPLES = (name: string): string => `
How requests arrive:
  --concurrency N  closed loop: N clients, each of which waits for its answer (the default, with one)
  --rate R         open loop: R requests per second at random times, however busy the server is; latencies count
                   from when a request was due
  --rate inf       all at once: throughput alone, without --goodput

Examples:
  ${name} url http://localhost:8080/v1 --model qwen3 --concurrency 4
  ${name} url http://localhost:8080/v1 --model qwen3 --rate 2 --requests 300 --goodput ttft:200,tpot:50
  ${name} url http://localhost:8000/v1 --model m --body '{"ignore_eos":true}' --max-tokens 128 --json load.json

Exit code: 0 all requests were answered, 1 some failed, 2 wrong use or no answer to the warm-up, 130 Ctrl-C (what was
measured is reported).`;

function wholeNumber(option: string, least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== "" && Number.isSafeInteger(value) && value >= least) return value;
    throw new UserError(`"${text}" is no whole number from ${least} on`, { where: option });
  };
}

function parseRate(text: string): Arrivals {
  if (text === "inf") return { kind: "burst" };
  const rate = Number(text);
  if (Number.isFinite(rate) && rate > 0) return { kind: "poisson", rate };
  throw new UserError(`"${text}" is no rate`, { where: "--rate", hint: "Requests per second, above 0, or inf." });
}

function parseBody(text: string): Record<string, unknown> {
  try {
    const body = JSON.parse(text) as unknown;
    if (typeof body === "object" && body !== null && !Array.isArray(body)) return body as Record<string, unknown>;
  } catch {
    // said below
  }
  throw new UserError(`"${text}" is no JSON object`, { where: "--body", hint: `For instance: --body '{"top_k":1}'` });
}

function parseHeader(text: string, before: Record<string, string> | undefined): Record<string, string> {
  const [, name, value] = /^([\w-]+):\s*(.*)$/.exec(text) ?? [];
  if (name === undefined || value === undefined)
    throw new UserError("a header is a name, a colon and a value", { where: "--header" });
  return { ...before, [name.toLowerCase()]: value };
}

/** The command line without what may be keys: the values of headers, and of the address all but host and path. */
function withoutCredentials(argv: readonly string[], url: string): string[] {
  return argv.map((text, i) => {
    if (argv[i - 1] === "--header") return text.replace(/:.*$/s, ": …");
    return text === url ? publicUrl(url) : text.replace(/^(--header=[\w-]*).*$/s, "$1: …");
  });
}

/** Adds the command to `bench`, or to the program of this package. */
export function addUrl(parent: Command): void {
  parent
    .command("url")
    .description("Load a language-model server: time to first token, time per token, throughput, goodput.")
    .argument("<url>", "base of an OpenAI-compatible interface, for instance http://localhost:8080/v1")
    .requiredOption("--model <name>", "as the server calls it")
    .option("--requests <count>", "requests that count", wholeNumber("--requests", 1), 100)
    .option("--warm-up <count>", "requests before them", wholeNumber("--warm-up", 0), 2)
    .option("--concurrency <clients>", "closed loop of so many clients", wholeNumber("--concurrency", 1))
    .option("--rate <requests/s>", "open loop at this rate, or inf", parseRate)
    .option("--words <count>", "words of a prompt", wholeNumber("--words", 1), 128)
    .option("--max-tokens <count>", "tokens of an answer, at most", wholeNumber("--max-tokens", 1), 64)
    .option("--goodput <limits>", "count requests within limits in ms, for instance ttft:200,tpot:50", parseGoals)
    .option("--body <json>", "further members of the request", parseBody)
    .option("--header <name: value>", "further header, for instance a key; repeatable, never recorded", parseHeader)
    .option("--timeout <ms>", "longest wait for the next text of an answer", wholeNumber("--timeout", 1), 60_000)
    .option("--seed <number>", "seed of prompts and arrivals", wholeNumber("--seed", 0), 1)
    .addOption(outputOption())
    .option("--json <file>", "write the result (schema quern.results/1); - is standard output")
    .option("-q, --quiet", "no progress")
    .addHelpText("after", EXAMPLES(pathOf(parent)))
    .action(benchUrl);
}

function planOf(url: string, options: UrlOptions): ServingPlan {
  const { rate, concurrency, goodput, body, header } = options;
  if (rate !== undefined && concurrency !== undefined) {
    throw new UserError("requests come at a rate or from clients that wait, not both", {
      where: "--rate, --concurrency",
      hint: "Leave one of them out.",
    });
  }
  return {
    url,
    model: options.model,
    arrivals: rate ?? { kind: "closed", concurrency: concurrency ?? 1 },
    requests: options.requests,
    warmUp: options.warmUp,
    promptWords: options.words,
    maxTokens: options.maxTokens,
    extraBody: body ?? {},
    headers: header ?? {},
    goals: goodput ?? {},
    seed: options.seed,
    timeoutMs: options.timeout,
  };
}

async function benchUrl(url: string, options: UrlOptions, command: Command): Promise<void> {
  const plan = planOf(url, options);
  const outputs = parseOutputs(options.output ?? [], options.json);
  const progress = new GateProgress(options.quiet === true);
  const test = await interruptible((signal) =>
    runLoadTest(
      plan,
      (done, failed, total) =>
        progress.update(
          "load test",
          `${done} of ${total} answered${failed === 0 ? "" : `, ${failed} failed`}`,
          done / total,
        ),
      signal,
    ),
  ).finally(() => progress.clear());
  const { tool, argv } = toolOf(command);
  if (test.aborted && test.exchanges.length === 0) {
    // Nothing takes the place of an earlier result.
    sayInterrupted(tool.name);
    return;
  }
  const results: Results = servingResults(plan, test, withoutCredentials(argv, url), tool);
  const record = results.serving?.[0];
  const toScreen = outputs.every(({ path }) => path !== "-");
  if (toScreen && record !== undefined) process.stdout.write(renderTerminal(results));
  writeOutputs(results, outputs);
  if (record === undefined || record.failed > 0) process.exitCode = 1;
  if (test.aborted) process.exitCode = EXIT.interrupted;
}
