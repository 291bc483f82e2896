/**
 * Reads result files. A file may come from anyone: its size is bounded before it is read, its version and every member
 * are checked, and what comes out holds only what the schema names. Text in it is still text from a stranger; reports
 * escape it.
 */

import { readFileSync, statSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { UserError } from "@quern/core/errors";
import { resultsSchema, type Results, type StageRecord } from "./schema.ts";
import { SchemaMismatch, acceptValue } from "./validate.ts";

/** Largest file, and largest text in a compressed one. */
export const MOST_BYTES: number = 64 * 2 ** 20;

const FORM = "A result file is written by `quern bench --json FILE` and `quern gate -o json=FILE`.";

/**
 * Reads the result file at `path`, as JSON or compressed with gzip. Throws a `UserError` that names the file and the
 * first thing that is wrong with it.
 */
export function readResults(path: string, mostBytes: number = MOST_BYTES): Results {
  return parseResults(readText(path, mostBytes), path);
}

/** The results in a JSON text. `where` names it in errors. */
export function parseResults(text: string, where: string): Results {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    // The parser's message quotes the file.
    throw new UserError("the file is not valid JSON", { where, hint: FORM, cause });
  }
  requireVersion(value, where);
  try {
    const results = acceptValue(resultsSchema, value) as Results;
    requirePairs(results);
    return results;
  } catch (cause) {
    if (!(cause instanceof SchemaMismatch)) throw cause;
    throw new UserError(`the results are not of the form quern.results/1: ${cause.message}`, {
      where,
      hint: FORM,
      cause,
    });
  }
}

function readText(path: string, mostBytes: number): string {
  let bytes: Uint8Array;
  try {
    const { size } = regularFile(path);
    if (size > mostBytes) throw tooLarge(path, mostBytes);
    bytes = readFileSync(path);
    if (bytes[0] === 0x1f && bytes[1] === 0x8b) bytes = gunzipSync(bytes, { maxOutputLength: mostBytes });
  } catch (cause) {
    if (cause instanceof UserError) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(path, mostBytes);
    if (code === "ENOENT") throw new UserError("there is no such file", { where: path, cause });
    throw new UserError(`the file cannot be read (${message})`, { where: path, cause });
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new UserError("the file is no text in UTF-8", { where: path, hint: FORM, cause });
  }
}

/** A pipe or a device could give bytes for ever. */
function regularFile(path: string): { readonly size: number } {
  const facts = statSync(path);
  if (!facts.isFile()) {
    throw new UserError(facts.isDirectory() ? "this is a folder, not a file" : "this is no regular file", {
      where: path,
      hint: FORM,
    });
  }
  return facts;
}

function tooLarge(path: string, mostBytes: number): UserError {
  return new UserError(`the file is larger than ${Math.floor(mostBytes / 2 ** 20)} MiB`, { where: path });
}

/** The version comes first: what a later one means is not guessed. */
function requireVersion(value: unknown, where: string): void {
  const given = typeof value === "object" && value !== null && "schema" in value ? value.schema : undefined;
  if (given === resultsSchema.properties.schema.const) return;
  const major = typeof given === "string" ? /^quern\.results\/(\d{1,9})$/.exec(given)?.[1] : undefined;
  if (major === undefined) throw new UserError("this is no result file of quern", { where, hint: FORM });
  throw new UserError(`the results are of version ${major}, and this quern reads version 1`, {
    where,
    hint: "Use the version of quern that wrote the file.",
  });
}

/** What a schema cannot say: the rounds of base and head stand side by side. */
function requirePairs({ benches = [], environment }: Results): void {
  const check = (stages: readonly StageRecord[], path: string): void => {
    for (const [s, { pairs }] of stages.entries()) {
      for (const [p, { base, head }] of pairs.entries()) {
        if (base.length === head.length) continue;
        const where = `${path}.stages[${s}].pairs[${p}]`;
        throw new SchemaMismatch(where, `${base.length} rounds of base and ${head.length} of head`);
      }
    }
  };
  for (const [i, bench] of benches.entries()) check(bench.stages, `benches[${i}]`);
  for (const [i, control] of (environment?.controls ?? []).entries()) {
    check(control.stages, `environment.controls[${i}]`);
  }
}
