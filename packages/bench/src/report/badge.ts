/** A badge of shields.io for one run: what it found, in a few words. https://shields.io/badges/endpoint-badge */

import type { Results, Verdict } from "../results/schema.ts";
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
  const { message, color } = results.benches === undefined ? ofEngines(results) : ofBenches(results);
  return `${JSON.stringify({ schemaVersion: 1, label: "benchmarks", message, color })}\n`;
}

interface Badge {
  readonly message: string;
  readonly color: string;
}

function ofBenches({ benches = [] }: Results): Badge {
  const counts = totals(benches);
  const [gravest] = counts;
  if (gravest === undefined) return { message: "not measured", color: "lightgrey" };
  return {
    message: counts.map(({ verdict, count }) => `${count} ${VERDICTS[verdict].about}`).join(", "),
    color: COLOURS[gravest.verdict],
  };
}

/** Comparisons that are claims; without any, how many cases were measured. */
function ofEngines({ comparisons, results }: Results): Badge {
  const claims = comparisons.filter(
    ({ phase, notComparable = [] }) => phase === "steady" && notComparable.length === 0,
  );
  const pairs = new Set(claims.map(({ engine, baseline }) => `${engine} against ${baseline}`));
  const [only] = pairs;
  if (only !== undefined && pairs.size === 1) {
    const ratio = geometricMean(claims.map((claim) => claim.ratio));
    return { message: `${only}: ${formatRatio(ratio)}`, color: ratio >= 1 ? "brightgreen" : "orange" };
  }
  const cases = new Set(results.map((row) => row.case)).size;
  return { message: `${cases} ${cases === 1 ? "case" : "cases"}`, color: cases === 0 ? "lightgrey" : "blue" };
}
