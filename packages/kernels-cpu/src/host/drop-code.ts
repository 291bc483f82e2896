/**
 * Drops pages of a mapped file, as a kernel: so that a program which packs weights lets go of each part of the file as soon
 * as it was read. Linux. Reference: madvise(2), MADV_DONTNEED.
 */
import { Assembler, r32, rdi, rsi } from "../asm/index.ts";
import { at } from "./kernel-call.ts";

const SYS_MADVISE = 28;
const MADV_DONTNEED = 4;

/** A kernel of one serial task; slot 0 is the address of the first page, slot 1 the number of bytes. */
export function dropPagesKernel(): Uint8Array {
  const a = new Assembler();
  a.emit("mov", rsi, at(rdi, 8, 8));
  a.emit("mov", rdi, at(rdi, 0, 8));
  a.emit("mov", r32(2), MADV_DONTNEED);
  a.emit("mov", r32(0), SYS_MADVISE);
  a.emit("syscall");
  a.emit("ret");
  return a.assemble().bytes;
}
