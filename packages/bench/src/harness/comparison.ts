/**
 * What every comparison of engines does around its groups: the machine's peaks before and after, Ctrl-C, one result file.
 */

import { randomUUID } from "node:crypto";
import { UserError } from "@quern/core";
import { rowsOf, withClaims } from "../claims/claim.ts";
import { withIsa } from "../claims/isa.ts";
import { changedFacts, readFingerprint } from "../paired/fingerprint.ts";
import type { Comparison, EngineRecord, Environment, Results, RooflinePoint } from "../results/schema.ts";
import { IDLE } from "./engine-process.ts";
import type { GroupSettings, Progress } from "./interleave.ts";
import { higherPeaks, peaksOrReason, throttledPeaks } from "./roofline.ts";

/** Times that peaks which seem to have fallen are measured again. */
const MEASURED_AGAIN = 3;

type Run = NonNullable<Results["run"]>;

export interface BenchSettings extends GroupSettings {
  /** The program and its words, for the record. */
  readonly call?: Pick<Run, "tool" | "argv"> | undefined;
  /**
   * Peaks by thread count, measured before and after everything else; undefined: no roofline. Where it throws a `UserError`
   * the run goes on without, and its file says why.
   */
  readonly measureRoofline?: ((threads: readonly number[]) => Promise<RooflinePoint[]>) | undefined;
}

/** What a comparison found, of which a result file is made. */
export interface Found extends Pick<Results, "machine" | "results" | "comparisons" | "skipped"> {
  readonly engines: readonly EngineRecord[];
  readonly affinity?: string;
}

/** Where the time of either engine is withheld, its ratio must not tell it. */
function isWithheld(comparison: Comparison, results: Pick<Results, "results">): boolean {
  const rows = comparison.phase === "steady" ? rowsOf(results, comparison) : [];
  return rows.some((row) => row !== undefined && row.median === null);
}

/** Of one comparison, from its start to its result file. */
export class ComparisonRun {
  readonly #kind: Run["kind"];
  readonly #settings: BenchSettings;
  readonly #startedAt = new Date();
  readonly #before = readFingerprint();
  readonly #disturbances: string[] = [];
  #rooflineNote: string | undefined;

  constructor(kind: Run["kind"], settings: BenchSettings) {
    this.#kind = kind;
    this.#settings = settings;
  }

  /**
   * The peaks at one thread and at `threads`, the higher ones of before and after `measure`; where they have fallen much, the
   * result file says so. Ctrl-C ends `measure`, and what it has put aside until then stays.
   */
  async betweenPeaks(
    threads: readonly number[],
    progress: Progress,
    measure: () => Promise<void>,
  ): Promise<RooflinePoint[]> {
    const { signal } = this.#settings;
    const counts = [...new Set([1, ...threads])];
    progress("measuring the machine's peaks", 0);
    const before = await this.#measurePeaks(counts, "the machine's peaks could not be measured");
    try {
      signal?.throwIfAborted();
      await measure();
    } catch (error) {
      if (signal?.aborted !== true || !(error === signal.reason || error instanceof UserError)) throw error;
    }
    if (before.length === 0 || signal?.aborted === true) return before;
    progress("measuring the machine's peaks again", 1);
    const measureAgain = (): Promise<RooflinePoint[]> =>
      this.#measurePeaks(
        counts,
        "whether the machine became slower is not known: its peaks could not be measured again",
      );
    let after = await measureAgain();
    // A neighbour may have come by for a moment; a machine that is throttled is so a moment later.
    for (let again = 0; again < MEASURED_AGAIN && throttledPeaks(before, after).length > 0; again++) {
      after = higherPeaks(after, await measureAgain());
    }
    this.#disturbances.push(...throttledPeaks(before, after));
    // A machine of which this is not known may have been slower, and makes no claims.
    if (after.length === 0 && this.#rooflineNote !== undefined) this.#disturbances.push(this.#rooflineNote);
    return higherPeaks(before, after);
  }

  async #measurePeaks(counts: readonly number[], failed: string): Promise<RooflinePoint[]> {
    const { measureRoofline, signal } = this.#settings;
    if (measureRoofline === undefined) return [];
    const [points, reason] = await peaksOrReason(() => measureRoofline(counts));
    // Ctrl-C ends the measurement, which is no failure of it.
    if (reason !== undefined && signal?.aborted !== true) this.#rooflineNote = `${failed} (${reason})`;
    return points;
  }

  /**
   * The result file. Throws a `UserError` where nothing could be measured, and the reason of the signal where Ctrl-C came
   * before anything was.
   */
  results({ machine, engines, affinity, results, comparisons, skipped }: Found): Results {
    const { seed, secondsPerEngine, processes, sliceMs, call, signal } = this.#settings;
    if (results.length === 0) {
      signal?.throwIfAborted();
      const reasons = new Set(skipped.map((row) => `${row.case}, ${row.engine}: ${row.reason}`));
      throw new UserError(["nothing could be measured", ...reasons].join("\n  "));
    }
    const now = new Date();
    const all: Results = {
      schema: "quern.results/1",
      createdAt: now.toISOString(),
      machine: this.#rooflineNote === undefined ? machine : { ...machine, rooflineNote: this.#rooflineNote },
      engines: [...engines],
      settings: {
        seed,
        secondsPerEngine,
        processes,
        sliceMs,
        idle: IDLE,
        ...(affinity === undefined ? {} : { affinity }),
      },
      results,
      comparisons: comparisons.filter((row) => !isWithheld(row, { results })),
      skipped,
      environment: this.#environment(),
      ...(call === undefined ? {} : { run: this.#record(call, now) }),
    };
    return withClaims(withIsa(all));
  }

  #environment(): Environment {
    const [before, after] = [this.#before, readFingerprint()];
    return {
      before: { ...before, facts: { ...before.facts } },
      after: { ...after, facts: { ...after.facts } },
      controls: [],
      changed: changedFacts(before, after),
      ...(this.#disturbances.length === 0 ? {} : { disturbances: [...this.#disturbances] }),
    };
  }

  #record({ tool, argv }: Pick<Run, "tool" | "argv">, now: Date): Run {
    return {
      kind: this.#kind,
      id: randomUUID(),
      seed: this.#settings.seed,
      startedAt: this.#startedAt.toISOString(),
      wallMs: now.getTime() - this.#startedAt.getTime(),
      tool,
      argv: [...argv],
      ...(this.#settings.signal?.aborted === true ? { aborted: true } : {}),
    };
  }
}
