/**
 * Two result files beside each other: advisory, since nothing was paired. Levels of a machine move by tens of per cent between
 * two runs; the table says what else differs.
 */

import { claimSide, judgeClaim } from "../claims/claim.ts";
import { median } from "../statistics/basics.ts";
import type { Result, Results } from "../results/schema.ts";
import { plainText } from "./escape.ts";
import { formatBytes, formatChangeRatio, formatMs, formatNs, formatPrecision } from "./format.ts";
import { machineLine } from "./gate-facts.ts";
import { formatTable, type Column } from "./table.ts";
import { armNs, benchName } from "./verdicts.ts";

const UNPAIRED = "advisory: unpaired";

const COLUMNS: readonly Column[] = [
  { title: "case", align: "left" },
  { title: "", align: "left" },
  { title: "A", align: "right" },
  { title: "B", align: "right" },
  { title: "B / A", align: "right" },
  { title: "differences", align: "left" },
];

/** The rows that both files have, by name; what only one has is counted. */
export function compareResults(a: Results, b: Results): string {
  const { rows: engineRows, alone } = engineComparison(a, b);
  const { rows: benchRows, alone: aloneBenches } = benchComparison(a, b);
  const rows = [...engineRows, ...benchRows];
  const different = a.machine.fingerprint !== b.machine.fingerprint;
  const lines = [
    `${UNPAIRED}: A and B were measured at different times, so that a ratio is a hint and no finding`,
    `A: ${a.createdAt}, ${machineLine(a)}`,
    `B: ${b.createdAt}, ${machineLine(b)}`,
    ...(different ? ["the machines differ: times cannot be compared at all"] : []),
    "",
    ...(rows.length === 0 ? ["no row is in both files"] : formatTable(COLUMNS, rows)),
    ...(alone + aloneBenches === 0 ? [] : [`${alone + aloneBenches} rows are in one file only`]),
  ];
  return `${lines.map(plainText).join("\n")}\n`;
}

function keyOf(row: Result): string {
  return JSON.stringify([row.case, row.phase, row.engine, row.threads, row.precision, row.weights ?? ""]);
}

interface Compared {
  readonly rows: string[][];
  /** Rows that one of the files lacks. */
  readonly alone: number;
}

function engineComparison(a: Results, b: Results): Compared {
  const ofB = new Map(b.results.map((row) => [keyOf(row), row]));
  const rows: string[][] = [];
  for (const row of a.results) {
    const other = ofB.get(keyOf(row));
    if (other === undefined || row.median === null || other.median === null || row.median <= 0) continue;
    const format = row.unit === "bytes" ? formatBytes : formatMs;
    // Of an unpaired ratio there is no interval; the other rules hold.
    const { reasons } = judgeClaim(claimSide(a, row), claimSide(b, other), { low: 0, high: 0 });
    rows.push([
      row.case,
      `${row.phase}, ${row.engine} (${formatPrecision(row)}, ${row.threads} threads)`,
      format(row.median),
      format(other.median),
      formatChangeRatio(other.median / row.median),
      reasons.filter((reason) => !reason.includes("not recorded")).join("; "),
    ]);
  }
  const keysA = new Set(a.results.map(keyOf));
  const alone =
    [...keysA].filter((key) => !ofB.has(key)).length + [...ofB.keys()].filter((key) => !keysA.has(key)).length;
  return { rows, alone };
}

/** Of gate runs the builds that were under test: their heads. */
function benchComparison(a: Results, b: Results): Compared {
  const heads = (results: Results): Map<string, number> => {
    const found = new Map<string, number[]>();
    for (const bench of results.benches ?? []) {
      const ns = armNs(
        bench.stages.flatMap(({ pairs }) => pairs),
        "head",
      );
      if (ns !== null) found.set(benchName(bench), [...(found.get(benchName(bench)) ?? []), ns]);
    }
    return new Map([...found].map(([name, values]) => [name, median(values)]));
  };
  const [ofA, ofB] = [heads(a), heads(b)];
  const rows = [...ofA].flatMap(([name, ns]) => {
    const other = ofB.get(name);
    return other === undefined
      ? []
      : [[name, "head", formatNs(ns), formatNs(other), formatChangeRatio(other / ns), ""]];
  });
  return { rows, alone: ofA.size + ofB.size - 2 * rows.length };
}
