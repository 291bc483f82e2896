/** What a load test of a language-model server is asked to do, and what each request gave. Times are in milliseconds. */

/** When requests are sent. */
export type Arrivals =
  /** Each of `concurrency` clients sends its next request when the last one has ended. */
  | { readonly kind: "closed"; readonly concurrency: number }
  /** At times of a Poisson process drawn from the seed, however busy the server is; latencies count from these times. */
  | { readonly kind: "poisson"; readonly rate: number }
  /** All at once ("rate inf"): for throughput alone. */
  | { readonly kind: "burst" };

export interface ServingPlan {
  /** Base of the interface, for instance "http://localhost:8080/v1". */
  readonly url: string;
  readonly model: string;
  readonly arrivals: Arrivals;
  /** Requests that count, and those before them that do not. */
  readonly requests: number;
  readonly warmUp: number;
  /** Words of a prompt, drawn from the seed behind the first; no two prompts begin alike, so that a cache of prefixes has none. */
  readonly promptWords: number;
  /** By what the prompts of this run differ from those of others; random unless a test gives it. */
  readonly nonce?: string | undefined;
  readonly maxTokens: number;
  /** Members that the body gets beside those of the interface, for instance `{ "ignore_eos": true }`. */
  readonly extraBody: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly goals: Goals;
  readonly seed: number;
  /** Longest wait for the next text of an answer. */
  readonly timeoutMs: number;
}

/** Limits of the latencies of one request ("service level objectives"). */
export interface Goals {
  readonly ttft?: number;
  readonly tpot?: number;
  readonly e2e?: number;
}

export type FailureKind = "connection" | "status" | "timeout" | "broken" | "invalid" | "empty" | "aborted";

export interface Failure {
  readonly kind: FailureKind;
  readonly message: string;
}

/** One request; times count from the start of the test. */
export interface Exchange {
  readonly index: number;
  /** When it should have been sent; with a closed loop when it was. */
  readonly scheduled: number;
  readonly sent: number;
  /** Arrival of each part of the answer that holds text. */
  readonly parts: readonly number[];
  readonly ended: number;
  /** Tokens of the answer: what the server counts, or else the parts. */
  readonly tokens: number;
  readonly counted: "usage" | "parts";
  readonly failure?: Failure;
}
