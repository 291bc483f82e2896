/**
 * Machine code that runs programs on one or many threads: the worker's loop and the caller's entry.
 *
 * A program is an array of 64-byte step records (`STEP`). Every thread walks all of it and runs its own contiguous
 * share of each step's tasks. A quarter of the tasks is in nobody's share: who is done with his own claims pieces of it, so
 * that a thread which the system interrupts, or whose core is slower, does not keep the others waiting. Threads meet only
 * after steps with the barrier flag, and at the end. Threads publish
 * their progress as epochs, one 64-bit counter per thread in a line of its own: arriving is a plain store, waiting is
 * reading the others' counters (x86 keeps stores of one processor in order, so the epoch comes after the data).
 *
 * Registers: rbx pool, r12 thread index, r15 step, rbp end of steps, r14 epoch, r13 the worker's last generation. All
 * of them survive calls, and the code keeps nothing in the others over one.
 */
import { Assembler, label, mem, r8, r9, r12, r14, r15, r32, rax, rbp, rbx, rcx, rdi, rdx, rsi } from "../asm/index.ts";
import type { Label } from "../asm/index.ts";
import { at, emitCleanUp, emitEpilogue, emitPrologue } from "./kernel-call.ts";
import type { CleanUp } from "./kernel-call.ts";
import type { NativeAbi, WaitCalls } from "./native-host.ts";
import { CONTROL, POOL, REQUEST, STEP, STEP_FLAGS, STOP_COUNT, WORKER } from "./program-layout.ts";
import { emitLeaveCaller, emitNoteCaller, emitReadAffinity } from "./spread-code.ts";
import { emitBlockSignals, emitWait, emitWakeAll, emitYield } from "./wait-code.ts";

export interface ProgramCodeOptions {
  readonly abi: NativeAbi;
  readonly waitCalls: WaitCalls;
  readonly cleanUp: CleanUp;
  /** Workers leave the caller's processor. */
  readonly spread: boolean;
  /** Polls before an idle worker sleeps; one poll takes about one `pause`. */
  readonly idleSpins: number;
  /** Polls at a barrier before a waiting thread starts to yield its core between polls. */
  readonly barrierSpins: number;
}

/** ceil(2^64 / threads): with it, multiplication's upper half divides exactly; see {@link emitShare}. */
export function shareReciprocal(threads: number): bigint {
  const count = BigInt(threads);
  return BigInt.asUintN(64, ((1n << 64n) + count - 1n) / count);
}

const eax = r32(0);
const ecx = r32(1);
const edx = r32(2);
const spins = r32(8);

/** Code of a worker thread: `routine(WORKER block)`. It returns after a generation with `STOP_COUNT`. */
export function assembleWorker(options: ProgramCodeOptions): Uint8Array {
  const { abi, waitCalls } = options;
  const a = new Assembler();
  const [idle, poll, started, ended] = [label("idle"), label("poll"), label("started"), label("ended")];
  emitPrologue(a, abi);
  a.emit("mov", rbx, at(rdi, WORKER.pool));
  a.emit("mov", r12, at(rdi, WORKER.index));
  a.emit("xor", r32(13), r32(13)); // a pool starts in generation 0
  emitBlockSignals(a, waitCalls);
  if (options.spread) emitReadAffinity(a);

  a.bind(idle);
  a.emit("mov", spins, options.idleSpins);
  a.bind(poll);
  a.emit("mov", eax, at(rbx, POOL.generation));
  a.emit("cmp", eax, r32(13));
  a.emit("jne", started);
  a.emit("pause");
  a.emit("sub", spins, 1);
  a.emit("jne", poll);
  // The locked add comes before the system call reads the generation, and a caller reads the sleepers after its locked
  // write of the generation: so either the caller sees the sleeper or the sleeper sees the new generation.
  a.emit("lock add", at(rbx, POOL.sleepers, 4), 1);
  a.emit("mov", edx, r32(13));
  emitWait(a, waitCalls, at(rbx, POOL.generation));
  a.emit("lock sub", at(rbx, POOL.sleepers, 4), 1);
  a.emit("jmp", idle);

  a.bind(started);
  a.emit("mov", r32(13), eax);
  a.emit("and", eax, 0xff);
  a.emit("cmp", eax, STOP_COUNT);
  a.emit("je", ended);
  // A thread that takes no part must not read the rest of the request: nobody waits for it before the next one.
  a.emit("cmp", r32(12), eax);
  a.emit("jae", idle);
  if (options.spread) emitLeaveCaller(a);
  emitSteps(a, options);
  a.emit("add", r14, 1);
  emitArrive(a);
  emitCleanUp(a, options.cleanUp);
  a.emit("jmp", idle);

  a.bind(ended);
  a.emit("xor", eax, eax);
  emitEpilogue(a, abi);
  return a.assemble().bytes;
}

/** Code of a run: `entry(REQUEST block)`. The caller is thread 0, and one caller at a time runs on a pool. */
export function assembleRun(options: ProgramCodeOptions): Uint8Array {
  const { abi, waitCalls } = options;
  const a = new Assembler();
  const [alone, done, unwatched] = [label(), label(), label()];
  emitPrologue(a, abi);
  a.emit("mov", rbx, at(rdi, REQUEST.pool));
  a.emit("xor", r32(12), r32(12));
  a.emit("mov", rax, at(rdi, REQUEST.steps));
  a.emit("mov", at(rbx, POOL.steps), rax);
  a.emit("mov", rax, at(rdi, REQUEST.end));
  a.emit("mov", at(rbx, POOL.end), rax);
  a.emit("mov", rdx, at(rdi, REQUEST.threads));
  a.emit("mov", at(rbx, POOL.threads), rdx);
  a.emit("mov", rax, mem({ base: rbx, index: rdx, scale: 8, disp: POOL.reciprocals }));
  a.emit("mov", at(rbx, POOL.reciprocal), rax);
  a.emit("cmp", rdx, 1);
  a.emit("jbe", alone);
  if (options.spread) emitNoteCaller(a);
  emitForgetClaims(a);
  a.emit("mov", edx, at(rbx, POOL.threads));
  emitNextGeneration(a, waitCalls);
  emitSteps(a, options);
  a.emit("add", r14, 1);
  emitArrive(a);
  emitMeet(a, options);
  a.emit("mov", at(rbx, POOL.epoch), r14);
  a.emit("jmp", done);
  a.bind(alone);
  emitSteps(a, options);
  a.bind(done);
  emitCleanUp(a, options.cleanUp);
  a.emit("lock add", at(rbx, POOL.completed, 4), 1);
  a.emit("cmp", at(rbx, POOL.waiters, 4), 0);
  a.emit("je", unwatched);
  emitWakeAll(a, waitCalls, at(rbx, POOL.completed));
  a.bind(unwatched);
  emitEpilogue(a, abi);
  return a.assemble().bytes;
}

/** Code of `entry(CONTROL block)` that sleeps until the number of ended runs is `completed`. */
export function assembleSettle(options: ProgramCodeOptions): Uint8Array {
  const { abi, waitCalls } = options;
  const a = new Assembler();
  const [check, settled] = [label(), label()];
  emitPrologue(a, abi);
  a.emit("mov", rbx, at(rdi, CONTROL.pool));
  a.emit("mov", r12, at(rdi, CONTROL.completed));
  a.emit("lock add", at(rbx, POOL.waiters, 4), 1);
  a.bind(check);
  a.emit("mov", edx, at(rbx, POOL.completed));
  a.emit("cmp", edx, r32(12));
  a.emit("je", settled);
  emitWait(a, waitCalls, at(rbx, POOL.completed));
  a.emit("jmp", check);
  a.bind(settled);
  a.emit("lock sub", at(rbx, POOL.waiters, 4), 1);
  emitEpilogue(a, abi);
  return a.assemble().bytes;
}

/** Code of `entry(CONTROL block)` that tells all workers of an idle pool to end. */
export function assembleStop(options: ProgramCodeOptions): Uint8Array {
  const { abi, waitCalls } = options;
  const a = new Assembler();
  emitPrologue(a, abi);
  a.emit("mov", rbx, at(rdi, CONTROL.pool));
  a.emit("mov", edx, STOP_COUNT);
  emitNextGeneration(a, waitCalls);
  emitEpilogue(a, abi);
  return a.assemble().bytes;
}

/** Starts a generation whose thread count is in edx, and wakes the workers that sleep. */
function emitNextGeneration(a: Assembler, waitCalls: WaitCalls): void {
  const awake = label();
  a.emit("mov", eax, at(rbx, POOL.generation));
  a.emit("and", eax, -256);
  a.emit("add", eax, 256);
  a.emit("or", eax, edx);
  a.emit("xchg", at(rbx, POOL.generation), eax);
  a.emit("cmp", at(rbx, POOL.sleepers, 4), 0);
  a.emit("je", awake);
  emitWakeAll(a, waitCalls, at(rbx, POOL.generation));
  a.bind(awake);
}

/** Before the workers see a run: nothing of its steps is claimed. */
function emitForgetClaims(a: Assembler): void {
  const [next, done] = [label(), label()];
  a.emit("mov", rax, at(rbx, POOL.steps));
  a.bind(next);
  a.emit("cmp", rax, at(rbx, POOL.end, 8));
  a.emit("jae", done);
  a.emit("mov", at(rax, STEP.claimed, 8), 0);
  a.emit("add", rax, STEP.bytes);
  a.emit("jmp", next);
  a.bind(done);
}

/** Walks the steps of the current run as thread r12; leaves the epoch of the last barrier in r14. */
function emitSteps(a: Assembler, options: ProgramCodeOptions): void {
  const [step, timed, untimed, serial, whole] = [label(), label(), label(), label(), label()];
  const [call, passed, next, timedEnd, advance, ended] = [label(), label(), label(), label(), label(), label()];
  const [shared, claim, lastPiece] = [label(), label(), label()];
  a.emit("mov", r15, at(rbx, POOL.steps));
  a.emit("mov", rbp, at(rbx, POOL.end));
  a.emit("mov", r14, at(rbx, POOL.epoch));

  a.bind(step);
  a.emit("cmp", r15, rbp);
  a.emit("jae", ended);
  a.emit("test", at(r15, STEP.flags, 4), STEP_FLAGS.timed);
  a.emit("jne", timed);
  a.bind(untimed);
  a.emit("mov", rdx, at(r15, STEP.taskCount));
  a.emit("cmp", rdx, 1);
  a.emit("jbe", serial);
  a.emit("test", at(r15, STEP.flags, 4), STEP_FLAGS.serial);
  a.emit("jne", serial);
  a.emit("cmp", at(rbx, POOL.threads, 8), 1);
  a.emit("je", whole);
  emitUnshared(a, shared);
  a.emit("sub", rdx, rax);
  emitShare(a);
  emitCall(a, claim);
  a.bind(claim);
  emitUnshared(a, passed);
  // A piece is a quarter of a thread's part of what is in nobody's share; r9 keeps what there is.
  a.emit("mov", r9, rax);
  a.emit("mul", at(rbx, POOL.reciprocal, 8));
  a.emit("shr", rdx, 2);
  a.emit("add", rdx, 1);
  a.emit("mov", rsi, rdx);
  a.emit("lock xadd", at(r15, STEP.claimed, 8), rsi);
  a.emit("cmp", rsi, r9);
  a.emit("jae", passed);
  a.emit("mov", rax, at(r15, STEP.taskCount));
  a.emit("sub", r9, rax); // now what is in shares, negative
  a.emit("sub", rsi, r9);
  a.emit("add", rdx, rsi);
  a.emit("cmp", rdx, rax);
  a.emit("jbe", lastPiece);
  a.emit("mov", rdx, rax);
  a.bind(lastPiece);
  emitCall(a, claim);
  a.emit("jmp", claim);
  a.bind(shared);
  emitShare(a);
  a.emit("jmp", call);
  a.bind(serial);
  a.emit("test", r12, r12);
  a.emit("jne", passed);
  a.bind(whole);
  a.emit("xor", r32(6), r32(6));
  a.bind(call);
  emitCall(a, passed);

  a.bind(passed);
  a.emit("test", at(r15, STEP.flags, 4), STEP_FLAGS.barrier);
  a.emit("je", next);
  a.emit("cmp", at(rbx, POOL.threads, 8), 1);
  a.emit("je", next);
  a.emit("lea", rax, at(r15, STEP.bytes));
  a.emit("cmp", rax, rbp);
  a.emit("jae", next); // the end of the program is a barrier of its own
  a.emit("add", r14, 1);
  emitArrive(a);
  emitMeet(a, options);
  a.bind(next);
  a.emit("test", at(r15, STEP.flags, 4), STEP_FLAGS.timed);
  a.emit("jne", timedEnd);
  a.bind(advance);
  a.emit("add", r15, STEP.bytes);
  a.emit("jmp", step);

  a.bind(timed);
  emitTimeStamp(a, STEP.started, untimed);
  a.bind(timedEnd);
  emitTimeStamp(a, STEP.ended, advance);
  a.bind(ended);
}

/** Runs tasks rsi to rdx of the step, if there are any; if not, goes to `none`. */
function emitCall(a: Assembler, none: Label): void {
  a.emit("cmp", rsi, rdx);
  a.emit("jae", none);
  a.emit("mov", rdi, at(r15, STEP.slots));
  a.emit("mov", rcx, r12);
  a.emit("call", at(r15, STEP.kernel, 8));
}

/** rdx: the tasks of the step; rax: how many of them are in nobody's share. Goes to `none` where they are too few to claim. */
function emitUnshared(a: Assembler, none: Label): void {
  a.emit("mov", rdx, at(r15, STEP.taskCount));
  a.emit("mov", rax, rdx);
  a.emit("shr", rax, 2);
  a.emit("cmp", rax, at(rbx, POOL.threads, 8));
  a.emit("jb", none);
}

/**
 * rsi and rdx: the share of rdx tasks that thread r12 has, from floor(n*t/T) to floor(n*(t+1)/T). Division is
 * multiplication by m = ceil(2^64/T): n*t*m/2^64 exceeds n*t/T by less than n*t/2^64, too little to reach the next
 * integer while n*t*T < 2^64.
 */
function emitShare(a: Assembler): void {
  a.emit("mov", r8, rdx);
  a.emit("mov", r9, rdx);
  a.emit("imul", r9, r12);
  a.emit("mov", rax, r9);
  a.emit("mul", at(rbx, POOL.reciprocal, 8));
  a.emit("mov", rsi, rdx);
  a.emit("lea", rax, mem({ base: r9, index: r8 }));
  a.emit("mul", at(rbx, POOL.reciprocal, 8));
}

function emitTimeStamp(a: Assembler, field: number, then: Label): void {
  a.emit("test", r12, r12);
  a.emit("jne", then);
  a.emit("rdtsc");
  a.emit("shl", rdx, 32);
  a.emit("or", rax, rdx);
  a.emit("mov", at(r15, field), rax);
  a.emit("jmp", then);
}

/** Publishes epoch r14 of thread r12. */
function emitArrive(a: Assembler): void {
  a.emit("mov", rax, r12);
  a.emit("shl", rax, Math.log2(POOL.lineBytes));
  a.emit("mov", mem({ base: rbx, index: rax, disp: POOL.lines }), r14);
}

/**
 * Waits until every thread of the run has published epoch r14. Polls at first, since barriers are short; then gives the
 * core away between polls, or a machine with more threads than cores would stand still for whole time slices.
 */
function emitMeet(a: Assembler, options: ProgramCodeOptions): void {
  const [again, check, arrived] = [label(), label(), label()];
  a.emit("mov", spins, options.barrierSpins);
  a.bind(again);
  a.emit("lea", rdx, at(rbx, POOL.lines));
  a.emit("mov", ecx, at(rbx, POOL.threads));
  a.bind(check);
  a.emit("cmp", at(rdx, 0), r14);
  a.emit("jae", arrived);
  a.emit("pause");
  a.emit("sub", spins, 1);
  a.emit("jne", check);
  emitYield(a, options.waitCalls);
  a.emit("mov", spins, 16);
  a.emit("jmp", again);
  a.bind(arrived);
  a.emit("add", rdx, POOL.lineBytes);
  a.emit("sub", ecx, 1);
  a.emit("jne", check);
}
