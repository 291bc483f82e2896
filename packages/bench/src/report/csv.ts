/**
 * Results as CSV in long form: one line for each sample, with all that a line needs to stand alone. The header is the same for
 * every kind of run, so that files can be put one behind the other.
 */

import type { BenchRecord, Results, StageRecord } from "../results/schema.ts";
import { csvCell } from "./escape.ts";

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
] as const;

type Column = (typeof CSV_COLUMNS)[number];
export type LongRow = Readonly<Partial<Record<Column, string | number | boolean | null>>>;

/**
 * One row for each sample. `kind`: engine, bench or control. `arm`: the engine, base or head. `pair`: the pair of processes, or of
 * an engine the process. `round`: the number of the sample within it.
 */
export function* longRows(results: Results): Generator<LongRow, void> {
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
    // Cold phases have one sample of each process.
    const counts = row.processes ?? row.samples.map(() => 1);
    let at = 0;
    for (const [pair, count] of counts.entries()) {
      for (let round = 0; round < count && at < row.samples.length; round++) {
        yield { ...facts, pair, round, value: row.samples[at++] ?? null };
      }
    }
  }
  for (const bench of results.benches ?? []) {
    yield* pairRows(bench.stages, {
      ...common,
      kind: "bench",
      bench: bench.id,
      params: paramsText(bench),
      unit: bench.unit,
      verified: bench.check?.passed ?? null,
      verdict: bench.verdict,
    });
  }
  for (const control of results.environment?.controls ?? []) {
    yield* pairRows(control.stages, { ...common, kind: "control", bench: control.id, unit: "ns" });
  }
}

function paramsText({ params = {} }: BenchRecord): string {
  return Object.entries(params)
    .map(([name, value]) => `${name}=${value}`)
    .join(" ");
}

function* pairRows(stages: readonly StageRecord[], facts: LongRow): Generator<LongRow, void> {
  for (const { stage: phase, pairs } of stages) {
    for (const { index: pair, order, base, head } of pairs) {
      for (const [arm, samples] of [["base", base] as const, ["head", head] as const]) {
        for (const [round, value] of samples.entries()) yield { ...facts, arm, phase, pair, order, round, value };
      }
    }
  }
}

export function renderCsv(results: Results): string {
  const lines = [CSV_COLUMNS.join(",")];
  for (const row of longRows(results)) lines.push(CSV_COLUMNS.map((column) => csvCell(row[column])).join(","));
  return `${lines.join("\r\n")}\r\n`;
}

/** The same rows as JSON, one on each line; columns without a value are left out. */
export function renderJsonLines(results: Results): string {
  const lines: string[] = [];
  for (const row of longRows(results)) lines.push(`${JSON.stringify(row)}\n`);
  return lines.join("");
}
