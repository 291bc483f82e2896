/** The cold phases of one engine and case as text, for the tables of every report. */

import { findComparison, findRow } from "../results/find-rows.ts";
import type { Phase, Result, Results } from "../results/schema.ts";
import type { Footnotes } from "./footnotes.ts";
import { formatBytes, formatMs } from "./format.ts";

/** What each phase is, for legends. */
export const PHASES_NOTE: string =
  "load: the engine's code; compile: the model, import included; cached: the same in a later process, which finds the " +
  "kernels that the first one has kept on disk, beside the baseline's compiling, which is another state and no claim; files " +
  "are in the system's cache in every phase; peak memory: what loading the model and running it added; planned: of " +
  "that, tensors by the compiler's plan.";

/** Steady rows of cases whose cold phases were measured. */
export function rowsWithPhases(results: Results): Result[] {
  const steady = results.results.filter((row) => row.phase === "steady");
  return steady.filter((row) => findRow(results, "load", row) !== undefined);
}

/** What each engine says it ran language models on, where their weights lie, as lines of a name and a text. */
export function deviceLines(results: Results): [engine: string, device: string][] {
  const found = new Map<string, [string, string]>();
  for (const { engine, device, case: name } of results.results) {
    if (device != null && name.startsWith("llm/")) found.set(`${engine} ${device}`, [engine, device]);
  }
  return [...found.values()];
}

/** One line for each encoding that weights were quantised to, with the engines that did it. */
export function weightsLines(results: Results): string[] {
  const encodings = new Map<string, Set<string>>();
  for (const { weights, engine } of results.results) {
    if (weights === undefined) continue;
    encodings.set(weights, (encodings.get(weights) ?? new Set()).add(engine));
  }
  return [...encodings].map(
    ([encoding, engines]) =>
      `weights quantised: ${encoding} (${[...engines].join(", ")}); where a row names no encoding, the engine computes with the weights of the file`,
  );
}

export interface PhaseCells {
  readonly load: string;
  readonly compile: string;
  readonly compileRatio: string;
  readonly cached: string;
  readonly cachedRatio: string;
  readonly firstRun: string;
  readonly memory: string;
  readonly planned: string;
}

/** The phases beside the steady row of an engine and case. */
export function phaseCells(results: Results, steady: Result, notes: Footnotes): PhaseCells {
  const median = (phase: Phase): number | null => findRow(results, phase, steady)?.median ?? null;
  const ratio = (phase: Phase): string => notes.ratio(findComparison(results, steady, phase));
  const planned = steady.plannedPeakBytes ?? null;
  return {
    load: formatMs(median("load")),
    compile: formatMs(median("compile")),
    compileRatio: ratio("compile"),
    cached: formatMs(median("compile-cached")),
    cachedRatio: ratio("compile-cached"),
    firstRun: formatMs(median("first-run")),
    memory: formatBytes(median("memory")),
    planned: planned === null ? "" : formatBytes(planned),
  };
}
