/** A load test as text for a terminal. */

import { formatMs } from "../report/format.ts";
import { formatTable } from "../report/table.ts";
import type { ServingRecord } from "../results/schema.ts";

const ROWS = [
  ["ttft", "time to first token"],
  ["tpot", "time per token after it"],
  ["interToken", "between parts"],
  ["endToEnd", "end to end"],
  ["late", "sent late"],
] as const;

function arrivalsText({ kind, concurrency, rate }: ServingRecord["arrivals"]): string {
  if (kind === "closed") return `${concurrency} client${concurrency === 1 ? "" : "s"} in a closed loop`;
  return kind === "poisson" ? `${rate} requests/s, Poisson arrivals` : "all requests at once";
}

export function renderServing(record: ServingRecord): string {
  const { latency, goodput, failures, note } = record;
  const cell = (ms: number | null): string => (ms === null ? "–" : formatMs(ms));
  const lines = [
    `${record.model} at ${record.url}`,
    `${arrivalsText(record.arrivals)}; ${record.requests} requests of ${record.promptWords} words and at most ${record.maxTokens} tokens; seed ${record.seed}`,
    "",
    `completed    ${record.completed} of ${record.completed + record.failed}`,
    `throughput   ${record.requestsPerSecond.toFixed(2)} requests/s, ${record.outputTokensPerSecond.toFixed(1)} tokens/s${record.tokensCounted === "usage" ? "" : " (counted by parts of the stream: the server does not say)"}`,
  ];
  if (goodput.limits !== undefined) {
    const limits = Object.entries(goodput.limits).map(([name, ms]) => `${name} ≤ ${ms} ms`);
    lines.push(
      `goodput      ${(goodput.requestsPerSecond ?? 0).toFixed(2)} requests/s: ${goodput.kept} requests, ${(100 * (goodput.share ?? 0)).toFixed(1)} %, kept ${limits.join(", ")}`,
    );
  }
  if (latency.withheld !== undefined) lines.push("", `no latencies: ${latency.withheld}`);
  else {
    const table = formatTable(
      [
        { title: "latency", align: "left" },
        ...["mean", "p50", "p90", "p95", "p99", "samples"].map((title) => ({ title, align: "right" }) as const),
      ],
      ROWS.map(([name, label]) => {
        const { samples, mean, p50, p90, p95, p99 } = latency[name];
        return [label, ...[mean, p50, p90, p95, p99].map(cell), String(samples)];
      }),
    );
    lines.push("", ...table, "from when each request was due; –: fewer than ten samples lie beyond");
  }
  if (note !== undefined) lines.push("", note);
  for (const { kind, count, example } of failures) lines.push("", `${count} failed, ${kind}: ${example}`);
  return `${lines.join("\n")}\n`;
}
