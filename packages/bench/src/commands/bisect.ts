/** `bisect`: which commit, or which published version, made a bench slow. */

import type { Command } from "commander";
import { UserError } from "@quern/core/errors";
import type { BisectResult } from "../bisect/bisect.ts";
import { runBisect } from "../bisect/run-bisect.ts";
import { SEARCH_DEFAULTS } from "../bisect/search.ts";
import { percentShare } from "../define/settings.ts";
import { EXIT } from "../gate/exit-codes.ts";
import { formatChangeRatio } from "../report/format.ts";
import { addSettings, collect, settingFlags } from "./gate-options.ts";
import { untilInterrupted } from "./interrupt.ts";
import { GateProgress } from "./progress.ts";
import { toolOf } from "./tool.ts";
import { requireWritable, writeJson } from "./write-file.ts";

interface BisectFlags {
  readonly good: string;
  readonly bad: string;
  readonly config?: string;
  readonly path?: readonly string[];
  readonly currentBenches?: boolean;
  readonly threshold?: string;
  readonly confidence: string;
  readonly state: string;
  readonly restart?: boolean;
  readonly json?: string;
  readonly quiet?: boolean;
}

const EXAMPLES = (name: string): string => `
Each build is compared with the good one in pairs of processes, again and with more pairs where noise hides the answer. What is
known is kept in the state file: the same call goes on after an interruption.

The search ends when one build is the first slow one with the probability --confidence. A lower one needs fewer comparisons; a later
call with a higher one goes on from the same state file.

Examples:
  ${name} bisect sort/1e4 --good v1.2 --bad main
  ${name} bisect parse/small --good npm:fast-sort@3.0.0 --bad npm:fast-sort@3.4.0
  ${name} bisect sort/1e4 --good a1b2c3d --bad HEAD --path src/sort --current-benches --budget 30m

Exit codes: 0 found, 1 a range or no answer, 2 wrong use, 3 the disk is full, 4 the good build cannot be built
or measured, 6 budget spent, 130 Ctrl-C.`;

export function addBisect(program: Command): void {
  const command = program
    .command("bisect")
    .description("Find the build that made a bench slow.")
    .argument("<bench>", "name of the bench")
    .requiredOption("--good <build>", "a commit or npm:package@version that is fast")
    .requiredOption("--bad <build>", "one that is slow")
    .option("--config <file>", "configuration; default: quern.bench.config.ts here or above")
    .option("--path <path>", "only commits that touch it, repeatable", collect)
    .option("--current-benches", "all builds run the bench files as they are now")
    .option("--threshold <ratio>", "slower than this is slow, as 1.05; default: halfway to the bad build")
    .option("--confidence <share>", "how sure the answer must be, as 0.95 or 95%", `${SEARCH_DEFAULTS.confidence}`)
    .option("--state <file>", "what is known so far", "quern-bisect.json")
    .option("--restart", "forget what the state file holds")
    .option("--json <file>", "write the result; - is standard output")
    .option("-q, --quiet", "no progress");
  addSettings(command, {
    without: ["strict", "q", "fdr", "delta", "delta0"],
    what: { pairs: "process pairs of the first comparison with a build, as 16,48: the first number counts" },
  })
    .addHelpText("after", EXAMPLES(program.name()))
    .action(bisectBench);
}

function parseThreshold(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (value > 1 && value <= 100) return value;
  throw new UserError(`"${text}" is no ratio above 1`, { where: "--threshold", hint: "For instance: 1.05." });
}

/** Less is no better than a guess between two builds; answers that may each be wrong never make certain. */
const CONFIDENCES = [0.5, 0.9999] as const;

function parseConfidence(text: string): number {
  const percent = /^([\d.]+)\s?%$/.exec(text.trim())?.[1];
  const value = percent === undefined ? Number(text) : percentShare(Number(percent));
  const [least, most] = CONFIDENCES;
  if (value >= least && value <= most) return value;
  throw new UserError(`"${text}" is no share from ${least} to ${most}`, {
    where: "--confidence",
    hint: "For instance: 0.95 or 95%.",
  });
}

async function bisectBench(bench: string, options: BisectFlags, command: Command): Promise<void> {
  const { good, bad, config, path, currentBenches, state, restart, json } = options;
  if (json !== undefined) requireWritable(json, "--json");
  requireWritable(state, "--state");
  const progress = new GateProgress(options.quiet === true);
  const { env } = process;
  let stage = "bisecting";
  const threshold = parseThreshold(options.threshold);
  const confidence = parseConfidence(options.confidence);
  // The search itself has a result when it is interrupted; before it there is none.
  const result = await untilInterrupted(toolOf(command).tool.name, progress, (signal) =>
    runBisect(
      {
        good,
        bad,
        bench,
        cwd: process.cwd(),
        configFile: config,
        flags: settingFlags(options as unknown as Record<string, unknown>),
        env,
        paths: path,
        currentBenches,
        threshold,
        confidence,
        stateFile: state,
        restart,
        signal,
      },
      {
        progress: ({ text, done, left }) => {
          stage = `${text} (${done} done, about ${left} to come)`;
          progress.update(stage);
        },
        detail: (text) => progress.update(stage, text),
      },
    ),
  );
  if (result === undefined) return;
  if (json !== undefined) writeJson(json, result);
  if (json !== "-") process.stdout.write(resultText(bench, result, state));
  process.exitCode = CODES[result.outcome];
}

const CODES: Readonly<Record<BisectResult["outcome"], number>> = {
  found: EXIT.pass,
  range: EXIT.regressed,
  "not-slow": EXIT.regressed,
  unclear: EXIT.regressed,
  aborted: EXIT.interrupted,
  "out-of-time": EXIT.budget,
};

function resultText(bench: string, result: BisectResult, state: string): string {
  const { outcome, first, before, probability, ratio, probes } = result;
  const last = first.at(-1);
  const level = ratio === null ? "" : `, ${formatChangeRatio(ratio.ratio)} the time of the good build`;
  const sure = `${(100 * probability).toFixed(1)} % sure`;
  const lines: Readonly<Record<BisectResult["outcome"], readonly string[]>> = {
    found: [`${bench} became slow in`, `  ${last?.label ?? "?"}${level}`, `behind`, `  ${before.label}`, sure],
    range: [
      `${bench} became slow in one of`,
      ...first.map(({ label }) => `  ${label}`),
      `behind ${before.label}; ${sure}`,
    ],
    "not-slow": [`${bench} is not slower in the bad build${level}`],
    unclear: ["it cannot be said whether the bad build is slower: more pairs, or a quieter machine, may tell"],
    aborted: [`interrupted; ${first.length} builds are left, and the same call goes on from ${state}`],
    "out-of-time": [`the budget is spent; ${first.length} builds are left, and the same call goes on from ${state}`],
  };
  return `${[...lines[outcome], `${probes.length} comparisons`].join("\n")}\n`;
}
