/**
 * Scratch buffers of a kernel: consecutive in the memory of the executing thread, each at a multiple of 64 bytes.
 *
 * Sizes may depend on dimension symbols; then the places of the buffers behind are computed at the kernel's entry by
 * the same formula as {@link scratchBytes} on the host.
 */
import { DTYPE_INFO, evaluateDim } from "@quern/core";
import type { DimBindings } from "@quern/core";
import type { Buffer } from "@quern/core/kernel";
import { mem } from "../asm/index.ts";
import type { Reg } from "../asm/index.ts";
import type { Selector } from "./selector.ts";

function roundUp(bytes: number): number {
  return Math.ceil(bytes / 64) * 64;
}

/** Bytes of scratch memory that one thread needs. */
export function scratchBytes(scratch: readonly Pick<Buffer, "dtype" | "size">[], symbols: DimBindings): number {
  return scratch.reduce(
    (sum, { size, dtype }) => sum + roundUp(evaluateDim(size, symbols) * DTYPE_INFO[dtype].bytes),
    0,
  );
}

/** The address of a scratch buffer; emitted at the entry. */
export function scratchBase(s: Selector, buffer: Buffer): Reg {
  const { code } = s;
  const at = s.kernel.scratch.findIndex(({ id }) => id === buffer.id);
  const previous = s.kernel.scratch[at - 1];
  const reg = code.general();
  if (previous === undefined) {
    const table = code.general();
    code.emit("mov", table, s.slot("scratch", "scratch"));
    code.emit("mov", reg, mem({ base: table, index: s.threadIndex, scale: 8 }));
    return reg;
  }
  const { size, dtype } = previous;
  const before = s.index.bufferRegister(previous);
  if (typeof size === "number") {
    code.emit("lea", reg, mem({ base: before, disp: roundUp(size * DTYPE_INFO[dtype].bytes) }));
    return reg;
  }
  const count = s.index.dimRegister(size);
  code.emit("imul", reg, count, DTYPE_INFO[dtype].bytes);
  code.emit("add", reg, 63);
  code.emit("and", reg, -64);
  code.emit("add", reg, before);
  return reg;
}
