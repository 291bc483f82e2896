/**
 * One run of a program: where its values are while it goes on, the steps that the host computes, and the results.
 */

import {
  constantOf,
  decodeConstant,
  type Graph,
  type TypedArray,
  type Value,
  ARRAY_OF,
  DTYPE_INFO,
  Tensor,
  evaluateDim,
  evaluateShape,
  type Storage,
  aliasSource,
  stateOf,
} from "@quern/core";
import { floatsOf } from "../kernels/gemm/pack.ts";
import type { NativeHost } from "../host/index.ts";
import type { Binding, Instance } from "./binding.ts";
import { type ControlFlow, type Subgraphs, hostFlow } from "./control.ts";
import { GuardedMemory } from "./guarded.ts";
import type { TensorMemory } from "./outputs.ts";
import type { HostStep, Program } from "./program.ts";
import { noteStep, watching } from "./timing.ts";

export class RunState {
  readonly binding: Binding;
  readonly instance: Instance;
  /** Present when the run is checked: all storages are there, and tensors of the caller are copied. */
  readonly guards: GuardedMemory | undefined;
  readonly #program: Program;
  /** What the caller gave. */
  readonly #given: readonly Tensor[];
  readonly #inputs: readonly Tensor[];
  readonly #outputs: readonly Tensor[];
  /** What the caller gets. */
  readonly #results: readonly Tensor[];

  /** Points the instance at the tensors of this run. */
  constructor(
    program: Program,
    binding: Binding,
    instance: Instance,
    given: readonly Tensor[],
    memory: TensorMemory,
    host: NativeHost,
  ) {
    this.#program = program;
    this.binding = binding;
    this.instance = instance;
    this.guards = instance.memory instanceof GuardedMemory ? instance.memory : undefined;
    this.#results = program.graph.outputs.map(({ value }) =>
      memory.empty(value.type.dtype, evaluateShape(value.type.shape, binding.symbols)),
    );
    const held = this.guards?.begin(given, this.#results) ?? { inputs: given, outputs: this.#results };
    this.#given = given;
    this.#inputs = held.inputs;
    this.#outputs = held.outputs;
    this.#writeDimTensors();
    instance.patch((storage) => host.addressOf(this.#external(storage).data));
  }

  /** A value as a tensor on the memory where the program keeps it. */
  tensorOf(value: Value): Tensor {
    const shape = evaluateShape(value.type.shape, this.binding.symbols);
    const data = constantOf(value);
    if (data?.encoding !== undefined) return new Tensor("f32", shape, floatsOf(decodeConstant(data)));
    return new Tensor(value.type.dtype, shape, this.#view(this.#program.storages.of(value), value));
  }

  /** Begins a step of the host; the function takes the results that its flow returns. */
  beginHost(at: number, subgraphs: Subgraphs): { flow: ControlFlow; end: (results: readonly Tensor[]) => void } {
    const step = this.#program.steps[at] as HostStep;
    const { symbols } = this.binding;
    const inputs = step.node.inputs.map((input) => input && this.tensorOf(input));
    const start = performance.now();
    return {
      flow: hostFlow(step.node, inputs, symbols, subgraphs),
      end: (results) => {
        step.node.outputs.forEach((output, i) => {
          const result = results[i] as Tensor;
          this.tensorOf(output).bytes().set(result.bytes());
        });
        for (const result of results) result.dispose();
        if (watching()) noteStep(step, start, performance.now() - start, symbols);
      },
    };
  }

  /** The results. Outputs that no kernel writes in place (inputs, constants, repeated values) are copied. */
  finish(): Record<string, Tensor> {
    const { graph, storages }: { graph: Graph; storages: Program["storages"] } = this.#program;
    const results: Record<string, Tensor> = {};
    graph.outputs.forEach(({ name, value }, position) => {
      const result = this.#results[position] as Tensor;
      const storage = storages.of(aliasSource(value));
      const inPlace = storage.kind === "output" && storage.position === position;
      const from = inPlace ? (this.#outputs[position] as Tensor) : this.tensorOf(value);
      if (from !== result) result.bytes().set(from.bytes());
      results[name] = result;
    });
    this.#returnState(graph);
    return results;
  }

  /** State was updated in place, which in a checked run is a copy. */
  #returnState(graph: Graph): void {
    if (this.guards === undefined) return;
    const state = stateOf(graph);
    graph.inputs.forEach(({ value }, position) => {
      if (!state.has(value)) return;
      (this.#given[position] as Tensor).bytes().set((this.#inputs[position] as Tensor).bytes());
    });
  }

  /** The tensor of an input or output. */
  #external({ kind, position }: Storage): Tensor {
    return (kind === "input" ? this.#inputs : this.#outputs)[position] as Tensor;
  }

  #view(storage: Storage, { type: { dtype } }: Value): TypedArray {
    if (storage.kind === "input" || storage.kind === "output") return this.#external(storage).data;
    const bytes = this.#program.storages.constants.get(storage) ?? this.instance.memory.bytesOf(storage);
    const aligned = bytes.byteOffset % DTYPE_INFO[dtype].bytes === 0 ? bytes : new Uint8Array(bytes);
    const { buffer, byteOffset, byteLength } = aligned;
    return new ARRAY_OF[dtype](buffer as ArrayBuffer, byteOffset, byteLength / DTYPE_INFO[dtype].bytes);
  }

  #writeDimTensors(): void {
    for (const { node, storage } of this.#program.dimTensors) {
      if (storage.last < 0 && storage.kind === "planned") continue;
      const dims = node.attrs["dims"] as readonly (number | { key: string })[];
      const values = dims.map((dim) => BigInt(evaluateDim(dim as never, this.binding.symbols)));
      const bytes = storage.kind === "output" ? this.#external(storage).bytes() : this.instance.memory.bytesOf(storage);
      new BigInt64Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, values.length).set(values);
    }
  }
}
