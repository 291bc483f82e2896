/**
 * Packs machine code into few mappings: large reserved regions, filled from the front, one run of pages per batch.
 *
 * In goes position-independent code, out come its addresses. Published pages are executable and never written again,
 * so publish many kernels at once; the space left in a batch's last page is lost.
 */
import { invariant } from "@quern/core";

import type { CodeRegion, NativeHost } from "./native-host.ts";

/** Kernels start on a cache line; constants behind the code may ask for this alignment and no more. */
export const CODE_ALIGNMENT = 64;

const REGION_BYTES = 16 << 20;

export class CodeArena implements Disposable {
  private readonly host: NativeHost;
  private readonly regions: CodeRegion[] = [];
  private used = 0;
  private published = 0;

  constructor(host: NativeHost) {
    this.host = host;
  }

  /** Bytes of code so far, padding not counted. */
  get codeBytes(): number {
    return this.published;
  }

  /** Makes a batch executable and gives the address of each piece, in order. */
  publish(pieces: readonly Uint8Array[]): bigint[] {
    if (pieces.length === 0) return [];
    const offsets: number[] = [];
    let total = 0;
    for (const piece of pieces) {
      offsets.push(total);
      total = roundUp(total + piece.length, CODE_ALIGNMENT);
      this.published += piece.length;
    }
    // int3 between the pieces: falling off the end of a kernel traps at once.
    const batch = new Uint8Array(total).fill(0xcc);
    pieces.forEach((piece, i) => batch.set(piece, offsets[i]));
    const { region, offset } = this.reserve(total);
    region.publish(offset, batch);
    return offsets.map((at) => region.address + BigInt(offset + at));
  }

  /** Unmaps all code. None of it may be running or be called again. */
  free(): void {
    for (const region of this.regions.splice(0)) region.free();
    this.used = 0;
  }

  [Symbol.dispose](): void {
    this.free();
  }

  private reserve(byteLength: number): { region: CodeRegion; offset: number } {
    const pages = roundUp(byteLength, this.host.pageBytes);
    let region = this.regions.at(-1);
    if (region === undefined || this.used + pages > region.byteLength) {
      region = this.host.reserveCode(Math.max(REGION_BYTES, pages));
      this.regions.push(region);
      this.used = 0;
    }
    const offset = this.used;
    this.used += pages;
    invariant(this.used <= region.byteLength, "code arena: region overflow");
    return { region, offset };
  }
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
