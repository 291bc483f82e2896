/**
 * Two result files beside each other: advisory, since nothing was paired. Levels of a machine move by tens of per cent between
 * two runs; the table says what else differs. Every row that is in both files is shown, those without times too.
 */

import { claimSide, judgeClaim } from "../claims/claim.ts";
import { IMPOSSIBLE } from "../results/notes.ts";
import { median } from "../statistics/basics.ts";
import type { Result, Results, Verdict } from "../results/schema.ts";
import { plainText } from "./escape.ts";
import { formatBytes, formatChangeRatio, formatMs, formatNs, formatPrecision } from "./format.ts";
import { machineLine } from "./gate-facts.ts";
import { reportTable, type Column } from "./table.ts";
import { armNs, benchName } from "./verdicts.ts";

const UNPAIRED = "advisory: unpaired";

const COLUMNS: readonly Column[] = [
  { title: "case", align: "left" },
  { title: "", align: "left" },
  { title: "A", align: "right" },
  { title: "B", align: "right" },
  { title: "B / A", align: "right" },
  { title: "differences", align: "left", most: 600 },
];

/** Cells of a row; of more rows than the table shows they are never made. */
type Row = () => string[];

/** The rows that both files have, by name; what only one has is counted. */
export function compareResults(a: Results, b: Results): string {
  const { rows: engineRows, alone: aloneRows } = engineComparison(a, b);
  const { rows: benchRows, alone: aloneBenches } = benchComparison(a, b);
  const rows = [...engineRows, ...benchRows];
  const alone = aloneRows + aloneBenches;
  const different = a.machine.fingerprint !== b.machine.fingerprint;
  const loadTests = [a, b].some(({ serving = [] }) => serving.length > 0);
  const nothingElse = loadTests && rows.length + alone === 0;
  const lines = [
    `${UNPAIRED}: A and B were measured at different times, so that a ratio is a hint and no finding`,
    `A: ${a.createdAt}, ${machineLine(a)}`,
    `B: ${b.createdAt}, ${machineLine(b)}`,
    ...(different ? ["the machines differ: times cannot be compared at all"] : []),
    "",
    ...(rows.length > 0 ? reportTable(COLUMNS, rows, (cells) => cells()) : []),
    ...(rows.length === 0 && !nothingElse ? ["no row is in both files"] : []),
    ...(alone === 0 ? [] : [`${alone} rows are in one file only`]),
    ...(loadTests ? ["load tests are not compared: see the report of each file"] : []),
  ];
  return `${lines.map(plainText).join("\n")}\n`;
}

/** What is wrong in A and in B: "outputs are wrong (B)", "ERROR (A, B)". */
function bySide(inA: readonly string[], inB: readonly string[]): string[] {
  const sides = [
    ["A", inA],
    ["B", inB],
  ] as const;
  return [...new Set([...inA, ...inB])].map((fault) => {
    const names = sides.filter(([, faults]) => faults.includes(fault)).map(([side]) => side);
    return `${fault} (${names.join(", ")})`;
  });
}

function ratioText(a: number | null, b: number | null, faults: readonly string[]): string {
  return a === null || b === null || a <= 0 || faults.length > 0 ? "–" : formatChangeRatio(b / a);
}

function keyOf(row: Result): string {
  return JSON.stringify([row.case, row.phase, row.engine, row.threads, row.precision, row.weights ?? ""]);
}

interface Compared {
  readonly rows: readonly Row[];
  /** Rows that one of the files lacks. */
  readonly alone: number;
}

function engineComparison(a: Results, b: Results): Compared {
  const ofB = new Map(b.results.map((row) => [keyOf(row), row]));
  const keysA = new Set<string>();
  const rows: Row[] = [];
  for (const row of a.results) {
    const key = keyOf(row);
    keysA.add(key);
    const other = ofB.get(key);
    if (other !== undefined) rows.push(() => engineCells([a, row], [b, other]));
  }
  const alone =
    [...keysA].filter((key) => !ofB.has(key)).length + [...ofB.keys()].filter((key) => !keysA.has(key)).length;
  return { rows, alone };
}

type Side = readonly [results: Results, row: Result];

/** How the rule of outputs begins its reasons: it names the engine, which is the same on both sides. */
const OF_OUTPUTS = /^(?:outputs are wrong|rates are impossible) /;

function engineCells([a, row]: Side, [b, other]: Side): string[] {
  const format = row.unit === "bytes" ? formatBytes : formatMs;
  const faults = bySide(faultsOfRow(row), faultsOfRow(other));
  // Of an unpaired ratio there is no interval; the other rules hold.
  const { reasons } = judgeClaim(claimSide(a, row), claimSide(b, other), { low: 0, high: 0 });
  const differences = reasons.filter((reason) => !reason.includes("not recorded") && !OF_OUTPUTS.test(reason));
  return [
    row.case,
    `${row.phase}, ${row.engine} (${formatPrecision(row)}, ${row.threads} threads)`,
    format(row.median),
    format(other.median),
    ratioText(row.median, other.median, faults),
    [...faults, ...differences].join("; "),
  ];
}

/** Why the times of a row are none, or worth nothing. */
function faultsOfRow({ verified, median: centre, note = "" }: Result): string[] {
  if (note.startsWith(IMPOSSIBLE)) return ["rates are impossible"];
  if (verified === false) return ["outputs are wrong"];
  return centre === null ? ["no times"] : [];
}

/** One bench of the builds that were under test in a gate run: of their heads. */
interface Head {
  /** ns */
  readonly times: number[];
  readonly verdicts: Set<Verdict>;
}

function benchComparison(a: Results, b: Results): Compared {
  const [ofA, ofB] = [headsOf(a), headsOf(b)];
  const rows = [...ofA].flatMap(([name, head]): Row[] => {
    const other = ofB.get(name);
    return other === undefined ? [] : [() => benchCells(name, head, other)];
  });
  return { rows, alone: ofA.size + ofB.size - 2 * rows.length };
}

function headsOf({ benches = [] }: Results): Map<string, Head> {
  const heads = new Map<string, Head>();
  for (const bench of benches) {
    const name = benchName(bench);
    const head: Head = heads.get(name) ?? { times: [], verdicts: new Set() };
    heads.set(name, head);
    head.verdicts.add(bench.verdict);
    const pairs = bench.stages.flatMap((stage) => stage.pairs);
    const ns = armNs(pairs, "head");
    if (ns !== null) head.times.push(ns);
  }
  return heads;
}

function benchCells(name: string, a: Head, b: Head): string[] {
  const [nsOfA, nsOfB] = [centreOf(a), centreOf(b)];
  const wrong = [a, b].some(({ verdicts }) => verdicts.has("ERROR")) ? ["ERROR"] : [];
  return [
    name,
    "head",
    formatNs(nsOfA),
    formatNs(nsOfB),
    ratioText(nsOfA, nsOfB, wrong),
    bySide(faultsOfHead(a), faultsOfHead(b)).join("; "),
  ];
}

function centreOf({ times }: Head): number | null {
  return times.length === 0 ? null : median(times);
}

/** Verdicts by which the times of a head are worth nothing; a change against its own base is none. */
function faultsOfHead({ times, verdicts }: Head): string[] {
  const faults = (["ERROR", "INVALID"] as const).filter((verdict) => verdicts.has(verdict));
  return faults.length === 0 && times.length === 0 ? ["no times"] : faults;
}
