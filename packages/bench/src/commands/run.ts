/** `bench run`: times of this folder's benches as they are, with their outputs checked, and without a verdict. */

import type { Command } from "commander";
import { UserError } from "@quern/core/errors";
import { EXIT } from "../gate/exit-codes.ts";
import { renderSolo } from "../solo/report.ts";
import { runSolo } from "../solo/run-solo.ts";
import { addSettings, settingFlags } from "./gate-options.ts";
import { untilInterrupted } from "./interrupt.ts";
import { outputOption, parseOutputs, writeOutputs } from "./outputs.ts";
import { GateProgress } from "./progress.ts";
import { pathOf, toolOf } from "./tool.ts";

interface RunFlags {
  readonly time: number;
  readonly config?: string;
  readonly output?: readonly string[];
  readonly json?: string;
  readonly quiet?: boolean;
}

const EXAMPLES = (name: string): string => `
Families share a process, slices are timed by tinybench, outputs of timed calls are checked.

Examples:
  ${name} run
  ${name} run 'parse/*' --time 3
  ${name} run dtype=f32 --json solo.json

Exit codes: 0 measured, 2 wrong use, 4 wrong output or crash, 130 Ctrl-C.`;

/** Settings that only a comparison has. */
const OF_COMPARISONS = [
  "profile",
  "delta",
  "delta0",
  "q",
  "fdr",
  "pairs",
  "rounds",
  "pin",
  "budgetS",
  "strict",
] as const;

function seconds(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && value >= 0.01 && value <= 3600) return value;
  throw new UserError(`"${text}" is not a number from 0.01 to 3600`, { where: "--time" });
}

/** Adds the command to `bench`, or to the program of this package. */
export function addRunOwn(parent: Command): void {
  const command = parent
    .command("run")
    .description("Measure the benches of this folder. Never a verdict: to compare two builds there are ab and gate.")
    .argument("[filter...]", "benches by name or parameter, as 'gemm/*' dtype=f32 '!slow/*'", [])
    .option("--time <seconds>", "timed seconds of each bench", seconds, 1)
    .option("--config <file>", "configuration; default: quern.bench.config.ts here or above")
    .addOption(outputOption())
    .option("--json <file>", "the same as -o json=<file>")
    .option("-q, --quiet", "no progress");
  addSettings(command, { without: OF_COMPARISONS })
    .addHelpText("after", EXAMPLES(pathOf(parent)))
    .action(run);
}

async function run(filter: string[], options: RunFlags, command: Command): Promise<void> {
  const outputs = parseOutputs(options.output ?? [], options.json);
  const progress = new GateProgress(options.quiet === true);
  const { tool, argv } = toolOf(command);
  const { env } = process;
  const found = await untilInterrupted(tool.name, progress, (signal) =>
    runSolo(
      {
        cwd: process.cwd(),
        configFile: options.config,
        flags: settingFlags(options as unknown as Record<string, unknown>),
        env,
        filter,
        seconds: options.time,
        tool,
        argv,
        signal,
      },
      (text, share) => progress.update("measuring", text, share),
    ),
  );
  if (found === undefined) return;
  const { results, benches } = found;
  // Before the files: a full disk must not hide what was found.
  if (benches.some(({ failure }) => failure !== undefined)) process.exitCode = EXIT.wrong;
  if (results.run?.aborted === true) process.exitCode = EXIT.interrupted;
  const text = outputs.every(({ path }) => path !== "-");
  if (text) process.stdout.write(renderSolo(found));
  const written = writeOutputs(results, outputs);
  if (text) for (const file of written) process.stdout.write(`wrote ${file}\n`);
}
