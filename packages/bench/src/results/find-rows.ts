/**
 * Finds rows and comparisons of a result file by what they are about. A file may hold any number of both, and anyone may have
 * written it: it is read once into an index, not once more for each row that looks for another one.
 */

import type { Comparison, Phase, Result, Results } from "./schema.ts";

/** An engine as it was set up, in one case; how its weights are encoded is apart. */
export type CaseArm = Pick<Result, "case" | "threads" | "engine" | "precision">;

const rowIndices = new WeakMap<Results["results"], ReadonlyMap<string, Result>>();
const comparisonIndices = new WeakMap<Results["comparisons"], ReadonlyMap<string, Comparison>>();

/** The first row of that phase, whatever its weights. */
export function findRow({ results }: Pick<Results, "results">, phase: Phase, arm: CaseArm): Result | undefined {
  return rowIndex(results).get(keyOf(phase, arm));
}

/** The first row of that phase whose weights are encoded so; undefined: as in the file of the model. */
export function findRowOfWeights(
  { results }: Pick<Results, "results">,
  phase: Phase,
  arm: CaseArm,
  weights: string | undefined,
): Result | undefined {
  return rowIndex(results).get(weightsKeyOf(phase, arm, weights));
}

/** The first comparison of the engine of a row, in the row's phase or another one. */
export function findComparison(
  { comparisons }: Pick<Results, "comparisons">,
  row: Result,
  phase: Phase = row.phase,
): Comparison | undefined {
  const known = comparisonIndices.get(comparisons);
  const index = known ?? firstByKey(comparisons, (comparison) => [keyOf(comparison.phase, comparison)]);
  if (known === undefined) comparisonIndices.set(comparisons, index);
  return index.get(keyOf(phase, row));
}

function rowIndex(results: Results["results"]): ReadonlyMap<string, Result> {
  const known = rowIndices.get(results);
  if (known !== undefined) return known;
  const index = firstByKey(results, (row) => [keyOf(row.phase, row), weightsKeyOf(row.phase, row, row.weights)]);
  rowIndices.set(results, index);
  return index;
}

function firstByKey<Entry>(
  entries: readonly Entry[],
  keysOf: (entry: Entry) => readonly string[],
): ReadonlyMap<string, Entry> {
  const index = new Map<string, Entry>();
  for (const entry of entries) {
    for (const key of keysOf(entry)) if (!index.has(key)) index.set(key, entry);
  }
  return index;
}

function keyOf(phase: Phase, { case: name, threads, engine, precision }: CaseArm): string {
  return JSON.stringify([name, phase, threads, engine, precision]);
}

function weightsKeyOf(phase: Phase, arm: CaseArm, weights: string | undefined): string {
  return `${keyOf(phase, arm)} ${JSON.stringify(weights ?? null)}`;
}
