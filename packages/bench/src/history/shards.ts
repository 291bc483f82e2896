/**
 * The files of a history: one for each class of machine and month, `<class>/<year>-<month>.jsonl`, a record on every line.
 *
 * Files are only appended to, so that two histories join line by line. Reading trusts nothing: a line that is no record is
 * told with its place, and records are never taken from a version that is not known.
 */

import { createHash } from "node:crypto";
import { UserError } from "@quern/core/errors";
import { SchemaMismatch, acceptValue, type ValueLimits } from "../results/validate.ts";
import { RECORD_VERSION, type HistoryRecord, paramText, recordKey, recordLine, recordSchema } from "./record.ts";

/** Texts of the files of a history by path; an absent file has no text. */
export type Shards = ReadonlyMap<string, string>;

export const SHARD_PATH: RegExp = /^[A-Za-z0-9][A-Za-z0-9._-]*\/\d{4}-\d{2}\.jsonl$/;

/** For those who merge histories with git itself. */
export const ATTRIBUTES = { path: ".gitattributes", text: "*.jsonl merge=union\n" } as const;

const PLAIN_CLASS = /^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$/;

/** A name for the folder of a class; different for different classes, on file systems without case too. */
function folderOf(machine: string): string {
  if (PLAIN_CLASS.test(machine) && machine === machine.toLowerCase()) return machine;
  const readable = machine
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, "-")
    .replace(/^[^a-z0-9]+/, "")
    .slice(0, 48);
  const hash = createHash("sha256").update(machine).digest("hex").slice(0, 10);
  return `${readable === "" ? "class" : readable}-${hash}`;
}

/** Where a record belongs. */
export function shardPath({ class: machine, at }: HistoryRecord): string {
  return `${folderOf(machine)}/${new Date(at).toISOString().slice(0, 7)}.jsonl`;
}

export interface HistoryLine {
  readonly record: HistoryRecord;
  /** As it was written. */
  readonly text: string;
  readonly path: string;
}

export interface LineProblem {
  readonly path: string;
  /** Counted from one; 0 for the file as a whole. */
  readonly line: number;
  readonly problem: string;
  /** Written by a version that is not known: what is there could change what the other lines mean. */
  readonly newer: boolean;
}

export interface ParsedShards {
  readonly lines: readonly HistoryLine[];
  readonly problems: readonly LineProblem[];
}

const LIMITS: ValueLimits = { stringLength: 4096, recordSize: 100, listLength: 0 };
const MOST_LINE = 65_536;

/** All lines in the order of the files; equal records of one run count once. */
export function parseShards(shards: Shards): ParsedShards {
  const lines: HistoryLine[] = [];
  const problems: LineProblem[] = [];
  const seen = new Map<string, string>();
  for (const [path, text] of [...shards].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (!SHARD_PATH.test(path)) {
      problems.push({ path, line: 0, problem: "the history has no files of such a name", newer: false });
      continue;
    }
    text.split("\n").forEach((line, i, all) => {
      if (line === "" && i === all.length - 1) return;
      const parsed = parseLine(line.endsWith("\r") ? line.slice(0, -1) : line);
      if ("problem" in parsed) {
        problems.push({ path, line: i + 1, ...parsed });
        return;
      }
      const key = recordKey(parsed.record);
      const before = seen.get(key);
      const own = recordLine(parsed.record);
      if (before === own) return;
      if (before !== undefined) {
        const problem = `the run ${JSON.stringify(parsed.record.run)} has another record of the same bench`;
        problems.push({ path, line: i + 1, problem, newer: false });
        return;
      }
      seen.set(key, own);
      lines.push({ record: parsed.record, text: line, path });
    });
  }
  return { lines, problems };
}

type Parsed = { readonly record: HistoryRecord } | { readonly problem: string; readonly newer: boolean };

function parseLine(line: string): Parsed {
  const refuse = (problem: string, newer = false): Parsed => ({ problem, newer });
  if (line.length > MOST_LINE) return refuse(`a line of ${line.length} characters`);
  if (/^(<{7}|={7}|>{7}|\|{7})/.test(line)) return refuse("a conflict that was not resolved");
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return refuse(line.trim() === "" ? "an empty line" : "no valid JSON");
  }
  const version = typeof value === "object" && value !== null && "schema" in value ? value.schema : undefined;
  if (version !== RECORD_VERSION) {
    const known = typeof version === "string" && /^quern\.history\/\d{1,9}$/.test(version);
    return known
      ? refuse(`written in the form ${version}, which is not known here`, true)
      : refuse("no record of a history");
  }
  try {
    return { record: acceptValue(recordSchema, value, "", LIMITS) as HistoryRecord };
  } catch (error) {
    if (!(error instanceof SchemaMismatch)) throw error;
    return refuse(error.message);
  }
}

/** The text with lines behind it; a last line that has no end gets one. */
export function appendLines(text: string, lines: readonly string[]): string {
  const before = text === "" || text.endsWith("\n") ? text : `${text}\n`;
  return before + lines.map((line) => `${line}\n`).join("");
}

export interface AddedRecords {
  /** New texts of the files that change. */
  readonly changed: Map<string, string>;
  readonly added: number;
  /** Records that were there. */
  readonly known: number;
}

/**
 * Adds records to the files that they belong to. What is wrong with other lines is not looked at. Throws a `UserError` for
 * records that no reader would take: one such line makes the whole history unreadable.
 */
export function addRecords(shards: Shards, records: readonly HistoryRecord[]): AddedRecords {
  const known = new Set(parseShards(shards).lines.map(({ record }) => recordKey(record)));
  const fresh = new Map<string, HistoryRecord>();
  for (const record of records) {
    const key = recordKey(record);
    if (known.has(key)) continue;
    const line = recordLine(record);
    const other = fresh.get(key);
    if (other !== undefined && recordLine(other) !== line)
      throw unreadable(record, "the same run has another record of it");
    const parsed = parseLine(line);
    if ("problem" in parsed) throw unreadable(record, parsed.problem);
    fresh.set(key, record);
  }
  const changed = new Map<string, string>();
  for (const [path, group] of Map.groupBy(fresh.values(), shardPath))
    changed.set(path, appendLines(shards.get(path) ?? "", group.map(recordLine)));
  return { changed, added: fresh.size, known: records.length - fresh.size };
}

const SHOWN = 80;

function unreadable({ bench, params }: HistoryRecord, problem: string): UserError {
  const name = `${bench} ${paramText(params)}`.trim().slice(0, SHOWN);
  return new UserError(`the history cannot hold this record: ${problem}`, { where: name });
}

/**
 * Joins two histories that had `base` in common: what either has added is there, what either has removed is not. Lines keep
 * their order, those of `theirs` first.
 */
export function mergeLines(base: string, ours: string, theirs: string): string {
  const linesOf = (text: string): string[] => text.split("\n").filter((line) => line !== "");
  const [before, own, other] = [linesOf(base), linesOf(ours), linesOf(theirs)];
  const [ownSet, otherSet, beforeSet] = [new Set(own), new Set(other), new Set(before)];
  const kept = other.filter((line) => ownSet.has(line) || !beforeSet.has(line));
  const added = own.filter((line) => !otherSet.has(line) && !beforeSet.has(line));
  return appendLines("", oneOfEach([...kept, ...added]));
}

/**
 * Two clones may know one measurement by different words: only one of them has its commit, or each has marked a change before pruning
 * with its own numbers. The longer line says more; of two as long the first in the order of characters stays, in every clone.
 */
function oneOfEach(lines: readonly string[]): string[] {
  const best = new Map<string, string>();
  for (const line of lines) {
    const parsed = parseLine(line);
    const key = "record" in parsed ? recordKey(parsed.record) : `line ${line}`;
    const other = best.get(key);
    const better = other === undefined || line.length > other.length || (line.length === other.length && line < other);
    // A key keeps the place where it was first seen.
    if (better) best.set(key, line);
  }
  return [...best.values()];
}
