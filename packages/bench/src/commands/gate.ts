/**
 * `gate` and `ab`: two builds of the same benches, measured side by side. `gate` is what continuous integration calls; `ab` is
 * the same without a judgement in its exit code.
 */

import { resolve } from "node:path";
import { Option, type Command } from "commander";
import { dumpConfig, resolveConfig } from "../define/resolve-config.ts";
import { EXIT, EXIT_HELP } from "../gate/exit-codes.ts";
import { UserError } from "@quern/core/errors";
import { planText } from "../gate/dry-run.ts";
import type { GateRequest } from "../gate/gate-request.ts";
import { requireConsistent, setUpGate } from "../gate/prepare.ts";
import { presetsWith } from "../gate/presets.ts";
import { refusedResults } from "../gate/refused.ts";
import { runGate } from "../gate/run-gate.ts";
import { plainText } from "../report/escape.ts";
import { renderTerminal } from "../report/terminal.ts";
import { totals } from "../report/verdicts.ts";
import { isAccepted } from "../results/accepted.ts";
import type { Results } from "../results/schema.ts";
import { addGateOptions, settingFlags, type GateFlags } from "./gate-options.ts";
import { untilInterrupted } from "./interrupt.ts";
import { parseOutputs, writeOutputs, type Output } from "./outputs.ts";
import { GateProgress } from "./progress.ts";
import { toolOf } from "./tool.ts";

const EXAMPLES = (name: string): string => `
Sources of --base and --head:
  main, v1.2, a1b2c3d    a git reference; the base is its merge base with the head, see --exact
  .                      the working tree with what is not committed
  ../old                 a folder that is built already
  npm:fast-sort@3.4.0    a published package, measured by the bench files here
  git:old, dir:old       where a name may be a reference and a folder

Examples:
  ${name} gate --base main
  ${name} gate --base origin/main --identical neutral
  ${name} gate --base origin/main --filter 'parse/*' --budget 8m -o md=report.md -o junit=report.xml
  ${name} gate --base npm:fast-sort@3.3.0 --head npm:fast-sort@3.4.0 --profile quick
  ${name} gate --base main --dry-run
  ${name} ab --base v1.0 --head v2.0 --exact --json ab.json

${EXIT_HELP}`;

export function addGate(program: Command): void {
  const gate = program
    .command("gate")
    .description("Compare the speed of two builds, and fail on a confirmed regression.");
  addGateOptions(gate)
    .option("--accept-from <file>", "text with Bench-Accept: trailers, such as the body of a pull request")
    .option("--advisory", "neither a regression nor a doubt fails the run")
    .addOption(
      new Option(
        "--identical <what>",
        "both builds load the same files, or the base has no benches: an error, or neutral (verdict IDENTICAL or NEW, exit code 0)",
      )
        .choices(["error", "neutral"])
        .default("error"),
    )
    .addHelpText("after", EXAMPLES(program.name()))
    .action((options: GateFlags, command: Command) => compare("gate", options, command));
}

export function addAb(program: Command): void {
  const ab = program.command("ab").description("Compare the speed of two builds; exit code 0 whichever is faster.");
  addGateOptions(ab)
    .addHelpText("after", EXAMPLES(program.name()))
    .action((options: GateFlags, command: Command) => compare("ab", options, command));
}

async function compare(kind: GateRequest["kind"], options: GateFlags, command: Command): Promise<void> {
  const outputs = parseOutputs(options.output ?? [], options.json);
  const { tool, argv } = toolOf(command);
  const { env } = process;
  const request: GateRequest = {
    kind,
    base: options.base,
    head: options.head,
    exact: options.exact,
    allowIdentical: options.allowIdentical,
    identical: options.identical,
    cwd: process.cwd(),
    configFile: options.config,
    flags: settingFlags(options as unknown as Record<string, unknown>),
    env,
    filter: options.filter,
    acceptFrom: options.acceptFrom,
    advisory: options.advisory,
    calibrationFile: resolve(options.calibration ?? "bench.calibration.json"),
    tool,
    argv,
  };
  if (options.dumpConfig === true) {
    const { config, loaded } = await setUpGate(request);
    process.stdout.write(dumpConfig(config, loaded.file));
    return;
  }
  requireValidOptions(request);
  if (options.dryRun === true && outputs.length > 0) {
    throw new UserError("a plan has no results to report", { where: "--dry-run", hint: "Leave out -o and --json." });
  }
  const progress = new GateProgress(options.quiet === true);
  const startedAt = Date.now();
  const results = await untilInterrupted(tool.name, progress, async (signal) => {
    if (options.dryRun !== true) {
      try {
        return await runGate({ ...request, signal }, progress.update);
      } catch (error) {
        progress.clear();
        writeRefusal(refusedResults({ ...request, signal }, error, startedAt, Date.now()), outputs, options);
        throw error;
      }
    }
    const text = await planText({ ...request, signal }, progress.update);
    progress.clear();
    process.stdout.write(text);
    return undefined;
  });
  if (results === undefined) return;
  // Before the files: a full disk must not hide what was found.
  process.exitCode = exitCodeOf(results);
  if (isForPeople(outputs)) process.stdout.write(renderTerminal(results, { verbose: options.verbose === true }));
  writeReports(results, outputs, options);
}

/**
 * What is wrong with an option is found before a run has begun, from which time on the files of its reports are its own: a
 * mistyped call takes the place of nothing.
 */
function requireValidOptions(request: GateRequest): void {
  resolveConfig({ flags: request.flags, env: {}, file: { version: 1 }, presets: presetsWith(0) });
  requireConsistent(request);
}

/** Standard output is no report. */
function isForPeople(outputs: readonly Output[]): boolean {
  return outputs.every(({ path }) => path !== "-");
}

function writeReports(results: Results, outputs: readonly Output[], { jsonSummary }: GateFlags): void {
  const written: string[] = [];
  try {
    writeOutputs(results, outputs, written);
  } finally {
    // Also where one could not be written.
    if (isForPeople(outputs)) for (const file of written) process.stdout.write(`wrote ${file}\n`);
    if (jsonSummary === true) process.stdout.write(`${JSON.stringify(summaryOf(results, written))}\n`);
  }
}

/** The refusal itself is told as the error that it is; that a report of it cannot be written must not hide it. */
function writeRefusal(refused: Results, outputs: readonly Output[], options: GateFlags): void {
  try {
    writeReports(refused, outputs, options);
  } catch (error) {
    process.stderr.write(`${plainText(error instanceof Error ? error.message : String(error))}\n`);
  }
}

function exitCodeOf({ run, summary }: Results): number {
  return run?.aborted === true ? EXIT.interrupted : (summary?.exitCode ?? EXIT.internal);
}

/** For scripts: what was found, in one line. */
function summaryOf(results: Results, files: readonly string[]): object {
  const { benches = [], run, summary } = results;
  const ids = (verdict: string): string[] =>
    benches.filter((bench) => bench.verdict === verdict && !isAccepted(bench)).map(({ id }) => id);
  return {
    verdict: summary?.verdict,
    exitCode: exitCodeOf(results),
    counts: Object.fromEntries(totals(benches).map(({ verdict, count }) => [verdict, count])),
    regressed: ids("REGRESSED"),
    failed: ids("ERROR"),
    geomean: summary?.geomean ?? null,
    run: run?.id,
    seed: run?.seed,
    wallMs: run?.wallMs,
    aborted: run?.aborted === true,
    identical: run?.identical === true,
    allNew: run?.allNew === true,
    failingInBase: results.skipped.filter(({ failed }) => failed === true).map(({ case: id }) => id),
    refused: run?.refused,
    files,
  };
}
