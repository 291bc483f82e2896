/**
 * Long-lived blocks (packed weights, constants) cut from large huge-page mappings.
 *
 * Blocks are handed out from the front and freed all together: each keeps the life of the arena.
 */
import { invariant } from "@quern/core";

import type { NativeHost, NativeMemory } from "./native-host.ts";

/** A block of an arena. `buffer` is the whole mapping's; the block is `byteLength` bytes at `byteOffset`. */
export interface ArenaBlock {
  readonly address: bigint;
  readonly buffer: ArrayBuffer;
  readonly byteOffset: number;
  readonly byteLength: number;
}

const CHUNK_BYTES = 32 << 20;

export class MemoryArena implements Disposable {
  private readonly host: NativeHost;
  private readonly hugePages: boolean;
  private readonly chunks: NativeMemory[] = [];
  private used = 0;
  private handedOut = 0;

  constructor(host: NativeHost, options: { readonly hugePages?: boolean } = {}) {
    this.host = host;
    this.hugePages = options.hugePages ?? true;
  }

  /** Bytes in blocks so far, padding not counted. */
  get usedBytes(): number {
    return this.handedOut;
  }

  /** A zeroed block at a multiple of `alignment`, which is a power of two up to the page size. */
  allocate(byteLength: number, alignment = 64): ArenaBlock {
    invariant(alignment <= this.host.pageBytes, () => `arena: alignment ${alignment} is beyond the page size`);
    let chunk = this.chunks.at(-1);
    let byteOffset = Math.ceil(this.used / alignment) * alignment;
    if (chunk === undefined || byteOffset + byteLength > chunk.byteLength) {
      chunk = this.host.allocate(Math.max(CHUNK_BYTES, byteLength), { hugePages: this.hugePages });
      this.chunks.push(chunk);
      byteOffset = 0;
    }
    this.used = byteOffset + byteLength;
    this.handedOut += byteLength;
    return { address: chunk.address + BigInt(byteOffset), buffer: chunk.buffer, byteOffset, byteLength };
  }

  free(): void {
    for (const chunk of this.chunks.splice(0)) chunk.free();
    this.used = 0;
    this.handedOut = 0;
  }

  [Symbol.dispose](): void {
    this.free();
  }
}
