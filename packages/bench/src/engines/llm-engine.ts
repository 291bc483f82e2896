/**
 * What the language-model benchmark needs of an engine: one record each.
 *
 * An engine evaluates given tokens at given positions and keeps what it knows of each sequence; sampling is no part of it.
 * As with other engines the cold phases are apart: `open` loads the engine's code, `load` makes a model file ready, the
 * first `evaluate` gives the first token.
 */

import type { MatmulPrecision } from "@quern/core";
import type { EngineRecord } from "../results/schema.ts";

export interface LlmOptions {
  readonly threads: number;
  /** Longest sequence, in tokens. */
  readonly contextLength: number;
  /** Sequences that are in memory at the same time. */
  readonly sequences: number;
  /** How keys and values are kept. */
  readonly cache: "f32" | "f16" | "q8_0";
  /** Precision of products, for engines that can be asked for one. */
  readonly precision: MatmulPrecision;
  readonly features?: string | undefined;
  /** Folder where compiled kernels are kept for later processes; absent: nowhere. */
  readonly kernels?: string | undefined;
}

export interface LlmEngine {
  readonly name: string;
  readonly about: string;
  /** Engines of one family run the same code. */
  readonly family: string;
  /** Of a record of an engine's default settings: the record of its best ones. */
  readonly variantOf?: string;
  /** It is made with `@quern/core`, whose loading is a part of loading the engine. */
  readonly madeWithCore?: boolean;
  /** Whether the engine keeps compiled kernels in the folder `kernels` of the options. */
  readonly keepsKernels: boolean;
  /**
   * Whether the engine chooses the precision of products by the types of the weights, whatever the options say: operands of 32
   * bits where the weights are such floats, narrower ones elsewhere.
   */
  readonly choosesPrecision: boolean;
  /** Whether others are compared with it. */
  readonly baseline: boolean;
  /** Identity and settings; throws a `UserError` saying how to get the engine where it is missing. */
  describe(options: LlmOptions): Promise<EngineRecord>;
  open(options: LlmOptions): Promise<OpenLlmEngine>;
}

export interface OpenLlmEngine {
  /** Throws a `UserError` where the engine cannot run the model. */
  load(path: string): Promise<LlmModel>;
  close(): Promise<void>;
}

/** The next tokens of one sequence. */
export interface LlmPart {
  readonly sequence: number;
  /** Position of the first of `tokens`: the number of tokens that the sequence has. */
  readonly position: number;
  readonly tokens: Int32Array;
}

/** Most tokens of one `evaluate`: what engines compute at once of a long prompt. */
export const STEP_TOKENS = 512;

export interface LlmModel {
  /** One step, of at most `STEP_TOKENS` tokens. Afterwards the logits behind the last token of each part are known. */
  evaluate(parts: readonly LlmPart[]): Promise<void>;
  /** Logits behind the last token of part `part` of the last step: a copy. */
  logits(part: number): Promise<Float32Array>;
  /** The token with the highest of these logits, found as the engine finds it. */
  greedy(part: number): Promise<number>;
  /** Forgets all of a sequence but its first `length` tokens. */
  truncate(sequence: number, length: number): void;
  /** What it runs on, in the engine's words. */
  about(): string;
  /** At which precisions products are computed, where the engine says: what was asked for, or a higher one. */
  readonly precisions?: readonly MatmulPrecision[];
  close(): Promise<void>;
}

/** Position of the largest value, the first of equal ones. */
export function largest(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if ((values[i] as number) > (values[best] as number)) best = i;
  return best;
}
