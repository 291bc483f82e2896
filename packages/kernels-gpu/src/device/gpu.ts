/**
 * `gpu()`: the GPU device, over WebGPU.
 *
 * Opening is asynchronous, compiling is not: pipelines compile in the background and the first run waits for them.
 */

import {
  type CompileOptions,
  type DType,
  type Device,
  type Executable,
  type Graph,
  type Node,
  type PassTarget,
  Tensor,
  UserError,
  debug,
  optimise,
} from "@quern/core";
import { GPU_KERNELS } from "../kernels/index.ts";
import { GpuExecutable } from "./executable.ts";
import { compileProgram } from "./program.ts";
import type { GpuOptions } from "./options.ts";
import { type OpenDevice, openDevice } from "./webgpu.ts";

/** Ops that the generic lowering computes whole; everything else is decomposed where its record can. */
const KEPT: ReadonlySet<string> = new Set(["softmax", "logSoftmax", "layerNorm", "rmsNorm", "gelu"]);

/**
 * Opens a GPU. In Node this is Dawn (package `webgpu`), in browsers `navigator.gpu`. Executables of this device run
 * asynchronously only: `runSync` throws. Throws an `UnsupportedError` where there is no GPU.
 */
export async function gpu(options: GpuOptions = {}): Promise<Device> {
  return new GpuDevice(await openDevice(options));
}

class GpuDevice implements Device {
  readonly name: string;
  readonly #open: OpenDevice;
  readonly #executables = new Set<GpuExecutable>();
  #disposed = false;

  constructor(open: OpenDevice) {
    this.#open = open;
    this.name = open.name;
  }

  compile(graph: Graph, options: CompileOptions = {}): Executable {
    if (this.#disposed) throw new UserError("device: used after dispose");
    const start = performance.now();
    const fixed = options.bindings ?? {};
    const optimised = optimise(graph, { target: passTarget(), bindings: fixed });
    const program = compileProgram(optimised.graph, this.#open);
    const compileMs = performance.now() - start;
    debug(
      1,
      () =>
        `compiled "${graph.name}" in ${compileMs.toFixed(1)} ms: ${program.steps.length} steps, ${program.codeBytes} bytes of WGSL`,
    );
    const executable: GpuExecutable = new GpuExecutable(
      {
        device: this.#open.device,
        program,
        unfused: optimised.unfused,
        passes: optimised.passes,
        compileMs,
        fixed,
        release: () => this.#executables.delete(executable),
      },
      graph,
    );
    this.#executables.add(executable);
    return executable;
  }

  /** Zero-filled tensor in JavaScript memory: inputs are uploaded by every run. */
  empty(dtype: DType, shape: readonly number[]): Tensor {
    return Tensor.zeros(dtype, shape);
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const executable of this.#executables) executable.dispose();
    this.#open.device.destroy();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function passTarget(): PassTarget {
  const anchors = new Set(GPU_KERNELS.flatMap((kernel) => kernel.ops));
  return {
    keeps: (op) => KEPT.has(op) || anchors.has(op),
    convLayout: "nhwc",
    takesEpilogue: (node: Node) => anchors.has(node.op) && node.outputs.length === 1,
  };
}
