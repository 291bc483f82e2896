/**
 * Runs graphs for tests: one kernel record where it applies, references everywhere else.
 *
 * In: a graph as a test builds it, and how kernels are run (the kernel interpreter, or machine code). Out: the results,
 * and how often the record was used. Results and temporaries start poisoned.
 */

import {
  type ConstantData,
  type DimBindings,
  type Graph,
  type Kernel,
  type KernelInputs,
  type Launch,
  type Node,
  type Operand,
  type PassTarget,
  type Temporary,
  type Value,
  ARRAY_OF,
  DTYPE_INFO,
  Tensor,
  packData,
  evaluateDim,
  evaluateShape,
  interpretKernel,
  optimise,
  runNodeOnHost,
  siteOf,
} from "@quern/core";
import type { CpuTarget } from "../host/cpu-target.ts";
import { readsBlocks } from "./blocks/reads.ts";
import type { CpuKernel, KernelEnvironment } from "./kernel.ts";

const POISON = 0xa5;

export const TRIAL_TARGETS: readonly CpuTarget[] = [
  { name: "avx512", vectorBytes: 64, vectorRegisters: 32, maskRegisters: 7, tileRegisters: 0, features: new Set() },
  { name: "avx2", vectorBytes: 32, vectorRegisters: 16, maskRegisters: 0, tileRegisters: 0, features: new Set() },
];

export interface TrialResult {
  readonly outputs: Readonly<Record<string, Tensor>>;
  /** Sites that the record computed. */
  readonly used: number;
  /** Why it did not compute sites of its ops. */
  readonly refusals: readonly string[];
}

/** Runs one kernel on the memory of its buffers, in place. */
export type Execute = (kernel: Kernel, inputs: KernelInputs, target: CpuTarget) => void;

/** On the kernel interpreter, tasks in an order drawn from `seed`. */
export function interpreted(seed: number): Execute {
  return (kernel, inputs) => interpretKernel(kernel, inputs, { shuffleSeed: seed });
}

/** Runs `graph` with `kernel` where it applies. */
export function trial(
  graph: Graph,
  inputs: Readonly<Record<string, Tensor>>,
  kernel: CpuKernel,
  environment: KernelEnvironment,
  execute: Execute,
  symbols: DimBindings = {},
): TrialResult {
  const run = new Trial(kernel, environment, execute, symbols);
  return run.run(optimise(graph, { target: targetFor(kernel, environment), bindings: {} }).graph, inputs);
}

function targetFor(kernel: CpuKernel, { precision }: KernelEnvironment): PassTarget {
  return {
    keeps: (op) => kernel.ops.includes(op),
    convLayout: "nhwc",
    readsBlocks: (node, at, data) => readsBlocks(node, at, data, precision),
    takesEpilogue: (node) => kernel.epilogue !== false && kernel.ops.includes(node.op) && node.outputs.length === 1,
  };
}

class Trial {
  readonly #kernel: CpuKernel;
  readonly #environment: KernelEnvironment;
  readonly #execute: Execute;
  readonly #symbols: DimBindings;
  readonly #values = new Map<Value, Tensor>();
  #used = 0;
  readonly #refusals: string[] = [];

  constructor(kernel: CpuKernel, environment: KernelEnvironment, execute: Execute, symbols: DimBindings) {
    this.#kernel = kernel;
    this.#environment = environment;
    this.#execute = execute;
    this.#symbols = symbols;
  }

  run(graph: Graph, inputs: Readonly<Record<string, Tensor>>): TrialResult {
    for (const { name, value } of graph.inputs) this.#values.set(value, inputs[name] as Tensor);
    for (const node of graph.nodes) if (node.op !== "input") this.#node(node);
    const outputs = Object.fromEntries(graph.outputs.map(({ name, value }) => [name, this.#of(value)]));
    return { outputs, used: this.#used, refusals: this.#refusals };
  }

  #node(node: Node): void {
    const site = node.op === "constant" ? undefined : siteOf(node);
    if (site !== undefined && this.#kernel.ops.includes(site.anchor.op)) {
      const verdict = this.#kernel.when(site, this.#environment);
      if (verdict === true) {
        this.#used++;
        for (const output of node.outputs) this.#values.set(output, this.#poisoned(output));
        this.#launch(this.#kernel.lower(site, this.#environment));
        return;
      }
      this.#refusals.push(verdict);
    }
    const results = runNodeOnHost(
      node,
      node.inputs.map((input) => input && this.#of(input)),
      this.#symbols,
    );
    node.outputs.forEach((output, i) => this.#values.set(output, results[i] as Tensor));
  }

  #of(value: Value): Tensor {
    const tensor = this.#values.get(value);
    if (tensor === undefined) throw new Error(`no value for a result of ${value.node.op}`);
    return tensor;
  }

  #poisoned({ type }: Value): Tensor {
    const shape = evaluateShape(type.shape, this.#symbols);
    const tensor = Tensor.zeros(type.dtype, shape);
    tensor.bytes().fill(POISON);
    return tensor;
  }

  #launch(launches: readonly Launch[]): void {
    const temporaries = new Map<Temporary, Uint8Array>();
    for (const { kernel, operands, scalars } of launches) {
      const buffers = Object.fromEntries(
        kernel.buffers.map(({ name }, i) => [name, this.#memory(operands[i] as Operand, temporaries)]),
      );
      this.#execute(kernel, { buffers, scalars: scalars ?? {}, symbols: this.#symbols }, this.#environment.target);
    }
  }

  #memory(operand: Operand, temporaries: Map<Temporary, Uint8Array>): Uint8Array {
    switch (operand.kind) {
      case "value":
        return operand.value.node.op === "constant" && !this.#values.has(operand.value)
          ? constantBytes(operand.value.node.attrs["value"] as ConstantData)
          : this.#of(operand.value).bytes();
      case "constant":
        return constantBytes(operand.data);
      case "packed":
        return packData(operand.packed.packer, operand.packed.data, operand.packed.args).bytes;
      case "temporary": {
        const { temporary } = operand;
        let memory = temporaries.get(temporary);
        if (memory === undefined) {
          const bytes = evaluateDim(temporary.size, this.#symbols) * DTYPE_INFO[temporary.dtype].bytes;
          temporaries.set(temporary, (memory = new Uint8Array(bytes).fill(POISON)));
        }
        return memory;
      }
    }
  }
}

function constantBytes(data: ConstantData): Uint8Array {
  const { BYTES_PER_ELEMENT } = ARRAY_OF[data.dtype];
  return data.bytes.byteOffset % Math.max(64, BYTES_PER_ELEMENT) === 0 ? data.bytes : data.bytes.slice();
}
