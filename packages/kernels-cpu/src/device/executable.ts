/**
 * A compiled graph on the CPU: checks inputs, binds sizes, runs native segments and host steps, makes outputs.
 */

import {
  type CompileReport,
  type DimBindings,
  type DumpStage,
  type Executable,
  type Graph,
  type PassReport,
  type ShapeCheck,
  type TensorSpec,
  type Tensor,
  type Tensors,
  type Value,
  UserError,
  bindInputs,
  printGraph,
  printKernel,
  shapeChecks,
  type Storage,
} from "@quern/core";
import type { CpuTarget, NativeHost, RunOptions, Runner } from "../host/index.ts";
import { type Binding, Instance, type Segment, bindProgram } from "./binding.ts";
import { checkResults } from "./check.ts";
import { runChecked } from "./checked-launch.ts";
import { type Subgraphs, finishAsync, finishSync } from "./control.ts";
import { GuardedMemory } from "./guarded.ts";
import type { TensorMemory } from "./outputs.ts";
import type { KernelSource } from "./kernel-cache.ts";
import type { NativeStep, Program } from "./program.ts";
import { ArenaMemory } from "./run-memory.ts";
import { RunState } from "./run-state.ts";
import { noteStep, timeSegment, watching } from "./timing.ts";

/** Bindings of past runs that are kept with their instances. */
const MAX_BINDINGS = 8;

const ALONE: RunOptions = { threads: 1 };

export interface ExecutableParts {
  readonly host: NativeHost;
  readonly runner: Runner;
  readonly target: CpuTarget;
  readonly memory: TensorMemory;
  readonly program: Program;
  readonly constants: ReadonlyMap<Storage, bigint>;
  readonly weightBytes: number;
  /** Symbol values that compilation specialised for. */
  readonly bindings: DimBindings;
  readonly unfused: Graph;
  readonly passes: readonly PassReport[];
  readonly compileMs: number;
  /** Programs of control flow; disposed with the executable. */
  readonly subgraphs: Subgraphs;
  /** Run in guarded memory and compare every launch with the reference. */
  readonly check: boolean;
  /** Compiles the kernels of the program again, for a look at what those from the disk were made of. */
  readonly recompile: <T>(look: (program: Program) => T) => T;
  readonly release: () => void;
}

interface Bound {
  readonly binding: Binding;
  readonly idle: Instance[];
  /** Runs in progress are the last ones of this binding. */
  forgotten: boolean;
}

export class CpuExecutable implements Executable {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly #parts: ExecutableParts;
  readonly #checkShapes: ShapeCheck;
  readonly #bound = new Map<string, Bound>();
  /** Runs in progress: native code holds addresses of their tensors, which must not be collected meanwhile. */
  readonly #running = new Map<RunState, Bound>();
  #disposed = false;
  #lastPeak = 0;

  constructor(parts: ExecutableParts) {
    this.#parts = parts;
    this.#checkShapes = shapeChecks(parts.unfused);
    const spec = ({ name, value }: { name: string; value: Value }): TensorSpec => ({
      name,
      dtype: value.type.dtype,
      shape: value.type.shape,
    });
    this.inputs = parts.program.graph.inputs.map(spec);
    this.outputs = parts.program.graph.outputs.map(spec);
  }

  get report(): CompileReport {
    const { compileMs, passes, program, weightBytes } = this.#parts;
    const { launches, codeBytes } = program;
    const kernels = new Set(program.steps.filter((step) => step.kind === "native").map(({ code }) => code));
    const cached = [...kernels].filter((kernel) => kernel.cached).length;
    return {
      compileMs,
      passes,
      launches,
      plannedPeakBytes: this.#lastPeak,
      weightBytes,
      codeBytes,
      kernels: { total: kernels.size, cached },
    };
  }

  runSync(inputs: Tensors): Record<string, Tensor> {
    const run = this.#prepare(inputs);
    try {
      for (const segment of run.instance.segments) {
        const { first, table } = segment;
        if (table === undefined) this.#hostSync(first, run);
        else if (run.guards !== undefined) this.#checked(segment, run.guards, run);
        else {
          const narrate = watching() ? this.#watch(segment, run) : undefined;
          this.#parts.runner.runSync(table, this.#runOptions(run));
          narrate?.();
        }
      }
      return run.finish();
    } finally {
      this.#release(run);
    }
  }

  async run(inputs: Tensors): Promise<Record<string, Tensor>> {
    const run = this.#prepare(inputs);
    try {
      for (const segment of run.instance.segments) {
        const { first, table } = segment;
        if (table === undefined) {
          const { flow, end } = run.beginHost(first, this.#parts.subgraphs);
          end(await finishAsync(flow));
        } else if (run.guards !== undefined) this.#checked(segment, run.guards, run);
        else {
          const narrate = watching() ? this.#watch(segment, run) : undefined;
          await this.#parts.runner.run(table, this.#runOptions(run));
          narrate?.();
        }
      }
      return run.finish();
    } finally {
      this.#release(run);
    }
  }

  /** Runs launch by launch, in guarded memory, and compares each node with the reference (`QUERN_CHECK=1`). */
  #checked({ first, records }: Segment, memory: GuardedMemory, run: RunState): void {
    const { program, runner, host, target } = this.#parts;
    const { symbols } = run.binding;
    records.forEach((record, i) => {
      const step = program.steps[first + i] as NativeStep;
      const start = performance.now();
      runChecked(step, record, memory, { host, runner, target });
      if (watching()) noteStep(step, start, performance.now() - start, symbols);
      if (!step.completes) return;
      checkResults(
        step.kernel.name,
        step.node,
        step.node.inputs.map((input) => input && run.tensorOf(input)),
        step.node.outputs.map((output) => run.tensorOf(output)),
        symbols,
        step.launch.precision,
      );
    });
  }

  /** Makes the next run of a segment narrate its launches; the function returned does it. */
  #watch(segment: Segment, { binding }: RunState): () => void {
    const times = timeSegment(this.#parts.host, this.#parts.program, segment);
    return () => {
      for (const { step, startMs, ms } of times()) noteStep(step, startMs, ms, binding.symbols);
    };
  }

  /** Nanoseconds of each launch in one run, waiting at its barrier included; host steps are not timed. */
  profile(inputs: Tensors): { readonly kernel: string; readonly ns: number }[] {
    const { host, program, runner } = this.#parts;
    const run = this.#prepare(inputs);
    const rows: { kernel: string; ns: number }[] = [];
    try {
      for (const segment of run.instance.segments) {
        if (segment.table === undefined) {
          this.#hostSync(segment.first, run);
          continue;
        }
        const times = timeSegment(host, program, segment);
        runner.runSync(segment.table, this.#runOptions(run));
        rows.push(...times().map(({ step, ms }) => ({ kernel: step.kernel.name, ns: ms * 1e6 })));
      }
      return rows;
    } finally {
      this.#release(run);
    }
  }

  dump(stage: DumpStage): string {
    const { program, unfused } = this.#parts;
    const sources = (): readonly KernelSource[] => {
      const known = sourcesOf(program);
      return known ?? this.#parts.recompile((again) => sourcesOf(again) ?? []);
    };
    switch (stage) {
      case "graph":
        return printGraph(unfused);
      case "fused":
        return printGraph(program.graph);
      case "kernel":
        return sources()
          .map(({ kernel }) => printKernel(kernel))
          .join("\n");
      case "machine":
        return sources()
          .map(({ kernel, code }) => `; ${kernel.name}\n${code?.listing() ?? ""}`)
          .join("\n");
    }
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const { idle } of this.#bound.values()) for (const instance of idle) instance.free();
    this.#bound.clear();
    if (this.#running.size === 0) this.#free();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #prepare(given: Tensors): RunState {
    if (this.#disposed) throw new UserError("executable: used after dispose");
    const { program, memory, host, bindings } = this.#parts;
    const { tensors, bindings: symbols } = bindInputs(this.inputs, given, bindings);
    const bound = this.#bind(symbols);
    const instance = bound.idle.pop() ?? this.#instance(bound.binding);
    const run = new RunState(program, bound.binding, instance, tensors, memory, host);
    this.#running.set(run, bound);
    return run;
  }

  #hostSync(at: number, run: RunState): void {
    const { flow, end } = run.beginHost(at, this.#parts.subgraphs);
    end(finishSync(flow));
  }

  #runOptions(run: RunState): RunOptions {
    return run.binding.worthSharing ? {} : ALONE;
  }

  #release(run: RunState): void {
    const bound = this.#running.get(run);
    this.#running.delete(run);
    if (this.#disposed || bound === undefined || bound.forgotten) run.instance.free();
    else bound.idle.push(run.instance);
    if (this.#disposed && this.#running.size === 0) this.#free();
  }

  /** Gives back code and weights, which runs in progress need until their end. */
  #free(): void {
    for (const programs of this.#parts.subgraphs.values()) for (const program of programs.values()) program.dispose();
    this.#parts.release();
  }

  #bind(symbols: DimBindings): Bound {
    const key = Object.entries(symbols)
      .map(([name, value]) => `${name}=${value}`)
      .join();
    let bound = this.#bound.get(key);
    if (bound === undefined) {
      // Kernels rely on it: they read no further than shapes say.
      this.#checkShapes(symbols);
      if (this.#bound.size >= MAX_BINDINGS) this.#forgetOldest();
      this.#bound.set(
        key,
        (bound = { binding: bindProgram(this.#parts.program, symbols), idle: [], forgotten: false }),
      );
      this.#lastPeak = bound.binding.plan.peakBytes;
    }
    return bound;
  }

  #forgetOldest(): void {
    const [key, oldest] = this.#bound.entries().next().value as [string, Bound];
    this.#bound.delete(key);
    for (const instance of oldest.idle) instance.free();
    oldest.idle.length = 0;
    oldest.forgotten = true;
  }

  #instance(binding: Binding): Instance {
    const { program, constants, host, runner, check } = this.#parts;
    const memory = check
      ? new GuardedMemory(program, binding, host)
      : new ArenaMemory(program, binding, constants, host, runner.threads);
    return new Instance(program, binding, memory, host, runner.threads);
  }
}

/** Kernels of the launches, in order; `undefined` where some were not kept. */
function sourcesOf({ steps }: Program): KernelSource[] | undefined {
  const sources = steps.filter((step) => step.kind === "native").map(({ code }) => code.source);
  return sources.every((source) => source !== undefined) ? sources : undefined;
}
