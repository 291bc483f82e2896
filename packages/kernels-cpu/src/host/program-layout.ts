/** Where things lie in the memory that JavaScript and the runner's machine code share. */

import { MAX_THREADS } from "./kernel-call.ts";

/**
 * Byte offsets in a step record. Times are ticks of the time stamp counter, taken by thread 0. `claimed` counts the tasks
 * that threads took beside their shares in the current run.
 */
export const STEP = {
  kernel: 0,
  slots: 8,
  taskCount: 16,
  flags: 24,
  started: 32,
  ended: 40,
  claimed: 48,
  bytes: 64,
} as const;

/** Bits of a step's flags. */
export const STEP_FLAGS = {
  /** All threads finish this step before any starts the next. */
  barrier: 1,
  /** Thread 0 does all tasks alone. A step of one task is serial anyway. */
  serial: 2,
  /** Thread 0 notes when it starts the step and when it leaves it, barrier included. */
  timed: 4,
} as const;

/** Byte offsets in a run request, the argument of the caller's entry. */
export const REQUEST = { pool: 0, steps: 8, end: 16, threads: 24, bytes: 64 } as const;

/** Byte offsets in the argument of the entries that stop a pool and that wait for its runs. */
export const CONTROL = { pool: 0, completed: 8, bytes: 64 } as const;

/** Byte offsets in a pool's state; what different threads write lies on different pairs of cache lines. */
export const POOL = {
  /** Number of the current run in the upper 24 bits, its thread count in the lower 8. Workers sleep on it. */
  generation: 0,
  sleepers: 128,
  /** Number of runs that have ended, and of threads that sleep until it grows. */
  completed: 256,
  waiters: 260,
  steps: 384,
  end: 392,
  threads: 400,
  reciprocal: 408,
  epoch: 416,
  /** Number of the processor that the caller of the current run is on. */
  caller: 424,
  /** ceil(2^64 / threads) for every count of threads; see {@link emitShare}. */
  reciprocals: 512,
  lines: (512 + 8 * (MAX_THREADS + 1) + 120) as number,
  lineBytes: 128,
  /** Per thread, the processors that it may run on; see `spread-code.ts`. */
  masks: (512 + 8 * (MAX_THREADS + 1) + 120 + 128 * MAX_THREADS) as number,
  maskBytes: 128,
} as const;

/** Byte offsets in the block that a worker is started with. */
export const WORKER = { pool: 0, index: 8, bytes: 16 } as const;

/** A thread count of a generation that tells the workers to end. */
export const STOP_COUNT = 0xff;
