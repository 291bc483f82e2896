/** A load test as text for a terminal. */

import type { ServingRecord } from "../results/schema.ts";
import { plainText } from "./escape.ts";
import { formatMs } from "./format.ts";
import { LATENCIES, LATENCY_NOTE, arrivalsText, countedText, limitsText } from "./serving-facts.ts";
import { formatTable } from "./table.ts";

/** Ends with a line break. */
export function renderServing(record: ServingRecord): string {
  return `${servingLines(record).map(plainText).join("\n")}\n`;
}

export function servingLines(record: ServingRecord): string[] {
  const { latency, goodput, failures, note } = record;
  const limits = limitsText(record);
  return [
    `${record.model} at ${record.url}`,
    `${arrivalsText(record.arrivals)}; ${record.requests} requests of ${record.promptWords} words and at most ${record.maxTokens} tokens; seed ${record.seed}`,
    "",
    `completed    ${record.completed} of ${record.completed + record.failed}`,
    `throughput   ${record.requestsPerSecond.toFixed(2)} requests/s, ${record.outputTokensPerSecond.toFixed(1)} tokens/s${countedText(record)}`,
    ...(limits === ""
      ? []
      : [
          `goodput      ${(goodput.requestsPerSecond ?? 0).toFixed(2)} requests/s: ${goodput.kept} requests, ${(100 * (goodput.share ?? 0)).toFixed(1)} %, kept ${limits}`,
        ]),
    "",
    ...(latency.withheld === undefined ? latencyTable(latency) : [`no latencies: ${latency.withheld}`]),
    ...(note === undefined ? [] : ["", note]),
    ...failures.flatMap(({ kind, count, example }) => ["", `${count} failed, ${kind}: ${example}`]),
  ];
}

function latencyTable(latency: ServingRecord["latency"]): string[] {
  const columns = [
    { title: "latency", align: "left" } as const,
    ...["mean", "p50", "p90", "p95", "p99", "samples"].map((title) => ({ title, align: "right" }) as const),
  ];
  const rows = LATENCIES.map(([name, label]) => {
    const { samples, mean, p50, p90, p95, p99 } = latency[name];
    return [label, ...[mean, p50, p90, p95, p99].map(formatMs), String(samples)];
  });
  return [...formatTable(columns, rows), LATENCY_NOTE];
}
