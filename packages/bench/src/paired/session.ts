/**
 * One bench in the process of one arm: opened, warmed up, timed slice by slice, and its kept outputs verified.
 *
 * The orchestrator decides what must be equal in both arms: how calls are timed, which input set a slice starts with,
 * how many sets are renewed before it.
 */

import type { Bench } from "../define/bench.ts";
import { Random } from "../harness/random.ts";
import { InputPool, inputMaker, POOL_SETS } from "./input-pool.ts";
import { KeptOutputs } from "./kept-outputs.ts";
import {
  batchLoop,
  callLoop,
  emptyCallNs,
  timerNs,
  trainLoops,
  type Loop,
  type LoopMode,
  type Subject,
  type Timed,
} from "./loops.ts";
import { buffersOf, faultOfNumbers, numbersOf, poison } from "./outputs.ts";
import type { CheckOutcome, Collection, Opened, Warmed } from "./protocol.ts";
import { steadyTail } from "./steady.ts";
import { copyValue } from "./values.ts";
import { OutputFault } from "./output-fault.ts";

export interface OpenOptions {
  readonly seed: number;
  /** Index of the pair: every pair gets inputs of its own. */
  readonly index: number;
  readonly directory: string;
  readonly collect?: Collection;
}

/** The rough call time comes from calls for this long. */
const ESTIMATE_NS = 6e6;
/** Above this, what is as fast as an empty call need not be looked for. */
const EMPTY_BELOW_NS = 500;
/** Untimed calls before a slice. A call as long as several slices fills its own caches, and goes without. */
const PREROLL_CALLS = 2;
const NO_PREROLL_SLICES = 4;
const PROLOGUE_SLICES = 30;
const MIN_CALLS = 5;
/** By a third of the warm-up each: four times as long in all. */
const MAX_EXTENSIONS = 9;
const FASTER = 0.8;
/** The warm-up of calls so slow that it would take longer than this ends with two of them. */
const SLOW_MS = 1000;

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === "function";
}

function collectGarbage(collect: Collection): void {
  if (collect === "full") globalThis.gc?.();
  else if (collect === "minor") globalThis.gc?.({ type: "minor" });
}

/** What `act` gives. Where it fails the bench is torn down, and how that ends hides no failure. */
async function orTornDown<T>(bench: Bench, state: unknown, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    try {
      await bench.teardown?.(state);
    } catch {
      // The first error is the one to be told.
    }
    throw error;
  }
}

export class BenchSession {
  readonly #bench: Bench;
  readonly #state: unknown;
  readonly #pool: InputPool;
  readonly #kept: KeptOutputs;
  readonly #subject: Subject;
  readonly #loops: Partial<Record<LoopMode, Loop>> = {};
  #timing = false;
  #mode: LoopMode = "call";
  #callNs = Infinity;
  #sliceNs = 0;
  /** Inputs for looking at outputs outside of timing; undefined once that has happened. */
  #looks: (() => InputPool) | undefined;

  private constructor(
    bench: Bench,
    state: unknown,
    pool: InputPool,
    { random, looks, async }: { readonly random: Random; readonly looks: () => InputPool; readonly async: boolean },
  ) {
    this.#bench = bench;
    this.#state = state;
    this.#pool = pool;
    this.#looks = looks;
    this.#kept = new KeptOutputs(bench, random);
    this.#subject = {
      run: bench.run as Subject["run"],
      state,
      sets: pool.sets,
      async,
      after: (output, set) => {
        if (this.#timing) this.#kept.take(pool.sets[set], output, () => pool.demandUnchanged(set));
      },
    };
  }

  static async open(bench: Bench, options: OpenOptions): Promise<{ session: BenchSession; opened: Opened }> {
    const { seed, index, directory, collect = "full" } = options;
    await trainLoops();
    const { id, params = {} } = bench;
    const stream = (label: string | number): Random => Random.of(seed, id, index, label);
    const context = { params, directory, random: (label: string) => stream(`setup ${label}`) };
    const state: unknown = await bench.setup?.(context);
    return await orTornDown(bench, state, () => BenchSession.#begin(bench, state, stream, collect));
  }

  /** The first calls of a bench that is set up. */
  static async #begin(
    bench: Bench,
    state: unknown,
    stream: (label: string | number) => Random,
    collect: Collection,
  ): Promise<{ session: BenchSession; opened: Opened }> {
    const pool = new InputPool(inputMaker(bench.inputs, (serial) => stream(serial), state));
    const pending = bench.run(state, pool.sets[0]);
    const output = isPromise(pending) ? await pending : pending;
    const async = bench.async === true || isPromise(pending);
    const looks = (): InputPool =>
      new InputPool(inputMaker(bench.inputs, (serial) => stream(`check ${serial}`), state));
    const session = new BenchSession(bench, state, pool, { random: stream("keep"), looks, async });
    session.#kept.demandApart(pool.sets[0], output);
    pool.demandUnchanged(0);
    const fault = faultOfNumbers(numbersOf(output, bench.outputs));
    if (fault !== undefined) throw new OutputFault(fault);
    const callNs = await session.#estimate();
    // Here both arms do it side by side.
    collectGarbage(collect);
    await session.#checkShort();
    const opened: Opened = {
      callNs,
      makeMs: pool.renewable ? pool.makeMs : 0,
      timerNs: timerNs(),
      emptyNs: callNs < EMPTY_BELOW_NS ? emptyCallNs() : null,
    };
    return { session, opened };
  }

  /**
   * What is too short to be timed is never finished: its outputs are looked at as soon as it is, or nobody would. Compares an
   * output, and one of the same input buffers with other content: one that is remembered, by call or by input, is wrong the
   * second time. The pool of the timed calls is left alone, since both arms must see the same.
   */
  async #checkShort(): Promise<void> {
    if (this.#callNs >= EMPTY_BELOW_NS || this.#looks === undefined) return;
    const pool = this.#looks();
    this.#looks = undefined;
    const { run, check, outputs, tolerance = 0 } = this.#bench;
    for (let turn = 0; turn < 2; turn++) {
      if (turn > 0) pool.renew(1);
      const input = pool.sets[0];
      const output = await run(this.#state as never, input as never);
      const fault = faultOfNumbers(numbersOf(output, outputs));
      if (fault !== undefined) throw new OutputFault(fault);
      const error = (await check?.(copyValue(input) as never, copyValue(output) as never, this.#state as never)) ?? 0;
      if (!(error <= tolerance)) {
        throw new OutputFault(`wrong output: its error is ${error}, the tolerance ${tolerance}`);
      }
      for (const buffer of buffersOf(output, outputs)) poison(buffer);
    }
  }

  /** Time of the fastest batch of calls, ns per call. */
  async #estimate(): Promise<number> {
    let fastest = Infinity;
    // The first call is slow in any language: it is only the start of the search for a batch that the clock can time.
    let guess = 1e6;
    for (let spentNs = 0; spentNs < ESTIMATE_NS; guess = Math.min(guess, fastest)) {
      const timed = await this.#loop("batch")(ESTIMATE_NS / 10, 0, guess);
      fastest = Math.min(fastest, timed.callNs);
      spentNs += timed.spentNs;
    }
    this.#callNs = fastest;
    return fastest;
  }

  /** What has become faster gets more calls in the next slice; a loop for each number of them would cost more. */
  #faster({ callNs }: Timed): number {
    return callNs < FASTER * this.#callNs ? callNs : this.#callNs;
  }

  #loop(mode: LoopMode): Loop {
    return (this.#loops[mode] ??= mode === "batch" ? batchLoop(this.#subject) : callLoop(this.#subject));
  }

  #run(sliceNs: number, first: number): Promise<Timed> {
    return this.#loop(this.#mode)(sliceNs, first, this.#callNs);
  }

  /** Runs the prologue, longer where the speed still changes; later slices take `sliceMs`. */
  async warmUp(mode: LoopMode, warmUpMs: number, sliceMs: number): Promise<Warmed> {
    this.#mode = mode;
    this.#sliceNs = sliceMs * 1e6;
    const pieceNs = (warmUpMs * 1e6) / PROLOGUE_SLICES;
    const times: number[] = [];
    let spentNs = 0;
    let calls = 0;
    const piece = async (): Promise<void> => {
      const timed = await this.#run(pieceNs, calls % POOL_SETS);
      times.push(timed.callNs);
      spentNs += timed.spentNs;
      calls += timed.calls;
      this.#callNs = this.#faster(timed);
    };
    const short = (): boolean => times.length < PROLOGUE_SLICES && this.#callNs < pieceNs;
    while (spentNs < warmUpMs * 1e6 || short()) await piece();
    while (calls < 2 || (calls < MIN_CALLS && spentNs < SLOW_MS * 1e6)) await piece();
    // Slow calls fill the time with fewer slices than the check needs; there is one call in each of them.
    const third = Math.floor(times.length / 3);
    let steady = third < 2 || steadyTail(times, third);
    for (let extension = 0; !steady && extension < MAX_EXTENSIONS; extension++) {
      for (let i = 0; i < third; i++) await piece();
      steady = steadyTail(times, third);
    }
    const last = times.slice(-Math.max(1, third)).sort((a, b) => a - b);
    this.#callNs = last[last.length >> 1] as number;
    // It may be short only now.
    await this.#checkShort();
    return { callNs: this.#callNs, steady, slices: times.length };
  }

  /** One slice: renews inputs, collects garbage, brings caches back by untimed calls, and times. */
  async slice(first: number, renew: number, collect: Collection): Promise<Timed> {
    this.#pool.renew(renew);
    collectGarbage(collect);
    const { run, state, sets } = this.#subject;
    const inSlices = this.#callNs / this.#sliceNs;
    const preroll = inSlices < 0.5 ? PREROLL_CALLS : inSlices < NO_PREROLL_SLICES ? 1 : 0;
    for (let i = preroll; i > 0; i--) {
      const set = (first + POOL_SETS - i) % POOL_SETS;
      const pending = run(state as never, sets[set] as never);
      if (isPromise(pending)) await pending;
    }
    this.#kept.startSlice();
    this.#timing = true;
    try {
      const timed = await this.#run(this.#sliceNs, first);
      // The warm-up may have been slowed down by that of the other arm.
      this.#callNs = this.#faster(timed);
      return timed;
    } finally {
      this.#timing = false;
    }
  }

  async finish(): Promise<CheckOutcome> {
    const outcome = await orTornDown(this.#bench, this.#state, () => {
      this.#pool.demandAllUnchanged();
      return this.#kept.verify(this.#state);
    });
    try {
      await this.close();
    } catch (error) {
      // What is wrong with the outputs weighs more.
      if (outcome.fault === null) throw error;
    }
    return outcome;
  }

  /** Tears down: the end of a session that is not finished. */
  async close(): Promise<void> {
    await this.#bench.teardown?.(this.#state);
  }
}
