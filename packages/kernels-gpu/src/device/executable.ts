/**
 * A compiled graph on the GPU: checks inputs, uploads them, runs all dispatches as one command buffer, reads back.
 */

import {
  type CompileReport,
  type DimBindings,
  type DumpStage,
  type Executable,
  type Graph,
  type PassReport,
  type TensorSpec,
  type Tensors,
  type Value,
  DTYPE_INFO,
  InternalError,
  Tensor,
  UserError,
  bindInputs,
  elementCount,
  evaluateShape,
  printGraph,
  printKernel,
  type Storage,
} from "@quern/core";
import { Binding, GPU_USAGE } from "./binding.ts";
import type { Program } from "./program.ts";
import { bufferBytes } from "./storage.ts";

/** Bindings of past runs that are kept with their buffers. */
const MAX_BINDINGS = 8;

export interface ExecutableParts {
  readonly device: GPUDevice;
  readonly program: Program;
  readonly unfused: Graph;
  readonly passes: readonly PassReport[];
  readonly compileMs: number;
  /** Symbol values that compilation specialised for. */
  readonly fixed: DimBindings;
  readonly release: () => void;
}

interface Submitted {
  readonly readbacks: readonly Readback[];
  readonly problem: Promise<GPUError | null>;
}

interface Readback {
  readonly name: string;
  readonly tensor: Tensor;
  /** Absent for an empty tensor. */
  readonly buffer: GPUBuffer | undefined;
}

export class GpuExecutable implements Executable {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly #parts: ExecutableParts;
  readonly #constants: ReadonlyMap<Storage, GPUBuffer>;
  readonly #weightBytes: number;
  readonly #bindings = new Map<string, Binding>();
  #pipelines: readonly GPUComputePipeline[] | undefined;
  #disposed = false;
  #lastPeak = 0;

  constructor(parts: ExecutableParts, source: Graph) {
    this.#parts = parts;
    const spec = ({ name, value }: { name: string; value: Value }): TensorSpec => ({
      name,
      dtype: value.type.dtype,
      shape: value.type.shape,
    });
    this.inputs = source.inputs.map(spec);
    this.outputs = source.outputs.map(spec);
    const { constants } = parts.program.storages;
    this.#constants = uploadConstants(parts.device, constants);
    this.#weightBytes = [...constants.values()].reduce((sum, bytes) => sum + bytes.byteLength, 0);
  }

  get report(): CompileReport {
    const { compileMs, passes, program } = this.#parts;
    return {
      compileMs,
      passes,
      launches: program.launches,
      plannedPeakBytes: this.#lastPeak,
      weightBytes: this.#weightBytes,
      codeBytes: program.codeBytes,
    };
  }

  runSync(): never {
    throw new UserError("gpu: WebGPU cannot wait for results synchronously", {
      hint: "use `await executable.run(inputs)`",
    });
  }

  async run(inputs: Tensors): Promise<Record<string, Tensor>> {
    this.#checkAlive();
    // Checked before anything is awaited: the caller may reuse its tensors once `run` has returned its promise.
    const { tensors, bindings } = bindInputs(this.inputs, inputs, this.#parts.fixed);
    if (this.#pipelines === undefined) {
      const copies = tensors.map((tensor) => new Tensor(tensor.dtype, tensor.shape, tensor.data.slice()));
      this.#pipelines = await Promise.all(this.#parts.program.steps.map(({ compiled }) => compiled.pipeline));
      this.#checkAlive();
      return this.#finish(this.#start(copies, bindings));
    }
    return this.#finish(this.#start(tensors, bindings));
  }

  dump(stage: DumpStage): string {
    const { program, unfused } = this.#parts;
    switch (stage) {
      case "graph":
        return printGraph(unfused);
      case "fused":
        return printGraph(program.graph);
      case "kernel":
        return program.steps.map(({ compiled }) => printKernel(compiled.kernel)).join("\n");
      case "machine":
        return program.steps.map(({ compiled }) => compiled.wgsl.code).join("\n");
    }
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const binding of this.#bindings.values()) binding.destroy();
    for (const buffer of this.#constants.values()) buffer.destroy();
    this.#bindings.clear();
    this.#parts.release();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #checkAlive(): void {
    if (this.#disposed) throw new UserError("executable: used after dispose");
  }

  #bind(symbols: DimBindings): Binding {
    const key = Object.entries(symbols)
      .map(([name, value]) => `${name}=${value}`)
      .join();
    let binding = this.#bindings.get(key);
    if (binding === undefined) {
      if (this.#bindings.size >= MAX_BINDINGS) {
        const [oldest, unused] = this.#bindings.entries().next().value as [string, Binding];
        this.#bindings.delete(oldest);
        unused.destroy();
      }
      const { device, program } = this.#parts;
      binding = new Binding(
        device,
        program,
        this.#pipelines as readonly GPUComputePipeline[],
        this.#constants,
        symbols,
      );
      this.#bindings.set(key, binding);
    }
    this.#lastPeak = binding.plannedBytes;
    return binding;
  }

  /** Everything up to the submission, without a pause: other runs share the buffers. */
  #start(tensors: readonly Tensor[], symbols: DimBindings): Submitted {
    const { device, program } = this.#parts;
    device.pushErrorScope("validation");
    const binding = this.#bind(symbols);
    for (const storage of program.storages.storages) {
      if (storage.kind === "input" && storage.last >= 0)
        upload(device, binding.bufferOf(storage), (tensors[storage.position] as Tensor).bytes());
    }
    const encoder = device.createCommandEncoder();
    binding.encode(encoder);
    const readbacks = program.graph.outputs.map(({ name, value }): Readback => {
      const shape = evaluateShape(value.type.shape, symbols);
      const tensor = Tensor.zeros(value.type.dtype, shape);
      if (tensor.byteLength === 0) return { name, tensor, buffer: undefined };
      const storage = program.storages.of(value);
      const buffer = device.createBuffer({
        size: bufferBytes(storage, elementCount(shape)),
        usage: GPU_USAGE.MAP_READ | GPU_USAGE.COPY_DST,
      });
      encoder.copyBufferToBuffer(binding.bufferOf(storage), 0, buffer, 0, buffer.size);
      return { name, tensor, buffer };
    });
    device.queue.submit([encoder.finish()]);
    return { readbacks, problem: device.popErrorScope() };
  }

  async #finish({ readbacks, problem }: Submitted): Promise<Record<string, Tensor>> {
    const error = await problem;
    if (error !== null) throw new InternalError(`gpu: ${error.message}`);
    await Promise.all(readbacks.map(async ({ buffer }) => buffer?.mapAsync(GPU_USAGE.READ_MODE)));
    const results: Record<string, Tensor> = {};
    for (const { name, tensor, buffer } of readbacks) {
      if (buffer !== undefined) {
        tensor.bytes().set(new Uint8Array(buffer.getMappedRange(), 0, tensor.byteLength));
        buffer.destroy();
      }
      results[name] = tensor;
    }
    return results;
  }
}

function uploadConstants(device: GPUDevice, constants: ReadonlyMap<Storage, Uint8Array>): Map<Storage, GPUBuffer> {
  const buffers = new Map<Storage, GPUBuffer>();
  for (const [storage, bytes] of constants) {
    const size = bufferBytes(storage, bytes.byteLength / DTYPE_INFO[storage.dtype].bytes);
    const buffer = device.createBuffer({ size, usage: GPU_USAGE.STORAGE | GPU_USAGE.COPY_SRC | GPU_USAGE.COPY_DST });
    upload(device, buffer, bytes);
    buffers.set(storage, buffer);
  }
  return buffers;
}

/** `writeBuffer` takes whole words; the last one is padded with zeros. */
function upload(device: GPUDevice, buffer: GPUBuffer, bytes: Uint8Array): void {
  const whole = bytes.byteLength - (bytes.byteLength % 4);
  if (whole > 0) device.queue.writeBuffer(buffer, 0, bytes as Uint8Array<ArrayBuffer>, 0, whole);
  if (whole === bytes.byteLength) return;
  const rest = new Uint8Array(4);
  rest.set(bytes.subarray(whole));
  device.queue.writeBuffer(buffer, whole, rest);
}
