/**
 * Runs one kernel on the GPU on host arrays, without a graph: what the renderer is tested with.
 */

import {
  DTYPE_INFO,
  InternalError,
  type KValue,
  type Kernel,
  type KernelInputs,
  evaluateDim,
  legaliseKernel,
} from "@quern/core";
import { foldGrid } from "../wgsl/geometry.ts";
import { renderWgsl } from "../wgsl/render.ts";
import { GPU_USAGE } from "./binding.ts";
import { createLayout, createPipeline } from "./program.ts";
import type { OpenDevice } from "./webgpu.ts";

const { STORAGE, COPY_SRC, COPY_DST, UNIFORM, MAP_READ, READ_MODE } = GPU_USAGE;

function countOf({ def }: KValue, symbols: Readonly<Record<string, number>>): number {
  if (def.kind === "const") return Number(def.value);
  const value = def.kind === "param" ? symbols[def.name] : undefined;
  if (value === undefined) throw new InternalError("tests use counts of constants and symbols");
  return value;
}

/** The arrays of the buffers after the run, by name. */
export async function runKernelOnGpu(
  { device, f16, subgroups }: OpenDevice,
  source: Kernel,
  inputs: KernelInputs,
): Promise<Record<string, Uint8Array>> {
  const kernel = legaliseKernel(source);
  const wgsl = renderWgsl(kernel, { f16, subgroups });
  const symbols = inputs.symbols ?? {};
  const layout = createLayout(device, kernel, wgsl);
  const pipeline = await createPipeline(device, layout, kernel.name, wgsl.code);
  const buffers = kernel.buffers.map(({ name, dtype, size }) => {
    const { buffer, byteOffset, byteLength } = inputs.buffers[name] as Uint8Array<ArrayBuffer>;
    const bytes = Math.ceil((evaluateDim(size, symbols) * DTYPE_INFO[dtype].bytes) / 16) * 16;
    const memory = device.createBuffer({ size: bytes, usage: STORAGE | COPY_SRC | COPY_DST });
    const padded = new Uint8Array(bytes);
    padded.set(new Uint8Array(buffer, byteOffset, byteLength));
    device.queue.writeBuffer(memory, 0, padded);
    return memory;
  });
  const entries = buffers.map((buffer, binding): GPUBindGroupEntry => ({ binding, resource: { buffer } }));
  if (wgsl.parameters.length > 0) {
    const words = Int32Array.from(wgsl.parameters, ({ name }) => symbols[name] ?? 0);
    const memory = device.createBuffer({
      size: Math.ceil(words.byteLength / 16) * 16,
      usage: UNIFORM | COPY_DST,
    });
    device.queue.writeBuffer(memory, 0, words);
    entries.push({ binding: buffers.length, resource: { buffer: memory } });
  }
  const tasks = wgsl.counts.reduce((n, count) => n * countOf(count, symbols), 1);
  const encoder = device.createCommandEncoder();
  if (tasks > 0) {
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({ layout, entries }));
    pass.dispatchWorkgroups(...foldGrid(Math.ceil(tasks / wgsl.tasksPerWorkgroup), 65_535));
    pass.end();
  }
  const copies = buffers.map((buffer) => {
    const copy = device.createBuffer({ size: buffer.size, usage: MAP_READ | COPY_DST });
    encoder.copyBufferToBuffer(buffer, 0, copy, 0, buffer.size);
    return copy;
  });
  device.queue.submit([encoder.finish()]);
  const results: Record<string, Uint8Array> = {};
  for (const [i, { name }] of kernel.buffers.entries()) {
    const copy = copies[i] as GPUBuffer;
    await copy.mapAsync(READ_MODE);
    results[name] = new Uint8Array(copy.getMappedRange()).slice(0, inputs.buffers[name]?.byteLength);
    copy.destroy();
    buffers[i]?.destroy();
  }
  return results;
}
