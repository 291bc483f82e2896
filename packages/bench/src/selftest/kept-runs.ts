/**
 * The samples behind an acceptance test: results of every gate run, whole, so that anybody can judge them again.
 *
 * While a series is measured each run is a file of its own (`AT1-0000-0.json.gz`): what there is survives an interruption, and a
 * series that is begun again goes on behind it. When the test has ended they become one (`AT1.jsonl.br`, a line each): facts that
 * all runs share then take no space. A series that is longer than the one in the file adds to it, a shorter one leaves it alone.
 */

import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, brotliDecompressSync, constants, gunzipSync, gzipSync } from "node:zlib";
import { writeWhole } from "../commands/write-file.ts";
import { UserError } from "@quern/core/errors";
import { storedPolicy, type GatePolicy } from "../gate/policy.ts";
import { parseResults, readResults } from "../results/read.ts";
import type { Policy, Results } from "../results/schema.ts";

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

/** What all runs of a series have in common, and the seed of the one that is asked for. */
export interface ExpectedRun {
  readonly seed: number;
  readonly policy: GatePolicy;
  /** Of the machine. */
  readonly class: string;
  /** Version of the sampler. */
  readonly sampler: string;
}

/**
 * A run that an earlier series has left, finished or not; undefined: it was not measured. Throws a `UserError` if it was measured
 * with another seed, policy or sampler, or on a machine of another class: runs of one series are of one kind.
 */
export function keptRun(
  folder: string,
  test: string,
  run: number,
  attempt: number,
  expected: ExpectedRun,
): Results | undefined {
  const own = fileOf(folder, test, run, attempt);
  const packed = packedFile(folder, test);
  const where = existsSync(own) ? own : packed;
  const results = where === own ? readResults(own) : packedRun(packed, expected.seed);
  // Every series begins with this one: that in the file is another.
  const isFirst = run === 0 && attempt === 0;
  const foreign = results === undefined && isFirst && packedRuns(packed).size > 0;
  const other = foreign ? "with another seed" : results === undefined ? undefined : differenceOf(results, expected);
  if (other === undefined) return results;
  throw new UserError(`a run was kept that was measured ${other}`, {
    where,
    hint: "Keep each series in its own folder.",
  });
}

function packedRun(file: string, seed: number): Results | undefined {
  const json = packedRuns(file).get(seed);
  return json === undefined ? undefined : parseResults(json, file);
}

function differenceOf({ run, environment }: Results, expected: ExpectedRun): string | undefined {
  if (run?.seed !== expected.seed) return "with another seed";
  if (run.policy === undefined || canonical(run.policy) !== canonical(expected.policy)) return "with other settings";
  if (environment?.before.class !== expected.class) return "on a machine of another class";
  return run.tool.version === expected.sampler ? undefined : "by another version of the sampler";
}

/** Members that a policy has got since a run was kept count as what held then. */
function canonical(policy: Policy): string {
  return JSON.stringify(Object.entries(storedPolicy(policy)).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function packedFile(folder: string, test: string): string {
  return join(folder, `${test}.jsonl.br`);
}

/** The file that was read last: a series asks for one run after another. */
let last: { readonly key: string; readonly runs: ReadonlyMap<number, string> } | undefined;

/** Lines of a series by the seeds of the runs, which all differ, in the order of the file. Empty where there is none. */
function packedRuns(file: string): ReadonlyMap<number, string> {
  if (!existsSync(file)) return new Map();
  const { mtimeMs, size } = statSync(file);
  const key = `${file} ${mtimeMs} ${size}`;
  if (last?.key !== key) last = { key, runs: new Map(linesOf(file).map((line) => [seedIn(line, file), line])) };
  return last.runs;
}

function seedIn(json: string, where: string): number {
  return parseResults(json, where).run?.seed ?? Number.NaN;
}

function linesOf(file: string): string[] {
  return unpacked(file)
    .split("\n")
    .filter((line) => line !== "");
}

function unpacked(file: string): string {
  try {
    return brotliDecompressSync(readFileSync(file), { maxOutputLength: MOST_BYTES }).toString();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new UserError(`the runs of the series cannot be read: ${why}`, {
      where: file,
      hint: "It is cut off, or no series: take it out of the folder.",
    });
  }
}

/** Adds the runs of a test to the file of its series, and removes theirs. Nothing happens where none was kept. */
export function packRuns(folder: string, test: string): void {
  const names = runFiles(folder, test);
  if (names.length === 0) return;
  const file = packedFile(folder, test);
  const runs = new Map(packedRuns(file));
  for (const name of names) {
    const json = gunzipSync(readFileSync(join(folder, name))).toString();
    runs.set(seedIn(json, join(folder, name)), json);
  }
  const text = Buffer.from(`${[...runs.values()].join("\n")}\n`);
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
    [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
    [constants.BROTLI_PARAM_SIZE_HINT]: text.length,
  };
  writeWhole(file, brotliCompressSync(text, { params }));
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

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new UserError(`the folder of kept runs cannot be read: ${why}`, { where: `--keep ${folder}` });
  }
}

/** Files of whole series in a folder. */
export function seriesIn(folder: string): string[] {
  return namesIn(folder)
    .filter((name) => name.endsWith(".jsonl.br"))
    .sort()
    .map((name) => join(folder, name));
}

/** The runs of a series, in order. Throws a `UserError` for lines that are no results. */
export function* readSeries(file: string): Generator<Results> {
  for (const [line, json] of linesOf(file).entries()) yield parseResults(json, `${file}, line ${line + 1}`);
}
