/** The forms of `quern history export`, several at once where they go to different files. */

import { UserError } from "@quern/core/errors";
import type { SeriesAnalysis } from "../history/analyse.ts";
import { toBadge, toBmf, toCsv, toGithubActionBenchmark, toJson } from "../history/exports.ts";
import type { HistoryRecord } from "../history/record.ts";
import { writeSqlite } from "../history/sqlite.ts";
import { requireWritable, writeWhole, writtenFile } from "./write-file.ts";

interface ExportForm {
  readonly about: string;
  /** Absent for what is no text. */
  readonly text?: (records: readonly HistoryRecord[], analyses: readonly SeriesAnalysis[]) => string;
}

const FORMS = ["sqlite", "csv", "json", "bmf", "gha", "badge"] as const;
type FormName = (typeof FORMS)[number];

/** Files by form. */
export type ExportFlags = Partial<Record<FormName, string>>;

export const EXPORT_FORMS: Readonly<Record<FormName, ExportForm>> = {
  sqlite: { about: "a SQLite database with records, controls and changes" },
  csv: { about: "one row for each record; - is standard output", text: toCsv },
  json: { about: "records and changes", text: toJson },
  bmf: { about: "the last of each bench in Bencher Metric Format", text: toBmf },
  gha: { about: "the same for github-action-benchmark, customSmallerIsBetter", text: toGithubActionBenchmark },
  badge: { about: "an endpoint for a badge of shields.io", text: toBadge },
};

/** Everything is made before anything is written. */
export async function exportHistory(
  records: readonly HistoryRecord[],
  analyses: readonly SeriesAnalysis[],
  flags: ExportFlags,
): Promise<void> {
  const asked = FORMS.filter((name) => flags[name] !== undefined);
  if (asked.length === 0)
    throw new UserError("no form is asked for", {
      hint: `Choose from: ${FORMS.map((name) => `--${name} FILE`).join(", ")}.`,
    });
  if (flags.sqlite === "-") throw new UserError("a database is not written to standard output", { where: "--sqlite" });
  const texts = asked.flatMap((name): { path: string; text: string }[] => {
    const { text } = EXPORT_FORMS[name];
    return text === undefined ? [] : [{ path: flags[name] as string, text: text(records, analyses) }];
  });
  for (const name of asked) requireWritable(flags[name] as string, `--${name}`);
  requireDistinct(asked.map((name) => flags[name] as string));
  if (flags.sqlite !== undefined) await writeSqlite(flags.sqlite, records, analyses);
  for (const { path, text } of texts) writeWhole(path, text);
}

/** Of two forms in one place only the second would be left, or none could be told from the other. */
function requireDistinct(paths: readonly string[]): void {
  const places = paths.flatMap((path) => (path === "-" ? path : (writtenFile(path) ?? [])));
  if (new Set(places).size < places.length) throw new UserError("two forms are to be written to the same file");
}
