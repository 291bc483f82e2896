/**
 * Engines beside each other in Markdown: a table for each engine and its baseline, with what decides whether the ratio is a
 * claim in every row; then default settings, what was not measured, and the phases before the steady state.
 */

import { rowsOf, claimText } from "../claims/claim.ts";
import { findRow } from "../results/find-rows.ts";
import type { Comparison, Result, Results } from "../results/schema.ts";
import { firstLines } from "./bounds.ts";
import {
  agreementLines,
  assumedLines,
  engineText,
  peakLines,
  rateOf,
  settingsText,
  threadsText,
} from "./engine-facts.ts";
import { Footnotes } from "./footnotes.ts";
import {
  digits,
  formatChangeRatio,
  formatInterval,
  formatIsa,
  formatMs,
  formatPrecision,
  formatRatio,
  formatShare,
  formatVerified,
} from "./format.ts";
import { disturbances, machineLine, reproduceCommand } from "./gate-facts.ts";
import {
  FOLDED_AFTER,
  MOST_ROWS,
  code,
  commandBlock,
  foldedBefore,
  name,
  tableSection,
  type MarkdownColumn,
  type MarkdownParts,
  type MarkdownSection,
} from "./markdown-parts.ts";
import { PHASES_NOTE, deviceLines, phaseCells, rowsWithPhases, weightsLines } from "./phases.ts";
import { summaries } from "./terminal.ts";
import { INTERRUPTED } from "./verdicts.ts";

const REASON_LENGTH = 400;
/** Lines of facts: they are not left out where the text is too long, and a file may hold any number. */
const MOST_FACTS = 200;
/** Likewise of what happened to the machine. */
const MOST_DISTURBANCES = 10;
/** Records of engines at their default settings are named after those at their best ones. */
const DEFAULTS = /-defaults$/;

export function engineParts(results: Results): MarkdownParts {
  const notes = new Footnotes(results);
  const steady = results.results.filter(({ phase }) => phase === "steady");
  const wrong = steady.filter(({ verified }) => verified === false);
  const pairs = comparedPairs(results);
  const shown = new Set(pairs.flatMap(({ row, baseline }) => [row, baseline]));
  const others = steady.filter((row) => !shown.has(row) && row.verified !== false && !DEFAULTS.test(row.engine));
  const failed = results.skipped.filter((skipped) => skipped.failed === true).length;
  const phases = phasesSection(results, notes);
  const interrupted = results.run?.aborted === true ? `; ${INTERRUPTED}` : "";
  const defaults = defaultsSection(results, steady);
  return {
    head: [
      `### ${steady.length} measured, ${wrong.length} with wrong outputs, ${failed} failed, ${results.skipped.length - failed} skipped${interrupted}`,
      ...disturbances(results)
        .slice(0, MOST_DISTURBANCES)
        .flatMap((text) => ["", name(`The machine was disturbed: ${text}.`, REASON_LENGTH)]),
      ...meanLines(results, notes),
    ],
    sections: [
      ...plainSection("Wrong outputs", wrong, results),
      ...pairSections(results, pairs, notes),
      ...plainSection("Without a baseline", others, results),
      ...defaults,
      ...skippedSection(results),
      ...phases,
    ],
    foot: foot(results, pairs.length > 0, phases.length > 0 ? notes.lines() : []),
  };
}

/** A comparison with its rows. */
interface Pair {
  readonly comparison: Comparison;
  readonly row: Result;
  readonly baseline: Result;
}

/** Steady ratios of engines at their best settings, in the order of the file. */
function comparedPairs(results: Results): Pair[] {
  return results.comparisons.flatMap((comparison): Pair[] => {
    if (comparison.phase !== "steady" || DEFAULTS.test(comparison.engine)) return [];
    const [row, baseline] = rowsOf(results, comparison);
    return row === undefined || baseline === undefined ? [] : [{ comparison, row, baseline }];
  });
}

function pairSections(results: Results, pairs: readonly Pair[], notes: Footnotes): MarkdownSection[] {
  const kept = pairs.slice(0, MOST_ROWS);
  const groups = Map.groupBy(kept, ({ row, baseline }) => JSON.stringify([row.engine, baseline.engine]));
  const sections = [...groups.values()].map((group) => {
    const { row, baseline } = group[0] as Pair;
    return tableSection(pairColumns(results, row.engine, baseline.engine, notes), group, [
      "",
      `#### ${name(row.engine)} beside ${name(baseline.engine)}`,
      "",
    ]);
  });
  return [...sections, { before: [], rows: [], more: pairs.length - kept.length, after: [] }];
}

function pairColumns(results: Results, engine: string, baseline: string, notes: Footnotes): MarkdownColumn<Pair>[] {
  return [
    { title: "case", cell: ({ row }) => code(row.case) },
    {
      title: "precision",
      cell: ({ row, baseline: other }) => name(both(formatPrecision(row), formatPrecision(other))),
    },
    { title: "threads", right: true, cell: ({ row, baseline: other }) => both(row.threads, other.threads) },
    {
      title: "ISA",
      cell: ({ row, baseline: other }) => name(both(formatIsa(row.isa) || "?", formatIsa(other.isa) || "?")),
    },
    { title: name(engine), right: true, cell: ({ row }) => formatMs(row.median) },
    { title: name(baseline), right: true, cell: (pair) => formatMs(pair.baseline.median) },
    {
      title: "ratio",
      right: true,
      cell: ({ comparison }) => {
        const ratio = formatRatio(comparison.ratio);
        return notes.claim(comparison).comparable ? ratio : `(${ratio})`;
      },
    },
    { title: "95 % interval", cell: ({ comparison }) => formatInterval(comparison.low, comparison.high) },
    {
      title: "tokens/s",
      right: true,
      cell: ({ row, baseline: other }) =>
        beside(row.tokensPerSecond, other.tokensPerSecond, (value) => (value == null ? "" : digits(value))),
    },
    { title: "rate", right: true, cell: ({ row, baseline: other }) => rates(row, other, results) },
    {
      title: "roofline",
      right: true,
      cell: ({ row, baseline: other }) => beside(row.peakShare, other.peakShare, formatShare),
    },
    { title: "claim", cell: ({ comparison }) => name(claimCell(comparison, notes), REASON_LENGTH) },
    {
      title: "note",
      cell: ({ row, baseline: other }) =>
        name(
          [row, other].flatMap((one) => (one.note === undefined ? [] : [`${one.engine}: ${one.note}`])).join("; "),
          REASON_LENGTH,
        ),
    },
  ];
}

/** "claim", or why it is none. A claim whose interval holds 1 says that no difference was seen. */
function claimCell(comparison: Comparison, notes: Footnotes): string {
  const against = claimText(notes.claim(comparison));
  if (against !== undefined) return against;
  const { low, high } = comparison;
  return low !== null && high !== null && low <= 1 && high >= 1 ? "claim: no difference seen" : "claim";
}

/** One text where both are equal. */
function both(a: string | number, b: string | number): string {
  return a === b ? String(a) : `${a} / ${b}`;
}

/** "96 % / 80 %": of the engine and of its baseline. */
function beside<Value>(a: Value, b: Value, format: (value: Value) => string): string {
  const [ofA, ofB] = [format(a), format(b)];
  return ofA === "" && ofB === "" ? "" : `${ofA === "" ? "–" : ofA} / ${ofB === "" ? "–" : ofB}`;
}

/** In the unit of the engine's row. */
function rates(row: Result, other: Result, { machine }: Results): string {
  const rate = rateOf(row, machine);
  if (rate === undefined) return "";
  const ofOther = rate.unit === "GB/s" ? other.gbps : other.gflops;
  return `${digits(rate.value)} / ${ofOther == null ? "–" : digits(ofOther)} ${rate.unit}`;
}

/** Rows that stand beside no other. */
function plainSection(heading: string, rows: readonly Result[], results: Results): MarkdownSection[] {
  if (rows.length === 0) return [];
  const columns: MarkdownColumn<Result>[] = [
    { title: "case", cell: (row) => code(row.case) },
    { title: "engine", cell: (row) => name(row.engine) },
    { title: "precision", cell: (row) => name(formatPrecision(row)) },
    { title: "threads", right: true, cell: (row) => String(row.threads) },
    { title: "ISA", cell: (row) => name(formatIsa(row.isa)) },
    { title: "median", right: true, cell: (row) => formatMs(row.median) },
    {
      title: "tokens/s",
      right: true,
      cell: (row) => (row.tokensPerSecond == null ? "" : digits(row.tokensPerSecond)),
    },
    {
      title: "rate",
      right: true,
      cell: (row) => {
        const rate = rateOf(row, results.machine);
        return rate === undefined ? "" : `${digits(rate.value)} ${rate.unit}`;
      },
    },
    { title: "roofline", right: true, cell: (row) => formatShare(row.peakShare) },
    { title: "ok", cell: (row) => formatVerified(row.verified) },
    { title: "note", cell: (row) => name(row.note ?? "", REASON_LENGTH) },
  ];
  return [tableSection(columns, rows, ["", `#### ${heading}`, ""])];
}

/** Engines with their settings left alone, beside themselves at their best ones. */
function defaultsSection(results: Results, steady: readonly Result[]): MarkdownSection[] {
  const rows = steady.filter(({ engine, verified }) => DEFAULTS.test(engine) && verified !== false);
  if (rows.length === 0) return [];
  const bestOf = (row: Result): Result | undefined =>
    findRow(results, "steady", { ...row, engine: row.engine.replace(DEFAULTS, "") });
  const columns: MarkdownColumn<Result>[] = [
    { title: "case", cell: (row) => code(row.case) },
    { title: "engine", cell: (row) => name(row.engine) },
    { title: "precision", cell: (row) => name(formatPrecision(row)) },
    { title: "threads used", right: true, cell: ({ busyThreads }) => String(busyThreads ?? "?") },
    { title: "with defaults", right: true, cell: (row) => formatMs(row.median) },
    { title: "at its best settings", right: true, cell: (row) => bestText(bestOf(row)) },
    {
      title: "defaults / best",
      right: true,
      cell: (row) => {
        const best = bestOf(row)?.median;
        return row.median === null || best == null ? "" : formatChangeRatio(row.median / best);
      },
    },
  ];
  const text =
    "Times of engines whose settings were left alone; each has as many threads as it chooses. They stand beside the same engine at its best settings, and are no claims about another one.";
  return [tableSection(columns, rows, ["", "#### Default settings", "", text, ""])];
}

function bestText(best: Result | undefined): string {
  return best === undefined ? "" : `${formatMs(best.median)}, ${threadsText(best.threads)}`;
}

function skippedSection({ skipped }: Results): MarkdownSection[] {
  if (skipped.length === 0) return [];
  const columns: MarkdownColumn<Results["skipped"][number]>[] = [
    { title: "what", cell: ({ failed }) => (failed === true ? "failed" : "skipped") },
    { title: "case", cell: (row) => code(row.case) },
    { title: "engine", cell: (row) => name(row.engine) },
    { title: "threads", right: true, cell: (row) => String(row.threads) },
    { title: "reason", cell: ({ reason }) => name(reason, REASON_LENGTH) },
  ];
  return [tableSection(columns, skipped, foldedBefore("not measured"), FOLDED_AFTER)];
}

/** Loading, compiling, the first run, memory: apart from the steady state. */
function phasesSection(results: Results, notes: Footnotes): MarkdownSection[] {
  const rows = rowsWithPhases(results);
  const items = rows.slice(0, MOST_ROWS).map((row) => ({ row, cells: phaseCells(results, row, notes) }));
  if (items.length === 0) return [];
  const columns: MarkdownColumn<(typeof items)[number]>[] = [
    { title: "case", cell: ({ row }) => code(row.case) },
    { title: "threads", right: true, cell: ({ row }) => String(row.threads) },
    { title: "engine", cell: ({ row }) => name(row.engine) },
    { title: "precision", cell: ({ row: { precision, weights } }) => name(formatPrecision({ precision, weights })) },
    { title: "load", right: true, cell: ({ cells }) => cells.load },
    { title: "compile", right: true, cell: ({ cells }) => cells.compile },
    { title: "ratio", right: true, cell: ({ cells }) => cells.compileRatio },
    { title: "cached", right: true, cell: ({ cells }) => cells.cached },
    { title: "ratio", right: true, cell: ({ cells }) => cells.cachedRatio },
    { title: "first run", right: true, cell: ({ cells }) => cells.firstRun },
    { title: "peak memory", right: true, cell: ({ cells }) => cells.memory },
    { title: "planned", right: true, cell: ({ cells }) => cells.planned },
  ];
  const summary = "loading, compiling, first run, memory";
  const section = tableSection(columns, items, foldedBefore(summary), ["", PHASES_NOTE, ...FOLDED_AFTER]);
  return [{ ...section, more: rows.length - items.length }];
}

/** Means over the cases whose ratios are claims. */
function meanLines(results: Results, notes: Footnotes): string[] {
  const means = summaries(results, notes).filter(({ label, cases }) => cases > 1 && !/^[^,]*-defaults,/.test(label));
  if (means.length === 0) return [];
  const lines = means.map(
    ({ label, mean, least, cases }) =>
      `- ${name(label)}: geometric mean ${formatRatio(mean)} over ${cases} claims, least ${formatRatio(least)}`,
  );
  return ["", ...firstLines(lines, MOST_FACTS)];
}

function foot(results: Results, compared: boolean, reasons: readonly string[]): string[] {
  const command = reproduceCommand(results);
  const baselines = [...new Set(results.comparisons.map(({ baseline }) => baseline))].join(", ");
  const legend = `ratio: how many times faster than ${name(baselines)}, in brackets where it is no claim. Of two values the second is the baseline's. rate: arithmetic or memory traffic that a case cannot do without, whichever bounds it, per second; of models the matrix products and convolutions alone. roofline: its share of what the peaks below allow.`;
  const facts = [
    ...weightsLines(results),
    ...agreementLines(results),
    ...assumedLines(results),
    machineLine(results),
    ...peakLines(results),
    ...results.engines.map((engine) => `${engine.name}: ${engineText(engine)}`),
    ...deviceLines(results).map(([engine, device]) => `${engine} ran on ${device}`),
    settingsText(results),
    `measured ${results.createdAt}`,
  ];
  return [
    "",
    ...(compared ? [legend, ""] : []),
    ...firstLines(reasons, MOST_FACTS).map((line) => `- ${name(line, 1000)}`),
    ...(reasons.length === 0 ? [] : [""]),
    ...firstLines(facts, MOST_FACTS).map((fact) => `- ${name(fact, 1000)}`),
    ...(command === undefined ? [] : commandBlock(command)),
  ];
}
