/**
 * A pool's threads and shared state, apart from the runner so that a finalizer can hold it.
 *
 * The threads run our own machine code from their first instruction to their last (`program-code.ts`), sleep when idle,
 * and are unknown to the JavaScript engine: the process ends whether they were stopped or not.
 */
import { MAX_THREADS } from "./kernel-call.ts";
import type { NativeHost, NativeMemory, NativeThread } from "./native-host.ts";
import { shareReciprocal } from "./program-code.ts";
import { CONTROL, POOL, WORKER } from "./program-layout.ts";
import type { RunnerCode } from "./runner-code.ts";

export interface ThreadPool {
  readonly code: RunnerCode;
  readonly memory: NativeMemory;
  readonly threads: readonly NativeThread[];
  /** Runs started so far, as the native counter of ended runs will count them. */
  issued: number;
  /** An asynchronous run was started and its promise has not settled. */
  inFlight: boolean;
  stopped: boolean;
}

const CONTROL_AT = POOL.masks + MAX_THREADS * POOL.maskBytes;
const WORKERS_AT = CONTROL_AT + CONTROL.bytes;
const POOL_BYTES = WORKERS_AT + MAX_THREADS * WORKER.bytes;

/** Starts `count - 1` threads; the caller of a run is thread 0. */
export function startPool(host: NativeHost, code: RunnerCode, count: number): ThreadPool {
  const memory = host.allocate(POOL_BYTES);
  const words = new BigUint64Array(memory.buffer);
  const threads: NativeThread[] = [];
  const pool: ThreadPool = { code, memory, threads, issued: 0, inFlight: false, stopped: false };
  words[(CONTROL_AT + CONTROL.pool) / 8] = memory.address;
  for (let n = 1; n <= MAX_THREADS; n++) words[POOL.reciprocals / 8 + n] = shareReciprocal(n);
  try {
    for (let index = 1; index < count; index++) {
      const block = WORKERS_AT + index * WORKER.bytes;
      words[(block + WORKER.pool) / 8] = memory.address;
      words[(block + WORKER.index) / 8] = BigInt(index);
      threads.push(host.startThread(code.worker, memory.address + BigInt(block)));
    }
  } catch (error) {
    stopPool(pool);
    throw error;
  }
  return pool;
}

/**
 * Blocks until the asynchronous run in progress, if any, has ended. Its promise settles later, but nothing native works
 * on its table any more.
 */
export function settlePool(pool: ThreadPool): void {
  if (!pool.inFlight) return;
  new BigUint64Array(pool.memory.buffer)[(CONTROL_AT + CONTROL.completed) / 8] = BigInt(pool.issued >>> 0);
  pool.code.settle.call(pool.memory.address + BigInt(CONTROL_AT));
}

/** Ends the threads of a pool without a run in progress and frees its memory. */
export function stopPool(pool: ThreadPool): void {
  if (pool.stopped) return;
  pool.stopped = true;
  pool.code.stop.call(pool.memory.address + BigInt(CONTROL_AT));
  for (const thread of pool.threads) thread.join();
  pool.memory.free();
}
