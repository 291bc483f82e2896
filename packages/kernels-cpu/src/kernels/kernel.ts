/**
 * The record of a CPU kernel: for which ops, when it applies, what it costs, and how it is made.
 *
 * Kernels compete for each site of the fused graph: of those whose `when` holds, the one with the least `cost` is
 * lowered. The decision and the reasons against the others can be printed (`QUERN_DEBUG=3`, `quern inspect`).
 */

import type { KernelSite, Launch, MatmulPrecision } from "@quern/core";
import type { CpuTarget } from "../host/cpu-target.ts";

/** What a kernel may depend on besides the site. */
export interface KernelEnvironment {
  readonly target: CpuTarget;
  readonly threads: number;
  readonly precision: MatmulPrecision;
}

export interface CpuKernel {
  /** Also the beginning of the names of its kernel instances, which carry shapes and tile sizes. */
  readonly name: string;
  /** Ops of anchors that it computes. */
  readonly ops: readonly string[];
  /** False for kernels that compute nothing behind their anchor. */
  readonly epilogue?: false;
  /** Computes on the matrix unit, for precisions below "highest" only. */
  readonly unit?: "matrix";
  /** `true`, or the reason why it does not apply. */
  when(site: KernelSite, environment: KernelEnvironment): true | string;
  /** Estimated nanoseconds on all threads; symbolic dimensions count as 64. */
  cost(site: KernelSite, environment: KernelEnvironment): number;
  /** The launches, in order. Later launches may read what earlier ones wrote (a barrier stands between them). */
  lower(site: KernelSite, environment: KernelEnvironment): readonly Launch[];
}
