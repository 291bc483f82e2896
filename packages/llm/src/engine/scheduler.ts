/**
 * Continuous batching: which tokens of which sequences make the next step.
 *
 * Every step holds one token of each sequence that generates, then pieces of prompts until the token budget is used, the
 * older sequence first. When pages run out, the youngest sequence gives its pages back and is computed again later, from
 * its tokens; what was generated is not lost. A sequence that begins like one whose beginning is just being computed waits
 * for it, and shares the pages. The order depends on nothing but the order of `add` and the lengths.
 *
 * Invariants: a sequence is pushed out only by an older one; in every step some sequence advances, so all end.
 * Reference: Yu et al., Orca, 2022 (iteration-level scheduling); Agrawal et al., Sarathi-Serve, 2024 (chunked prefill).
 */

import type { KvSequence, PageCopy, PagePool } from "./kv-pages.ts";
import { type StepBatch, type StepPart, buildStep, outputsOf } from "./step.ts";

/** A sequence as the scheduler sees it. */
export interface Work {
  /** Ids in order. `accept` may append one: it is computed next. */
  readonly tokens: readonly number[];
  /** The first position whose output row is still wanted; every later one is too. Grows with `accept`. */
  readonly firstOutput: number;
  /** Nothing more is to be computed; the sequence is dropped after the step. */
  readonly finished: boolean;
  /** `shared` tokens of the sequence were found in the cache when it began, or began again. */
  admitted?(shared: number): void;
  /** The output of the token at `position`. The row is reused after the call. */
  accept(row: Float32Array, position: number): void;
  /** The sequence cannot go on. */
  fail(error: unknown): void;
}

export interface SchedulerOptions {
  readonly pool: PagePool;
  /** Width of the block tables: the longest sequence in pages. */
  readonly pagesPerSequence: number;
  /** Sequences that are in the cache at the same time. */
  readonly maxSequences: number;
  /** Most tokens of a step. */
  readonly stepTokens: number;
  /** Most output rows of a step: rows of a large vocabulary are large. */
  readonly stepOutputs: number;
}

interface Entry {
  readonly work: Work;
  readonly arrival: number;
  kv: KvSequence;
}

interface PlannedPart extends StepPart {
  readonly entry: Entry;
}

/** A step and what it computes. */
export interface Plan {
  readonly batch: StepBatch;
  readonly parts: readonly PlannedPart[];
}

export class Scheduler {
  readonly #options: SchedulerOptions;
  /** By arrival. */
  #waiting: Entry[] = [];
  /** By arrival. */
  #running: Entry[] = [];
  #arrivals = 0;
  #preemptions = 0;

  constructor(options: SchedulerOptions) {
    this.#options = options;
  }

  /** How often a sequence gave its pages back before it was done. */
  get preemptions(): number {
    return this.#preemptions;
  }

  get size(): number {
    return this.#waiting.length + this.#running.length;
  }

  add(work: Work): void {
    this.#waiting.push({ work, arrival: this.#arrivals++, kv: this.#options.pool.open() });
  }

  /** All work, oldest first. */
  all(): Work[] {
    return [...this.#running, ...this.#waiting].map(({ work }) => work);
  }

  /** The next step; undefined when there is nothing to compute. Work that can never fit is told so. */
  plan(): Plan | undefined {
    this.#drop();
    while (this.size > 0) {
      const step = new StepInMaking(this.#options);
      const preempted = this.#preemptions;
      // One token each first: who generates waits for nobody's prompt. The list is replaced, never changed, meanwhile.
      for (const entry of this.#running) if (pending(entry) === 1) this.#schedule(entry, step);
      for (const entry of this.#running) if (pending(entry) > 1) this.#schedule(entry, step);
      if (this.#preemptions === preempted) this.#admit(step);
      if (step.parts.length > 0) return step.finish();
      this.#drop();
    }
    return undefined;
  }

  /** Hands out the rows of a step that ran. */
  complete({ parts }: Plan, rows: Float32Array, rowSize: number): void {
    let row = 0;
    for (const part of parts) {
      const { entry, start, count } = part;
      const { work, kv } = entry;
      const end = start + count;
      this.#options.pool.commit(kv, work.tokens.slice(start, end));
      const outputs = outputsOf(part);
      for (let i = 0; i < outputs; i++, row++) {
        if (work.finished) continue;
        try {
          work.accept(rows.subarray(row * rowSize, (row + 1) * rowSize), end - outputs + i);
        } catch (error) {
          work.fail(error);
        }
      }
    }
    this.#drop();
  }

  /** Ends the work of a step that could not be run; other sequences go on. */
  fail({ parts }: Plan, error: unknown): void {
    for (const { entry } of parts) entry.work.fail(error);
    this.#drop();
  }

  /** Gives back the pages of finished work. Not while a step runs that writes them. */
  #drop(): void {
    const done = (entry: Entry): boolean => {
      if (entry.work.finished) this.#options.pool.close(entry.kv);
      return !entry.work.finished;
    };
    this.#running = this.#running.filter(done);
    this.#waiting = this.#waiting.filter(done);
  }

  #admit(step: StepInMaking): void {
    const { pool, maxSequences } = this.#options;
    for (const entry of this.#waiting) {
      if (this.#running.length >= maxSequences || step.tokensLeft === 0) break;
      if (this.#running.length > 0 && pool.available === 0) break;
      if (this.#follows(entry)) continue;
      const { work, kv } = entry;
      const shared = pool.adopt(kv, work.tokens, shareable(work));
      // All of it must fit, or it would only push others out and be pushed out itself. Alone it may try.
      if (this.#running.length > 0 && pool.room(kv) < pending(entry)) {
        pool.truncate(kv, 0);
        break;
      }
      this.#running = [...this.#running, entry].toSorted((a, b) => a.arrival - b.arrival);
      work.admitted?.(shared);
      this.#schedule(entry, step);
    }
    this.#waiting = this.#waiting.filter((entry) => !this.#running.includes(entry));
  }

  /** Whether another sequence is about to compute pages that this one begins with: it waits for them. */
  #follows({ work }: Entry): boolean {
    const { pool } = this.#options;
    if (!pool.sharesPrefixes) return false;
    return this.#running.some((other) => {
      const common = commonLength(work.tokens, other.work.tokens, shareable(work));
      return Math.floor(common / pool.pageSize) > Math.floor(other.kv.length / pool.pageSize);
    });
  }

  /** Adds what fits of an entry's next tokens to the step, pushing out younger ones where pages are missing. */
  #schedule(entry: Entry, step: StepInMaking): void {
    const { pool } = this.#options;
    if (!this.#running.includes(entry)) return;
    const wanted = step.fitting(entry);
    if (wanted === 0) return;
    while (pool.room(entry.kv) === 0) {
      const victim = this.#running.findLast((other) => other.arrival > entry.arrival && !step.has(other));
      if (victim !== undefined) this.#preempt(victim);
      else if (this.#running.length > 1) return;
      else {
        try {
          pool.reserve(entry.kv, 1);
        } catch (error) {
          entry.work.fail(error);
        }
        return;
      }
    }
    step.add(entry, Math.min(wanted, pool.room(entry.kv)));
  }

  #preempt(entry: Entry): void {
    const { pool } = this.#options;
    this.#preemptions++;
    pool.close(entry.kv);
    entry.kv = pool.open();
    this.#running = this.#running.filter((other) => other !== entry);
    const at = this.#waiting.findIndex((other) => other.arrival > entry.arrival);
    this.#waiting.splice(at < 0 ? this.#waiting.length : at, 0, entry);
  }
}

/** Tokens whose keys and values are not in the cache yet. */
function pending({ work, kv }: Entry): number {
  return work.tokens.length - kv.length;
}

/** How many tokens need not be computed if they are in the cache: those before the first output. */
function shareable({ firstOutput, tokens }: Work): number {
  return Math.min(firstOutput, tokens.length - 1);
}

/** How far two sequences are the same, up to `limit`. */
function commonLength(a: readonly number[], b: readonly number[], limit: number): number {
  let length = 0;
  while (length < limit && length < b.length && a[length] === b[length]) length++;
  return length;
}

class StepInMaking {
  readonly parts: PlannedPart[] = [];
  readonly #options: SchedulerOptions;
  readonly #copies: PageCopy[] = [];
  tokensLeft: number;
  #outputsLeft: number;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.tokensLeft = options.stepTokens;
    this.#outputsLeft = options.stepOutputs;
  }

  has(entry: Entry): boolean {
    return this.parts.some((part) => part.entry === entry);
  }

  /** How many of the entry's next tokens the budgets allow. */
  fitting(entry: Entry): number {
    if (this.has(entry)) return 0;
    const silent = Math.max(0, entry.work.firstOutput - entry.kv.length);
    return Math.min(pending(entry), this.tokensLeft, silent + this.#outputsLeft);
  }

  add(entry: Entry, count: number): void {
    const { work, kv } = entry;
    this.#copies.push(...this.#options.pool.reserve(kv, count));
    const part = {
      entry,
      tokens: work.tokens,
      start: kv.length,
      count,
      pages: kv.pages,
      firstOutput: work.firstOutput,
    };
    this.parts.push(part);
    this.tokensLeft -= count;
    this.#outputsLeft -= outputsOf(part);
  }

  finish(): Plan {
    return { batch: buildStep(this.parts, this.#copies, this.#options.pagesPerSequence), parts: this.parts };
  }
}
