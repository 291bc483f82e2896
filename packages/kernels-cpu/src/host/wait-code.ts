/**
 * Waiting and waking in generated code: a system call on Linux, a function of the system library on Windows.
 *
 * All of these destroy what a call to C may destroy, and keep rbx, rbp and r12..r15. They need rsp at a multiple of
 * 16 with the frame of `emitPrologue` below it. References: futex(2), sched_yield(2); WaitOnAddress.
 */
import { imm, r10, r32, rax, rcx, rdi, rdx, rsi, rsp } from "../asm/index.ts";
import type { Assembler, Mem } from "../asm/index.ts";
import { at, SCRATCH_AT } from "./kernel-call.ts";
import type { WaitCalls } from "./native-host.ts";

const SYS_SIGPROCMASK = 14;
const SYS_SCHED_YIELD = 24;
const SYS_FUTEX = 202;
const FUTEX_WAIT_PRIVATE = 128;
const FUTEX_WAKE_PRIVATE = 129;

const eax = r32(0);
const edx = r32(2);
const esi = r32(6);

/** Sleeps while the 32-bit word at `word` equals edx; may also return early. `word` may not be based on rax or rdi. */
export function emitWait(a: Assembler, calls: WaitCalls, word: Mem): void {
  if (calls.kind === "futex") {
    a.emit("lea", rdi, word);
    a.emit("mov", esi, FUTEX_WAIT_PRIVATE);
    a.emit("xor", r32(10), r32(10)); // no timeout
    a.emit("mov", eax, SYS_FUTEX);
    a.emit("syscall");
    return;
  }
  a.emit("mov", at(rsp, SCRATCH_AT), edx);
  a.emit("lea", rcx, word);
  a.emit("lea", rdx, at(rsp, SCRATCH_AT));
  a.emit("mov", r32(8), 4);
  a.emit("mov", r32(9), imm(0xffffffff)); // no timeout
  emitFunctionCall(a, calls.waitOnAddress);
}

/** Wakes every thread that sleeps on `word`. */
export function emitWakeAll(a: Assembler, calls: WaitCalls, word: Mem): void {
  if (calls.kind === "futex") {
    a.emit("lea", rdi, word);
    a.emit("mov", esi, FUTEX_WAKE_PRIVATE);
    a.emit("mov", edx, 0x7fffffff);
    a.emit("mov", eax, SYS_FUTEX);
    a.emit("syscall");
    return;
  }
  a.emit("lea", rcx, word);
  emitFunctionCall(a, calls.wakeByAddressAll);
}

/** Lets another thread have this core. */
export function emitYield(a: Assembler, calls: WaitCalls): void {
  if (calls.kind === "futex") {
    a.emit("mov", eax, SYS_SCHED_YIELD);
    a.emit("syscall");
  } else emitFunctionCall(a, calls.switchToThread);
}

/**
 * Keeps signals meant for the process away from this thread: their handlers belong to Node's own threads. Faults
 * stay deliverable, so that a crash is reported as one. Nothing to do on Windows.
 */
export function emitBlockSignals(a: Assembler, calls: WaitCalls): void {
  if (calls.kind !== "futex") return;
  const faults = [4, 5, 6, 7, 8, 11]; // SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGSEGV
  const blocked = faults.reduce((set, signal) => set & ~(1n << BigInt(signal - 1)), (1n << 64n) - 1n);
  a.emit("mov", rax, imm(BigInt.asIntN(64, blocked)));
  a.emit("mov", at(rsp, SCRATCH_AT), rax);
  a.emit("mov", r32(7), 2); // SIG_SETMASK
  a.emit("lea", rsi, at(rsp, SCRATCH_AT));
  a.emit("xor", edx, edx);
  a.emit("mov", r10, 8); // bytes of the set
  a.emit("mov", eax, SYS_SIGPROCMASK);
  a.emit("syscall");
}

function emitFunctionCall(a: Assembler, address: bigint): void {
  a.emit("mov", rax, imm(address));
  a.emit("call", rax);
}
