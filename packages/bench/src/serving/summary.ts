/**
 * What a load test says: latencies, throughput, goodput, failures; as a record of a result file.
 *
 * A percentile is told where at least ten samples lie beyond it: p50 from 20 on, p90 from 100, p99 from 1000. Where all
 * requests were sent at once none is told, since such latencies measure the queue that the test made. Requests that failed
 * have no latencies; they count against goodput.
 */

import type { ServingRecord } from "../results/schema.ts";
import { quantile } from "../statistics/basics.ts";
import { publicUrl } from "./address.ts";
import { keepsGoals } from "./goals.ts";
import { latenciesOf } from "./latencies.ts";
import type { LoadTest } from "./load-test.ts";
import type { Exchange, ServingPlan } from "./types.ts";

type LatencyRecord = ServingRecord["latency"]["ttft"];

const BEYOND = 10;

/** Distribution of latencies; `told`: whether percentiles may be. */
export function latencyRecord(values: readonly number[], told = true): LatencyRecord {
  const ascending = values.toSorted((a, b) => a - b);
  const at = (share: number): number | null =>
    // Shares are no binary fractions: 1 - 0.9 is a little less than a tenth.
    told && values.length * (1 - share) >= BEYOND - 1e-6 ? round(quantile(ascending, share)) : null;
  const mean = values.length === 0 || !told ? null : round(values.reduce((a, b) => a + b, 0) / values.length);
  return { samples: values.length, mean, p50: at(0.5), p90: at(0.9), p95: at(0.95), p99: at(0.99) };
}

/** To a microsecond, which is finer than what is measured here. */
function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

const WITHHELD = "all requests were sent at once: their latencies are those of the queue that the test made";

/** Lateness of this process above which it was a bottleneck itself. */
const LATE_MS = 20;

export function summarise(plan: ServingPlan, test: LoadTest): ServingRecord {
  const { exchanges, wallMs } = test;
  const completed = exchanges.filter(({ failure }) => failure === undefined);
  const latencies = completed.map(latenciesOf);
  const told = plan.arrivals.kind !== "burst";
  const perSecond = (count: number): number => (wallMs === 0 ? 0 : round((1000 * count) / wallMs));
  const late = latencyRecord(exchanges.map(({ scheduled, sent }) => sent - scheduled));
  const worst = exchanges.reduce((most, { scheduled, sent }) => Math.max(most, sent - scheduled), 0);
  return {
    engine: "openai-url",
    url: publicUrl(plan.url),
    model: plan.model,
    arrivals: {
      kind: plan.arrivals.kind,
      concurrency: plan.arrivals.kind === "closed" ? plan.arrivals.concurrency : null,
      rate: plan.arrivals.kind === "poisson" ? plan.arrivals.rate : null,
    },
    seed: plan.seed,
    nonce: test.nonce,
    promptWords: plan.promptWords,
    maxTokens: plan.maxTokens,
    warmUp: plan.warmUp,
    requests: plan.requests,
    completed: completed.length,
    failed: exchanges.length - completed.length,
    wallMs: round(wallMs),
    tokensCounted: counted(completed),
    latency: {
      ttft: latencyRecord(
        latencies.map(({ ttft }) => ttft),
        told,
      ),
      tpot: latencyRecord(
        latencies.flatMap(({ tpot }) => tpot ?? []),
        told,
      ),
      interToken: latencyRecord(
        latencies.flatMap(({ gaps }) => gaps),
        told,
      ),
      endToEnd: latencyRecord(
        latencies.map(({ e2e }) => e2e),
        told,
      ),
      late,
      ...(told ? {} : { withheld: WITHHELD }),
    },
    requestsPerSecond: perSecond(completed.length),
    outputTokensPerSecond: perSecond(completed.reduce((sum, { tokens }) => sum + tokens, 0)),
    goodput: goodput(plan, exchanges, perSecond),
    failures: failures(exchanges),
    samples: exchanges.map(sampleOf),
    ...(worst > LATE_MS && plan.arrivals.kind === "poisson"
      ? {
          note: `requests were sent up to ${Math.round(worst)} ms late: the machine of the test may be too slow for this rate`,
        }
      : {}),
  };
}

function goodput(
  { goals }: ServingPlan,
  exchanges: readonly Exchange[],
  perSecond: (count: number) => number,
): ServingRecord["goodput"] {
  if (Object.keys(goals).length === 0) return {};
  const kept = exchanges.filter((exchange) => keepsGoals(exchange, goals)).length;
  const share = exchanges.length === 0 ? 0 : kept / exchanges.length;
  return { limits: { ...goals }, kept, share, requestsPerSecond: perSecond(kept) };
}

function counted(completed: readonly Exchange[]): ServingRecord["tokensCounted"] {
  const ways = new Set(completed.map((one) => one.counted));
  return ways.size === 2 ? "both" : ([...ways][0] ?? "parts");
}

function failures(exchanges: readonly Exchange[]): ServingRecord["failures"] {
  const found = new Map<string, { kind: string; count: number; example: string }>();
  for (const { failure } of exchanges) {
    if (failure === undefined) continue;
    const entry = found.get(failure.kind) ?? { kind: failure.kind, count: 0, example: failure.message };
    entry.count++;
    found.set(failure.kind, entry);
  }
  return [...found.values()].toSorted((a, b) => b.count - a.count);
}

function sampleOf({ scheduled, sent, ended, tokens, parts, failure }: Exchange): ServingRecord["samples"][number] {
  return {
    scheduled: round(scheduled),
    sent: round(sent),
    ended: round(ended),
    tokens,
    parts: parts.map(round),
    ...(failure === undefined ? {} : { failure: failure.kind }),
  };
}
