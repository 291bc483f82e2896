/**
 * Messages between the orchestrator and the process of one engine. A request is answered by the message of the same
 * kind, or by `failed`. They travel over Node's IPC channel in its structured ("advanced") form.
 */

import type { ModelValue } from "../cases/model.ts";
import type { Workload } from "../cases/workload.ts";
import type { CompiledFacts, EngineOptions } from "../engines/engine.ts";
import type { LlmRequest, LlmResponse } from "../language-models/protocol.ts";
import type { EngineRecord, RooflinePoint } from "../results/schema.ts";
import type { Verification } from "./verify.ts";
import type { SliceTimes } from "./slices.ts";

/** Everything a process needs to become ready for slices. */
export interface Job {
  readonly engine: string;
  readonly options: EngineOptions;
  readonly workload: Workload;
  readonly seed: number;
  readonly sliceMs: number;
  /** Which of the engine's processes it is, from 0 on. */
  readonly process: number;
}

export type Request =
  | LlmRequest
  | { readonly kind: "prepare"; readonly job: Job }
  | { readonly kind: "slice"; readonly keep: boolean }
  | { readonly kind: "finish" }
  /** Identity and settings of the engine; fails where it is missing. */
  | { readonly kind: "describe"; readonly engine: string; readonly options: EngineOptions }
  /** Inputs of a model file. */
  | { readonly kind: "inspect"; readonly engine: string; readonly options: EngineOptions; readonly modelPath: string }
  /** Time to compile a model, with the kernels that another process has kept. */
  | { readonly kind: "compile"; readonly job: Job }
  /** What the machine can do at these thread counts. */
  | { readonly kind: "peaks"; readonly threads: readonly number[] }
  /** Outputs of every input set, written as files that `Check` of kind "files" reads. */
  | { readonly kind: "expect"; readonly job: Job };

export interface Prepared {
  readonly loadMs: number;
  readonly compileMs: number;
  readonly firstRunMs: number;
  readonly peakBytes: number | null;
  /** Fastest warm call. */
  readonly callMs: number;
  /** Threads that computed during warm calls; null where the system does not say, or nothing was warmed up. */
  readonly busyThreads: number | null;
  /** Null where there is nothing to compare with. */
  readonly verification: Verification | null;
  readonly facts: CompiledFacts;
}

export interface Finished {
  /** Checks of outputs kept from timed calls. */
  readonly checks: readonly Verification[];
  /** Time per launch, where the engine measures it. */
  readonly profile?: readonly { readonly name: string; readonly ms: number }[];
  /** What went wrong after the last check. */
  readonly failure?: string;
}

export type Response =
  | LlmResponse
  | { readonly kind: "prepare"; readonly prepared: Prepared }
  | { readonly kind: "slice"; readonly times: SliceTimes }
  | { readonly kind: "finish"; readonly finished: Finished }
  | { readonly kind: "inspect"; readonly inputs: readonly ModelValue[] }
  | { readonly kind: "compile"; readonly ms: number }
  | { readonly kind: "expect" }
  | { readonly kind: "describe"; readonly record: EngineRecord }
  | { readonly kind: "peaks"; readonly points: readonly RooflinePoint[] }
  | { readonly kind: "failed"; readonly message: string; readonly unsupported: boolean; readonly stack: string };
