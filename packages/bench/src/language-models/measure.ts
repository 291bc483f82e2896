/**
 * Measures language-model engines on one model at one thread count: a process each, slices in alternating order.
 *
 * The repeat: every engine opens the model and evaluates the first prompt; then test by test all engines fill the depth, warm
 * up, show their logits, and are timed in rounds of one slice each. An engine whose logits differ from the baseline's (see
 * `judge-logits.ts`) is not timed. Order as for other cases: drawn from the seed, each order followed by its reverse.
 */

import { rmSync } from "node:fs";
import { join } from "node:path";
import { InternalError } from "@quern/core";
import { llmEngineNamed } from "../engines/llm-engines.ts";
import type { LlmOptions } from "../engines/llm-engine.ts";
import { EngineProcess, cleanUpAtEnd, isUnsupported } from "../harness/engine-process.ts";
import type { GroupSettings, Progress } from "../harness/interleave.ts";
import { reasonOf } from "../harness/failures.ts";
import { Random } from "../harness/random.ts";
import { makeTemporaryFolder } from "../paired/temporary-folder.ts";
import type { Agreement } from "./agreement.ts";
import { judgeLogits } from "./judge-logits.ts";
import type { ModelFacts } from "./model-facts.ts";
import type { LlmJob, Opened, Ready } from "./protocol.ts";
import { passMs, slicesOf, type SliceRange } from "./slices.ts";
import { TEXTS, testName, type LlmTest } from "./tests.ts";

/** Logits of an engine beside those of another. */
export interface LlmAgreement extends Agreement {
  readonly against: string;
  /** Undefined: of the first prompt. */
  readonly test: LlmTest | undefined;
}

/** What one process of an engine gave. */
export interface LlmRun {
  readonly opened: Opened;
  /** The same of another process, which finds the kernels that the first has kept; for engines that keep them. */
  readonly reopened: Opened | undefined;
  /** By test; absent where it was not timed. */
  readonly tests: ReadonlyMap<LlmTest, TestRun>;
  readonly agreements: readonly LlmAgreement[];
  peakBytes: number | null;
}

export interface TestRun {
  /** Time of one call in each slice, in order of the rounds. */
  readonly slicesMs: number[];
  calls: number;
  readonly busyThreads: number | null;
}

export interface LlmOutcome {
  readonly engine: string;
  readonly runs: readonly LlmRun[];
  readonly failure?: { readonly reason: string; readonly unsupported: boolean };
  /** Logits differ from the baseline's. */
  readonly wrong?: string;
}

export interface LlmGroup {
  readonly facts: ModelFacts;
  readonly tests: readonly LlmTest[];
  readonly engines: readonly string[];
  readonly options: LlmOptions;
  readonly settings: GroupSettings;
}

interface Live {
  readonly engine: string;
  readonly process: LlmProcess;
  readonly opened: Opened;
  readonly reopened: Opened | undefined;
  readonly tests: Map<LlmTest, TestRun>;
  readonly agreements: LlmAgreement[];
}

/** The process of an engine, as far as it is needed here. */
export type LlmProcess = Pick<EngineProcess, "ask" | "pause" | "resume" | "kill">;
type StartProcess = (engine: string) => LlmProcess;

const MIN_ROUNDS = 3;
const MIN_ROUNDS_SLOW = 2;
const SLOW_ROUND_MS = 5000;

/**
 * Failures, of single engines or of a whole repeat, are outcomes and not exceptions. Interrupted before a repeat is whole it
 * throws the reason of the signal.
 */
export async function measureLlm(
  group: LlmGroup,
  progress: Progress,
  start: StartProcess = (engine) => new EngineProcess(engine),
): Promise<LlmOutcome[]> {
  const measurement = new Measurement(group, start);
  const { settings } = group;
  for (let repeat = 0; repeat < settings.processes; repeat++) {
    try {
      await measurement.repeat(repeat, (text, share) => progress(text, (repeat + share) / settings.processes));
    } catch (error) {
      if (settings.signal?.aborted !== true) measurement.failAll(error);
      else if (repeat === 0) throw error;
      break;
    }
  }
  return measurement.outcomes();
}

class Measurement {
  readonly #group: LlmGroup;
  readonly #start: StartProcess;
  readonly #runs = new Map<string, LlmRun[]>();
  readonly #failures = new Map<string, { reason: string; unsupported: boolean }>();
  readonly #wrong = new Map<string, string>();

  constructor(group: LlmGroup, start: StartProcess) {
    this.#group = group;
    this.#start = start;
    for (const engine of group.engines) this.#runs.set(engine, []);
  }

  outcomes(): LlmOutcome[] {
    return this.#group.engines.map((engine) => {
      const [failure, wrong] = [this.#failures.get(engine), this.#wrong.get(engine)];
      return {
        engine,
        runs: this.#runs.get(engine) ?? [],
        ...(failure === undefined ? {} : { failure }),
        ...(wrong === undefined ? {} : { wrong }),
      };
    });
  }

  /** There is no room for files, for instance. What whole repeats have given stays. */
  failAll(error: unknown): void {
    const failure = { reason: reasonOf(error), unsupported: false };
    for (const engine of this.#group.engines) if (!this.#failures.has(engine)) this.#failures.set(engine, failure);
  }

  async repeat(repeat: number, progress: Progress): Promise<void> {
    const { facts, tests, engines, options, settings } = this.#group;
    const random = Random.of(settings.seed, facts.name, options.threads, repeat);
    const kernels = makeTemporaryFolder("quern-kernels-");
    const removeKernels = cleanUpAtEnd(() => rmSync(kernels, { recursive: true, force: true }));
    const live: Live[] = [];
    try {
      for (const engine of random.shuffle(engines.filter((name) => !this.#failures.has(name)))) {
        settings.signal?.throwIfAborted();
        progress(`${engine}: opening`, (0.2 * live.length) / engines.length);
        await this.#open(engine, join(kernels, String(live.length)), live);
      }
      this.#agree(new Map(live.map((entry) => [entry, [entry.opened.row]])), "first prompt");
      this.#agreeLater(live);
      for (const [index, test] of tests.entries()) {
        const report: Progress = (text, share) =>
          progress(`${testName(test)}, ${text}`, 0.2 + (0.8 * (index + share)) / tests.length);
        await this.#measureTest(test, live, random, report);
      }
      const whole: [string, LlmRun][] = [];
      for (const entry of live) whole.push([entry.engine, await this.#finish(entry)]);
      for (const [engine, run] of whole) this.#runs.get(engine)?.push(run);
    } finally {
      for (const { process } of live) process.kill();
      removeKernels();
    }
  }

  async #open(engine: string, kernels: string, live: Live[]): Promise<void> {
    const { facts, options, settings } = this.#group;
    const job: LlmJob = {
      engine,
      options: { ...options, kernels },
      modelPath: facts.path,
      vocabulary: facts.hyper.vocabulary,
      seed: settings.seed,
    };
    const process = this.#start(engine);
    const open = async (from: LlmProcess): Promise<Opened> =>
      (await from.ask({ kind: "llm-open", job }, settings.timeoutMs)).opened;
    const openLater = async (): Promise<Opened> => {
      const later = this.#start(engine);
      return await open(later).finally(() => later.kill());
    };
    try {
      const opened = await open(process);
      process.pause();
      const reopened = llmEngineNamed(engine).keepsKernels ? await openLater() : undefined;
      live.push({ engine, process, opened, reopened, tests: new Map(), agreements: [] });
    } catch (error) {
      process.kill();
      this.#fail(engine, error);
    }
  }

  #fail(engine: string, error: unknown): void {
    // Ctrl-C kills what is measured: that is no failure of the engine.
    this.#group.settings.signal?.throwIfAborted();
    if (error instanceof InternalError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    this.#failures.set(engine, { reason, unsupported: isUnsupported(error) });
  }

  /**
   * Holds what the engines gave against each other. `what` names it, `test` is what it belongs to; only what `judged` takes is
   * judged.
   */
  #agree(
    rows: ReadonlyMap<Live, readonly Float32Array[]>,
    what: string,
    test?: LlmTest,
    judged: (entry: Live) => boolean = () => true,
  ): void {
    const { engines } = this.#group;
    const entries = [...rows.keys()].toSorted((a, b) => engines.indexOf(a.engine) - engines.indexOf(b.engine));
    const shown = entries.map((entry) => ({ engine: entry.engine, rows: rows.get(entry) ?? [] }));
    for (const { engine, against, agreement, differs } of judgeLogits(shown)) {
      const entry = entries.find((each) => each.engine === engine);
      if (entry === undefined || !judged(entry)) continue;
      entry.agreements.push({ ...agreement, against, test });
      if (differs !== undefined) {
        this.#wrong.set(engine, `logits behind the ${what} differ from those of ${against}: ${differs}`);
      }
    }
  }

  /** What kept kernels compute: the time to the first token is that of a process which found them. */
  #agreeLater(live: readonly Live[]): void {
    const rows = new Map(this.#able(live).map((entry) => [entry, [(entry.reopened ?? entry.opened).row]]));
    this.#agree(rows, "first prompt of a later start", undefined, ({ reopened }) => reopened !== undefined);
  }

  async #measureTest(test: LlmTest, live: readonly Live[], random: Random, progress: Progress): Promise<void> {
    const ready = new Map<Live, Ready>();
    for (const entry of random.shuffle(this.#able(live))) {
      this.#group.settings.signal?.throwIfAborted();
      progress(`${entry.engine}: warming up`, 0);
      await this.#ask(entry, async (process, timeoutMs) => {
        ready.set(entry, (await process.ask({ kind: "llm-test", test }, timeoutMs)).ready);
      });
    }
    this.#agree(new Map([...ready].map(([entry, { rows }]) => [entry, rows])), testName(test), test);
    const timed = this.#able([...ready.keys()]);
    if (timed.length === 0) return;
    const slowest = Math.max(...timed.map((entry) => ready.get(entry)?.callMs ?? 0));
    const slices = slicesOf(test, slowest);
    const allMs = timed.reduce((sum, entry) => sum + passMs(test, ready.get(entry)?.callMs ?? 0), 0);
    const rounds = this.#rounds(allMs, timed.length, slices.length);
    // Logits behind some slices are compared, never fewer than two.
    const all = Array.from({ length: rounds }, (_, i) => i);
    const kept = new Set(random.shuffle(all).slice(0, Math.max(2, rounds / 20)));
    let order = random.shuffle(timed);
    for (let round = 0; round < rounds; round++) {
      order = round % 2 === 1 ? order.toReversed() : random.shuffle(timed);
      this.#group.settings.signal?.throwIfAborted();
      progress(`round ${round + 1} of ${rounds}`, round / rounds);
      const { from, count } = slices[round % slices.length] as SliceRange;
      const text = Math.floor(round / slices.length) % TEXTS;
      const rows = new Map<Live, Float32Array[]>();
      for (const entry of this.#able(order)) {
        await this.#ask(entry, async (process, timeoutMs) => {
          const request = { kind: "llm-slice", text, from, count, keep: kept.has(round) } as const;
          const { slice } = await process.ask(request, timeoutMs);
          const { busyThreads = null } = ready.get(entry) ?? {};
          const run = entry.tests.get(test) ?? { slicesMs: [], calls: 0, busyThreads };
          entry.tests.set(test, run);
          const calls = test.kind === "prompt" ? 1 : count;
          run.slicesMs.push(slice.ms / calls);
          run.calls += calls;
          if (slice.row !== undefined) rows.set(entry, [slice.row]);
        });
      }
      this.#agree(rows, `timed ${testName(test)}`, test);
    }
  }

  #able(live: readonly Live[]): Live[] {
    return live.filter(({ engine }) => !this.#failures.has(engine) && !this.#wrong.has(engine));
  }

  /** Lets an engine's process run while it answers. */
  async #ask(entry: Live, use: (process: LlmProcess, timeoutMs: number) => Promise<void>): Promise<void> {
    try {
      entry.process.resume();
      await use(entry.process, this.#group.settings.timeoutMs);
      entry.process.pause();
    } catch (error) {
      this.#fail(entry.engine, error);
    }
  }

  /** Whole passes over the slices that fill the time budget, so that every part of the range counts as much. */
  #rounds(allMs: number, engines: number, slices: number): number {
    const { secondsPerEngine, processes } = this.#group.settings;
    const budgetMs = (1000 * secondsPerEngine * engines) / processes;
    const passes = Math.max(1, Math.round(budgetMs / allMs));
    const least = allMs / slices > SLOW_ROUND_MS ? MIN_ROUNDS_SLOW : MIN_ROUNDS;
    return slices * Math.max(Math.ceil(least / slices), passes);
  }

  async #finish(entry: Live): Promise<LlmRun> {
    const { engine, opened, reopened, tests, agreements } = entry;
    const run: LlmRun = { opened, reopened, tests, agreements, peakBytes: opened.peakBytes };
    if (this.#failures.has(engine)) return run;
    await this.#ask(entry, async (process, timeoutMs) => {
      run.peakBytes = (await process.ask({ kind: "llm-finish" }, timeoutMs)).peakBytes;
    });
    return run;
  }
}
