/**
 * Machine code that survives a faulting kernel on Linux: a call that records where to come back to, and a signal
 * handler that goes there.
 *
 * Both share one record (`TRAP`), whose address is part of the handler: a signal brings no argument of ours. The
 * handler takes a fault as the kernel's when a call is active and the faulting instruction lies in the code of its
 * kernel. It notes what happened and edits the interrupted context, so that returning from the signal (which also
 * restores the signal mask) continues at the end of the call, on the call's stack. Every other fault goes to the action
 * that was there before. References: sigaction(2); `struct sigcontext` and `siginfo` of Linux for x86-64.
 */
import { Assembler, imm, label, mem, r10, r32, rax, rbx, rcx, rdi, rdx, rsi, rsp } from "../asm/index.ts";
import { at, emitCleanUp, emitEpilogue, emitPrologue } from "./kernel-call.ts";
import type { CleanUp } from "./kernel-call.ts";

/** Byte offsets in the record. */
export const TRAP = {
  /** 1 while a kernel runs. */
  active: 0,
  /** Stack pointer to come back to. */
  stack: 8,
  kernel: 16,
  kernelEnd: 24,
  slots: 32,
  taskCount: 40,
  /** What happened; signal 0: nothing. */
  signal: 48,
  code: 56,
  instruction: 64,
  address: 72,
  pageFault: 80,
  /** A `struct sigaction` of zeros, as the kernel has it: the default action. */
  defaultAction: 96,
  /** Handlers that were there before, by signal number. */
  previous: 128,
  bytes: 384,
} as const;

const SYS_RT_SIGACTION = 13;
/** Offsets in the kernel's `siginfo` and `ucontext`. */
const SIGINFO = { code: 8, address: 16 } as const;
const UCONTEXT = { rsp: 160, rip: 168, pageFault: 192 } as const;

export interface TrapCode {
  readonly bytes: Uint8Array;
  /** Offsets of `handler(signal, siginfo, ucontext)` and `call(TRAP record)`. */
  readonly handlerAt: number;
  readonly callAt: number;
}

/** Code for the record at this address, which must stay as long as the handler may be installed. */
export function assembleTrapCode(record: bigint, cleanUp: CleanUp): TrapCode {
  const a = new Assembler();
  const [handler, call, recover] = [label("handler"), label("call"), label("recover")];
  const [foreign, byDefault] = [label(), label()];

  a.bind(handler);
  a.emit("mov", rax, imm(record));
  a.emit("cmp", at(rax, TRAP.active, 8), 0);
  a.emit("je", foreign);
  a.emit("mov", rcx, at(rdx, UCONTEXT.rip));
  a.emit("cmp", rcx, at(rax, TRAP.kernel));
  a.emit("jb", foreign);
  a.emit("cmp", rcx, at(rax, TRAP.kernelEnd));
  a.emit("jae", foreign);
  a.emit("mov", at(rax, TRAP.instruction), rcx);
  a.emit("mov", at(rax, TRAP.signal, 4), r32(7));
  a.emit("mov", r32(1), at(rsi, SIGINFO.code));
  a.emit("mov", at(rax, TRAP.code, 4), r32(1));
  a.emit("mov", rcx, at(rsi, SIGINFO.address));
  a.emit("mov", at(rax, TRAP.address), rcx);
  a.emit("mov", rcx, at(rdx, UCONTEXT.pageFault));
  a.emit("mov", at(rax, TRAP.pageFault), rcx);
  a.emit("mov", rcx, at(rax, TRAP.stack));
  a.emit("mov", at(rdx, UCONTEXT.rsp), rcx);
  a.emit("lea", rcx, mem({ label: recover }));
  a.emit("mov", at(rdx, UCONTEXT.rip), rcx);
  a.emit("ret");

  a.bind(foreign);
  a.emit("mov", r32(7), r32(7)); // an int: the upper half is undefined
  a.emit("mov", rcx, mem({ base: rax, index: rdi, scale: 8, disp: TRAP.previous }));
  a.emit("cmp", rcx, 1); // SIG_DFL and SIG_IGN; faults cannot be ignored
  a.emit("jbe", byDefault);
  a.emit("jmp", rcx);
  // Returning repeats the faulting instruction, now with the default action.
  a.bind(byDefault);
  a.emit("lea", rsi, at(rax, TRAP.defaultAction));
  a.emit("xor", r32(2), r32(2));
  a.emit("mov", r10, 8); // bytes of a signal set
  a.emit("mov", r32(0), SYS_RT_SIGACTION);
  a.emit("syscall");
  a.emit("ret");

  a.align(16);
  a.bind(call);
  emitPrologue(a, "sysv");
  a.emit("mov", rax, rdi);
  a.emit("mov", at(rax, TRAP.stack), rsp);
  a.emit("mov", at(rax, TRAP.active, 8), 1);
  a.emit("mov", rdi, at(rax, TRAP.slots));
  a.emit("xor", r32(6), r32(6));
  a.emit("mov", rdx, at(rax, TRAP.taskCount));
  a.emit("xor", r32(1), r32(1));
  a.emit("call", at(rax, TRAP.kernel, 8));
  // A kernel that faulted leaves registers as they were: only the stack pointer is right here.
  a.bind(recover);
  a.emit("mov", rbx, imm(record));
  a.emit("mov", at(rbx, TRAP.active, 8), 0);
  a.emit("cld");
  emitCleanUp(a, cleanUp);
  emitEpilogue(a, "sysv");

  const { bytes, labels } = a.assemble();
  return { bytes, handlerAt: labels.get(handler.name) as number, callAt: labels.get(call.name) as number };
}
