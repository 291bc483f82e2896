/**
 * The contract between a graph and whatever runs it.
 *
 * A `Device` compiles graphs; an `Executable` runs one compiled graph. Every device gives the results of the
 * reference interpreter within the tolerance of the ops. Devices, executables and tensors are disposable.
 */

import type { DType } from "../dtype.ts";
import type { Shape } from "../dim.ts";
import type { Graph } from "../graph/graph.ts";
import type { Tensor } from "./tensor.ts";

/**
 * Precision of f32 matrix products and convolutions, in PyTorch's words. "highest": IEEE f32 multiply-add. "high":
 * f32 split into two bf16 terms, three products. "medium": bf16 products, f32 accumulation.
 */
export type MatmulPrecision = "highest" | "high" | "medium";

export interface CompileOptions {
  readonly matmulPrecision?: MatmulPrecision;
  /** Named symbol values to specialise for; other symbols stay dynamic. */
  readonly bindings?: Readonly<Record<string, number>>;
}

export interface TensorSpec {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
}

/** What compilation did, for `quern inspect`, reports and tests. Times in milliseconds, sizes in bytes. */
export interface CompileReport {
  readonly compileMs: number;
  readonly passes: readonly { readonly name: string; readonly ms: number; readonly changed: boolean }[];
  /** One row per launch, in program order. `decision` says which kernel was chosen and why. */
  readonly launches: readonly LaunchReport[];
  /** Planned peak of intermediate buffers for the last shape binding. */
  readonly plannedPeakBytes: number;
  readonly weightBytes: number;
  readonly codeBytes: number;
  /** Distinct kernels, and how many of them were found among those of earlier processes. */
  readonly kernels?: { readonly total: number; readonly cached: number };
}

export interface LaunchReport {
  readonly kernel: string;
  /** Names of the graph nodes that this launch computes. */
  readonly nodes: readonly string[];
  readonly decision: string;
  readonly flops?: number;
  readonly bytes?: number;
  /** At which precision f32 products inside were computed: what was asked for, or a higher one. Absent without any. */
  readonly precision?: MatmulPrecision;
}

export type Tensors = Readonly<Record<string, Tensor>>;

/**
 * A compiled graph. Inputs are given by name and never written, except state: inputs that a node updates (`Op.updates`).
 * Those tensors hold the new state when the run is over, on the same memory; a run that fails may leave part of it. No
 * other run may use them meanwhile. Outputs are fresh tensors which stay valid until they are disposed. Wrong names,
 * dtypes, ranks or sizes throw a `UserError` before anything runs.
 */
export interface Executable {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly report: CompileReport;
  /** Runs on the calling thread (and the device's own); lowest latency. GPUs cannot wait: there it throws a `UserError`. */
  runSync(inputs: Tensors): Record<string, Tensor>;
  /** Never blocks the event loop. Concurrent calls queue. */
  run(inputs: Tensors): Promise<Record<string, Tensor>>;
  /** Text of a compilation stage: "graph", "fused", "kernel" or "machine". */
  dump(stage: DumpStage): string;
  dispose(): void;
  [Symbol.dispose](): void;
}

export const DUMP_STAGES = ["graph", "fused", "kernel", "machine"] as const;
export type DumpStage = (typeof DUMP_STAGES)[number];

export interface MappedFile {
  /** Read-only; detached once the mapping is disposed. */
  readonly bytes: Uint8Array;
  dispose(): void;
}

export interface Device {
  /** For instance "cpu:avx512+vnni", "gpu:llvmpipe", "reference". */
  readonly name: string;
  compile(graph: Graph, options?: CompileOptions): Executable;
  /** Uninitialised tensor in the device's own memory where that saves copies. */
  empty(dtype: DType, shape: readonly number[]): Tensor;
  /**
   * A file's bytes without reading them into memory, where the device can: executables compiled from constants on them
   * need the mapping as long as they compile, and it stays until it is disposed. Throws a `UserError` for what is no file.
   */
  mapFile?(path: string): MappedFile;
  dispose(): void;
  [Symbol.dispose](): void;
}
