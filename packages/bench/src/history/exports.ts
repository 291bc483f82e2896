/** A history in the forms that other tools read. All are pure: records in, text out. */

import { csvCell } from "../report/escape.ts";
import { formatMs } from "../report/format.ts";
import type { SeriesAnalysis } from "./analyse.ts";
import { type HistoryRecord, RECORD_VERSION, paramText } from "./record.ts";
import { onlyClass } from "./select.ts";
import { seriesName } from "./series.ts";

/** Columns of the long form: one row per record. */
const COLUMNS = [
  "at",
  "class",
  "bench",
  "params",
  "value",
  "low",
  "high",
  "unit",
  "samples",
  "commit",
  "committed_at",
  "dirty",
  "base_commit",
  "ratio",
  "ratio_low",
  "ratio_high",
  "verdict",
  "accepted",
  "controls",
  "run",
  "kind",
  "tool",
  "fingerprint",
] as const;

export type ExportColumn = (typeof COLUMNS)[number];
export const EXPORT_COLUMNS: readonly ExportColumn[] = COLUMNS;

/** The cells of a record, by column. */
export function exportRow(record: HistoryRecord): Record<ExportColumn, string | number | boolean | null> {
  const { base, controls } = record;
  return {
    at: record.at,
    class: record.class,
    bench: record.bench,
    params: paramText(record.params),
    value: record.value,
    low: record.low ?? null,
    high: record.high ?? null,
    unit: record.unit,
    samples: record.samples ?? null,
    commit: record.commit ?? null,
    committed_at: record.committedAt ?? null,
    dirty: record.dirty ?? null,
    base_commit: base?.commit ?? null,
    ratio: base?.ratio ?? null,
    ratio_low: base?.low ?? null,
    ratio_high: base?.high ?? null,
    verdict: record.verdict ?? null,
    accepted: record.accepted ?? null,
    controls: paramText(controls),
    run: record.run,
    kind: record.kind,
    tool: record.tool ?? null,
    fingerprint: record.fingerprint,
  };
}

export function toCsv(records: readonly HistoryRecord[]): string {
  const rows = records.map((record) => {
    const row = exportRow(record);
    return COLUMNS.map((column) => csvCell(row[column])).join(",");
  });
  return `${[COLUMNS.join(","), ...rows].join("\r\n")}\r\n`;
}

export function toJson(records: readonly HistoryRecord[], analyses: readonly SeriesAnalysis[]): string {
  const changes = analyses.flatMap(({ series, changes: found }) =>
    found.map(({ index, ratio, p, range, notes, after }) => ({
      bench: series.bench,
      ...(series.params === undefined ? {} : { params: series.params }),
      class: series.class,
      index,
      at: after.at,
      ratio,
      p,
      ...(range === undefined ? {} : { range }),
      notes,
    })),
  );
  return `${JSON.stringify({ schema: RECORD_VERSION, records, changes }, null, 2)}\n`;
}

/** The last record of each benchmark, of one class. */
function latest(records: readonly HistoryRecord[]): HistoryRecord[] {
  onlyClass(records);
  const last = new Map<string, HistoryRecord>();
  for (const record of records) {
    const key = JSON.stringify([seriesName(record), record.unit]);
    const other = last.get(key);
    if (other === undefined || Date.parse(record.at) >= Date.parse(other.at)) last.set(key, record);
  }
  return [...last.values()].sort((a, b) => (seriesName(a) < seriesName(b) ? -1 : 1));
}

/**
 * Bencher Metric Format: measures by benchmark, `latency` in nanoseconds.
 * https://bencher.dev/docs/reference/bencher-metric-format
 */
export function toBmf(records: readonly HistoryRecord[]): string {
  const all: Record<string, Record<string, Record<string, number>>> = {};
  for (const record of latest(records)) {
    const { value, low, high, unit } = record;
    const bounds = low === undefined || high === undefined ? {} : { lower_value: low, upper_value: high };
    const name = seriesName(record);
    all[name] = { ...all[name], [unit === "ns" ? "latency" : "memory"]: { value, ...bounds } };
  }
  return `${JSON.stringify(all, null, 2)}\n`;
}

/** Input of github-action-benchmark with the tool `customSmallerIsBetter`. */
export function toGithubActionBenchmark(records: readonly HistoryRecord[]): string {
  const entries = latest(records).map((record) => {
    const { value, low, high, unit, samples, class: machine } = record;
    const range =
      low === undefined || high === undefined ? {} : { range: `${low.toPrecision(4)} … ${high.toPrecision(4)}` };
    const extra = [`class ${machine}`, ...(samples === undefined ? [] : [`${samples} samples`])].join("\n");
    return { name: seriesName(record), unit, value, ...range, extra };
  });
  return `${JSON.stringify(entries, null, 2)}\n`;
}

/**
 * An endpoint of shields.io: the time of the one benchmark that is chosen, else how many benchmarks there are and how many
 * became slower at their last change.
 */
export function toBadge(records: readonly HistoryRecord[], analyses: readonly SeriesAnalysis[]): string {
  const last = latest(records);
  const [only] = last;
  const slower = analyses.filter(({ changes }) => (changes.at(-1)?.ratio ?? 1) > 1).length;
  const color = slower > 0 ? "orange" : "brightgreen";
  const badge = (label: string, message: string): string =>
    `${JSON.stringify({ schemaVersion: 1, label, message, color: last.length === 0 ? "lightgrey" : color })}\n`;
  if (only === undefined) return badge("benchmarks", "none yet");
  if (last.length === 1 && only.unit === "ns") return badge(seriesName(only), formatMs(only.value / 1e6));
  const benches = `${last.length} ${last.length === 1 ? "bench" : "benches"}`;
  return badge("benchmarks", slower > 0 ? `${slower} of ${benches} slower` : benches);
}
