/**
 * The half of native memory that every host shares: a view made on first use and detached on free.
 */
import { InternalError } from "@quern/core";

import type { NativeMemory } from "./native-host.ts";

/** Memory of any host; `release` gives it back to the system. */
export class HostMemory implements NativeMemory {
  readonly address: bigint;
  readonly byteLength: number;
  private view: ArrayBuffer | undefined;
  private release: (() => void) | undefined;
  private readonly makeView: (address: bigint, byteLength: number) => ArrayBuffer;

  constructor(
    address: bigint,
    byteLength: number,
    makeView: (address: bigint, byteLength: number) => ArrayBuffer,
    release: () => void,
  ) {
    this.address = address;
    this.byteLength = byteLength;
    this.makeView = makeView;
    this.release = release;
  }

  get buffer(): ArrayBuffer {
    if (this.release === undefined)
      throw new InternalError(`memory at 0x${this.address.toString(16)} was freed and is still in use`);
    this.view ??= this.byteLength === 0 ? new ArrayBuffer(0) : this.makeView(this.address, this.byteLength);
    return this.view;
  }

  freshView(): ArrayBuffer {
    if (this.release === undefined)
      throw new InternalError(`memory at 0x${this.address.toString(16)} was freed and is still in use`);
    return this.byteLength === 0 ? new ArrayBuffer(0) : this.makeView(this.address, this.byteLength);
  }

  free(): void {
    const release = this.release;
    if (release === undefined) return;
    this.release = undefined;
    // Detaching turns a stale typed array into an empty one, where reading unmapped pages would end the process.
    if (this.view !== undefined && !this.view.detached) this.view.transfer(0);
    this.view = undefined;
    release();
  }

  [Symbol.dispose](): void {
    this.free();
  }
}
