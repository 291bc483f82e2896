/**
 * Results as CSV in long form, with all in each line that it needs to stand alone: one line for each bench, arm and pair of
 * processes, or one for each round. The header is the same for every kind of run and for both, so that files can be put one
 * behind the other.
 */

import { median } from "../statistics/basics.ts";
import type { BenchRecord, Results, ServingRecord, StageRecord } from "../results/schema.ts";
import { csvCell } from "./escape.ts";
import { arrivalsText } from "./serving-facts.ts";

/** The columns. Within version 1 of the result file, columns are only added, at the end. */
export const CSV_COLUMNS = [
  "schema",
  "run",
  "created_at",
  "machine",
  "kind",
  "bench",
  "params",
  "arm",
  "phase",
  "threads",
  "precision",
  "weights",
  "pair",
  "order",
  "round",
  "unit",
  "value",
  "verified",
  "verdict",
  "rounds",
] as const;

type Column = (typeof CSV_COLUMNS)[number];
export type LongRow = Readonly<Partial<Record<Column, string | number | boolean | null>>>;

/** What the rounds of one arm in one pair become: a row each, or one. */
type Rounds = (facts: LongRow, samples: readonly number[]) => Iterable<LongRow>;

const NO_SAMPLES = { value: null, rounds: 0 } as const;

const everyRound: Rounds = (facts, samples) => samples.map((value, round) => ({ ...facts, round, value }));

const theirMedian: Rounds = (facts, samples) =>
  samples.length === 0 ? [] : [{ ...facts, value: median(samples), rounds: samples.length }];

/**
 * One row for each bench, arm and pair: `value` is the median of so many `rounds`. `kind`: engine, bench, control or request.
 * `arm`: the engine, base or head. `pair`: the pair of processes, of an engine the process, of a load test the request. What has
 * no samples, such as a row whose outputs are wrong, has one row without a value, of no rounds.
 */
export function longRows(results: Results): Generator<LongRow, void> {
  return rowsOf(results, theirMedian);
}

/** One row for each round. */
export function roundRows(results: Results): Generator<LongRow, void> {
  return rowsOf(results, everyRound);
}

function* rowsOf(results: Results, rounds: Rounds): Generator<LongRow, void> {
  const common = {
    schema: results.schema,
    run: results.run?.id ?? "",
    created_at: results.createdAt,
    machine: results.machine.fingerprint,
  };
  for (const row of results.results) {
    const facts = {
      ...common,
      kind: "engine",
      bench: row.case,
      params: row.shape,
      arm: row.engine,
      phase: row.phase,
      threads: row.threads,
      precision: row.precision,
      weights: row.weights ?? "",
      unit: row.unit,
      verified: row.verified,
    };
    if (row.samples.length === 0) yield { ...facts, ...NO_SAMPLES };
    // Cold phases have one sample of each process.
    const counts = row.processes ?? row.samples.map(() => 1);
    let at = 0;
    for (const [pair, count] of counts.entries()) {
      const end = at + Math.max(0, count);
      yield* rounds({ ...facts, pair }, row.samples.slice(at, end));
      at = end;
    }
  }
  for (const bench of results.benches ?? []) {
    const facts = {
      ...common,
      kind: "bench",
      bench: bench.id,
      params: paramsText(bench),
      unit: bench.unit,
      verified: bench.check?.passed ?? null,
      verdict: bench.verdict,
    };
    const measured = bench.stages.some(({ pairs }) => pairs.some(({ head }) => head.length > 0));
    if (measured) yield* pairRows(bench.stages, facts, rounds);
    else yield { ...facts, ...NO_SAMPLES };
  }
  for (const control of results.environment?.controls ?? []) {
    yield* pairRows(control.stages, { ...common, kind: "control", bench: control.id, unit: "ns" }, rounds);
  }
  for (const test of results.serving ?? []) yield* requestRows(test, common);
}

function paramsText({ params = {} }: BenchRecord): string {
  return Object.entries(params)
    .map(([name, value]) => `${name}=${value}`)
    .join(" ");
}

function* pairRows(stages: readonly StageRecord[], facts: LongRow, rounds: Rounds): Generator<LongRow, void> {
  for (const { stage: phase, pairs } of stages) {
    for (const { index: pair, order, base, head } of pairs) {
      yield* rounds({ ...facts, arm: "base", phase, pair, order }, base);
      yield* rounds({ ...facts, arm: "head", phase, pair, order }, head);
    }
  }
}

/** Of each request the time to its first part and to its end, both from when it was due; without a value where it failed. */
function* requestRows(test: ServingRecord, common: LongRow): Generator<LongRow, void> {
  const params = `${arrivalsText(test.arrivals)}, ${test.promptWords} words, ${test.maxTokens} tokens at most`;
  const facts = { ...common, kind: "request", bench: test.model, params, arm: test.url, unit: "ms" };
  for (const [pair, { scheduled, ended, parts, failure }] of test.samples.entries()) {
    const first = parts[0];
    const times = { "first-token": first === undefined ? null : first - scheduled, "end-to-end": ended - scheduled };
    for (const [phase, value] of Object.entries(times)) {
      yield failure === undefined
        ? { ...facts, phase, pair, value, rounds: 1 }
        : { ...facts, phase, pair, value: null, verdict: `failed: ${failure}`, rounds: 0 };
    }
  }
}

/** The rows of `longRows` by RFC 4180: a line of titles, lines end in CR LF. */
export function renderCsv(results: Results): string {
  return toCsv(longRows(results));
}

/** The same with the rows of `roundRows`. */
export function renderCsvRounds(results: Results): string {
  return toCsv(roundRows(results));
}

function toCsv(rows: Iterable<LongRow>): string {
  const lines = [CSV_COLUMNS.join(",")];
  for (const row of rows) lines.push(CSV_COLUMNS.map((column) => csvCell(row[column])).join(","));
  return `${lines.join("\r\n")}\r\n`;
}

/** The same rows as JSON, one on each line; columns without a value are left out. */
export function renderJsonLines(results: Results): string {
  return toJsonLines(longRows(results));
}

/** The rows of `roundRows`, likewise. */
export function renderJsonLinesRounds(results: Results): string {
  return toJsonLines(roundRows(results));
}

function toJsonLines(rows: Iterable<LongRow>): string {
  const lines: string[] = [];
  for (const row of rows) lines.push(`${JSON.stringify(row)}\n`);
  return lines.join("");
}
