/** What an acceptance test remembers of a gate run: series of hundreds of runs do not fit into memory with their samples. */

import { EXIT } from "../gate/exit-codes.ts";
import type { RatioEstimate, Results, Verdict } from "../results/schema.ts";
import type { SuiteRun } from "./measured.ts";

export interface RunFacts {
  readonly run: number;
  readonly seed: number | undefined;
  readonly exitCode: number;
  readonly wallMs: number;
  /** Of the machine. */
  readonly class: string;
  /** Runs before it that the machine made invalid, and that were repeated. */
  readonly repeated: number;
  readonly verdicts: ReadonlyMap<string, Verdict>;
  readonly estimates: ReadonlyMap<string, RatioEstimate>;
  /** Benches that were measured again. */
  readonly suspects: number;
  /** Why it is invalid lies in what is known of the machine. */
  readonly machineMoved: boolean;
}

export function factsOf(run: number, { results, exitCode, invalid }: SuiteRun): RunFacts {
  const { benches = [], environment } = results;
  return {
    run,
    seed: results.run?.seed,
    exitCode,
    wallMs: results.run?.wallMs ?? 0,
    class: environment?.before.class ?? "unknown",
    repeated: invalid,
    verdicts: new Map(benches.map(({ id, verdict }) => [id, verdict])),
    estimates: new Map(benches.flatMap(({ id, estimate }) => (estimate === null ? [] : [[id, estimate] as const]))),
    suspects: benches.filter(({ stages }) => stages.some(({ stage }) => stage === "confirm")).length,
    machineMoved: machineMoved(results),
  };
}

/** Facts, speed or controls say that something other than the benches changed. */
export function machineMoved({ environment }: Pick<Results, "environment">): boolean {
  const { changed = [], disturbances = [], controls = [] } = environment ?? {};
  return changed.length > 0 || disturbances.length > 0 || controls.some(({ moved }) => moved);
}

/** It said something about the benches: the machine was calm, and nothing failed. */
export function isValid({ exitCode }: RunFacts): boolean {
  return exitCode !== EXIT.invalid && !isError(exitCode);
}

export function isError(exitCode: number): boolean {
  return exitCode === EXIT.wrong || exitCode === EXIT.internal;
}

export function accusedIn({ verdicts }: RunFacts): string[] {
  return [...verdicts].filter(([, verdict]) => verdict === "REGRESSED").map(([id]) => id);
}
