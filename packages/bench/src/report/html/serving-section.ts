/** The section of the page for load tests of servers. */

import type { Results, ServingRecord } from "../../results/schema.ts";
import { leftOut } from "../bounds.ts";
import { escapeHtml, shorten } from "../escape.ts";
import { formatMs } from "../format.ts";
import { LATENCIES, loadLines } from "../serving-facts.ts";
import { distributionChart, strokeOf } from "./distribution.ts";
import { note, table, type Section, type TableRow } from "./markup.ts";

const MOST_TESTS = 50;

export function servingSection({ serving = [] }: Results): Section {
  const parts = serving.slice(0, MOST_TESTS).map(loadTest);
  const key = `<ul class="legend"><li>${strokeOf(0)} end to end</li><li>${strokeOf(1)} first token</li></ul>`;
  return {
    id: "serving",
    heading: "Load tests",
    body: parts.length === 0 ? "" : [key, ...parts, ...leftOut(serving.length - parts.length).map(note)].join("\n"),
  };
}

function loadTest(test: ServingRecord): string {
  const { latency, samples } = test;
  const cell = (ms: number | null): { readonly text: string; readonly value: number | null } => ({
    text: formatMs(ms),
    value: ms,
  });
  const rows = LATENCIES.map(([name, label]): TableRow => {
    const { samples: count, mean, p50, p90, p95, p99 } = latency[name];
    return { cells: [label, ...[mean, p50, p90, p95, p99].map(cell), String(count)] };
  });
  const titles = ["latency", "mean", "50 %", "90 %", "95 %", "99 %", "samples"];
  const name = shorten(`${test.model} at ${test.url}`, 160);
  // From when a request was due: a server that is behind makes later requests wait.
  const answered = samples.filter(({ failure }) => failure === undefined);
  const chart = distributionChart(name, [
    { label: "end to end", series: 0, samplesMs: answered.map(({ scheduled, ended }) => ended - scheduled) },
    {
      label: "first token",
      series: 1,
      samplesMs: answered.flatMap(({ scheduled, parts }) => (parts[0] === undefined ? [] : [parts[0] - scheduled])),
    },
  ]);
  return [
    `<h3>${escapeHtml(name)}</h3>`,
    ...loadLines(test).map((line) => `<p>${escapeHtml(line)}</p>`),
    // All at once says nothing of latencies.
    latency.withheld === undefined
      ? table(titles, rows, { label: `Latencies of ${name}`, numeric: [1, 2, 3, 4, 5, 6] })
      : note(`no latencies: ${latency.withheld}`),
    latency.withheld === undefined && chart !== "" ? `<figure>${chart}</figure>` : "",
    ...(test.note === undefined ? [] : [note(test.note)]),
  ].join("\n");
}
