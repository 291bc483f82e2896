/**
 * The samples behind an acceptance test: results of every gate run, whole, so that anybody can judge them again.
 *
 * While a series is measured each run is a file of its own (`AT1-0000-0.json.gz`): what there is survives an interruption, and a
 * series that is begun again goes on behind it. When the test has ended they become one (`AT1.jsonl.br`, a line each): facts that
 * all runs share then take no space.
 */

import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, brotliDecompressSync, constants, gunzipSync, gzipSync } from "node:zlib";
import { writeWhole } from "../commands/write-file.ts";
import { UserError } from "@quern/core/errors";
import type { GatePolicy } from "../gate/policy.ts";
import { parseResults, readResults } from "../results/read.ts";
import type { Results } from "../results/schema.ts";

/** More than a series of a thousand runs has. */
const MOST_BYTES = 2 ** 30;

/** Keeps one run of a test; `attempt` counts runs of the same number that the machine made invalid. */
export function keepRun(folder: string, test: string, run: number, attempt: number, results: Results): void {
  mkdirSync(folder, { recursive: true });
  writeWhole(fileOf(folder, test, run, attempt), gzipSync(JSON.stringify(results)));
}

function fileOf(folder: string, test: string, run: number, attempt: number): string {
  return join(folder, `${test}-${String(run).padStart(4, "0")}-${attempt}.json.gz`);
}

/**
 * A run that an interrupted series has left; undefined: it was not measured. Throws a `UserError` if it was measured with another
 * seed or policy, or on a machine of another class: runs of one series are of one kind.
 */
export function keptRun(
  folder: string,
  test: string,
  run: number,
  attempt: number,
  expected: { readonly seed: number; readonly policy: GatePolicy; readonly class: string },
): Results | undefined {
  const file = fileOf(folder, test, run, attempt);
  if (!existsSync(file)) return undefined;
  const results = readResults(file);
  const { seed, policy } = results.run ?? {};
  const machine = results.environment?.before.class;
  const other =
    seed !== expected.seed
      ? "with another seed"
      : canonical(policy) !== canonical(expected.policy)
        ? "with other settings"
        : machine !== expected.class
          ? "on a machine of another class"
          : undefined;
  if (other === undefined) return results;
  throw new UserError(`a run was kept that was measured ${other}`, {
    where: file,
    hint: "Keep each series in its own folder.",
  });
}

function canonical(policy: object | undefined): string {
  return JSON.stringify(Object.entries(policy ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Puts the runs of a test into one file, and removes theirs. Nothing happens where none was kept. */
export function packRuns(folder: string, test: string): void {
  const names = runFiles(folder, test);
  if (names.length === 0) return;
  const lines = names.map((name) => gunzipSync(readFileSync(join(folder, name))).toString());
  const text = Buffer.from(`${lines.join("\n")}\n`);
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
    [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
    [constants.BROTLI_PARAM_SIZE_HINT]: text.length,
  };
  writeWhole(join(folder, `${test}.jsonl.br`), brotliCompressSync(text, { params }));
  for (const name of names) rmSync(join(folder, name));
}

function runFiles(folder: string, test: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => name.startsWith(`${test}-`) && name.endsWith(".json.gz"))
      .sort();
  } catch {
    return [];
  }
}

/** Files of whole series in a folder. */
export function seriesIn(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".jsonl.br"))
    .sort()
    .map((name) => join(folder, name));
}

/** The runs of a series, in order. Throws a `UserError` for lines that are no results. */
export function* readSeries(file: string): Generator<Results> {
  const text = brotliDecompressSync(readFileSync(file), { maxOutputLength: MOST_BYTES }).toString();
  let line = 0;
  for (const json of text.split("\n")) {
    line += 1;
    if (json !== "") yield parseResults(json, `${file}, line ${line}`);
  }
}
