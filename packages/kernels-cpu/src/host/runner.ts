/**
 * Runs programs: one native call per run, on the calling thread and the pool's own.
 *
 * `runSync` has the least latency and blocks; `run` hands the caller's share to a native worker thread and gives a
 * promise, so the event loop goes on. Runs of one runner never overlap: asynchronous ones queue, and a synchronous one
 * first waits for the run in progress. A runner that is forgotten instead of disposed neither keeps the process alive
 * nor disturbs its end.
 */
import { invariant, UserError } from "@quern/core";

import type { CpuTarget } from "./cpu-target.ts";
import { CALL_BLOCK, MAX_THREADS } from "./kernel-call.ts";
import type { NativeHost } from "./native-host.ts";
import type { ProgramTable } from "./program-table.ts";
import { runnerCode } from "./runner-code.ts";
import { settlePool, startPool, stopPool } from "./thread-pool.ts";
import type { ThreadPool } from "./thread-pool.ts";

export interface RunnerOptions {
  /** Threads that work on a program, the calling one included. */
  readonly threads: number;
}

export interface RunOptions {
  /** Fewer threads than the runner has, for programs too small to share. */
  readonly threads?: number | undefined;
  /** Called right before the run starts, when no other run is in progress: the place to patch tables and fill inputs. */
  readonly before?: (() => void) | undefined;
}

const forgotten = new FinalizationRegistry<ThreadPool>(stopPool);

export class Runner implements Disposable, AsyncDisposable {
  readonly threads: number;
  private readonly host: NativeHost;
  private readonly pool: ThreadPool;
  private readonly callBlock: BigUint64Array;
  /** Settles when the asynchronous runs so far are done. */
  private tail: Promise<unknown> = Promise.resolve();
  private queued = 0;
  private disposed = false;

  constructor(host: NativeHost, target: CpuTarget, options: RunnerOptions) {
    const { threads } = options;
    if (!Number.isInteger(threads) || threads < 1 || threads > MAX_THREADS) {
      throw new UserError(`threads: ${threads} is not a number of threads`, { hint: `give 1 to ${MAX_THREADS}` });
    }
    this.host = host;
    this.threads = threads;
    this.pool = startPool(host, runnerCode(host, target), threads);
    this.callBlock = new BigUint64Array(CALL_BLOCK.words);
    forgotten.register(this, this.pool, this);
  }

  /** Runs the program to its end on this thread and the pool's. */
  runSync(table: ProgramTable, options: RunOptions = {}): void {
    this.checkAlive();
    settlePool(this.pool);
    this.prepare(table, options);
    this.pool.issued++;
    this.pool.code.run.call(table.address);
  }

  /** As `runSync` without blocking the event loop. Runs start in the order of the calls. */
  run(table: ProgramTable, options: RunOptions = {}): Promise<void> {
    this.checkAlive();
    // The first one starts at once, whatever the caller does until it waits.
    const started = this.queued === 0 ? this.start(table, options) : this.tail.then(() => this.start(table, options));
    this.queued++;
    const done = started.finally(() => this.queued--);
    this.tail = done.catch(() => {});
    return done;
  }

  /** True when no asynchronous run is in progress or waits for its turn: the next one starts at once. */
  get idle(): boolean {
    return this.queued === 0;
  }

  /** Waits, blocking, for the asynchronous run in progress. */
  settle(): void {
    settlePool(this.pool);
  }

  /** Calls one kernel on this thread: tasks `begin` to `end` with the slots given. For tests and calibration. */
  callKernel(kernel: bigint, slots: BigUint64Array | bigint, begin: number, end: number, thread = 0): void {
    const block = this.callBlock;
    block[CALL_BLOCK.kernel] = kernel;
    block[CALL_BLOCK.slots] = typeof slots === "bigint" ? slots : this.host.addressOf(slots);
    block[CALL_BLOCK.begin] = BigInt(begin);
    block[CALL_BLOCK.end] = BigInt(end);
    block[CALL_BLOCK.thread] = BigInt(thread);
    this.pool.code.callKernel.call(this.host.addressOf(block));
  }

  /** Ends the pool's threads; when asynchronous runs are still queued, as soon as they are done. Later runs throw. */
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    forgotten.unregister(this);
    if (this.queued === 0) stopPool(this.pool);
    else this.tail = this.tail.then(() => stopPool(this.pool));
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.dispose();
    await this.tail;
  }

  private async start(table: ProgramTable, options: RunOptions): Promise<void> {
    const { pool } = this;
    this.prepare(table, options);
    pool.issued++;
    pool.inFlight = true;
    try {
      await pool.code.run.callAsync(table.address);
    } catch (error) {
      pool.issued--; // it never started
      throw error;
    } finally {
      pool.inFlight = false;
    }
  }

  private prepare(table: ProgramTable, options: RunOptions): void {
    options.before?.();
    table.setPool(this.pool.memory.address, Math.min(options.threads ?? this.threads, this.threads));
  }

  private checkAlive(): void {
    invariant(!this.disposed, "the runner was disposed and cannot run programs any more");
  }
}
