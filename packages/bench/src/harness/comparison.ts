/**
 * What every comparison of engines does around its groups: the machine's peaks before and after, Ctrl-C, one result file.
 */

import { randomUUID } from "node:crypto";
import { UserError } from "@quern/core";
import { withClaims } from "../claims/claim.ts";
import { withIsa } from "../claims/isa.ts";
import type { EngineRecord, Results, RooflinePoint } from "../results/schema.ts";
import { IDLE } from "./engine-process.ts";
import type { GroupSettings, Progress } from "./interleave.ts";
import { higherPeaks } from "./roofline.ts";

type Run = NonNullable<Results["run"]>;

export interface BenchSettings extends GroupSettings {
  /** The program and its words, for the record. */
  readonly call?: Pick<Run, "tool" | "argv"> | undefined;
  /** Peaks by thread count, measured before and after everything else; undefined: no roofline. */
  readonly measureRoofline?: ((threads: readonly number[]) => Promise<RooflinePoint[]>) | undefined;
}

/** What a comparison found, of which a result file is made. */
export interface Found extends Pick<Results, "machine" | "results" | "comparisons" | "skipped"> {
  readonly engines: readonly EngineRecord[];
  readonly affinity?: string;
}

/** Of one comparison, from its start to its result file. */
export class ComparisonRun {
  readonly #kind: Run["kind"];
  readonly #settings: BenchSettings;
  readonly #startedAt = new Date();

  constructor(kind: Run["kind"], settings: BenchSettings) {
    this.#kind = kind;
    this.#settings = settings;
  }

  /**
   * The peaks at one thread and at `threads`, the higher ones of before and after `measure`. Ctrl-C ends `measure`, and what
   * it has put aside until then stays.
   */
  async betweenPeaks(
    threads: readonly number[],
    progress: Progress,
    measure: () => Promise<void>,
  ): Promise<RooflinePoint[]> {
    const { measureRoofline, signal } = this.#settings;
    const counts = [...new Set([1, ...threads])];
    progress("measuring the machine's peaks", 0);
    const before = (await measureRoofline?.(counts)) ?? [];
    try {
      signal?.throwIfAborted();
      await measure();
    } catch (error) {
      if (signal?.aborted !== true || !(error === signal.reason || error instanceof UserError)) throw error;
    }
    if (before.length === 0 || signal?.aborted === true) return before;
    progress("measuring the machine's peaks again", 1);
    return higherPeaks(before, (await measureRoofline?.(counts)) ?? []);
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
      machine,
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
      comparisons,
      skipped,
      ...(call === undefined ? {} : { run: this.#record(call, now) }),
    };
    return withClaims(withIsa(all));
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
