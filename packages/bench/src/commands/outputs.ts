/** The forms of a report and where they go: `-o md=report.md -o junit=report.xml -o csv`. */

import { gzipSync } from "node:zlib";
import { Option } from "commander";
import { UserError } from "@quern/core/errors";
import { EXIT } from "../gate/exit-codes.ts";
import { toBmf, toGithubActionBenchmark } from "../history/exports.ts";
import { recordsOf } from "../history/from-results.ts";
import type { HistoryRecord } from "../history/record.ts";
import { renderBadge } from "../report/badge.ts";
import { renderComment } from "../report/comment.ts";
import { renderCsv, renderCsvRounds, renderJsonLines, renderJsonLinesRounds } from "../report/csv.ts";
import { renderHtml } from "../report/html.ts";
import { renderJunit } from "../report/junit.ts";
import { SUMMARY_BYTES, renderMarkdown } from "../report/markdown.ts";
import { renderTerminal } from "../report/terminal.ts";
import { nothingMeasured } from "../report/verdicts.ts";
import type { Results } from "../results/schema.ts";
import { requireWritable, writeWhole, writtenFile } from "./write-file.ts";

/** `second`: results of a second machine, for the one form that shows them. Undefined: there is nothing to write, and need not be. */
type Renderer = (results: Results, second?: Results) => string | undefined;

const RENDERERS: Readonly<Record<string, Renderer>> = {
  json: (results) => `${JSON.stringify(results, null, 2)}\n`,
  md: (results) => renderMarkdown(results),
  summary: (results) => renderMarkdown(results, { limit: SUMMARY_BYTES }),
  comment: renderComment,
  html: renderHtml,
  csv: renderCsv,
  "csv-rounds": renderCsvRounds,
  jsonl: renderJsonLines,
  "jsonl-rounds": renderJsonLinesRounds,
  junit: renderJunit,
  text: (results) => renderTerminal(results),
  badge: renderBadge,
  bmf: (results) => timesFor(results, "bmf", toBmf),
  gha: (results) => timesFor(results, "gha", toGithubActionBenchmark),
};

/** Undefined of builds that are the same, or of which the base has no benches: nothing was timed, and that is no fault. */
function timesFor(
  results: Results,
  format: string,
  write: (records: readonly HistoryRecord[]) => string,
): string | undefined {
  if (nothingMeasured(results.run) !== undefined && results.run?.refused === undefined) return undefined;
  return write(timesOf(results, format));
}

/**
 * Times of the head for tools that keep them. What has none, or those of a disturbed machine, is not written: such a tool
 * would take them for the level of the code.
 */
function timesOf(results: Results, format: string): readonly HistoryRecord[] {
  const where = `-o ${format}`;
  try {
    return recordsOf(results, where).records;
  } catch (error) {
    const { exitCode } = results.summary ?? {};
    // What the run found weighs more than that there is nothing to write.
    throw exitCode === undefined || exitCode === EXIT.pass ? error : Object.assign(error as Error, { exitCode });
  }
}

export const OUTPUT_FORMATS: readonly string[] = Object.keys(RENDERERS);

/** The option `-o`, which may be given several times; `parseOutputs` reads its values. */
export function outputOption(): Option {
  const about = `${OUTPUT_FORMATS.join(", ")}; without a file, to standard output (repeatable)`;
  return new Option("-o, --output <form[=file]>", about).argParser(
    (text, previous: readonly string[] | undefined): string[] => [...(previous ?? []), text],
  );
}

export interface Output {
  readonly format: string;
  /** "-": standard output. */
  readonly path: string;
}

/** An output, and the option that asks for it. */
interface GivenOutput extends Output {
  readonly option: string;
}

/** Reads the values of `-o` and `--json`; checks that every file can be written, and is written once. */
export function parseOutputs(texts: readonly string[], json?: string): Output[] {
  const given = texts.map((text): GivenOutput => {
    const at = text.indexOf("=");
    const format = at === -1 ? text : text.slice(0, at);
    const path = at === -1 ? "-" : text.slice(at + 1);
    if (!Object.hasOwn(RENDERERS, format)) {
      throw new UserError(`there is no report in the form "${format}"`, {
        where: `-o ${text}`,
        hint: `Choose from: ${OUTPUT_FORMATS.join(", ")}.`,
      });
    }
    if (path === "") throw new UserError("the name of the file is missing", { where: `-o ${text}` });
    return { format, path, option: `-o ${format}` };
  });
  if (json !== undefined) given.push({ format: "json", path: json, option: "--json" });
  for (const { path, option } of given) requireWritable(path, option);
  requireDistinct(given);
  const toStdout = given.filter(({ path }) => path === "-");
  if (toStdout.length > 1) {
    throw new UserError("only one report can go to standard output", {
      where: toStdout.map(({ option }) => option).join(" "),
    });
  }
  return given.map(({ format, path }) => ({ format, path }));
}

/** Of two reports in one file only the second would be left. */
function requireDistinct(outputs: readonly GivenOutput[]): void {
  const asked = new Map<string, string>();
  for (const { path, option } of outputs) {
    const file = writtenFile(path);
    if (file === undefined) continue;
    const before = asked.get(file);
    if (before !== undefined) {
      throw new UserError("two reports would be written to one file", {
        where: `${before}, ${option} ${path}`,
        hint: "Give each of them a file of its own.",
      });
    }
    asked.set(file, `${option} ${path}`);
  }
}

/**
 * Writes every report; a name that ends in `.gz` is compressed. Says which files there are now, also in `written`. One that
 * cannot be written is an error when the others are there. `second` are results of a second machine, for a comment.
 */
export function writeOutputs(
  results: Results,
  outputs: readonly Output[],
  written: string[] = [],
  second?: Results,
): string[] {
  const failures: unknown[] = [];
  for (const { format, path } of outputs) {
    try {
      const text = (RENDERERS[format] as Renderer)(results, second);
      if (text === undefined) continue;
      writeWhole(path, path.endsWith(".gz") ? gzipSync(text, { level: 9 }) : text);
      if (path !== "-") written.push(path);
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
  return written;
}
