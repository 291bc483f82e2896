/**
 * Keeps workers off the caller's processor, in generated code.
 *
 * A worker that wakes while the other processors look busy is put behind the caller on its own, and may stay there for
 * many runs: both are "hot", and each wait at a barrier then costs a switch of threads. So the caller leaves its
 * processor number in the pool, and a worker that begins a run on the same one takes that processor out of its
 * affinity, which moves it at once; the next time another one may be taken out instead. Linux only: the number is what
 * the system leaves for RDTSCP (low 12 bits of IA32_TSC_AUX). References: sched_setaffinity(2), rdtscp.
 */
import { label, mem, r12, r15, r32, rbp, rbx, rcx, rdx } from "../asm/index.ts";
import type { Assembler } from "../asm/index.ts";
import { at } from "./kernel-call.ts";
import { POOL } from "./program-layout.ts";

const SYS_SCHED_SETAFFINITY = 203;
const SYS_SCHED_GETAFFINITY = 204;

const eax = r32(0);
const ecx = r32(1);

/** Notes the processor that the caller runs on; destroys rax, rcx and rdx. */
export function emitNoteCaller(a: Assembler): void {
  emitProcessor(a);
  a.emit("mov", at(rbx, POOL.caller), ecx);
}

/** Remembers on which processors worker r12 may run, when its thread starts. */
export function emitReadAffinity(a: Assembler): void {
  emitMaskAddress(a);
  emitAffinityCall(a, SYS_SCHED_GETAFFINITY);
}

/** Moves worker r12 away from the caller's processor where both are on the same; keeps rbx, r12, r13 and r14. */
export function emitLeaveCaller(a: Assembler): void {
  const apart = label("apart");
  emitProcessor(a);
  a.emit("cmp", ecx, at(rbx, POOL.caller, 4));
  a.emit("jne", apart);
  a.emit("cmp", ecx, 8 * POOL.maskBytes);
  a.emit("jae", apart);
  a.emit("mov", r15, 1);
  a.emit("shlx", r15, r15, rcx);
  a.emit("mov", rbp, rcx);
  a.emit("shr", rbp, 6);
  emitMaskAddress(a);
  a.emit("lea", rbp, mem({ base: rdx, index: rbp, scale: 8 }));
  a.emit("xor", at(rbp, 0), r15);
  emitAffinityCall(a, SYS_SCHED_SETAFFINITY);
  a.emit("xor", at(rbp, 0), r15);
  a.bind(apart);
}

/** ecx: the number of this processor. */
function emitProcessor(a: Assembler): void {
  a.emit("rdtscp");
  a.emit("and", ecx, 0xfff);
}

/** rdx: the mask of worker r12. */
function emitMaskAddress(a: Assembler): void {
  a.emit("mov", rdx, r12);
  a.emit("shl", rdx, Math.log2(POOL.maskBytes));
  a.emit("lea", rdx, mem({ base: rbx, index: rdx, disp: POOL.masks }));
}

function emitAffinityCall(a: Assembler, call: number): void {
  a.emit("xor", r32(7), r32(7)); // this thread
  a.emit("mov", r32(6), POOL.maskBytes);
  a.emit("mov", eax, call);
  a.emit("syscall");
}
