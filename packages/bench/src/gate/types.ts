/** What is judged, and what a judgement says. Shapes shared with the result file come from its schema. */

import type { BenchRecord, ControlRecord, RatioEstimate, Results, Summary, Verdict } from "../results/schema.ts";

/** Which way a suspect of the screening went. */
export type Direction = "slower" | "faster";

/** A bench as it was measured. */
export type MeasuredBench = Pick<BenchRecord, "id" | "delta" | "stages" | "flags" | "check"> &
  Partial<Pick<BenchRecord, "accepted" | "failure" | "recentMdes">>;

/** A control as it was measured. */
export type MeasuredControl = Pick<ControlRecord, "id" | "stages"> & Partial<Pick<ControlRecord, "shared">>;

/** All that verdicts depend on, beside the policy. */
export interface GateRecord {
  /** Of the run: the bootstrap draws from it. */
  readonly seed: number;
  readonly benches: readonly MeasuredBench[];
  readonly controls: readonly MeasuredControl[];
  /** Facts about the machine that differ between the beginning and the end of the run. */
  readonly changed: readonly string[];
  /** Other reasons why nothing measured counts, in plain words, such as a throttled processor. */
  readonly disturbances?: readonly string[] | undefined;
  /** Why every bench is an error, in plain words: files of the other arm, or of neither, that were loaded. */
  readonly foreignFiles?: readonly string[] | undefined;
  /** The run was interrupted. */
  readonly aborted?: boolean | undefined;
  /** The budget was spent before all was measured. */
  readonly outOfTime?: boolean | undefined;
  /** The profile had no more time for suspects before all was measured. */
  readonly cutShort?: boolean | undefined;
  /** Both builds load the same files, and nothing was measured. */
  readonly identical?: boolean | undefined;
  /** The base has no benches, and nothing was measured. */
  readonly allNew?: boolean | undefined;
  /** Regressions and inconclusive benches are shown and fail nothing. */
  readonly advisory?: boolean | undefined;
}

export interface BenchVerdict {
  readonly id: string;
  readonly verdict: Verdict;
  /** In plain words. */
  readonly reason: string;
  readonly estimate: RatioEstimate | null;
  /** Those of the record, and "unstable". */
  readonly flags: readonly string[];
  /** What the screening suspected. */
  readonly suspect: Direction | null;
  /** This verdict fails the run: a regression that nobody accepted, or an error. */
  readonly fails: boolean;
}

export type ControlVerdict = Pick<ControlRecord, "id" | "estimate" | "disturbed" | "moved">;

export interface Verdicts {
  readonly benches: readonly BenchVerdict[];
  readonly controls: readonly ControlVerdict[];
  /** Why the run is invalid; empty if it is not. */
  readonly invalid: readonly string[];
  readonly summary: Summary;
}

/** What is judged of a result file; lists that the file lacks are empty. */
export function gateRecord({
  run,
  environment,
  benches,
}: Pick<Results, "run" | "environment" | "benches">): GateRecord {
  return {
    seed: run?.seed ?? 0,
    benches: benches ?? [],
    controls: environment?.controls ?? [],
    changed: environment?.changed ?? [],
    disturbances: environment?.disturbances,
    foreignFiles: environment?.foreignFiles,
    aborted: run?.aborted,
    outOfTime: run?.outOfTime,
    cutShort: run?.cutShort,
    identical: run?.identical,
    allNew: run?.allNew,
    advisory: run?.advisory,
  };
}
