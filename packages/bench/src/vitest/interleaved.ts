/**
 * Measures several functions in one process in short slices by turns, so that what slows the machine for a while slows all
 * of them. tinybench times the calls of a slice and makes the statistics of all of them.
 *
 * For the loop of a developer: functions of one process share what the compiler learnt from the others, so builds are
 * compared by process pairs (`quern gate`) and not like this.
 */

import { Bench, type BenchOptions, type Fn, type FnOptions, type Task, type TaskResult } from "tinybench";
import { InternalError, UserError } from "@quern/core/errors";
import { Random } from "../harness/random.ts";
import { median } from "../statistics/basics.ts";

export interface Subject {
  readonly name: string;
  readonly fn: Fn;
  readonly fnOpts?: FnOptions | undefined;
}

export interface InterleaveOptions {
  /** Decides the order of every round. */
  readonly seed: number;
  /** Labels of the stream of random numbers. */
  readonly label: string;
  readonly signal?: AbortSignal | undefined;
  /** Whether results hold their samples. */
  readonly retainSamples: boolean;
  /** Length of a slice in ms. Default: 5. */
  readonly sliceMs?: number;
}

type Completed = Extract<TaskResult, { state: "completed" }> & Omit<Task["result"], keyof TaskResult>;

/** A result of tinybench for the calls of all slices, and what it does not have: the slices in order. */
export interface InterleavedResult {
  readonly name: string;
  readonly result: Completed;
  /** Median of the calls of each slice in ms; slice i of all subjects belongs to the same round. */
  readonly slices: readonly number[];
}

const SLICE_MS = 5;
/** As long as tinybench by default, but for the warm-up, which here has a time alone unless calls are asked for. */
const TIME_MS = 500;
const WARM_UP_MS = 100;
const ITERATIONS = 16;
/** Calls that statistics are made of, at most; the quantiles of more are the same. */
const MOST_SAMPLES = 200_000;

/**
 * Options of `bench.compare` and `run`; those that a run of tinybench has and slices have not are refused. Either signal ends it.
 */
export async function measureInterleaved(
  subjects: readonly Subject[],
  options: BenchOptions,
  settings: InterleaveOptions,
): Promise<InterleavedResult[]> {
  const { concurrency, time = TIME_MS, iterations = ITERATIONS } = options;
  const { warmup, warmupTime = WARM_UP_MS, warmupIterations = 0 } = options;
  if (concurrency !== undefined && concurrency !== null)
    throw new UserError("functions that are measured by turns cannot run at the same time", {
      where: `the option concurrency: ${String(concurrency)}`,
    });
  const { seed, label, sliceMs = SLICE_MS } = settings;
  const signals = [settings.signal, options.signal].filter((given) => given !== undefined);
  const signal = signals.length === 0 ? undefined : AbortSignal.any(signals);
  await (trained ??= train());
  const runners: SliceRunner[] = [];
  try {
    for (const subject of subjects) runners.push(await SliceRunner.start(subject, options, sliceMs, signal));
    const random = Random.of(seed, "vitest", label);
    const lacks = (leastMs: number, leastCalls: number) => (runner: SliceRunner) =>
      runner.spentMs < leastMs || runner.calls < leastCalls;
    if (warmup !== false) await rounds(runners, random, lacks(warmupTime, warmupIterations), signal);
    for (const runner of runners) runner.reset();
    await rounds(runners, random, lacks(time, iterations), signal);
  } finally {
    for (const runner of runners) await runner.end();
  }
  const results: InterleavedResult[] = [];
  for (const runner of runners) results.push(await runner.result(settings.retainSamples));
  return results;
}

/** Something else for each, so that none is taken for the other. */
const STRANGERS: readonly Fn[] = [() => 1, () => "text", () => undefined, () => [], () => ({}), () => null];
const TRAINING_CALLS = 64;
let trained: Promise<void> | undefined;

/**
 * Shows the loop of tinybench several functions. A loop that has seen few of them is compiled together with them, and what
 * comes of it may be several times slower than the function on its own: for one of two subjects, and not for the other.
 */
async function train(): Promise<void> {
  for (const isAsync of [false, true]) {
    for (const stranger of STRANGERS) {
      const bench = new Bench({ time: 0, iterations: TRAINING_CALLS, warmup: false, timestampProvider: "hrtimeNow" });
      bench.add("stranger", stranger, { async: isAsync });
      if (isAsync) await bench.run();
      else bench.runSync();
    }
  }
}

/**
 * Rounds in which each runner has a slice, as long as any wants more. Rounds come in twos: a random order, and its reverse, so
 * that nobody is first more often.
 */
async function rounds(
  runners: readonly SliceRunner[],
  random: Random,
  wants: (runner: SliceRunner) => boolean,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (let order = random.shuffle(runners); runners.some(wants); order = random.shuffle(runners)) {
    for (const round of [order, order.toReversed()]) {
      for (const runner of round) {
        signal?.throwIfAborted();
        await runner.slice();
      }
    }
  }
}

/** One function with its hooks: those around all calls run once, not around every slice. */
class SliceRunner {
  readonly #name: string;
  readonly #task: Task;
  readonly #after: readonly ((task: Task) => unknown)[];
  readonly #async: boolean;
  readonly #signal: AbortSignal | undefined;
  #samples: (readonly number[])[] = [];
  #slices: number[] = [];
  #runtime: TaskResult | undefined;
  spentMs = 0;
  calls = 0;

  private constructor(
    name: string,
    task: Task,
    isAsync: boolean,
    after: readonly ((task: Task) => unknown)[],
    signal: AbortSignal | undefined,
  ) {
    this.#name = name;
    this.#task = task;
    this.#async = isAsync;
    this.#after = after;
    this.#signal = signal;
  }

  static async start(
    { name, fn, fnOpts = {} }: Subject,
    options: BenchOptions,
    sliceMs: number,
    signal: AbortSignal | undefined,
  ): Promise<SliceRunner> {
    const { setup, teardown, ...rest } = options;
    const { beforeAll, afterAll, ...hooks } = fnOpts;
    const bench = new Bench({
      ...rest,
      ...(signal === undefined ? {} : { signal }),
      time: sliceMs,
      iterations: 1,
      warmup: false,
      throws: true,
      retainSamples: true,
      timestampProvider: options.timestampProvider ?? "hrtimeNow",
    });
    // The constructor of a task calls the function to see whether it is asynchronous: not before its hooks.
    let task: Task | undefined;
    const add = (isAsync: boolean): Task => {
      bench.add(name, fn, { ...hooks, retainSamples: true, async: isAsync });
      return bench.getTask(name) as Task;
    };
    task = add(fnOpts.async ?? true);
    await setup?.(task, "run");
    const after: ((each: Task) => unknown)[] = [(each) => teardown?.(each, "run")];
    try {
      await beforeAll?.call(task, "run");
      after.unshift((each) => afterAll?.call(each, "run"));
      const isAsync = fnOpts.async ?? (await isAsynchronous(task, fn, fnOpts));
      if (!isAsync) {
        bench.remove(name);
        task = add(false);
      }
      return new SliceRunner(name, task, isAsync, after, signal);
    } catch (error) {
      for (const hook of after) {
        try {
          await hook(task);
        } catch {
          // The first error is the one to be told.
        }
      }
      throw error;
    }
  }

  async slice(): Promise<void> {
    this.#task.reset();
    if (this.#async) await this.#task.run();
    else this.#task.runSync();
    const { result } = this.#task;
    this.#signal?.throwIfAborted();
    if (result.state !== "completed") throw new InternalError(`tinybench ended a slice in state ${result.state}`);
    const samples = result.latency.samples ?? [];
    this.#runtime = result;
    this.#samples.push(samples);
    this.#slices.push(median(samples));
    this.spentMs += result.totalTime;
    this.calls += samples.length;
  }

  /** Forgets what was measured. */
  reset(): void {
    [this.#samples, this.#slices] = [[], []];
    [this.spentMs, this.calls] = [0, 0];
  }

  async end(): Promise<void> {
    for (const after of this.#after) await after(this.#task);
  }

  async result(retainSamples: boolean): Promise<InterleavedResult> {
    const statistics = await statisticsOf(this.#name, thinned(this.#samples, this.calls), retainSamples);
    const result = { ...this.#runtime, ...statistics, totalTime: this.spentMs } as Completed;
    return { name: this.#name, result, slices: this.#slices };
  }
}

/** Whether a call gives a promise. The call is no part of the measurement. */
async function isAsynchronous(task: Task, fn: Fn, { beforeEach, afterEach }: FnOptions): Promise<boolean> {
  await beforeEach?.call(task, "run");
  const returned: unknown = fn.call(task);
  await returned;
  await afterEach?.call(task, "run");
  return typeof returned === "object" && returned !== null && "then" in returned;
}

/** Every so manieth sample of each slice. Samples of a slice are in order of size, so its quantiles stay. */
function thinned(slices: readonly (readonly number[])[], calls: number): number[] {
  const step = Math.ceil(calls / MOST_SAMPLES);
  return step <= 1 ? slices.flat() : slices.flatMap((slice) => slice.filter((_, i) => i % step === step >> 1));
}

/** tinybench makes statistics of what it has run only: it runs a function that takes as long as each sample says. */
async function statisticsOf(name: string, samples: readonly number[], retainSamples: boolean): Promise<object> {
  const bench = new Bench({ time: 0, iterations: samples.length, warmup: false, throws: true, retainSamples });
  let next = 0;
  bench.add(name, () => ({ overriddenDuration: samples[next++] as number }), { async: false, retainSamples });
  const task = bench.getTask(name) as Task;
  // Without the call that sees whether the function is asynchronous.
  next = 0;
  task.runSync();
  const { result } = task;
  if (result.state !== "completed") throw new InternalError(`tinybench made no statistics: ${result.state}`);
  const { state, latency, throughput, period } = result;
  return { state, latency, throughput, period };
}
