/**
 * What a load test of a language-model server puts into a result file. It has no rows among `results`: who asks a server
 * over the network knows neither its threads nor its precision.
 */

const latencySchema = {
  type: "object",
  required: ["samples", "mean", "p50", "p90", "p95", "p99"],
  description: "Milliseconds. A percentile is null where fewer than ten samples lie beyond it, or where none is told.",
  properties: {
    samples: { type: "integer", minimum: 0 },
    mean: { type: ["number", "null"] },
    p50: { type: ["number", "null"] },
    p90: { type: ["number", "null"] },
    p95: { type: ["number", "null"] },
    p99: { type: ["number", "null"] },
  },
} as const;

export const servingSchema = {
  type: "object",
  required: [
    "engine",
    "url",
    "model",
    "arrivals",
    "seed",
    "promptWords",
    "maxTokens",
    "warmUp",
    "requests",
    "completed",
    "failed",
    "wallMs",
    "tokensCounted",
    "latency",
    "requestsPerSecond",
    "outputTokensPerSecond",
    "goodput",
    "failures",
    "samples",
  ],
  properties: {
    engine: { type: "string" },
    url: { type: "string", description: "Without credentials and query" },
    model: { type: "string" },
    arrivals: {
      type: "object",
      required: ["kind", "concurrency", "rate"],
      properties: {
        kind: {
          enum: ["closed", "poisson", "burst"],
          description: "closed: clients that wait for their answers; poisson: open loop; burst: all at once",
        },
        concurrency: { type: ["integer", "null"] },
        rate: { type: ["number", "null"], description: "Requests per second" },
      },
    },
    seed: { type: "integer" },
    nonce: { type: "string", description: "Part of the first word of every prompt: no two runs have the same" },
    promptWords: { type: "integer" },
    maxTokens: { type: "integer" },
    warmUp: { type: "integer", description: "Requests before those that count" },
    requests: { type: "integer" },
    completed: { type: "integer" },
    failed: { type: "integer" },
    wallMs: { type: "number" },
    tokensCounted: {
      enum: ["usage", "parts", "both"],
      description: "usage: by the server; parts: parts of the stream that hold text, where the server does not say",
    },
    latency: {
      type: "object",
      required: ["ttft", "tpot", "interToken", "endToEnd", "late"],
      properties: {
        ttft: latencySchema as typeof latencySchema,
        tpot: latencySchema as typeof latencySchema,
        interToken: latencySchema as typeof latencySchema,
        endToEnd: latencySchema as typeof latencySchema,
        late: latencySchema as typeof latencySchema,
        withheld: { type: "string", description: "Why no percentile is told" },
      },
    },
    requestsPerSecond: { type: "number", description: "Completed requests" },
    outputTokensPerSecond: { type: "number", description: "Of completed requests" },
    goodput: {
      type: "object",
      description: "Completed requests within all limits; an empty object: no limits were given",
      properties: {
        limits: { type: "object", additionalProperties: { type: "number" }, description: "Milliseconds" },
        kept: { type: "integer" },
        share: { type: "number", description: "Of all requests, those that failed included" },
        requestsPerSecond: { type: "number" },
      },
      required: [],
    },
    failures: {
      type: "array",
      items: {
        type: "object",
        required: ["kind", "count", "example"],
        properties: { kind: { type: "string" }, count: { type: "integer" }, example: { type: "string" } },
      },
    },
    samples: {
      type: "array",
      description: "One per request, in milliseconds from the start of the test",
      items: {
        type: "object",
        required: ["scheduled", "sent", "ended", "tokens", "parts"],
        properties: {
          scheduled: { type: "number" },
          sent: { type: "number" },
          ended: { type: "number" },
          tokens: { type: "integer" },
          parts: { type: "array", items: { type: "number" }, description: "When each part with text arrived" },
          failure: { type: "string" },
        },
      },
    },
    note: { type: "string" },
  },
} as const;
