/**
 * The loop that all callers share: plan a step, run it, hand out its rows, until nothing is left to do. It sleeps when there
 * is no work and begins with the next `add`. Between steps the event loop gets its turn, so that aborts and other input
 * are heard however fast the steps are.
 */

import { UserError } from "@quern/core";
import { PagePool } from "./kv-pages.ts";
import { type Plan, Scheduler, type Work } from "./scheduler.ts";
import type { StepRunner } from "./step.ts";

export interface EngineOptions {
  /** Pages of the cache that the runner works on. */
  readonly pages: number;
  readonly pageSize: number;
  /** Longest sequence, in tokens. */
  readonly contextLength: number;
  readonly maxSequences: number;
  readonly stepTokens: number;
  readonly sharePrefixes: boolean;
}

/** Bytes of output rows in one step: bounds what all logits of a long text need at a time. */
const STEP_OUTPUT_BYTES = 64 * 2 ** 20;

export class Engine {
  readonly #runner: StepRunner;
  readonly #scheduler: Scheduler;
  #loop: Promise<void> | undefined;
  #disposed = false;

  /** The engine owns the runner. */
  constructor(runner: StepRunner, options: EngineOptions) {
    const { pages, pageSize, contextLength, maxSequences, stepTokens, sharePrefixes } = options;
    this.#runner = runner;
    this.#scheduler = new Scheduler({
      pool: new PagePool({ pages, pageSize, sharePrefixes }),
      pagesPerSequence: Math.ceil(contextLength / pageSize),
      maxSequences,
      stepTokens: Math.max(stepTokens, maxSequences),
      // Enough for one row of every sequence, whatever the vocabulary.
      stepOutputs: Math.max(maxSequences, Math.floor(STEP_OUTPUT_BYTES / (4 * runner.rowSize))),
    });
  }

  /** Elements of the rows that work is given. */
  get rowSize(): number {
    return this.#runner.rowSize;
  }

  /** Bytes of the cache of keys and values. */
  get cacheBytes(): number {
    return this.#runner.cacheBytes;
  }

  get preemptions(): number {
    return this.#scheduler.preemptions;
  }

  add(work: Work): void {
    if (this.#disposed) throw new UserError("the model was used after dispose");
    this.#scheduler.add(work);
    this.#loop ??= this.#run();
  }

  /** Ends all work with an error, waits for the step that runs, and returns the memory. */
  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const work of this.#scheduler.all()) work.fail(new UserError("the model was disposed while it was in use"));
    await this.#loop;
    this.#runner.dispose();
  }

  async #run(): Promise<void> {
    try {
      for (;;) {
        // Whoever adds work in this task shares the first step.
        await nextTask();
        // No await between the plan and the end of the loop: work added there would wait for ever.
        const plan = this.#disposed ? undefined : this.#scheduler.plan();
        if (plan === undefined) return;
        await this.#step(plan);
      }
    } catch (error) {
      // A defect of ours: nobody may wait for ever.
      for (const work of this.#scheduler.all()) work.fail(error);
    } finally {
      this.#loop = undefined;
    }
  }

  async #step(plan: Plan): Promise<void> {
    let rows: Float32Array;
    try {
      rows = await this.#runner.run(plan.batch);
    } catch (error) {
      this.#scheduler.fail(plan, error);
      return;
    }
    this.#scheduler.complete(plan, rows, this.#runner.rowSize);
  }
}

function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
