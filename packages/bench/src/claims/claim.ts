/** Decides whether the ratio of two rows is a claim, and says why not. */

import type { Comparison, Result, Results } from "../results/schema.ts";
import { claimRules, type ClaimInterval, type ClaimSide } from "./rules.ts";

export interface Claim {
  readonly comparable: boolean;
  /** All reasons against it, in the order of the rules. */
  readonly reasons: readonly string[];
}

/** Judges two rows, which may come from two files. */
export function judgeClaim(a: ClaimSide, b: ClaimSide, interval: ClaimInterval): Claim {
  const reasons = claimRules.map((rule) => rule.against(a, b, interval)).filter((reason) => reason !== undefined);
  return { comparable: reasons.length === 0, reasons };
}

/** "not comparable because …", or nothing where the ratio is a claim. */
export function claimText({ reasons }: Claim): string | undefined {
  return reasons.length === 0 ? undefined : `not comparable because ${reasons.join("; ")}`;
}

/** A row as one side of a claim. */
export function claimSide(results: Results, row: Result): ClaimSide {
  const version = results.engines.find(({ name }) => name === row.engine)?.version;
  const { disturbances = [], changed = [] } = results.environment ?? {};
  const disturbed = [...disturbances, ...(changed.length === 0 ? [] : [`changed: ${changed.join(", ")}`])];
  return { row, version, machine: results.machine.fingerprint, disturbed };
}

/** The row that a comparison is about, and that of its baseline. */
export function rowsOf(results: Results, comparison: Comparison): readonly [Result | undefined, Result | undefined] {
  const inCase = results.results.filter((row) => row.case === comparison.case && row.threads === comparison.threads);
  const ofPhase = (row: Result, phase: Comparison["phase"]): boolean => row.phase === phase;
  const engine = inCase.find(
    (row) =>
      ofPhase(row, comparison.phase) &&
      row.engine === comparison.engine &&
      row.precision === comparison.precision &&
      row.weights === comparison.weights,
  );
  const precision = comparison.baselinePrecision ?? comparison.precision;
  const ofBaseline = inCase.filter((row) => row.engine === comparison.baseline && row.precision === precision);
  const baseline =
    ofBaseline.find((row) => ofPhase(row, comparison.phase)) ??
    // A baseline that keeps no kernels has no such row: its ratio is shown beside compiling, which is another phase.
    (comparison.phase === "compile-cached" ? ofBaseline.find((row) => ofPhase(row, "compile")) : undefined);
  return [engine, baseline];
}

/** Judges a comparison by the rows of its file. */
export function claimOf(results: Results, comparison: Comparison): Claim {
  const [engine, baseline] = rowsOf(results, comparison);
  if (engine === undefined || baseline === undefined) {
    const missing = engine === undefined ? comparison.engine : comparison.baseline;
    return { comparable: false, reasons: [`the file has no row of ${missing}`] };
  }
  return judgeClaim(claimSide(results, engine), claimSide(results, baseline), comparison);
}

/** The same results with `notComparable` in every comparison. */
export function withClaims(results: Results): Results {
  const comparisons = results.comparisons.map((row) => ({ ...row, notComparable: claimOf(results, row).reasons }));
  return { ...results, comparisons };
}
