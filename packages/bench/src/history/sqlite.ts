/** A history as a SQLite database, by the SQLite that Node brings along. */

import { renameSync, rmSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { UserError } from "@quern/core/errors";
import type { SeriesAnalysis } from "./analyse.ts";
import { EXPORT_COLUMNS, type ExportColumn, exportRow } from "./exports.ts";
import { type HistoryRecord, RECORD_VERSION, paramText } from "./record.ts";

const TYPES: Partial<Record<ExportColumn, string>> = {
  value: "REAL NOT NULL",
  low: "REAL",
  high: "REAL",
  samples: "INTEGER",
  dirty: "INTEGER",
  ratio: "REAL",
  ratio_low: "REAL",
  ratio_high: "REAL",
};

const SCHEMA = `
PRAGMA user_version = 1;
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE records (id INTEGER PRIMARY KEY, ${EXPORT_COLUMNS.map((name) => `"${name}" ${TYPES[name] ?? "TEXT"}`).join(", ")});
CREATE TABLE controls (record INTEGER NOT NULL REFERENCES records (id), control TEXT NOT NULL, ns REAL NOT NULL, PRIMARY KEY (record, control));
CREATE TABLE changes (class TEXT NOT NULL, bench TEXT NOT NULL, params TEXT NOT NULL, at TEXT NOT NULL, ratio REAL NOT NULL, p REAL NOT NULL, good TEXT, bad TEXT, notes TEXT NOT NULL);
CREATE INDEX records_by_bench ON records (class, bench, params, at);
`;

/** Writes a new file whole, in place of an older one; its folder is there. Throws a `UserError` where that is not possible. */
export async function writeSqlite(
  path: string,
  records: readonly HistoryRecord[],
  analyses: readonly SeriesAnalysis[],
): Promise<void> {
  const { DatabaseSync } = await importSqlite();
  const target = resolve(path);
  if (statSync(target, { throwIfNoEntry: false })?.isFile() === false) {
    throw new UserError("the database cannot be written: this is no file", { where: path });
  }
  const part = `${target}.${process.pid}.part`;
  try {
    rmSync(part, { force: true });
    const database = new DatabaseSync(part);
    try {
      database.exec(SCHEMA);
      database.exec("BEGIN");
      database.prepare("INSERT INTO about VALUES ('schema', ?)").run(RECORD_VERSION);
      const places = EXPORT_COLUMNS.map(() => "?").join(", ");
      const insert = database.prepare(`INSERT INTO records VALUES (?, ${places})`);
      const control = database.prepare("INSERT INTO controls VALUES (?, ?, ?)");
      for (const [i, record] of records.entries()) {
        const row = exportRow(record);
        insert.run(i + 1, ...EXPORT_COLUMNS.map((column) => sqlValue(row[column])));
        for (const [id, ns] of Object.entries(record.controls)) control.run(i + 1, id, ns);
      }
      const change = database.prepare("INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
      for (const { series, changes } of analyses) {
        for (const { after, ratio, p, range, notes } of changes) {
          const { good = null, bad = null } = range ?? {};
          const name = [series.class, series.bench, paramText(series.params)];
          change.run(...name, after.at, ratio, p, good, bad, notes.join("; "));
        }
      }
      database.exec("COMMIT");
    } finally {
      database.close();
    }
    renameSync(part, target);
  } catch (cause) {
    rmSync(part, { force: true });
    rmSync(`${part}-journal`, { force: true });
    throw new UserError(`the database cannot be written (${(cause as Error).message})`, { where: path, cause });
  }
}

function sqlValue(value: string | number | boolean | null): string | number | null {
  return typeof value === "boolean" ? Number(value) : value;
}

/** Node calls its SQLite experimental at every use; what is used of it here has not changed since it came. */
async function importSqlite(): Promise<typeof import("node:sqlite")> {
  const { emitWarning } = process;
  process.emitWarning = (warning, ...rest: unknown[]) => {
    if (!String(warning).includes("SQLite")) Reflect.apply(emitWarning, process, [warning, ...rest]);
  };
  try {
    return await import("node:sqlite");
  } catch (cause) {
    throw new UserError("this Node has no SQLite", { hint: "Node 24 has; or export with --csv or --json.", cause });
  } finally {
    process.emitWarning = emitWarning;
  }
}
