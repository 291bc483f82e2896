/** Decides whether the ratio of two rows is a claim, and says why not. */

import { findRow, findRowOfWeights } from "../results/find-rows.ts";
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
  const { versions, disturbed } = factsOf(results);
  return { row, version: versions.get(row.engine), machine: results.machine.fingerprint, disturbed };
}

/** What is gathered once for all rows of a file. */
interface FileFacts {
  readonly versions: ReadonlyMap<string, string>;
  readonly disturbed: readonly string[];
}

const factsOfFiles = new WeakMap<Results, FileFacts>();

/** Of all names of changed facts together: a file may have any number. */
const MOST_CHARACTERS = 1000;

function factsOf(results: Results): FileFacts {
  const known = factsOfFiles.get(results);
  if (known !== undefined) return known;
  const { disturbances = [], changed = [] } = results.environment ?? {};
  const facts: FileFacts = {
    // The first record of an engine counts.
    versions: new Map(results.engines.toReversed().map(({ name, version }) => [name, version])),
    disturbed: [
      ...disturbances,
      ...(changed.length === 0 ? [] : [`changed: ${changed.join(", ").slice(0, MOST_CHARACTERS)}`]),
    ],
  };
  factsOfFiles.set(results, facts);
  return facts;
}

/** The row that a comparison is about, and that of its baseline. */
export function rowsOf(
  results: Pick<Results, "results">,
  comparison: Comparison,
): readonly [Result | undefined, Result | undefined] {
  const { phase, baseline: engine, baselinePrecision: precision = comparison.precision } = comparison;
  const ofBaseline = { case: comparison.case, threads: comparison.threads, engine, precision };
  const baseline =
    findRow(results, phase, ofBaseline) ??
    // A baseline that keeps no kernels has no such row: its ratio is shown beside compiling, which is another phase.
    (phase === "compile-cached" ? findRow(results, "compile", ofBaseline) : undefined);
  return [findRowOfWeights(results, phase, comparison, comparison.weights), baseline];
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
