/**
 * The samples behind an acceptance test: results of every gate run, whole, so that anybody can judge them again.
 *
 * While a series is measured each run is a file of its own (`AT1-0000-0.json.gz`): what there is survives an interruption. When the
 * test has ended they become one (`AT1.jsonl.br`, a line each): facts that all runs share then take no space.
 */

import { mkdirSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, brotliDecompressSync, constants, gunzipSync, gzipSync } from "node:zlib";
import { writeWhole } from "../commands/write-file.ts";
import { parseResults } from "../results/read.ts";
import type { Results } from "../results/schema.ts";

/** More than a series of a thousand runs has. */
const MOST_BYTES = 2 ** 30;

/** Keeps one run of a test; `attempt` counts runs of the same number that the machine made invalid. */
export function keepRun(folder: string, test: string, run: number, attempt: number, results: Results): void {
  mkdirSync(folder, { recursive: true });
  const name = `${test}-${String(run).padStart(4, "0")}-${attempt}.json.gz`;
  writeWhole(join(folder, name), gzipSync(JSON.stringify(results)));
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
