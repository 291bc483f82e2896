/** The history and its changes as text for a terminal. */

import { plainText } from "../report/escape.ts";
import { formatBytes, formatChange, formatMs } from "../report/format.ts";
import { formatTable } from "../report/table.ts";
import { type SeriesAnalysis, LEAST_POINTS, bisectCommand } from "../history/analyse.ts";
import type { HistoryRecord } from "../history/record.ts";
import { seriesName } from "../history/series.ts";

const COLUMNS = [
  { title: "date", align: "left" },
  { title: "bench", align: "left" },
  { title: "value", align: "right" },
  { title: "95 %", align: "left" },
  { title: "to base", align: "right" },
  { title: "verdict", align: "left" },
  { title: "commit", align: "left" },
  { title: "class", align: "left" },
] as const;

function valueText(value: number, unit: HistoryRecord["unit"]): string {
  return unit === "ns" ? formatMs(value / 1e6) : formatBytes(Math.round(value));
}

function shortCommit({ commit, dirty }: HistoryRecord): string {
  if (commit === undefined) return "";
  const short = /^[0-9a-f]{12,64}$/.test(commit) ? commit.slice(0, 10) : plainText(commit);
  return `${short}${dirty === true ? "+" : ""}`;
}

function recordRow(record: HistoryRecord): string[] {
  const { at, low, high, unit, base, verdict, class: machine } = record;
  const interval = low === undefined || high === undefined ? "" : `[${valueText(low, unit)}, ${valueText(high, unit)}]`;
  return [
    new Date(at).toISOString().slice(0, 16).replace("T", " "),
    plainText(seriesName(record)),
    valueText(record.value, unit),
    interval,
    base === undefined ? "" : base.ratio.toFixed(3),
    plainText(verdict ?? ""),
    shortCommit(record),
    plainText(machine),
  ];
}

export function printRecords(records: readonly HistoryRecord[], all: number): void {
  const more = all > records.length ? [``, `${records.length} of ${all}; --limit shows more`] : [];
  const lines = all === 0 ? ["nothing was measured in that time"] : formatTable(COLUMNS, records.map(recordRow));
  process.stdout.write(`${[...lines, ...more].join("\n")}\n`);
}

function changeLines(analysis: SeriesAnalysis, tool: string): string[] {
  const { series, changes } = analysis;
  return changes.flatMap((change) => {
    const { ratio, p, before, after, range, notes } = change;
    const words = series.unit === "ns" ? ["slower", "faster"] : ["more", "less"];
    const command = bisectCommand(analysis, change, tool);
    const dates = [before.at, after.at].map((at) => new Date(at).toISOString().slice(0, 10)).join(" … ");
    return [
      `  ${ratio > 1 ? "▲" : "▼"} ${formatChange(ratio)} ${words[ratio > 1 ? 0 : 1]}, ${dates}, p = ${p.toPrecision(2)}`,
      ...(range === undefined ? [] : [`    commits ${shortCommit(before)}..${shortCommit(after)}`]),
      ...notes.map((note) => `    ${plainText(note)}`),
      ...(command === undefined ? [] : [`    ${plainText(command)}`]),
    ];
  });
}

/** Rows with changes first, then how many have none, and how many are too short to tell. */
export function printAnalyses(analyses: readonly SeriesAnalysis[], tool: string): void {
  const lines: string[] = [];
  for (const analysis of analyses.filter(({ changes }) => changes.length > 0)) {
    const { series } = analysis;
    const over = series.controls.length > 0 ? `, over ${series.controls.join(" and ")}` : "";
    const head = `${seriesName(series)} on ${series.class}, ${series.points.length} points${over}`;
    lines.push(plainText(head), ...changeLines(analysis, tool), "");
  }
  const still = analyses.filter(({ changes, short }) => changes.length === 0 && !short);
  const short = analyses.filter((analysis) => analysis.short);
  if (still.length > 0) lines.push(`${still.length} without a change`);
  if (short.length > 0)
    lines.push(`${short.length} with fewer than ${LEAST_POINTS} points, of which nothing can be said`);
  process.stdout.write(`${lines.join("\n").trimEnd()}\n`);
}
