/**
 * The sampling loop inside one engine's process: slices of a few milliseconds, timed call by call by tinybench.
 *
 * A slice starts with untimed calls (the pre-roll), which bring caches and thread pools back to where continuous
 * use keeps them. Inputs rotate through the pool, call by call, or slice by slice where caches are to be warm. In some slices one
 * call, chosen at random among all of the slice, keeps its outputs for a check after the last slice: the timed calls are the
 * checked calls. In every other slice outputs are filled with NaN before they are given back, be one of them kept or not, so
 * that a later call which does not compute finds that in its memory; the filling is not timed.
 */

import { Bench, type Task } from "tinybench";
import { InternalError } from "@quern/core";
import type { CompiledModel, Feeds, Fetched } from "../engines/engine.ts";
import { poison } from "../paired/outputs.ts";
import type { Random } from "./random.ts";

export interface SliceTimes {
  /** Median time of a call, in ms. */
  readonly medianMs: number;
  readonly calls: number;
}

export interface KeptOutput {
  readonly set: number;
  readonly fetched: Fetched;
}

export interface SliceOptions {
  /** Whether all calls of a slice have the same inputs. */
  readonly sliceWise?: boolean;
  /** Size of the outputs of a call: how many of them may be kept depends on it. */
  readonly outputBytes?: number;
}

/** What tinybench takes for the time of a call, in ms, instead of its own. */
interface OwnTime {
  readonly overriddenDuration: number;
}

/** Above this a call refills its own caches within the call, and pre-roll would only double the time. */
const NO_PREROLL_MS = 50;
const PREROLL_CALLS = 2;
/** Outputs kept by a process: as many as fit into so many bytes, within these bounds. */
const KEPT_BYTES = 64 * 2 ** 20;
const LEAST_KEPT = 4;
const MOST_KEPT = 16;

export class SliceRunner {
  readonly #model: CompiledModel;
  readonly #feeds: readonly Feeds[];
  readonly #random: Random;
  readonly #sliceWise: boolean;
  readonly #mostKept: number;
  readonly #bench: Bench;
  readonly #task: Task;
  readonly kept: KeptOutput[] = [];
  #nextSet = 0;
  #callsLeftToKeep = -1;
  #callsLeftToPoison = -1;
  /** Stays set when a slice had too few calls to reach the chosen one. */
  #keepDue = false;
  #callMs = 0;
  /** Of the last slice. */
  #calls = 0;

  constructor(
    model: CompiledModel,
    feeds: readonly Feeds[],
    sliceMs: number,
    random: Random,
    { sliceWise = false, outputBytes = 0 }: SliceOptions = {},
  ) {
    this.#model = model;
    this.#feeds = feeds;
    this.#random = random;
    this.#sliceWise = sliceWise;
    this.#mostKept = Math.max(LEAST_KEPT, Math.min(MOST_KEPT, Math.floor(KEPT_BYTES / Math.max(1, outputBytes))));
    this.#bench = new Bench({
      time: sliceMs,
      iterations: 1,
      warmup: false,
      throws: true,
      timestampProvider: "hrtimeNow",
    });
    this.#bench.add("slice", model.async ? () => this.#callAsync() : () => this.#callSync(), { async: model.async });
    const task = this.#bench.getTask("slice");
    if (task === undefined) throw new InternalError("tinybench lost its task");
    this.#task = task;
  }

  /** Calls until `minMs` and `minCalls` or `maxMs` are reached; returns the time of the fastest call. */
  async warmUp(minMs: number, minCalls: number, maxMs: number): Promise<number> {
    const start = performance.now();
    let fastest = Infinity;
    const spent = (): number => performance.now() - start;
    for (let calls = 0; calls === 0 || ((calls < minCalls || spent() < minMs) && spent() < maxMs); calls++) {
      const before = performance.now();
      await this.#untimedCall(false);
      fastest = Math.min(fastest, performance.now() - before);
    }
    this.#callMs = fastest;
    return fastest;
  }

  /** One slice. `keep`: let one of its calls keep its outputs. */
  async run(keep: boolean): Promise<SliceTimes> {
    globalThis.gc?.();
    if (this.#sliceWise) this.#nextSet = (this.#nextSet + 1) % this.#feeds.length;
    const poisoned = this.#random.below(2) === 1;
    if (this.#callMs < NO_PREROLL_MS) for (let i = 0; i < PREROLL_CALLS; i++) await this.#untimedCall(poisoned);
    const estimated = Math.floor(this.#bench.time / Math.max(this.#callMs, 1e-4));
    const calls = Math.max(1, this.#calls === 0 ? estimated : this.#calls);
    this.#keepDue = (this.#keepDue || keep) && this.kept.length < this.#mostKept;
    this.#callsLeftToKeep = this.#keepDue ? this.#random.below(calls) : -1;
    // The call before the one that is kept, whose memory that one is likely to get; else any.
    this.#callsLeftToPoison = poisoned ? (this.#keepDue ? this.#callsLeftToKeep - 1 : this.#random.below(calls)) : -1;
    this.#task.reset();
    if (this.#model.async) await this.#task.run();
    else this.#task.runSync();
    const result = this.#task.result;
    if (!("latency" in result)) throw new InternalError(`tinybench ended a slice in state ${result.state}`);
    this.#calls = result.latency.samplesCount;
    return { medianMs: result.latency.p50, calls: this.#calls };
  }

  async #untimedCall(poisoned: boolean): Promise<void> {
    const fetched = this.#model.call(this.#takeFeeds());
    const outputs = fetched instanceof Promise ? await fetched : fetched;
    if (poisoned) this.#poison(outputs);
    this.#model.release(outputs);
  }

  #callSync(): OwnTime | undefined {
    const set = this.#nextSet;
    if (this.#callsLeftToPoison-- !== 0) return this.#finish(set, this.#model.call(this.#takeFeeds()));
    const start = performance.now();
    const fetched = this.#model.call(this.#takeFeeds());
    return this.#finishPoisoned(fetched, performance.now() - start);
  }

  async #callAsync(): Promise<OwnTime | undefined> {
    const set = this.#nextSet;
    if (this.#callsLeftToPoison-- !== 0) return this.#finish(set, await this.#model.call(this.#takeFeeds()));
    const start = performance.now();
    const fetched = await this.#model.call(this.#takeFeeds());
    return this.#finishPoisoned(fetched, performance.now() - start);
  }

  #finish(set: number, fetched: Fetched): undefined {
    if (this.#callsLeftToKeep-- === 0) {
      this.kept.push({ set, fetched });
      this.#keepDue = false;
    } else this.#model.release(fetched);
  }

  /** The call took `callMs`; giving memory back counts too, and filling it does not. */
  #finishPoisoned(fetched: Fetched, callMs: number): OwnTime {
    this.#callsLeftToKeep--;
    this.#poison(fetched);
    const before = performance.now();
    this.#model.release(fetched);
    return { overriddenDuration: callMs + performance.now() - before };
  }

  #poison(fetched: Fetched): void {
    for (const { data } of Object.values(this.#model.tensors(fetched))) poison(data);
  }

  #takeFeeds(): Feeds {
    const feeds = this.#feeds[this.#nextSet];
    if (!this.#sliceWise) this.#nextSet = (this.#nextSet + 1) % this.#feeds.length;
    return feeds;
  }
}
