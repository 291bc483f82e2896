/**
 * The calling convention of kernels, and the code that brings the platform's convention to it and back.
 *
 * A kernel is `void kernel(slots: rdi, taskBegin: rsi, taskEnd: rdx, threadIndex: rcx)` on every platform. Slot i is the
 * 64-bit word at [rdi + 8*i]: an address, an integer, or the bits of a float in its low half. The kernel works on the
 * tasks taskBegin <= t < taskEnd. It preserves rbx, rbp and r12..r15, finds rsp + 8 at a multiple of 16, may destroy
 * every other register, and must leave tiles configured or not as it likes: whoever runs kernels clears vector upper
 * halves and tiles before going back to C. Its stack use stays below {@link KERNEL_STACK_BYTES}. Stores that bypass
 * the cache (vmovntps and kin) are followed by sfence before it returns.
 */
import { Assembler, mem, r12, r13, r14, r15, rax, rbp, rbx, rcx, rdi, rdx, rsi, rsp, xmm } from "../asm/index.ts";
import type { Mem, Reg } from "../asm/index.ts";
import type { NativeAbi } from "./native-host.ts";

/** Async calls run on small native stacks; a kernel keeps larger scratch in memory that its slots point to. */
export const KERNEL_STACK_BYTES: number = 64 << 10;

/** Most threads one program may run on, the caller included. */
export const MAX_THREADS = 128;

/** A slot that holds an f32 in its low half. */
export function slotF32(value: number): bigint {
  const bits = new DataView(new ArrayBuffer(8));
  bits.setFloat32(0, value, true);
  return bits.getBigUint64(0, true);
}

/** The memory operand [base + disp]. */
export function at(base: Reg, disp: number, size?: 4 | 8): Mem {
  return mem({ base, disp, size });
}

const SAVED_SYSV: readonly Reg[] = [rbx, rbp, r12, r13, r14, r15];
const SAVED_WIN64: readonly Reg[] = [...SAVED_SYSV, rdi, rsi];
const SHADOW_BYTES = 32;
const SCRATCH_BYTES = 16;
const XMM_AT = SHADOW_BYTES + SCRATCH_BYTES;
const SAVED_XMM = [6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/** Offset from rsp of 16 bytes that code between prologue and epilogue may use. */
export const SCRATCH_AT: number = SHADOW_BYTES;

// Return address and pushes leave rsp at 8 modulo 16 in both conventions, so the frame is 8 modulo 16 too.
function frameBytes(abi: NativeAbi): number {
  return SHADOW_BYTES + SCRATCH_BYTES + 8 + (abi === "win64" ? 16 * SAVED_XMM.length : 0);
}

/**
 * Starts a function `f(void* argument)` of the platform's convention: saves what it must keep and leaves the argument
 * in rdi, rsp at a multiple of 16, 32 bytes of shadow space at rsp.
 */
export function emitPrologue(a: Assembler, abi: NativeAbi): void {
  const saved = abi === "win64" ? SAVED_WIN64 : SAVED_SYSV;
  for (const reg of saved) a.emit("push", reg);
  a.emit("sub", rsp, frameBytes(abi));
  if (abi === "win64") {
    SAVED_XMM.forEach((id, i) => a.emit("vmovaps", at(rsp, XMM_AT + 16 * i), xmm(id)));
    a.emit("mov", rdi, rcx);
  }
}

/** Undoes {@link emitPrologue} and returns. */
export function emitEpilogue(a: Assembler, abi: NativeAbi): void {
  const saved = abi === "win64" ? SAVED_WIN64 : SAVED_SYSV;
  if (abi === "win64") SAVED_XMM.forEach((id, i) => a.emit("vmovaps", xmm(id), at(rsp, XMM_AT + 16 * i)));
  a.emit("add", rsp, frameBytes(abi));
  for (const reg of saved.toReversed()) a.emit("pop", reg);
  a.emit("ret");
}

/** What the machine code around kernels has to clean up. */
export interface CleanUp {
  readonly avx: boolean;
  readonly tiles: boolean;
}

/** Leaves the vector and tile units as C code and idle threads want them. */
export function emitCleanUp(a: Assembler, cleanUp: CleanUp): void {
  if (cleanUp.avx) a.emit("vzeroupper");
  if (cleanUp.tiles) a.emit("tilerelease");
}

/** Words of the block that {@link assembleKernelCall} reads. */
export const CALL_BLOCK = { kernel: 0, slots: 1, begin: 2, end: 3, thread: 4, words: 5 } as const;

/** Code of `f(block)`: one call of one kernel with everything taken from the block. */
export function assembleKernelCall(abi: NativeAbi, cleanUp: CleanUp): Uint8Array {
  const a = new Assembler();
  emitPrologue(a, abi);
  a.emit("mov", rax, rdi);
  a.emit("mov", rdi, at(rax, 8 * CALL_BLOCK.slots));
  a.emit("mov", rsi, at(rax, 8 * CALL_BLOCK.begin));
  a.emit("mov", rdx, at(rax, 8 * CALL_BLOCK.end));
  a.emit("mov", rcx, at(rax, 8 * CALL_BLOCK.thread));
  a.emit("call", at(rax, 8 * CALL_BLOCK.kernel, 8));
  emitCleanUp(a, cleanUp);
  emitEpilogue(a, abi);
  return a.assemble().bytes;
}
