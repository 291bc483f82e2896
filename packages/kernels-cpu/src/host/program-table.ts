/**
 * A program as the runner reads it: a run request followed by an array of step records, in native memory.
 *
 * The device fills it once per compilation and patches single fields per shape binding (task counts, slots). A table
 * must not change, and the memory its slots point to must stay, while a run of it is in progress.
 */
import { invariant, UserError } from "@quern/core";

import { MAX_THREADS } from "./kernel-call.ts";
import type { NativeHost, NativeMemory } from "./native-host.ts";
import { REQUEST, STEP, STEP_FLAGS } from "./program-layout.ts";

/** One kernel launch. */
export interface Step {
  /** Address of a kernel of the convention in `kernel-call.ts`. */
  readonly kernel: bigint;
  /** Address of its slots. */
  readonly slots: bigint;
  /** Tasks are 0 .. taskCount-1, split among the threads into contiguous shares. 0 skips the step. */
  readonly taskCount: number;
  /** All threads finish this step before the next begins. Needed where a later step reads what another thread wrote. */
  readonly barrier?: boolean;
  /** Thread 0 does everything. */
  readonly serial?: boolean;
}

/** When thread 0 began a step and when it left it, in ticks of the time stamp counter. */
export interface StepTiming {
  readonly started: bigint;
  readonly ended: bigint;
}

export class ProgramTable implements Disposable {
  readonly length: number;
  private readonly memory: NativeMemory;
  private readonly words: BigUint64Array;
  private readonly flags: Uint32Array;

  constructor(host: NativeHost, steps: readonly Step[]) {
    this.length = steps.length;
    this.memory = host.allocate(REQUEST.bytes + STEP.bytes * steps.length);
    this.words = new BigUint64Array(this.memory.buffer);
    this.flags = new Uint32Array(this.memory.buffer);
    steps.forEach((step, i) => this.setStep(i, step));
    this.setRange(0, steps.length);
  }

  /** Address of the run request. */
  get address(): bigint {
    return this.memory.address;
  }

  setStep(index: number, step: Step): void {
    const word = this.wordOf(index);
    this.words[word + STEP.kernel / 8] = step.kernel;
    this.words[word + STEP.slots / 8] = step.slots;
    this.flags[2 * word + STEP.flags / 4] =
      (step.barrier ? STEP_FLAGS.barrier : 0) | (step.serial ? STEP_FLAGS.serial : 0);
    this.setTaskCount(index, step.taskCount);
  }

  setTaskCount(index: number, taskCount: number): void {
    invariant(
      Number.isInteger(taskCount) && taskCount >= 0 && taskCount <= 2 ** 40,
      () => `step ${index}: ${taskCount} is not a task count`,
    );
    this.words[this.wordOf(index) + STEP.taskCount / 8] = BigInt(taskCount);
  }

  setSlots(index: number, slots: bigint): void {
    this.words[this.wordOf(index) + STEP.slots / 8] = slots;
  }

  setBarrier(index: number, barrier: boolean): void {
    this.setFlag(index, STEP_FLAGS.barrier, barrier);
  }

  setSerial(index: number, serial: boolean): void {
    this.setFlag(index, STEP_FLAGS.serial, serial);
  }

  /** Restricts runs to steps `first <= i < end`. */
  setRange(first: number, end: number): void {
    invariant(
      first >= 0 && first <= end && end <= this.length,
      () => `program: range ${first}..${end} of ${this.length} steps`,
    );
    const base = this.memory.address + BigInt(REQUEST.bytes);
    this.words[REQUEST.steps / 8] = base + BigInt(first * STEP.bytes);
    this.words[REQUEST.end / 8] = base + BigInt(end * STEP.bytes);
  }

  /** Makes runs note times in each step; costs two reads of the time stamp counter per step. */
  setTimed(timed: boolean): void {
    for (let i = 0; i < this.length; i++) this.setFlag(i, STEP_FLAGS.timed, timed);
  }

  /** Times of the last run with `setTimed(true)`. */
  timings(): StepTiming[] {
    return Array.from({ length: this.length }, (_, i) => {
      const word = this.wordOf(i);
      return { started: this.words[word + STEP.started / 8] ?? 0n, ended: this.words[word + STEP.ended / 8] ?? 0n };
    });
  }

  /** Directs the next runs to a pool, by the address of its state, and to a number of threads. */
  setPool(pool: bigint, threads: number): void {
    this.words[REQUEST.pool / 8] = pool;
    if (!Number.isInteger(threads) || threads < 1 || threads > MAX_THREADS) {
      throw new UserError(`threads: ${threads} is not a number of threads`, { hint: `give 1 to ${MAX_THREADS}` });
    }
    this.words[REQUEST.threads / 8] = BigInt(threads);
  }

  free(): void {
    this.memory.free();
  }

  [Symbol.dispose](): void {
    this.free();
  }

  private wordOf(index: number): number {
    invariant(
      Number.isInteger(index) && index >= 0 && index < this.length,
      () => `program: no step ${index} of ${this.length}`,
    );
    return (REQUEST.bytes + STEP.bytes * index) / 8;
  }

  private setFlag(index: number, flag: number, on: boolean): void {
    const at = 2 * this.wordOf(index) + STEP.flags / 4;
    const flags = this.flags[at] ?? 0;
    this.flags[at] = on ? flags | flag : flags & ~flag;
  }
}
