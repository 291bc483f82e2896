/**
 * Memory of tensors outside the arena: results, and tensors that users make for inputs.
 *
 * Small tensors live in JavaScript memory. Large ones live in native blocks which are recycled when a tensor is
 * disposed or its array buffer is garbage: allocating and faulting in megabytes per run would cost more than many
 * kernels. A block handed out again gets a new `ArrayBuffer` and `dispose` detaches the old one, so no view ever sees
 * another tensor's data.
 */

import { ARRAY_OF, DTYPE_INFO, type DType, Tensor, elementCount } from "@quern/core";
import type { NativeHost, NativeMemory } from "../host/index.ts";

/** Below this many bytes a JavaScript allocation is cheaper than recycling. */
const NATIVE_THRESHOLD = 256 << 10;
/** Blocks kept for reuse; the least recently returned ones are freed beyond it. */
const MAX_POOLED_BYTES = 256 << 20;

export class TensorMemory {
  readonly #host: NativeHost;
  readonly #free = new Map<number, NativeMemory[]>();
  readonly #collected: FinalizationRegistry<NativeMemory>;
  #pooledBytes = 0;
  #closed = false;

  constructor(host: NativeHost) {
    this.#host = host;
    this.#collected = new FinalizationRegistry((memory) => this.#recycle(memory));
  }

  /** Uninitialised tensor (zero-filled when small). */
  empty(dtype: DType, shape: readonly number[]): Tensor {
    const bytes = elementCount(shape) * DTYPE_INFO[dtype].bytes;
    if (bytes < NATIVE_THRESHOLD) return Tensor.zeros(dtype, shape);
    const memory = this.#take(bytes);
    const view = memory.freshView();
    const data = new ARRAY_OF[dtype](view, 0, elementCount(shape));
    this.#collected.register(view, memory, memory);
    return new Tensor(dtype, shape, data, () => {
      this.#collected.unregister(memory);
      // Garbage otherwise: the collector counts the megabytes of views, and would stop the process every few calls.
      if (!view.detached) view.transfer(0);
      this.#recycle(memory);
    });
  }

  /** Frees the pooled blocks; tensors that are alive keep theirs until they are disposed. */
  close(): void {
    this.#closed = true;
    for (const blocks of this.#free.values()) for (const memory of blocks) memory.free();
    this.#free.clear();
  }

  #take(bytes: number): NativeMemory {
    const size = sizeClass(bytes);
    const memory = this.#free.get(size)?.pop();
    if (memory === undefined) return this.#host.allocate(size, { hugePages: true, populate: true });
    this.#pooledBytes -= size;
    return memory;
  }

  #recycle(memory: NativeMemory): void {
    const size = memory.byteLength;
    if (this.#closed || this.#pooledBytes + size > MAX_POOLED_BYTES) {
      memory.free();
      return;
    }
    let blocks = this.#free.get(size);
    if (blocks === undefined) this.#free.set(size, (blocks = []));
    blocks.push(memory);
    this.#pooledBytes += size;
  }
}

/** Rounds up so that slightly different sizes share blocks: eighths of a power of two. */
function sizeClass(bytes: number): number {
  const step = 2 ** Math.max(12, Math.floor(Math.log2(bytes)) - 3);
  return Math.ceil(bytes / step) * step;
}
