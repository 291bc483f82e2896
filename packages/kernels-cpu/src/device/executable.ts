/**
 * A compiled graph on the CPU: checks inputs, binds sizes, runs native segments and host steps, makes outputs.
 */

import {
  type CompileReport,
  type DimBindings,
  type DumpStage,
  type Executable,
  type Graph,
  type LaunchReport,
  type PassReport,
  type ShapeCheck,
  type TensorSpec,
  type Tensors,
  type Value,
  ARRAY_OF,
  DTYPE_INFO,
  UserError,
  bindInputs,
  evaluateDim,
  evaluateShape,
  printGraph,
  printKernel,
  runNodeOnHost,
  shapeChecks,
  Tensor,
} from "@quern/core";
import { type NativeHost, type ProgramTable, type RunOptions, type Runner, ticksPerNs } from "../host/index.ts";
import { type Binding, Instance, bindProgram } from "./binding.ts";
import { checkResults } from "./check.ts";
import { trace, tracing } from "./dump.ts";
import { runControl } from "./control.ts";
import type { TensorMemory } from "./outputs.ts";
import type { HostStep, Program } from "./program.ts";
import { type Storage, aliasSource } from "./storage.ts";

/** Bindings of past runs that are kept with their instances. */
const MAX_BINDINGS = 8;

const ALONE: RunOptions = { threads: 1 };

export interface ExecutableParts {
  readonly host: NativeHost;
  readonly runner: Runner;
  readonly memory: TensorMemory;
  readonly program: Program;
  readonly constants: ReadonlyMap<Storage, bigint>;
  readonly weightBytes: number;
  /** Symbol values that compilation specialised for. */
  readonly bindings: DimBindings;
  readonly unfused: Graph;
  readonly passes: readonly PassReport[];
  readonly compileMs: number;
  /** Compiles a sub-graph of control flow. */
  readonly compileNested: (graph: Graph) => Executable;
  /** Compare every launch with the reference. */
  readonly check: boolean;
  readonly release: () => void;
}

interface Bound {
  readonly binding: Binding;
  readonly idle: Instance[];
}

interface Prepared {
  readonly bound: Bound;
  readonly instance: Instance;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
}

export class CpuExecutable implements Executable {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly #parts: ExecutableParts;
  readonly #checkShapes: ShapeCheck;
  readonly #bound = new Map<string, Bound>();
  readonly #nested = new Map<Graph, Executable>();
  /** Runs in progress: native code holds addresses of their tensors, which must not be collected meanwhile. */
  readonly #running = new Set<Prepared>();
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
    const launches: readonly LaunchReport[] = program.launches;
    return { compileMs, passes, launches, plannedPeakBytes: this.#lastPeak, weightBytes, codeBytes: program.codeBytes };
  }

  runSync(inputs: Tensors): Record<string, Tensor> {
    const run = this.#prepare(inputs);
    try {
      for (const { first, table } of run.instance.segments) {
        if (table === undefined) this.#host(first, run);
        else if (this.#parts.check) this.#checked(first, table, run);
        else if (tracing()) this.#timed(first, table, run, (step, startMs, ms) => trace("launch", step, startMs, ms));
        else this.#parts.runner.runSync(table, this.#runOptions(run));
      }
      return this.#finish(run);
    } finally {
      this.#release(run);
    }
  }

  async run(inputs: Tensors): Promise<Record<string, Tensor>> {
    const run = this.#prepare(inputs);
    try {
      for (const { first, table } of run.instance.segments) {
        if (table === undefined) this.#host(first, run);
        else if (this.#parts.check) this.#checked(first, table, run);
        else await this.#parts.runner.run(table, this.#runOptions(run));
      }
      return this.#finish(run);
    } finally {
      this.#release(run);
    }
  }

  /** Runs launch by launch and compares each node with the reference (`QUERN_CHECK=1`). */
  #checked(first: number, table: ProgramTable, run: Prepared): void {
    const { program, runner } = this.#parts;
    const { symbols } = run.bound.binding;
    for (let i = 0; i < table.length; i++) {
      table.setRange(i, i + 1);
      runner.runSync(table);
      const step = program.steps[first + i];
      if (step?.kind !== "native" || !step.completes) continue;
      const tensor = (value: Value): Tensor => {
        const view = this.#view(program.storages.of(value), run, value);
        return new Tensor(value.type.dtype, evaluateShape(value.type.shape, symbols), view);
      };
      checkResults(
        step.kernel.name,
        step.node,
        step.node.inputs.map((input) => input && tensor(input)),
        step.node.outputs.map(tensor),
        symbols,
        step.launch.precision,
      );
    }
    table.setRange(0, table.length);
  }

  /** Runs a segment with a time stamp per launch; start and duration in milliseconds. */
  #timed(
    first: number,
    table: ProgramTable,
    run: Prepared,
    note: (kernel: string, startMs: number, ms: number) => void,
  ): void {
    const ticksPerMs = ticksPerNs(this.#parts.host) * 1e6;
    table.setTimed(true);
    const start = performance.now();
    this.#parts.runner.runSync(table, this.#runOptions(run));
    const timings = table.timings();
    table.setTimed(false);
    const origin = timings[0]?.started ?? 0n;
    timings.forEach(({ started, ended }, i) => {
      const step = this.#parts.program.steps[first + i];
      note(
        step?.kind === "native" ? step.kernel.name : "",
        start + Number(started - origin) / ticksPerMs,
        Number(ended - started) / ticksPerMs,
      );
    });
  }

  /** Nanoseconds of each launch in one run, waiting at its barrier included; host steps are not timed. */
  profile(inputs: Tensors): { readonly kernel: string; readonly ns: number }[] {
    const run = this.#prepare(inputs);
    const rows: { kernel: string; ns: number }[] = [];
    try {
      for (const { first, table } of run.instance.segments) {
        if (table === undefined) {
          this.#host(first, run);
          continue;
        }
        this.#timed(first, table, run, (kernel, _start, ms) => rows.push({ kernel, ns: ms * 1e6 }));
      }
      return rows;
    } finally {
      this.#release(run);
    }
  }

  dump(stage: DumpStage): string {
    const { program, unfused } = this.#parts;
    const natives = program.steps.filter((step) => step.kind === "native");
    switch (stage) {
      case "graph":
        return printGraph(unfused);
      case "fused":
        return printGraph(program.graph);
      case "kernel":
        return natives.map((step) => printKernel(step.kernel)).join("\n");
      case "machine":
        return natives.map((step) => `; ${step.kernel.name}\n${step.code.listing()}`).join("\n");
    }
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const { idle } of this.#bound.values()) for (const instance of idle) instance.free();
    for (const nested of this.#nested.values()) nested.dispose();
    this.#bound.clear();
    this.#parts.release();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #prepare(given: Tensors): Prepared {
    if (this.#disposed) throw new UserError("executable: used after dispose");
    const { graph } = this.#parts.program;
    const { tensors, bindings: symbols } = bindInputs(this.inputs, given, this.#parts.bindings);
    const bound = this.#bind(symbols);
    const instance = bound.idle.pop() ?? this.#instance(bound.binding);
    const outputs = graph.outputs.map(({ value }) =>
      this.#parts.memory.empty(value.type.dtype, evaluateShape(value.type.shape, symbols)),
    );
    this.#writeDimTensors(instance, symbols, outputs);
    const { host } = this.#parts;
    instance.patch((storage) =>
      host.addressOf((storage.kind === "input" ? tensors : outputs)[storage.position]?.data as ArrayBufferView),
    );
    const run: Prepared = { bound, instance, inputs: tensors, outputs };
    this.#running.add(run);
    return run;
  }

  #runOptions(run: Prepared): RunOptions {
    return run.bound.binding.worthSharing ? {} : ALONE;
  }

  #release(run: Prepared): void {
    this.#running.delete(run);
    if (this.#disposed) run.instance.free();
    else run.bound.idle.push(run.instance);
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
      this.#bound.set(key, (bound = { binding: bindProgram(this.#parts.program, symbols), idle: [] }));
      this.#lastPeak = bound.binding.plan.peakBytes;
    }
    return bound;
  }

  #forgetOldest(): void {
    const [key, oldest] = this.#bound.entries().next().value as [string, Bound];
    this.#bound.delete(key);
    for (const instance of oldest.idle) instance.free();
    oldest.idle.length = 0;
  }

  #instance(binding: Binding): Instance {
    const { program, constants, host, runner } = this.#parts;
    return new Instance(program, binding, constants, host, runner.threads);
  }

  #writeDimTensors(instance: Instance, symbols: DimBindings, outputs: readonly Tensor[]): void {
    for (const { node, storage } of this.#parts.program.dimTensors) {
      if (storage.lastEpoch < 0 && storage.kind === "planned") continue;
      const dims = node.attrs["dims"] as readonly (number | { key: string })[];
      const values = dims.map((dim) => BigInt(evaluateDim(dim as never, symbols)));
      const bytes =
        storage.kind === "output" ? (outputs[storage.position] as Tensor).bytes() : instance.bytesOf(storage);
      new BigInt64Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, values.length).set(values);
    }
  }

  #host(at: number, run: Prepared): void {
    const step = this.#parts.program.steps[at] as HostStep;
    const { symbols } = run.bound.binding;
    const read = (value: Value | undefined, storage: Storage | undefined): Tensor | undefined => {
      if (value === undefined || storage === undefined) return undefined;
      const shape = evaluateShape(value.type.shape, symbols);
      return new Tensor(value.type.dtype, shape, this.#view(storage, run, value));
    };
    const inputs = step.node.inputs.map((input, i) => read(input, step.reads[i]));
    const results =
      runControl(step.node, inputs as Tensor[], (graph) => this.#compileNested(graph)) ??
      runNodeOnHost(step.node, inputs, symbols);
    step.node.outputs.forEach((output, i) => {
      const target = this.#view(step.writes[i] as Storage, run, output);
      const result = results[i] as Tensor;
      new Uint8Array(target.buffer as ArrayBuffer, target.byteOffset, target.byteLength).set(result.bytes());
    });
  }

  #compileNested(graph: Graph): Executable {
    let nested = this.#nested.get(graph);
    if (nested === undefined) this.#nested.set(graph, (nested = this.#parts.compileNested(graph)));
    return nested;
  }

  /** Typed array on the memory of a storage, for host steps. */
  #view(storage: Storage, run: Prepared, value: Value): Tensor["data"] {
    if (storage.kind === "input") return (run.inputs[storage.position] as Tensor).data;
    if (storage.kind === "output") return (run.outputs[storage.position] as Tensor).data;
    const { dtype } = value.type;
    const constant = this.#parts.program.storages.constants.get(storage);
    const bytes = constant ?? run.instance.bytesOf(storage);
    const aligned = bytes.byteOffset % DTYPE_INFO[dtype].bytes === 0 ? bytes : new Uint8Array(bytes);
    return new ARRAY_OF[dtype](
      aligned.buffer as ArrayBuffer,
      aligned.byteOffset,
      aligned.byteLength / DTYPE_INFO[dtype].bytes,
    );
  }

  /** Outputs that no kernel writes in place (inputs, constants, repeated values) are copied. */
  #finish(run: Prepared): Record<string, Tensor> {
    const { graph, storages } = this.#parts.program;
    const result: Record<string, Tensor> = {};
    graph.outputs.forEach(({ name, value }, position) => {
      const output = run.outputs[position] as Tensor;
      const storage = storages.of(aliasSource(value));
      if (storage.kind !== "output" || storage.position !== position) {
        const source = this.#view(storage, run, value);
        output.bytes().set(new Uint8Array(source.buffer as ArrayBuffer, source.byteOffset, source.byteLength));
      }
      result[name] = output;
    });
    return result;
  }
}
