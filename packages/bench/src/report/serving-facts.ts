/** A load test of a server in words: what every report of one says. */

import type { ServingRecord } from "../results/schema.ts";
import { shorten } from "./escape.ts";

type Latencies = ServingRecord["latency"];

/** Latencies by their name in a record, in the order of reports. */
export const LATENCIES: readonly (readonly [name: Exclude<keyof Latencies, "withheld">, label: string])[] = [
  ["ttft", "time to first token"],
  ["tpot", "time per token after it"],
  ["interToken", "between parts"],
  ["endToEnd", "end to end"],
  ["late", "sent late"],
];

export const LATENCY_NOTE = "from when each request was due; –: fewer than ten samples lie beyond";

export function arrivalsText({ kind, concurrency, rate }: ServingRecord["arrivals"]): string {
  if (kind === "closed") return `${concurrency ?? "?"} client${concurrency === 1 ? "" : "s"} in a closed loop`;
  return kind === "poisson" ? `${rate ?? "?"} requests/s, Poisson arrivals` : "all requests at once";
}

/** How the throughput was counted, where that is not by the server. */
export function countedText({ tokensCounted }: ServingRecord): string {
  return tokensCounted === "usage" ? "" : " (counted by parts of the stream: the server does not say)";
}

export function limitsText({ goodput }: ServingRecord): string {
  return Object.entries(goodput.limits ?? {})
    .map(([limit, ms]) => `${limit} ≤ ${ms} ms`)
    .join(", ");
}

/** What was asked, what came of it, and what failed: a line each. */
export function loadLines(record: ServingRecord): string[] {
  const { completed, failed, goodput, failures } = record;
  const limits = limitsText(record);
  return [
    `${arrivalsText(record.arrivals)}; ${completed} of ${completed + failed} completed; ${record.requestsPerSecond.toFixed(2)} requests/s, ${record.outputTokensPerSecond.toFixed(1)} tokens/s${countedText(record)}`,
    ...(limits === ""
      ? []
      : [
          `goodput ${(goodput.requestsPerSecond ?? 0).toFixed(2)} requests/s: ${(100 * (goodput.share ?? 0)).toFixed(1)} % within ${limits}`,
        ]),
    ...failures.map(({ kind, count, example }) => `✗ ${count} failed, ${kind}: ${shorten(example, 300)}`),
  ];
}
