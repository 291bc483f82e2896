/**
 * `cpu()`: the CPU device. Chooses a target by CPUID, owns the thread pool, code and weights.
 */

import { availableParallelism } from "node:os";
import {
  type CompileOptions,
  type DType,
  type Device,
  type Executable,
  type Graph,
  type MappedFile,
  type MatmulPrecision,
  type Node,
  type PassTarget,
  type Tensor,
  UserError,
  debug,
  envFlag,
  optimise,
  readEnv,
  type Storage,
} from "@quern/core";
import {
  CodeArena,
  type CpuTarget,
  type NativeHost,
  Runner,
  cpuInfo,
  nativeHost,
  resolveTarget,
} from "../host/index.ts";
import { CPU_KERNELS, readsBlocks } from "../kernels/index.ts";
import type { KernelEnvironment } from "../kernels/kernel.ts";
import { dumpProgram, traceCompilation } from "./dump.ts";
import { compileSubgraphs } from "./control.ts";
import { CpuExecutable } from "./executable.ts";
import { KernelCache } from "./kernel-cache.ts";
import { type KernelDisk, SiteStore, kernelDisk, kernelsWatched } from "./site-store.ts";
import { TensorMemory } from "./outputs.ts";
import { compileProgram } from "./program.ts";
import { WeightStore } from "./weight-store.ts";
import { SpecialisingExecutable, spatialSymbols } from "./specialising.ts";

export interface CpuOptions {
  /** Threads that work on a run, the calling one included. Default: the number of processors. */
  readonly threads?: number;
  /** Masks CPU features: "avx2", "avx512", "avx512+vnni", "+amx", "-name". */
  readonly features?: string;
  readonly matmulPrecision?: MatmulPrecision;
  /**
   * As `QUERN_CHECK=1`: run launch by launch in guarded memory and compare with the reference interpreter. Slow; names a
   * kernel that computes, writes or jumps wrong instead of letting it end the process (on Linux).
   */
  readonly check?: boolean;
  /**
   * Folder where compiled kernels are kept for later processes, or false for none (as `QUERN_CACHE`). Default: the
   * `quern` folder among the user's caches.
   */
  readonly cache?: string | false;
}

/** Ops that the generic lowering or a kernel computes whole; everything else is decomposed where its record can. */
const KEPT = new Set([
  "softmax",
  "logSoftmax",
  "layerNorm",
  "rmsNorm",
  "gelu",
  "conv",
  "matmul",
  "maxPool",
  "averagePool",
  "resize",
  "lstm",
  "gru",
]);

/** Opens the CPU device. Throws an `UnsupportedError` on processors without AVX2. */
export function cpu(options: CpuOptions = {}): CpuDevice {
  return new CpuDevice(options);
}

export class CpuDevice implements Device {
  readonly name: string;
  readonly target: CpuTarget;
  readonly threads: number;
  readonly #host: NativeHost;
  readonly #runner: Runner;
  readonly #memory: TensorMemory;
  readonly #weights: WeightStore;
  readonly #precision: MatmulPrecision;
  readonly #check: boolean;
  readonly #disk: KernelDisk | undefined;
  #disposed = false;

  constructor(options: CpuOptions) {
    this.#host = nativeHost();
    const info = cpuInfo(this.#host);
    const features = options.features ?? readEnv("QUERN_FEATURES");
    this.target = resolveTarget(info.features, features === undefined ? {} : { features });
    this.threads = options.threads ?? availableParallelism();
    this.#runner = new Runner(this.#host, this.target, { threads: this.threads });
    this.#memory = new TensorMemory(this.#host);
    this.#weights = new WeightStore(this.#host, this.target, this.#runner);
    this.#check = options.check ?? envFlag("QUERN_CHECK");
    this.#disk = this.#check ? undefined : kernelDisk(options.cache);
    this.#precision = options.matmulPrecision ?? "highest";
    this.name = `cpu:${this.target.name}`;
    debug(1, () => `device ${this.name}, ${this.threads} threads: ${info.brand}`);
  }

  compile(graph: Graph, options: CompileOptions = {}): Executable {
    return this.#compile(graph, options);
  }

  /** `kernels` are those of the program around a sub-graph, which outlives it. */
  #compile(graph: Graph, options: CompileOptions, kernels?: KernelCache): Executable {
    if (this.#disposed) throw new UserError("device: used after dispose");
    const bindings = options.bindings ?? {};
    const open = [...spatialSymbols(graph)].filter((name) => bindings[name] === undefined);
    if (open.length === 0) return this.#compileNow(graph, options, kernels);
    return new SpecialisingExecutable(graph, new Set(open), bindings, (chosen) =>
      this.#compileNow(graph, { ...options, bindings: chosen }),
    );
  }

  #compileNow(graph: Graph, options: CompileOptions, outer?: KernelCache): Executable {
    const start = performance.now();
    const environment: KernelEnvironment = {
      target: this.target,
      threads: this.threads,
      precision: options.matmulPrecision ?? this.#precision,
    };
    const optimised = optimise(graph, { target: passTarget(environment.precision), bindings: options.bindings ?? {} });
    const code = new CodeArena(this.#host);
    const weights = this.#weights.open();
    const store = this.#disk && new SiteStore(this.#disk, environment);
    const kernels = outer ?? new KernelCache(environment, code, store, this.#check || kernelsWatched());
    const constants = new Map<Storage, bigint>();
    const program = compileProgram(optimised.graph, kernels, (packed) => {
      for (const [storage, packing] of packed) constants.set(storage, weights.pack(packing));
      // Packing goes on while code is compiled.
      this.#weights.start();
    });
    for (const [storage, bytes] of program.storages.constants)
      if (storage.last >= 0) constants.set(storage, weights.copy(bytes));
    const hostNodes = program.steps.filter((step) => step.kind === "host").map(({ node }) => node);
    const subgraphs = compileSubgraphs(hostNodes, (nested, bindings) =>
      this.#compile(nested, { matmulPrecision: environment.precision, bindings }, kernels),
    );
    const compileMs = performance.now() - start;
    dumpProgram(graph, optimised.unfused, program);
    traceCompilation(start, optimised.passes, compileMs);
    debug(
      1,
      () =>
        `compiled "${graph.name}" in ${compileMs.toFixed(1)} ms: ${program.steps.length} steps, ${program.codeBytes} bytes of code`,
    );
    return new CpuExecutable({
      host: this.#host,
      runner: this.#runner,
      target: this.target,
      memory: this.#memory,
      program,
      constants,
      weightBytes: weights.usedBytes,
      bindings: options.bindings ?? {},
      unfused: optimised.unfused,
      passes: optimised.passes,
      compileMs,
      subgraphs,
      check: this.#check,
      recompile: (look) => {
        using again = new CodeArena(this.#host);
        return look(compileProgram(optimised.graph, new KernelCache(environment, again, undefined, true)));
      },
      release: () => {
        code.free();
        weights.release();
      },
    });
  }

  /**
   * Resolves when the weights of all that was compiled are packed, which goes on behind `compile`. Runs wait for it by
   * themselves; it is for those who want to know when compiling is over.
   */
  weightsPacked(): Promise<void> {
    return this.#weights.packed();
  }

  /** Uninitialised tensor; large ones are in native memory with huge pages. */
  empty(dtype: DType, shape: readonly number[]): Tensor {
    return this.#memory.empty(dtype, shape);
  }

  /** The bytes of a regular file, mapped and read-only: what is packed from them never is in memory twice. */
  mapFile(path: string): MappedFile {
    const memory = this.#host.mapFile(path);
    const dispose = (): void => {
      // Weights may be packed from it right now.
      if (!this.#disposed) this.#weights.settle();
      memory.free();
    };
    return { bytes: new Uint8Array(memory.buffer), dispose };
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#weights.dispose();
    this.#runner.dispose();
    this.#memory.close();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function passTarget(precision: MatmulPrecision): PassTarget {
  const anchors = new Set(CPU_KERNELS.flatMap((kernel) => kernel.ops));
  const bare = new Set(CPU_KERNELS.filter((kernel) => kernel.epilogue === false).flatMap((kernel) => kernel.ops));
  return {
    keeps: (op) => KEPT.has(op) || anchors.has(op),
    convLayout: "nhwc",
    readsBlocks: (node, at, data) => readsBlocks(node, at, data, precision),
    takesEpilogue: (node: Node) => anchors.has(node.op) && !bare.has(node.op) && node.outputs.length === 1,
  };
}
