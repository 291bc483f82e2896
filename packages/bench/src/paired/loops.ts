/**
 * The timed loops: tinybench, which reads the clock around every call, or batches of calls between two readings where a
 * call is so short that the clock would be part of it.
 *
 * Nothing of the harness lies between two readings but the call itself, and in a batch the walk through the inputs. V8
 * must not inline the bench into the loop: what Maglev makes of the two together may be several times slower than the
 * bench on its own, and a full garbage collection may change its mind. So all benches go through the same two call
 * sites, which have seen other functions before the first of them.
 */

import { Bench, type Task } from "tinybench";
import { InternalError } from "@quern/core/errors";
import { interquartileMean } from "./centre.ts";
import { POOL_SETS } from "./input-pool.ts";

export type LoopMode = "call" | "batch";

/** A call shorter than this many readings of the clock is timed in batches. */
export const BATCH_BELOW = 50;

// Taken before any bench is loaded, which might replace it.
const now: () => bigint = process.hrtime.bigint.bind(process.hrtime);

/**
 * One slice. The time of a call is the interquartile mean over calls, or batches: on a busy machine a slice of several
 * milliseconds is preempted more often than not, and a plain mean would be that of the neighbours.
 */
export interface Timed {
  readonly callNs: number;
  readonly calls: number;
  readonly spentNs: number;
}

/** What a loop calls. `after` gets outputs outside of timing: of every call, or of the last one of a batch. */
export interface Subject {
  readonly run: (state: never, input: never) => unknown;
  readonly state: unknown;
  readonly sets: readonly unknown[];
  readonly async: boolean;
  after(output: unknown, set: number): void;
}

/** Times as many calls of about `callNs` as fill `sliceNs`; the first gets input set `first`. */
export type Loop = (sliceNs: number, first: number, callNs: number) => Promise<Timed>;

const MASK = POOL_SETS - 1;

// What is called now. Variables and not parameters of closures: V8 would take those for constants, and inline.
let run: Subject["run"] = () => undefined;
let state: unknown;
let sets: readonly unknown[] = [];
let set = 0;
let output: unknown;

function aim(subject: Subject, first: number): void {
  ({ run, state, sets } = subject);
  set = first;
}

function call(): void {
  output = run(state as never, sets[set] as never);
}

async function callAsync(): Promise<void> {
  output = await run(state as never, sets[set] as never);
}

function batch(first: number, calls: number): unknown {
  const f = run;
  const given = state as never;
  const pool = sets as readonly never[];
  let result: unknown;
  for (let i = 0, at = first; i < calls; i++, at = (at + 1) & MASK) result = f(given, pool[at] as never);
  return result;
}

async function batchAsync(first: number, calls: number): Promise<unknown> {
  const f = run;
  const given = state as never;
  const pool = sets as readonly never[];
  let result: unknown;
  for (let i = 0, at = first; i < calls; i++, at = (at + 1) & MASK) result = await f(given, pool[at] as never);
  return result;
}

const NOTHING: readonly unknown[] = Array.from({ length: POOL_SETS });
const STRANGERS: readonly Subject["run"][] = [() => 1, () => "text", () => undefined, (given: unknown) => given];
/** V8 notes what a call site sees only after a few calls of the function around it. */
const TRAINING_CALLS = 64;

/** Shows every call site several functions. */
async function train(): Promise<void> {
  for (const stranger of STRANGERS) {
    aim({ run: stranger, state: undefined, sets: NOTHING, async: false, after: () => {} }, 0);
    for (let i = 0; i < TRAINING_CALLS; i++) {
      call();
      batch(0, 2);
      await callAsync();
      await batchAsync(0, 2);
    }
  }
}

let trained: Promise<void> | undefined;

/** To be awaited before the first loop runs. */
export function trainLoops(): Promise<void> {
  return (trained ??= train());
}

/** Time of one reading of the clock, ns: the median of many pairs of readings. */
export function timerNs(): number {
  const readings = Array.from({ length: 2001 }, () => {
    const before = now();
    return Number(now() - before);
  });
  return readings.sort((a, b) => a - b)[1000] as number;
}

/** Time of a call that does nothing, in the same loop, ns. */
export function emptyCallNs(): number {
  aim({ run: () => undefined, state: undefined, sets: NOTHING, async: false, after: () => {} }, 0);
  let fastest = Infinity;
  for (let i = 0; i < 12; i++) {
    const before = now();
    batch(0, 20_000);
    fastest = Math.min(fastest, Number(now() - before) / 20_000);
  }
  return fastest;
}

/** Batches in one slice: enough for a robust centre, and for outputs to keep in between. */
const BATCHES = 10;
const MAX_CALLS = 1e7;

/** As many as fill `ns` by what a call took before: a slice that is preempted must not get fewer. */
function callsIn(ns: number, callNs: number): number {
  return Math.max(1, Math.min(MAX_CALLS, Math.round(ns / callNs)));
}

export function batchLoop(subject: Subject): Loop {
  return async (sliceNs, first, callNs) => {
    const calls = callsIn(sliceNs / BATCHES, callNs);
    const count = Math.min(BATCHES, callsIn(sliceNs, calls * callNs));
    const batches: number[] = [];
    let start = first;
    while (batches.length < count) {
      aim(subject, start);
      const before = now();
      const result = subject.async ? await batchAsync(start, calls) : batch(start, calls);
      batches.push(Number(now() - before));
      subject.after(result, (start + calls - 1) & MASK);
      start = (start + calls) & MASK;
    }
    const spentNs = batches.reduce((sum, ns) => sum + ns, 0);
    return { callNs: interquartileMean(batches) / calls, calls: calls * count, spentNs };
  };
}

export function callLoop(subject: Subject): Loop {
  const afterEach = (): void => {
    const given = output;
    output = undefined;
    subject.after(given, set);
    set = (set + 1) & MASK;
  };
  const tasks = new Map<number, Task>();
  const taskOf = (iterations: number): Task => {
    const known = tasks.get(iterations);
    if (known !== undefined) return known;
    const options = { time: 0, warmup: false, throws: true, retainSamples: true } as const;
    const bench = new Bench({ ...options, iterations, timestampProvider: "hrtimeNow" });
    bench.add("slice", subject.async ? callAsync : call, { async: subject.async, afterEach });
    const task = bench.getTask("slice") as Task;
    tasks.set(iterations, task);
    return task;
  };
  return async (sliceNs, first, callNs) => {
    const task = taskOf(callsIn(sliceNs, callNs));
    aim(subject, first);
    task.reset();
    if (subject.async) await task.run();
    else task.runSync();
    const { result } = task;
    if (!("latency" in result)) throw new InternalError(`tinybench ended a slice in state ${result.state}`);
    const samples = [...(result.latency.samples ?? [])];
    return { callNs: 1e6 * interquartileMean(samples), calls: samples.length, spentNs: 1e6 * result.totalTime };
  };
}
