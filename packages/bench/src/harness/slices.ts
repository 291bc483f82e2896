/**
 * The sampling loop inside one engine's process: slices of a few milliseconds, timed call by call by tinybench.
 *
 * A slice starts with untimed calls (the pre-roll), which bring caches and thread pools back to where continuous
 * use keeps them. Inputs rotate through the pool, call by call, or slice by slice where caches are to be warm. In some slices one
 * call, chosen at random, keeps its outputs for a check after the last slice: the timed calls are the checked calls.
 */

import { Bench, type Task } from "tinybench";
import { InternalError } from "@quern/core";
import type { CompiledModel, Feeds, Fetched } from "../engines/engine.ts";
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

/** Above this a call refills its own caches within the call, and pre-roll would only double the time. */
const NO_PREROLL_MS = 50;
const PREROLL_CALLS = 2;
const MAX_KEPT = 6;

export class SliceRunner {
  readonly #model: CompiledModel;
  readonly #feeds: readonly Feeds[];
  readonly #random: Random;
  /** Whether all calls of a slice have the same inputs. */
  readonly #sliceWise: boolean;
  readonly #bench: Bench;
  readonly #task: Task;
  readonly kept: KeptOutput[] = [];
  #nextSet = 0;
  #callsLeftToKeep = -1;
  /** Stays set when a slice had too few calls to reach the chosen one. */
  #keepDue = false;
  #callMs = 0;

  constructor(model: CompiledModel, feeds: readonly Feeds[], sliceMs: number, random: Random, sliceWise = false) {
    this.#model = model;
    this.#feeds = feeds;
    this.#random = random;
    this.#sliceWise = sliceWise;
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
      await this.#untimedCall();
      fastest = Math.min(fastest, performance.now() - before);
    }
    this.#callMs = fastest;
    return fastest;
  }

  /** One slice. `keep`: let one of its calls keep its outputs. */
  async run(keep: boolean): Promise<SliceTimes> {
    globalThis.gc?.();
    if (this.#sliceWise) this.#nextSet = (this.#nextSet + 1) % this.#feeds.length;
    if (this.#callMs < NO_PREROLL_MS) for (let i = 0; i < PREROLL_CALLS; i++) await this.#untimedCall();
    const expectedCalls = Math.max(1, Math.floor(this.#bench.time / Math.max(this.#callMs, 1e-4)));
    this.#keepDue = (this.#keepDue || keep) && this.kept.length < MAX_KEPT;
    this.#callsLeftToKeep = this.#keepDue ? this.#random.below(Math.ceil(expectedCalls / 4)) : -1;
    this.#task.reset();
    if (this.#model.async) await this.#task.run();
    else this.#task.runSync();
    const result = this.#task.result;
    if (!("latency" in result)) throw new InternalError(`tinybench ended a slice in state ${result.state}`);
    return { medianMs: result.latency.p50, calls: result.latency.samplesCount };
  }

  async #untimedCall(): Promise<void> {
    const fetched = this.#model.call(this.#takeFeeds());
    this.#model.release(fetched instanceof Promise ? await fetched : fetched);
  }

  #callSync(): void {
    const set = this.#nextSet;
    this.#finish(set, this.#model.call(this.#takeFeeds()));
  }

  async #callAsync(): Promise<void> {
    const set = this.#nextSet;
    this.#finish(set, await this.#model.call(this.#takeFeeds()));
  }

  #finish(set: number, fetched: Fetched): void {
    if (this.#callsLeftToKeep-- === 0) {
      this.kept.push({ set, fetched });
      this.#keepDue = false;
    } else this.#model.release(fetched);
  }

  #takeFeeds(): Feeds {
    const feeds = this.#feeds[this.#nextSet];
    if (!this.#sliceWise) this.#nextSet = (this.#nextSet + 1) % this.#feeds.length;
    return feeds;
  }
}
