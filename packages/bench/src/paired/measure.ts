/**
 * Measures benches of two builds in pairs of fresh processes. Out comes, for every bench, one sample per pair: the pair
 * is the unit of inference, never the call.
 *
 * One index after another: within each, groups of benches in random order, so that what the machine does in the course of
 * a run falls on all benches alike. Failures of single benches are outcomes; such a bench is not measured again.
 */

import { rmSync } from "node:fs";
import { getCompileCacheDir } from "node:module";
import { cleanUpAtEnd } from "../harness/worker-process.ts";
import { Random } from "../harness/random.ts";
import type { ArmName, LoadedFile } from "./arms/arm.ts";
import { groupBenches, type BenchGroup } from "./groups.ts";
import { PairRun } from "./pair.ts";
import type { PairSettings } from "./pair-context.ts";
import type { GroupPair, PairOutcome } from "./pair-outcomes.ts";
import {
  emptyMemory,
  type BenchSamples,
  type MeasureMemory,
  type MeasurePlan,
  type MeasureProgress,
  type PairSamples,
} from "./plan.ts";
import { SampleStore } from "./sample-store.ts";
import { makeTemporaryFolder } from "./temporary-folder.ts";

/** Measures `plan`. Throws only where the harness itself fails; an interruption gives what is complete. */
export async function measurePairs(
  plan: MeasurePlan,
  progress: (progress: MeasureProgress) => void = () => {},
): Promise<PairSamples> {
  const run = new Measurement(plan, progress);
  return run.measure();
}

/**
 * Start-up is not what is measured: all processes after the first take compiled code from this folder. Undefined where none can be
 * made: they start slower then, and nothing else.
 */
function makeCache(): { readonly folder: string; remove(): void } | undefined {
  try {
    const folder = makeTemporaryFolder("quern-compiled-");
    return { folder, remove: cleanUpAtEnd(() => rmSync(folder, { recursive: true, force: true })) };
  } catch {
    return undefined;
  }
}

/** Benches of a group are measured together: in as many pairs as the most frequent of them. */
function every(group: BenchGroup): number {
  return Math.min(...group.benches.map(({ every: turn = 1 }) => turn));
}

/** How long after the deadline a pair may take that was begun before it: one that hangs must not cost a whole timeout. */
const GRACE_MS = 5000;

class Measurement {
  readonly #plan: MeasurePlan;
  readonly #progress: (progress: MeasureProgress) => void;
  readonly #groups: readonly BenchGroup[];
  readonly #store: SampleStore;
  readonly #memory: MeasureMemory;
  readonly #started = performance.now();
  #groupRuns = 0;
  #current: PairRun | undefined;
  #outOfTime = false;

  constructor(plan: MeasurePlan, progress: (progress: MeasureProgress) => void) {
    this.#plan = plan;
    this.#progress = progress;
    this.#groups = groupBenches(plan.benches);
    this.#memory = plan.memory ?? emptyMemory();
    this.#store = new SampleStore(plan.benches, plan.peaks, this.#memory.counts);
  }

  get #aborted(): boolean {
    return this.#plan.signal?.aborted === true;
  }

  async measure(): Promise<PairSamples> {
    const { signal, env } = this.#plan;
    const stop = (): void => this.#current?.kill();
    signal?.addEventListener("abort", stop);
    const late = this.#atDeadline();
    const cache = getCompileCacheDir() === undefined ? makeCache() : undefined;
    try {
      await this.#measureAll({ ...(cache === undefined ? {} : { NODE_COMPILE_CACHE: cache.folder }), ...env });
    } finally {
      clearTimeout(late);
      signal?.removeEventListener("abort", stop);
      cache?.remove();
    }
    const { loaded, changedFiles } = this.#store.files();
    return {
      benches: this.#store.benches(),
      aborted: this.#aborted,
      outOfTime: this.#outOfTime,
      wallMs: performance.now() - this.#started,
      loaded,
      changedFiles,
    };
  }

  /** Ends the pair that still runs some time after the deadline. */
  #atDeadline(): NodeJS.Timeout | undefined {
    const { deadline } = this.#plan;
    if (deadline === undefined) return undefined;
    const end = (): void => {
      this.#outOfTime = true;
      this.#current?.kill();
    };
    return setTimeout(end, Math.max(0, deadline + GRACE_MS - Date.now()));
  }

  async #measureAll(env: Record<string, string>): Promise<void> {
    const { pairs, firstIndex, seed, deadline } = this.#plan;
    for (let pair = 0; pair < pairs; pair++) {
      const index = firstIndex + pair;
      const listFiles = pair === 0 || pair === pairs - 1;
      for (const group of Random.of(seed, "groups", index).shuffle(this.#groups)) {
        if (this.#aborted || this.#outOfTime) return;
        if (deadline !== undefined && Date.now() >= deadline) {
          this.#outOfTime = true;
          return;
        }
        if (index % every(group) !== 0) continue;
        this.#report(group, pair);
        await this.#measureGroup(group, index, listFiles, env);
        this.#groupRuns++;
      }
    }
  }

  #report(group: BenchGroup, pair: number): void {
    const { pairs, firstIndex } = this.#plan;
    const turns = (turn: number): number => Math.ceil((firstIndex + pairs) / turn) - Math.ceil(firstIndex / turn);
    const all = this.#groups.reduce((sum, each) => sum + turns(every(each)), 0);
    const spentMs = performance.now() - this.#started;
    const done = this.#groupRuns;
    this.#progress({
      text: `pair ${pair + 1} of ${pairs}: ${group.benches.map(({ id }) => id).join(", ")}`,
      share: done / all,
      leftMs: done === 0 ? undefined : (spentMs / done) * (all - done),
    });
  }

  /** Measures a group, in further processes where a bench took one with it. */
  async #measureGroup(
    group: BenchGroup,
    index: number,
    listFiles: boolean,
    env: Record<string, string>,
  ): Promise<void> {
    const settings: PairSettings = {
      ...this.#plan,
      index,
      // What is not measured in every pair must have balanced orders all the same.
      orderIndex: Math.floor(index / every(group)),
      processOptions: { env, nodeOptions: this.#plan.nodeOptions },
      modes: this.#memory.modes,
      listFiles,
    };
    let benches = group.benches.filter(({ id }) => this.#store.measurable(id));
    while (benches.length > 0) {
      const run = new PairRun({ name: group.name, benches }, settings);
      this.#current = run;
      // The signal may have come while the processes were started.
      if (this.#aborted) run.kill();
      const pair: GroupPair = await run.run();
      this.#current = undefined;
      // What failed was killed from here.
      if (this.#aborted || this.#outOfTime) return;
      this.#store.add(pair);
      // At least one bench failed: every turn leaves fewer.
      benches = pair.rest.filter(({ id }) => this.#store.measurable(id));
    }
  }
}

export type { BenchSamples, LoadedFile, ArmName, PairOutcome };
