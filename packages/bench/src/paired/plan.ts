/** What is asked of the paired runner, and what it gives. */

import type { BenchParams } from "../define/bench.ts";
import type { ArmName, LoadedFile } from "./arms/arm.ts";
import type { LoopMode } from "./loops.ts";
import type { Order } from "./order.ts";

/** An arm as far as measuring needs it. */
export interface MeasuredArm {
  readonly name: ArmName;
  /** Absolute, links resolved. */
  readonly directory: string;
  /** The folder of the bench files: processes start here. */
  readonly project: string;
}

/** One bench that both arms have. */
export interface BenchRef {
  readonly id: string;
  /** Path of its file below the project folder of an arm; absolute: the same file in both arms. */
  readonly file: string;
  /** That of base, where it is another one. */
  readonly baseFile?: string;
  /** Default: the id up to its first slash. */
  readonly family?: string;
  readonly native?: boolean;
  readonly params?: BenchParams;
  readonly work?: { readonly flops?: number; readonly bytes?: number };
  readonly delta?: number;
  /** A frozen control kernel. */
  readonly control?: boolean;
  /** Measured in every so many pairs only. Default 1. */
  readonly every?: number;
}

/** What the machine can do; a bench that claims more is wrong. */
export interface Peaks {
  readonly gflops?: number | undefined;
  readonly gbps?: number | undefined;
}

/** Pairs of one bench. */
export interface PairCounts {
  /** That gave a sample. */
  measured: number;
  /** In which it was too short to be evaluated. */
  bound: number;
}

/** What later stages of a run must know of the earlier ones, by bench. Measuring adds to it. */
export interface MeasureMemory {
  /** How a bench was timed in its first pair: that must not change from pair to pair. */
  readonly modes: Map<string, LoopMode>;
  readonly counts: Map<string, PairCounts>;
}

export function emptyMemory(): MeasureMemory {
  return { modes: new Map(), counts: new Map() };
}

export interface MeasurePlan {
  readonly benches: readonly BenchRef[];
  readonly arms: readonly [base: MeasuredArm, head: MeasuredArm];
  /** Process pairs of every bench. */
  readonly pairs: number;
  /** Index of the first: later stages go on counting, so that they draw other orders and inputs. */
  readonly firstIndex: number;
  readonly rounds: number;
  readonly sliceMs: number;
  readonly warmUpMs: number;
  readonly seed: number;
  /** Time (ms since 1970) after which no pair is begun. */
  readonly deadline?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** For one request to a process, ms. Default 60 000. */
  readonly timeoutMs?: number | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Arguments for the Node of both arms. */
  readonly nodeOptions?: readonly string[] | undefined;
  readonly peaks?: Peaks | undefined;
  /** Of the stages before. Default: there are none. */
  readonly memory?: MeasureMemory | undefined;
  /** Processors on which pairs are timed, one of them for both processes of a pair. Default: where the system likes. */
  readonly processors?: readonly number[] | undefined;
}

/**
 * Samples of one pair of processes, one for each round: the interquartile mean of the calls of a slice, ns per call. As the
 * result schema has them.
 */
export interface PairSample {
  readonly index: number;
  /** Which process was started first. */
  readonly order: Order;
  readonly base: readonly number[];
  readonly head: readonly number[];
}

/** Why a bench could not be measured, or not to the end. */
export interface BenchError {
  readonly kind: "crash" | "timeout" | "output" | "missing" | "impossible" | "failed";
  readonly arm: ArmName;
  readonly reason: string;
}

export type BenchFlag = "timer-bound" | "empty-body" | "no-steady-state" | "unchecked";

export interface BenchSamples {
  readonly id: string;
  readonly ref: BenchRef;
  readonly pairs: readonly PairSample[];
  readonly flags: readonly BenchFlag[];
  /** Timed calls whose outputs were compared; null where the bench has no check and nothing was wrong. */
  readonly check: { readonly checked: number; readonly maxError: number | null; readonly passed: boolean } | null;
  readonly error?: BenchError;
}

export interface PairSamples {
  readonly benches: readonly BenchSamples[];
  /** Interrupted by the signal; pairs that were complete are here. */
  readonly aborted: boolean;
  /** The deadline came before all pairs were measured. */
  readonly outOfTime: boolean;
  readonly wallMs: number;
  /** Files that processes of each arm loaded. */
  readonly loaded: Readonly<Record<ArmName, readonly LoadedFile[]>>;
  /** Files that changed while the run went on. */
  readonly changedFiles: readonly string[];
}

export interface MeasureProgress {
  readonly text: string;
  /** Done, 0 to 1. */
  readonly share: number;
  /** Predicted, ms; undefined until something has been measured. */
  readonly leftMs: number | undefined;
}
