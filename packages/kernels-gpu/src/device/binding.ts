/**
 * A program bound to sizes: buffers, bind groups and grids for one set of symbol values.
 *
 * Made once per set of sizes and kept; a run only uploads inputs and encodes dispatches. Buffers are shared between
 * runs, which is safe because a run writes, dispatches and copies its results in one turn of the event loop.
 */

import {
  type DimBindings,
  type ScalarParam,
  InternalError,
  UnsupportedError,
  debug,
  evaluateDim,
  indexDim,
  type Storage,
} from "@quern/core";
import { foldGrid } from "../wgsl/geometry.ts";
import type { Program, Step } from "./program.ts";
import { bufferBytes, shareSlots } from "./storage.ts";

interface Dispatch {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly grid: readonly [number, number];
}

export class Binding {
  readonly symbols: DimBindings;
  /** Bytes of intermediate buffers. */
  readonly plannedBytes: number;
  readonly #device: GPUDevice;
  readonly #buffers = new Map<Storage, GPUBuffer>();
  readonly #owned: GPUBuffer[] = [];
  readonly #dispatches: readonly Dispatch[];

  constructor(
    device: GPUDevice,
    program: Program,
    pipelines: readonly GPUComputePipeline[],
    constants: ReadonlyMap<Storage, GPUBuffer>,
    symbols: DimBindings,
  ) {
    this.#device = device;
    this.symbols = symbols;
    for (const [storage, buffer] of constants) this.#buffers.set(storage, buffer);
    const bytesOf = (storage: Storage): number => bufferBytes(storage, evaluateDim(storage.size, symbols));
    const { storages } = program.storages;
    for (const storage of storages) {
      if (storage.kind === "input" || storage.kind === "output")
        this.#buffers.set(storage, this.#allocate(bytesOf(storage)));
    }
    const slots = shareSlots(
      storages.filter(({ kind, last }) => kind === "planned" && last >= 0),
      bytesOf,
    );
    for (const slot of slots) {
      const buffer = this.#allocate(slot.bytes);
      for (const storage of slot.storages) this.#buffers.set(storage, buffer);
    }
    this.plannedBytes = slots.reduce((sum, { bytes }) => sum + bytes, 0);
    this.#dispatches = program.steps.flatMap((step, i) => this.#dispatch(step, pipelines[i] as GPUComputePipeline));
    debug(3, () => `memory plan: ${slots.length} shared buffers in ${this.plannedBytes} bytes`);
  }

  bufferOf(storage: Storage): GPUBuffer {
    const buffer = this.#buffers.get(storage);
    if (buffer === undefined) throw new InternalError(`storage ${storage.id} (${storage.kind}) has no buffer`);
    return buffer;
  }

  /** Encodes every dispatch of the program, in order; WebGPU orders their memory accesses. */
  encode(encoder: GPUCommandEncoder): void {
    if (this.#dispatches.length === 0) return;
    const pass = encoder.beginComputePass();
    for (const { pipeline, group, grid } of this.#dispatches) {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(grid[0], grid[1]);
    }
    pass.end();
  }

  destroy(): void {
    for (const buffer of this.#owned) buffer.destroy();
  }

  #allocate(size: number, usage: number = GPU_USAGE.STORAGE | GPU_USAGE.COPY_SRC | GPU_USAGE.COPY_DST): GPUBuffer {
    const { maxBufferSize, maxStorageBufferBindingSize } = this.#device.limits;
    const most = Math.min(maxBufferSize, maxStorageBufferBindingSize);
    if (size > most)
      throw new UnsupportedError({
        op: `tensor of ${size} bytes`,
        target: "gpu",
        reason: `this adapter binds buffers of at most ${most} bytes`,
      });
    const buffer = this.#device.createBuffer({ size, usage });
    this.#owned.push(buffer);
    return buffer;
  }

  /** None for a step without tasks. */
  #dispatch(step: Step, pipeline: GPUComputePipeline): Dispatch[] {
    const { wgsl, kernel } = step.compiled;
    const tasks = wgsl.counts.reduce((n, count) => n * evaluateDim(indexDim(count), this.symbols), 1);
    if (tasks <= 0) return [];
    const entries = step.storages.map((storage, binding): GPUBindGroupEntry => {
      const elements = evaluateDim(storage.size, this.symbols);
      return { binding, resource: { buffer: this.bufferOf(storage), size: bufferBytes(storage, elements) } };
    });
    if (wgsl.parameters.length > 0)
      entries.push({ binding: kernel.buffers.length, resource: { buffer: this.#parameters(step) } });
    const group = this.#device.createBindGroup({ layout: step.compiled.layout, entries });
    const grid = foldGrid(
      Math.ceil(tasks / wgsl.tasksPerWorkgroup),
      this.#device.limits.maxComputeWorkgroupsPerDimension,
    );
    return [{ pipeline, group, grid }];
  }

  #parameters({ compiled, launch }: Step): GPUBuffer {
    const { parameters } = compiled.wgsl;
    const bytes = new ArrayBuffer(Math.ceil((parameters.length * 4) / 16) * 16);
    const view = new DataView(bytes);
    parameters.forEach(({ name, dtype }: ScalarParam, i) => {
      const value = launch.scalars?.[name] ?? this.symbols[name];
      if (value === undefined) throw new InternalError(`${compiled.kernel.name}: no value for ${name}`);
      if (dtype === "f32") view.setFloat32(i * 4, value, true);
      else view.setInt32(i * 4, value, true);
    });
    const buffer = this.#allocate(bytes.byteLength, GPU_USAGE.UNIFORM | GPU_USAGE.COPY_DST);
    this.#device.queue.writeBuffer(buffer, 0, bytes);
    return buffer;
  }
}

/** The flags of `GPUBufferUsage` and `GPUMapMode`, which Node has no globals for. */
export const GPU_USAGE = { MAP_READ: 1, COPY_SRC: 4, COPY_DST: 8, UNIFORM: 64, STORAGE: 128, READ_MODE: 1 } as const;
