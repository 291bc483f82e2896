/** A badge of shields.io for one run: what it found, in a few words. https://shields.io/badges/endpoint-badge */

import { claimOf } from "../claims/claim.ts";
import type { Results, Skipped, Verdict } from "../results/schema.ts";
import { geometricMean } from "../statistics/basics.ts";
import { formatRatio } from "./format.ts";
import { VERDICTS, totals } from "./verdicts.ts";

/** Grey: nothing was found out. */
const COLOURS: Readonly<Record<Verdict, string>> = {
  ERROR: "red",
  REGRESSED: "red",
  INVALID: "lightgrey",
  INCONCLUSIVE: "yellow",
  IMPROVED: "brightgreen",
  EQUIVALENT: "brightgreen",
};

export function renderBadge(results: Results): string {
  const { message, color } = badgeOf(results);
  return `${JSON.stringify({ schemaVersion: 1, label: "benchmarks", message, color })}\n`;
}

interface Badge {
  readonly message: string;
  readonly color: string;
}

function badgeOf(results: Results): Badge {
  // What was measured until then says little of the rest.
  if (results.run?.aborted === true) return { message: "interrupted", color: "lightgrey" };
  return results.benches === undefined ? ofEngines(results) : ofBenches(results);
}

function ofBenches({ benches = [], skipped, summary }: Results): Badge {
  const counts = totals(benches);
  const [gravest] = counts;
  if (gravest === undefined) return { message: "not measured", color: "lightgrey" };
  const left = failed(skipped);
  const color = COLOURS[gravest.verdict];
  const whole = left === 0 && (summary?.exitCode ?? 0) === 0;
  return {
    message: [
      ...counts.map(({ verdict, count }) => `${count} ${VERDICTS[verdict].about}`),
      ...(left === 0 ? [] : [`${left} not compared`]),
    ].join(", "),
    // Green says that all is well.
    color: color === "brightgreen" && !whole ? "yellow" : color,
  };
}

/**
 * What is wrong; without that the comparisons that are claims, where they have a mean that says anything; without any, how many cases
 * were measured.
 */
function ofEngines(results: Results): Badge {
  const steady = results.results.filter(({ phase }) => phase === "steady");
  const faults: readonly (readonly [count: number, what: string])[] = [
    [steady.filter(({ verified }) => verified === false).length, "wrong"],
    [failed(results.skipped), "failed"],
  ];
  const found = faults.filter(([count]) => count > 0);
  if (found.length > 0) return { message: found.map((fault) => fault.join(" ")).join(", "), color: "red" };
  const claims = results.comparisons.filter(
    (comparison) => comparison.phase === "steady" && claimOf(results, comparison).comparable,
  );
  // A prompt and a token of generation have no common mean, nor have one thread and two.
  const groups = new Set(claims.map((claim) => [claim.engine, claim.threads, claim.precision].join(" ")));
  const pairs = new Set(claims.map(({ engine, baseline }) => `${engine} against ${baseline}`));
  const [only] = pairs;
  const mean = groups.size === 1 && (claims.length === 1 || claims.every(({ case: name }) => !name.startsWith("llm/")));
  if (only !== undefined && pairs.size === 1 && mean) {
    const ratio = geometricMean(claims.map((claim) => claim.ratio));
    return { message: `${only}: ${formatRatio(ratio)}`, color: ratio >= 1 ? "brightgreen" : "orange" };
  }
  const cases = new Set(results.results.map((row) => row.case)).size;
  return { message: `${cases} ${cases === 1 ? "case" : "cases"}`, color: cases === 0 ? "lightgrey" : "blue" };
}

function failed(skipped: readonly Skipped[]): number {
  return skipped.filter((row) => row.failed === true).length;
}
