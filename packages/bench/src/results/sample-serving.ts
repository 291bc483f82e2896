/** A made-up load test of a server: 18 of 20 requests within a limit, one that failed. */

import { sampleResults } from "./sample-results.ts";
import type { Results, ServingRecord } from "./schema.ts";

export function sampleServing(): Results {
  const of = (middle: number): ServingRecord["latency"]["ttft"] => ({
    samples: 20,
    mean: middle,
    p50: middle,
    p90: null,
    p95: null,
    p99: null,
  });
  const serving: ServingRecord = {
    engine: "openai-url",
    url: "http://localhost:8080/v1",
    model: "example <model>",
    arrivals: { kind: "poisson", concurrency: null, rate: 2 },
    seed: 1,
    promptWords: 128,
    maxTokens: 64,
    warmUp: 2,
    requests: 21,
    completed: 20,
    failed: 1,
    wallMs: 10_500,
    tokensCounted: "parts",
    latency: { ttft: of(29.5), tpot: of(6.67), interToken: of(6.67), endToEnd: of(49.5), late: of(0.5) },
    requestsPerSecond: 1.9,
    outputTokensPerSecond: 7.6,
    goodput: { limits: { ttft: 200 }, kept: 18, share: 0.9, requestsPerSecond: 1.8 },
    failures: [{ kind: "status", count: 1, example: "503" }],
    samples: Array.from({ length: 21 }, (_, i) => {
      const scheduled = i * 500;
      const times = { scheduled, sent: scheduled };
      if (i === 20) return { ...times, ended: scheduled + 3, tokens: 0, parts: [], failure: "status" };
      return { ...times, ended: scheduled + 40 + i, tokens: 4, parts: [scheduled + 20 + i] };
    }),
  };
  return {
    ...sampleResults(),
    engines: [{ name: "openai-url", version: "unknown", library: null, sha256: null, settings: { url: serving.url } }],
    results: [],
    comparisons: [],
    skipped: [],
    serving: [serving],
    run: {
      kind: "llm",
      id: "0011223344556677",
      seed: 1,
      startedAt: "2026-11-23T12:00:00.000Z",
      wallMs: 10_500,
      tool: { name: "quern", version: "0.1.0" },
      argv: ["bench", "url", "http://localhost:8080/v1", "--model", "example <model>", "--rate", "2"],
    },
  };
}
