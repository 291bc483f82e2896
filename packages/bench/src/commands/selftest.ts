/** `selftest`: the acceptance tests that prove the gate, on this machine. */

import { setImmediate } from "node:timers/promises";
import type { Command } from "commander";
import { UserError } from "@quern/core/errors";
import { EXIT } from "../gate/exit-codes.ts";
import { describeMachine } from "../harness/machine.ts";
import type { SelftestResult } from "../selftest/result.ts";
import { addSettings, settingFlags } from "./gate-options.ts";
import { interruptible } from "./interrupt.ts";
import { GateProgress } from "./progress.ts";
import { toolOf } from "./tool.ts";
import { requireWritable, writeWhole } from "./write-file.ts";

interface SelftestFlags {
  readonly runs?: string;
  readonly scale?: string;
  readonly json?: string;
  readonly keep?: string;
  readonly quiet?: boolean;
}

const examples = (name: string): string => `
Tests: AT1 to AT17 and overhead; "quick", the default, stands for those that take a minute or two: AT5, AT8 to AT13, AT15 to AT17
and "AT1/AT4 simulated". Settings are those of the gate runs of AT1 to AT4, AT6, AT7 and AT14; no variable and no file counts.

AT1  identical code passes                        AT9  arms that cannot differ are refused
AT2  another build of the same source passes      AT10 what could not be measured never passes
AT3  identical code passes under load             AT11 wrong, remembered and shared outputs are rejected
AT4  5 % more work in one of 20 benches is found  AT12 a body of a few nanoseconds is not evaluated
AT5  the printed MDE is the real one              AT13 p-values and intervals are calibrated
AT6  5 % less work is an improvement              AT14 a machine that drifts moves no ratio
AT7  5 % more work everywhere is a regression     AT15 creep is found over the history
AT8  a machine that moved makes a run invalid     AT16 stored samples give the same verdicts
                                                  AT17 change points are found

overhead             the harness adds at most 0.5 % to a body of a millisecond, and calls one of 20 ns timer-bound
"AT1/AT4 simulated"  false alarms and power in more runs than a machine has time for

AT5, AT13, AT15, AT16 and AT17 judge simulated samples; all others measure. With fewer runs than a limit takes (AT1 to AT3: 100 valid
ones, AT4: 60, or 59 without a miss, AT6: 20, AT7: 5) a test has neither passed nor failed. Runs that the machine made invalid are not counted.

Examples:
  ${name} selftest quick
  ${name} selftest AT1 --runs 100 --profile quick --pairs 6,24 --json at1.json --keep samples
  ${name} selftest AT16 --keep samples
  ${name} selftest AT4 --runs 60

Exit codes: 0 all passed, 1 one failed, 2 wrong use, 5 none failed and one has too few runs to say, 130 Ctrl-C.`;

export function addSelftest(program: Command): void {
  const command = program
    .command("selftest")
    .description("Run the acceptance tests that prove the gate on this machine.")
    .argument("[tests...]", "names of tests, or quick", ["quick"])
    .option(
      "--runs <count>",
      "gate runs of the tests that measure the suite, of AT1 to AT3 valid ones; processes of overhead",
    )
    .option("--scale <factor>", "of what is simulated or measured by default; limits belong to 1")
    .option("--json <file>", "write the results; - is standard output")
    .option(
      "--keep <folder>",
      "keep the samples of every gate run, and go on behind those of an earlier series; AT16 judges them again",
    )
    .option("-q, --quiet", "no progress");
  addSettings(command, { without: ["strict", "threads"], noVariables: true })
    .addHelpText("after", examples(program.name()))
    .action(selftest);
}

type Tests = typeof import("../selftest/all.ts");

/** Names of tests, in any case, in the order of the list. Throws a `UserError` for one that there is not. */
export function testsOf(
  names: readonly string[],
  { QUICK_TESTS, SELFTESTS }: Pick<Tests, "QUICK_TESTS" | "SELFTESTS">,
): string[] {
  const known = [...SELFTESTS.keys()];
  const wanted = names.flatMap((given) => {
    if (given === "quick") return QUICK_TESTS;
    const found = known.find((name) => name.toLowerCase() === given.toLowerCase());
    if (found !== undefined) return [found];
    throw new UserError(`there is no test "${given}"`, {
      where: "selftest",
      hint: `Choose from: quick, ${known.map((name) => (name.includes(" ") ? `"${name}"` : name)).join(", ")}.`,
    });
  });
  return known.filter((name) => wanted.includes(name));
}

function positive(text: string | undefined, option: string, whole: boolean): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (value > 0 && value <= 1e5 && (!whole || Number.isInteger(value))) return value;
  throw new UserError(`"${text}" is no ${whole ? "whole " : ""}number above 0`, { where: option });
}

async function selftest(names: readonly string[], options: SelftestFlags, command: Command): Promise<void> {
  // Loaded for those who ask: every other command would wait for it.
  const all = await import("../selftest/all.ts");
  const tests = testsOf(names, all);
  const runs = positive(options.runs, "--runs", true);
  const scale = positive(options.scale, "--scale", false);
  const { json, keep } = options;
  if (json !== undefined) requireWritable(json, "--json");
  const { seed = "1", ...flags } = settingFlags(options as Readonly<Record<string, unknown>>);
  const { tool, argv } = toolOf(command);
  const results: SelftestResult[] = [];
  const progress = new GateProgress(options.quiet === true);
  const report = (): void => {
    if (json === undefined) return;
    const record = {
      schema: "quern.selftest/1",
      createdAt: new Date().toISOString(),
      tool,
      argv,
      machine: describeMachine(),
      seed: Number(seed),
      results,
    };
    writeWhole(json, `${JSON.stringify(record, null, 2)}\n`);
  };
  await interruptible(async (signal) => {
    for (const name of tests) {
      const test = all.SELFTESTS.get(name);
      if (test === undefined) continue;
      progress.update(name);
      try {
        // What is simulated leaves no time to hear of Ctrl-C.
        await setImmediate();
        signal.throwIfAborted();
        results.push(await test({ seed: Number(seed), runs, scale, flags, keep, signal, progress: progress.update }));
      } catch (error) {
        progress.clear();
        if (!signal.aborted) throw error;
        process.stderr.write(`${tool.name}: interrupted in ${name}\n`);
        process.exitCode = EXIT.interrupted;
        return;
      }
      if (keep !== undefined) all.packRuns(keep, name);
      progress.clear();
      const result = results[results.length - 1] as SelftestResult;
      if (json !== "-") process.stdout.write(resultText(result));
      // What has been found so far is kept if a later test is interrupted.
      if (json !== "-") report();
    }
  });
  if (json === "-") report();
  if (process.exitCode === EXIT.interrupted) return;
  const code = exitCodeOf(results);
  if (code !== EXIT.pass) process.exitCode = code;
}

/** A failure weighs more than what too few runs leave open. */
export function exitCodeOf(results: readonly SelftestResult[]): number {
  if (results.some(({ passed, undecided }) => !passed && undecided === undefined)) return EXIT.regressed;
  return results.every(({ passed }) => passed) ? EXIT.pass : EXIT.inconclusive;
}

export function resultText({ test, title, passed, undecided, detail }: SelftestResult): string {
  const lines = [...(undecided === undefined ? [] : [undecided]), ...detail.split("\n")];
  const indented = lines.map((line) => `     ${line}\n`);
  return `${passed ? "ok  " : undecided === undefined ? "FAIL" : "open"} ${test} ${title}\n${indented.join("")}`;
}
