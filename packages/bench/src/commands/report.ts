/**
 * `report`: a result file in every form, and two beside each other. The file may come from anyone; it is checked before anything
 * of it is shown.
 */

import { existsSync, realpathSync } from "node:fs";
import type { Command } from "commander";
import { UserError } from "@quern/core/errors";
import { analyseSeries, trendOf } from "../history/analyse.ts";
import { BranchStore, DEFAULT_BRANCH } from "../history/branch-store.ts";
import { DirectoryStore } from "../history/directory-store.ts";
import { seriesOf } from "../history/series.ts";
import { readHistory } from "../history/store.ts";
import { compareResults } from "../report/compare.ts";
import { renderTerminal } from "../report/terminal.ts";
import { readResults } from "../results/read.ts";
import type { Results } from "../results/schema.ts";
import { outputOption, parseOutputs, writeOutputs } from "./outputs.ts";

interface ReportFlags {
  readonly output?: readonly string[];
  readonly history?: string | true;
  readonly confirm?: string;
  readonly verbose?: boolean;
}

const EXAMPLES = (name: string): string => `
Examples:
  ${name} report results.json
  ${name} report results.json.gz -o html=report.html -o md=comment.md -o junit=report.xml
  ${name} report results.json -o summary >> "$GITHUB_STEP_SUMMARY"
  ${name} report results.json --confirm second.json -o comment=comment.md
  ${name} report results.json --history -o html=report.html
  ${name} report compare monday.json friday.json

md fits a comment on GitHub, summary the summary of a workflow step. comment is md below a line by which a later run finds the
comment, and with --confirm says which alarms a second machine cleared. csv and jsonl have one line for each bench, arm and pair of
processes (of engines: for each process), with the median of its rounds; csv-rounds and jsonl-rounds one for each round.
badge is an endpoint of shields.io, bmf Bencher Metric Format, gha for github-action-benchmark (customSmallerIsBetter).

Exit code: 0 the report is written, whatever it says; 2 wrong use, or no result file.`;

export function addReport(program: Command): void {
  const report = program
    .command("report")
    .description("Show a result file, or write it as a page, a comment, a table.")
    // Options behind `compare` are its own.
    .enablePositionalOptions()
    .argument("<results>", "a result file, by quern gate or quern bench; .gz is read too")
    .addOption(outputOption())
    .option("--history [folder]", `adds the trend of each benchmark, from a folder or the branch ${DEFAULT_BRANCH}`)
    .option("--confirm <results>", "what a second machine found of the alarms, for -o comment")
    .option("-v, --verbose", "with the ratios of the pairs")
    .addHelpText("after", EXAMPLES(program.name()))
    .action(show);
  report
    .command("compare")
    .description("Two result files beside each other: advisory, since they were not measured in pairs.")
    .argument("<a>", "result file")
    .argument("<b>", "result file")
    .action((a: string, b: string) => {
      process.stdout.write(compareResults(readResults(a), readResults(b)));
    });
}

async function show(file: string, { output = [], history, confirm, verbose }: ReportFlags): Promise<void> {
  const read = readResults(file);
  const second = confirm === undefined ? undefined : readResults(confirm);
  const outputs = parseOutputs(output);
  if (second !== undefined && outputs.every(({ format }) => format !== "comment")) {
    throw new UserError("only a comment shows what a second machine found", {
      where: "--confirm",
      hint: "Add -o comment=FILE.",
    });
  }
  if (history !== undefined && outputs.every(({ format }) => format !== "html" && format !== "json")) {
    throw new UserError("only an HTML page shows trends, and JSON has them", {
      where: "--history",
      hint: "Add -o html=FILE.",
    });
  }
  const sources = [file, ...(confirm === undefined ? [] : [confirm])].map((path) => realpathSync(path));
  // The same file may be written in several ways, or reached through a link.
  const isSource = (path: string): boolean => path !== "-" && existsSync(path) && sources.includes(realpathSync(path));
  if (outputs.some(({ path }) => isSource(path))) {
    throw new UserError("the report would take the place of the results", { where: `-o ${file}` });
  }
  const results = history === undefined ? read : await withTrends(read, history);
  if (outputs.every(({ path }) => path !== "-")) {
    process.stdout.write(renderTerminal(results, { verbose: verbose === true }));
  }
  const written = writeOutputs(results, outputs, [], second);
  // Standard output may be the report itself.
  for (const path of written) process.stderr.write(`wrote ${path}\n`);
}

/** The same with the trends of its benchmarks on its class of machine. */
async function withTrends(results: Results, history: string | true): Promise<Results> {
  if (history !== true && !existsSync(history))
    throw new UserError("there is no such folder", { where: `--history ${history}` });
  const store = history === true ? await BranchStore.open(".", DEFAULT_BRANCH) : new DirectoryStore(history);
  const machine = results.environment?.before.class ?? results.machine.fingerprint;
  const benches = new Set((results.benches ?? []).map(({ id }) => id));
  const cases = new Set(results.results.map((row) => row.case));
  const records = (await readHistory(store)).map(({ record }) => record);
  const trends = seriesOf(records)
    .filter((series) => series.class === machine)
    .filter(
      ({ bench }) => benches.has(bench) || cases.has(bench) || [...cases].some((name) => bench.startsWith(`${name} `)),
    )
    .map((series) => trendOf(analyseSeries(series)));
  return { ...results, trends };
}
