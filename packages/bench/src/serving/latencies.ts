/**
 * Latencies of one answered request, from when it was scheduled: a client that is late, or a server that makes it wait, cannot
 * hide the wait ("coordinated omission").
 */

import type { Exchange } from "./types.ts";

export interface Latencies {
  /** Time to the first token. */
  readonly ttft: number;
  /** Time per token behind the first; undefined for one token, and for an answer that came in one part. */
  readonly tpot: number | undefined;
  /** End to end: to the last token. */
  readonly e2e: number;
  /** Times between parts of the answer: between tokens, where the server sends each for itself. */
  readonly gaps: readonly number[];
  /** How much later than scheduled the request was sent. */
  readonly late: number;
}

export function latenciesOf({ scheduled, sent, parts, tokens }: Exchange): Latencies {
  const first = parts[0] ?? NaN;
  const last = parts.at(-1) ?? NaN;
  return {
    ttft: first - scheduled,
    // A server that sends the whole answer at once shows nothing of the time that a token took.
    tpot: tokens > 1 && parts.length > 1 ? (last - first) / (tokens - 1) : undefined,
    e2e: last - scheduled,
    gaps: parts.slice(1).map((at, i) => at - (parts[i] as number)),
    late: sent - scheduled,
  };
}
