/**
 * Messages between the orchestrator and the process of one language-model engine, beside those of `harness/protocol.ts`.
 * Rows of logits travel as they are: the orchestrator compares those of one engine with those of another.
 */

import type { MatmulPrecision } from "@quern/core";
import type { LlmOptions } from "../engines/llm-engine.ts";
import type { EngineRecord } from "../results/schema.ts";
import type { LlmTest } from "./tests.ts";

export interface LlmJob {
  readonly engine: string;
  readonly options: LlmOptions;
  readonly modelPath: string;
  readonly vocabulary: number;
  readonly seed: number;
}

/** One timed slice of a test: a prompt, or `count` tokens of generation from `from` tokens behind the depth. */
export interface SliceRequest {
  readonly kind: "llm-slice";
  readonly text: number;
  readonly from: number;
  readonly count: number;
  /** Whether to give the logits behind its last token. */
  readonly keep: boolean;
}

export type LlmRequest =
  /** Identity and settings of the engine; fails where it is missing. */
  | { readonly kind: "llm-describe"; readonly engine: string; readonly options: LlmOptions }
  /** Opens the engine and the model, and evaluates the first prompt. */
  | { readonly kind: "llm-open"; readonly job: LlmJob }
  /** Gets ready for slices of a test: fills the depth, warms up. */
  | { readonly kind: "llm-test"; readonly test: LlmTest }
  | SliceRequest
  | { readonly kind: "llm-finish" };

export interface Opened {
  /** The engine's code. */
  readonly loadMs: number;
  /** The model, until it can be evaluated. */
  readonly openMs: number;
  /** The first prompt, until its next token is known. */
  readonly firstTokenMs: number;
  /** By how much the resident memory of the process has grown at most since before the model; null where the system does not say. */
  readonly peakBytes: number | null;
  /** Logits behind the first prompt. */
  readonly row: Float32Array;
  readonly about: string;
  /** At which precisions products are computed, where the engine says. */
  readonly precisions?: readonly MatmulPrecision[];
}

export interface Ready {
  /** A prompt, or one step of generation. */
  readonly callMs: number;
  /** Logits behind the last warm-up token of each sequence. */
  readonly rows: readonly Float32Array[];
  /** Threads that computed while it warmed up; null where the system does not say. */
  readonly busyThreads: number | null;
}

export interface Slice {
  /** Of the whole slice. */
  readonly ms: number;
  readonly row?: Float32Array;
}

export type LlmResponse =
  | { readonly kind: "llm-describe"; readonly record: EngineRecord }
  | { readonly kind: "llm-open"; readonly opened: Opened }
  | { readonly kind: "llm-test"; readonly ready: Ready }
  | { readonly kind: "llm-slice"; readonly slice: Slice }
  | { readonly kind: "llm-finish"; readonly peakBytes: number | null };
