/** `quern history`: adds results to the history of benchmarks, shows it, and finds where levels changed. */

import { Option, type Command } from "commander";
import { UserError } from "@quern/core/errors";
import { EXIT } from "../gate/exit-codes.ts";
import { type SeriesAnalysis, analyseSeries, newlyFound } from "../history/analyse.ts";
import { BranchStore, DEFAULT_BRANCH } from "../history/branch-store.ts";
import { DirectoryStore } from "../history/directory-store.ts";
import { recordsOf } from "../history/from-results.ts";
import { Git } from "../history/git.ts";
import { pruneShards } from "../history/prune.ts";
import type { HistoryRecord } from "../history/record.ts";
import { parseMoment, selectRecords } from "../history/select.ts";
import { seriesOf } from "../history/series.ts";
import { addRecords, shardPath } from "../history/shards.ts";
import { type HistoryStore, problemText, readHistory } from "../history/store.ts";
import { plainText } from "../report/escape.ts";
import { readResults } from "../results/read.ts";
import type { ChangePointOptions } from "../statistics/change-points.ts";
import { type ExportFlags, EXPORT_FORMS, exportHistory } from "./history-export.ts";
import { printAnalyses, printRecords } from "./history-text.ts";
import { writeWhole } from "./write-file.ts";

interface StoreFlags {
  readonly dir?: string;
  readonly branch: string;
  readonly repo: string;
  readonly push?: string;
}

interface SelectFlags extends StoreFlags {
  readonly bench?: readonly string[];
  readonly class?: string;
  readonly since?: string;
  readonly skipBad?: boolean;
}

interface AnalyseFlags extends SelectFlags {
  readonly control: string;
  readonly dirty?: boolean;
}

const EXAMPLES = (name: string): string => `
The history lies on a branch of its own (${DEFAULT_BRANCH}), which is written without touching files or index, or in a folder. It has
one file for each class of machine and month, and times of different classes are never compared.

Examples:
  ${name} history add results.json --push origin
  ${name} history show --bench 'sort/*' --since 30d
  ${name} history analyze --fail-since 3d
  ${name} history export --sqlite history.db
  ${name} history prune --older-than 400d --dry-run`;

const collect = (text: string, previous: readonly string[] | undefined): string[] => [...(previous ?? []), text];

function number(option: string, least: number, most: number, integer: boolean): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== "" && value >= least && value <= most && (!integer || Number.isInteger(value))) return value;
    throw new UserError(`"${text}" is not a ${integer ? "whole " : ""}number from ${least} to ${most}`, {
      where: option,
    });
  };
}

export function addHistory(program: Command): void {
  const history = program
    .command("history")
    .description("Keep results of benchmarks, and find where they changed.")
    .addHelpText("after", EXAMPLES(program.name()));
  const tool = program.name();

  withStore(history.command("add"))
    .description("Add result files; what is there already is not added again.")
    .argument("<results...>", "result files, by quern gate or quern bench")
    .option("--commit <commit>", "what was measured, where the results do not say")
    .option("--push <remote>", "bring the branch to this repository, joined with what is there")
    .addHelpText(
      "after",
      `\nExit code: 0 added or there already, 2 wrong use, ${EXIT.invalid} measured on a disturbed machine.`,
    )
    .action(add);

  withSelection(withStore(history.command("show")))
    .description("Show what was measured, the last first.")
    .option("--limit <count>", "rows at most", number("--limit", 1, 1e6, true), 50)
    .option("--json <file>", "write the records as JSON; - is standard output")
    .action(show);

  withAnalysis(withSelection(withStore(history.command("analyze").alias("analyse"))))
    .description("Find where levels changed, and between which commits.")
    .option("--json <file>", "write the findings as JSON; - is standard output")
    .option(
      "--fail-since <moment>",
      "exit code 1 where a slow-down is found that is not found without what was measured since a date, or within 3d; 5 where nothing was",
    )
    .option("--window <points>", "points that one search sees", number("--window", 8, 1000, true))
    .option("--max-p <p>", "largest p-value of a change", number("--max-p", 0, 1, false))
    .option("--min-change <share>", "smallest change, as a share: 0.015 is 1.5 %", number("--min-change", 0, 10, false))
    .action((flags: AnalyseFlags & SearchFlags) => analyse(flags, tool));

  const exporting = withAnalysis(withSelection(withStore(history.command("export")))).description(
    "Write the history for other tools.",
  );
  for (const [name, { about }] of Object.entries(EXPORT_FORMS)) exporting.option(`--${name} <file>`, about);
  exporting.action(async (flags: AnalyseFlags & ExportFlags) => {
    const records = await selected(flags);
    await exportHistory(records, analyses(records, flags, {}), flags);
  });

  withStore(history.command("prune"))
    .description("Remove old records; those around changes stay.")
    .requiredOption("--older-than <moment>", "a date, or an age as 400d")
    .option("--dry-run", "only say what would be removed")
    .option("--push <remote>", "bring the branch to this repository, joined with what is there")
    .action(prune);
}

function withStore(command: Command): Command {
  return command
    .addOption(new Option("--dir <folder>", "a folder that holds the history").conflicts(["branch", "repo", "push"]))
    .option("--branch <name>", "branch that holds it", DEFAULT_BRANCH)
    .option("--repo <folder>", "repository of the branch", ".");
}

function withSelection(command: Command): Command {
  return command
    .option("--bench <pattern>", "benches by name, as 'sort/*' (repeatable)", collect)
    .option("--class <name>", "one class of machines")
    .option("--since <moment>", "from a date on, or from an age, as 30d")
    .option("--skip-bad", "leave out lines that are no records, and say so");
}

function withAnalysis(command: Command): Command {
  return command
    .option("--control <id>", "control kernel to divide by; auto: those that all points have; none", "auto")
    .option("--dirty", "with measurements of uncommitted changes");
}

async function storeOf({ dir, branch, repo }: StoreFlags): Promise<DirectoryStore | BranchStore> {
  return dir === undefined ? BranchStore.open(repo, branch) : new DirectoryStore(dir);
}

/** Names and reasons in it may come from anyone. */
function notice(text: string): void {
  process.stderr.write(`${plainText(text)}\n`);
}

/** Changes the history, and brings it to where it is wanted. */
async function changing(flags: StoreFlags, change: (store: HistoryStore) => Promise<void>): Promise<void> {
  const store = await storeOf(flags);
  if (flags.push === undefined || store instanceof DirectoryStore) {
    await change(store);
    return;
  }
  await store.startFrom(flags.push);
  await change(store);
  await store.push(flags.push);
}

async function add(files: readonly string[], flags: StoreFlags & { readonly commit?: string }): Promise<void> {
  const git = new Git(flags.repo);
  const resolved = (name: string): Promise<string | undefined> =>
    git.textOrNothing(["rev-parse", "--verify", "--quiet", "--end-of-options", `${name}^{commit}`]);
  const commit = flags.commit === undefined ? undefined : ((await resolved(flags.commit)) ?? flags.commit);
  // All files are read before anything is written.
  const found = files.map((file) => ({ file, ...recordsOf(readResults(file), file, { commit }) }));
  const records: HistoryRecord[] = [];
  for (const record of found.flatMap((each) => each.records)) {
    const made = record.commit === undefined ? undefined : await commitDate(git, record.commit);
    records.push(made === undefined ? record : { ...record, committedAt: made });
  }
  for (const { file, skipped } of found) for (const reason of skipped) notice(`${file}: not added: ${reason}`);
  await changing(flags, async (store) => {
    let counts = { added: 0, known: 0 };
    const paths = [...new Set(records.map(shardPath))];
    const message = `Add ${records.length} ${records.length === 1 ? "record" : "records"}`;
    await store.update(
      paths,
      (shards) => {
        const { changed, ...rest } = addRecords(shards, records);
        counts = rest;
        return changed;
      },
      message,
    );
    const known = counts.known === 0 ? "" : `, ${counts.known} were there`;
    notice(`${counts.added} added${known} (${store.name})`);
  });
}

/** When a commit was made, where the repository has it. */
async function commitDate(git: Git, commit: string): Promise<string | undefined> {
  if (!/^[0-9a-f]{7,64}$/.test(commit)) return undefined;
  const date = await git.textOrNothing(["show", "-s", "--no-show-signature", "--format=%ct", commit]);
  return date === undefined || !/^\d+$/.test(date) ? undefined : new Date(Number(date) * 1000).toISOString();
}

async function selected(flags: SelectFlags): Promise<HistoryRecord[]> {
  const { bench, class: machine } = flags;
  const since = flags.since === undefined ? undefined : parseMoment(flags.since, "--since");
  const store = await storeOf(flags);
  const skip = flags.skipBad === true;
  const lines = await readHistory(store, skip ? (problem) => notice(`left out: ${problemText(problem)}`) : undefined);
  if (lines.length === 0)
    throw new UserError("the history is empty", {
      where: store.name,
      hint: "`history add RESULTS.json` puts results into it.",
    });
  const records = lines.map(({ record }) => record);
  return selectRecords(records, { bench, class: machine, since });
}

async function show(flags: SelectFlags & { readonly limit: number; readonly json?: string }): Promise<void> {
  const records = (await selected(flags)).toSorted((a, b) => Date.parse(b.at) - Date.parse(a.at));
  const shown = records.slice(0, flags.limit);
  if (flags.json !== undefined) writeWhole(flags.json, `${JSON.stringify(shown, null, 2)}\n`);
  if (flags.json !== "-") printRecords(shown, records.length);
}

interface SearchFlags {
  readonly json?: string;
  readonly failSince?: string;
  readonly window?: number;
  readonly maxP?: number;
  readonly minChange?: number;
}

function analyses(records: readonly HistoryRecord[], flags: AnalyseFlags, search: SearchFlags): SeriesAnalysis[] {
  const { control, dirty } = flags;
  return seriesOf(records, { control, dirty }).map((series) => analyseSeries(series, searchOptions(search)));
}

function searchOptions({ window, maxP, minChange }: SearchFlags): Partial<ChangePointOptions> {
  return {
    ...(window === undefined ? {} : { window }),
    ...(maxP === undefined ? {} : { maxP }),
    ...(minChange === undefined ? {} : { minMagnitude: minChange }),
  };
}

/** The same with a note at each change that is an alarm, and whether something became slower there. */
function withAlarms(
  found: readonly SeriesAnalysis[],
  since: number,
  search: SearchFlags,
): { readonly noted: SeriesAnalysis[]; readonly slower: boolean } {
  let slower = false;
  const note = `not found without what was measured since ${new Date(since).toISOString().slice(0, 10)}`;
  const noted = found.map((analysis): SeriesAnalysis => {
    const alarms = newlyFound(analysis, since, searchOptions(search));
    if (alarms.some(({ ratio }) => ratio > 1)) slower = true;
    const changes = analysis.changes.map((change) =>
      alarms.includes(change) ? { ...change, notes: [...change.notes, note] } : change,
    );
    return { ...analysis, changes };
  });
  return { noted, slower };
}

async function analyse(flags: AnalyseFlags & SearchFlags, tool: string): Promise<void> {
  const failSince = flags.failSince === undefined ? undefined : parseMoment(flags.failSince, "--fail-since");
  const records = await selected(flags);
  const all = analyses(records, flags, flags);
  const uncommitted = flags.dirty === true ? 0 : records.filter(({ dirty }) => dirty === true).length;
  if (all.length === 0) throw nothingToAnalyse(records.length, uncommitted, flags);
  if (uncommitted > 0) notice(`${uncommitted} of uncommitted changes left out; --dirty takes them in`);
  const { noted, slower } = failSince === undefined ? { noted: all, slower: false } : withAlarms(all, failSince, flags);
  if (flags.json !== undefined) {
    const { toJson } = await import("../history/exports.ts");
    writeWhole(flags.json, toJson([], noted));
  }
  if (flags.json !== "-") printAnalyses(noted, tool);
  if (slower) process.exitCode = EXIT.regressed;
  else if (failSince !== undefined && !isMeasuredSince(all, failSince)) {
    notice(
      `nothing was measured since ${new Date(failSince).toISOString().slice(0, 10)}: nothing can be said of that time`,
    );
    process.exitCode = EXIT.inconclusive;
  }
}

function isMeasuredSince(found: readonly SeriesAnalysis[], since: number): boolean {
  return found.some(({ series }) => series.points.some(({ record }) => Date.parse(record.at) >= since));
}

function nothingToAnalyse(records: number, uncommitted: number, { control, since }: AnalyseFlags): UserError {
  if (records === 0)
    return new UserError("nothing was measured in that time", {
      where: since === undefined ? "history" : `--since ${since}`,
    });
  if (uncommitted === records)
    return new UserError(`all ${records} records are of uncommitted changes`, {
      where: "history",
      hint: "--dirty takes them in; what is committed before it is measured needs no such option.",
    });
  return new UserError(`no record has the control kernel "${control}"`, {
    where: "--control",
    hint: "`history export --csv -` shows those that there are.",
  });
}

async function prune(flags: StoreFlags & { readonly olderThan: string; readonly dryRun?: boolean }): Promise<void> {
  const before = parseMoment(flags.olderThan, "--older-than");
  const say = ({ removed, left }: { removed: number; left: number }): void =>
    notice(`${removed} ${flags.dryRun === true ? "would be removed" : "removed"}, ${left} left`);
  if (flags.dryRun === true) {
    say(pruneShards(await (await storeOf(flags)).read(), { before }));
    return;
  }
  await changing(flags, async (store) => {
    let counts = { removed: 0, left: 0 };
    await store.update(
      undefined,
      (shards) => {
        const { changed, ...rest } = pruneShards(shards, { before });
        counts = rest;
        return changed;
      },
      `Remove records from before ${new Date(before).toISOString().slice(0, 10)}`,
    );
    say(counts);
  });
}
