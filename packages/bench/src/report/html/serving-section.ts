/** The section of the page for load tests of servers. */

import type { Results, ServingRecord } from "../../results/schema.ts";
import { escapeHtml, shorten } from "../escape.ts";
import { formatMs } from "../format.ts";
import { distributionChart, strokeOf } from "./distribution.ts";
import { note, table, type Section, type TableRow } from "./markup.ts";

const LATENCIES = [
  ["ttft", "time to first token"],
  ["tpot", "time per token after it"],
  ["interToken", "between parts"],
  ["endToEnd", "end to end"],
  ["late", "sent late"],
] as const;

const MOST_TESTS = 50;

export function servingSection({ serving = [] }: Results): Section {
  const parts = serving.slice(0, MOST_TESTS).map(loadTest);
  const key = `<ul class="legend"><li>${strokeOf(0)} end to end</li><li>${strokeOf(1)} first token</li></ul>`;
  return { id: "serving", heading: "Load tests", body: parts.length === 0 ? "" : [key, ...parts].join("\n") };
}

function arrivalsText({ kind, concurrency, rate }: ServingRecord["arrivals"]): string {
  if (kind === "closed") return `${concurrency ?? "?"} clients in a closed loop`;
  return kind === "poisson" ? `${rate ?? "?"} requests/s, Poisson arrivals` : "all requests at once";
}

function loadTest(test: ServingRecord): string {
  const { latency, goodput, samples, completed, failed, failures } = test;
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
  const limits = Object.entries(goodput.limits ?? {}).map(([limit, ms]) => `${limit} ≤ ${ms} ms`);
  const lines = [
    `${arrivalsText(test.arrivals)}; ${completed} of ${completed + failed} completed; ${test.requestsPerSecond.toFixed(2)} requests/s, ${test.outputTokensPerSecond.toFixed(1)} tokens/s`,
    ...(limits.length === 0
      ? []
      : [
          `goodput ${(goodput.requestsPerSecond ?? 0).toFixed(2)} requests/s: ${(100 * (goodput.share ?? 0)).toFixed(1)} % within ${limits.join(", ")}`,
        ]),
    ...failures.map(({ kind, count, example }) => `✗ ${count} failed, ${kind}: ${shorten(example, 300)}`),
  ];
  return [
    `<h3>${escapeHtml(name)}</h3>`,
    ...lines.map((line) => `<p>${escapeHtml(line)}</p>`),
    // All at once says nothing of latencies.
    latency.withheld === undefined
      ? table(titles, rows, { label: `Latencies of ${name}`, numeric: [1, 2, 3, 4, 5, 6] })
      : note(`no latencies: ${latency.withheld}`),
    latency.withheld === undefined && chart !== "" ? `<figure>${chart}</figure>` : "",
    ...(test.note === undefined ? [] : [note(test.note)]),
  ].join("\n");
}
