/**
 * The report on a terminal: one line per case, engine and precision, a phases table, and what was left out.
 * Nothing depends on colour.
 */

import { geometricMean } from "../statistics/basics.ts";
import { findComparison } from "../results/find-rows.ts";
import type { Result, Results } from "../results/schema.ts";
import { firstLines } from "./bounds.ts";
import { agreementLines, assumedLines, peakLines } from "./engine-facts.ts";
import { plainText } from "./escape.ts";
import { Footnotes } from "./footnotes.ts";
import {
  formatInterval,
  formatMs,
  formatPrecision,
  formatRatio,
  formatShare,
  formatVerified,
  digits,
} from "./format.ts";
import { disturbances } from "./gate-facts.ts";
import { INTERRUPTED } from "./verdicts.ts";
import { renderGateTerminal, type TerminalOptions } from "./gate-terminal.ts";
import { PHASES_NOTE, deviceLines, phaseCells, rowsWithPhases, weightsLines } from "./phases.ts";
import { servingLines } from "./serving-terminal.ts";
import { reportTable, type Column } from "./table.ts";

const right = (title: string): Column => ({ title, align: "right" });
const left = (title: string): Column => ({ title, align: "left" });

/** The whole report as text: of engines, or of a gate run. */
export function renderTerminal(results: Results, options: TerminalOptions = {}): string {
  return results.benches === undefined ? renderEngines(results) : renderGateTerminal(results, options);
}

function renderEngines(results: Results): string {
  const { machine, serving = [] } = results;
  const machineText = `${machine.cpu.brand}, ${machine.cpu.cores} cores, node ${machine.node} (machine ${machine.fingerprint})`;
  const tests = serving.flatMap((record) => ["", ...servingLines(record)]);
  const lines =
    serving.length > 0 && results.results.length === 0
      ? [`requests came from ${machineText}`, ...interruptedLines(results), ...tests]
      : [machineText, ...interruptedLines(results), ...engineLines(results), ...tests];
  const single = lines.filter((line, i) => line !== "" || lines[i - 1] !== "");
  return `${single.map(plainText).join("\n")}\n`;
}

function interruptedLines({ run }: Results): string[] {
  return run?.aborted === true ? [INTERRUPTED] : [];
}

function engineLines(results: Results): string[] {
  const notes = new Footnotes(results);
  const engines = results.engines.map(({ name, version }) => `${name} ${version}`).join(", ");
  return [
    `${engines}; seed ${results.settings.seed}, ${results.settings.processes} processes per engine, idle engines ${results.settings.idle}`,
    ...firstLines([
      ...peakLines(results),
      ...deviceLines(results).map((line) => line.join(": ")),
      ...weightsLines(results),
      ...agreementLines(results),
      ...assumedLines(results),
      ...disturbances(results).map((text) => `the machine was disturbed: ${text}`),
    ]),
    "",
    ...steadyTable(results, notes),
    "",
    ...phasesTable(results, notes),
    ...notes.lines(),
    ...summaryLines(results, notes),
    ...problemLines(results),
  ];
}

function steadyTable(results: Results, notes: Footnotes): string[] {
  const columns = [
    left("case"),
    right("threads"),
    left("engine"),
    left("precision"),
    right("median"),
    right("tokens/s"),
    right("ratio"),
    left("95 % interval"),
    right("GFLOP/s"),
    right("GB/s"),
    right("roofline"),
    left("ok"),
    right("max error"),
    right("NMSE"),
  ];
  const steady = results.results.filter((row) => row.phase === "steady");
  let previous = "";
  const lines = reportTable(columns, steady, (row) => {
    const comparison = findComparison(results, row);
    const name = row.case === previous ? "" : row.case;
    previous = row.case;
    return [
      name,
      String(row.threads),
      row.engine,
      formatPrecision(row),
      formatMs(row.median),
      row.tokensPerSecond == null ? "" : digits(row.tokensPerSecond),
      notes.ratio(comparison),
      comparison === undefined ? "" : formatInterval(comparison.low, comparison.high),
      row.gflops === null || row.gflops === undefined ? "" : digits(row.gflops),
      row.gbps === null || row.gbps === undefined ? "" : digits(row.gbps),
      formatShare(row.peakShare),
      formatVerified(row.verified),
      row.maxError === null ? "" : row.maxError.toExponential(1),
      row.nmse == null ? "" : row.nmse.toExponential(1),
    ];
  });
  const baselines = [...new Set(results.comparisons.map((comparison) => comparison.baseline))];
  const legend =
    baselines.length === 0
      ? []
      : [
          `ratio: how many times faster than ${baselines.join(", ")}, in brackets where it is no claim; ok: outputs compared (✓ equal, ✗ different, ? nothing to compare with)`,
        ];
  return [...lines, ...legend];
}

function phasesTable(results: Results, notes: Footnotes): string[] {
  const columns = [
    left("case"),
    right("threads"),
    left("engine"),
    left("precision"),
    right("load"),
    right("compile"),
    right("ratio"),
    right("cached"),
    right("ratio"),
    right("first run"),
    right("peak memory"),
    right("planned"),
  ];
  const rows = rowsWithPhases(results);
  const lines = reportTable(columns, rows, (row) => {
    const cells = phaseCells(results, row, notes);
    return [
      row.case,
      String(row.threads),
      row.engine,
      formatPrecision({ precision: row.precision, weights: row.weights }),
      cells.load,
      cells.compile,
      cells.compileRatio,
      cells.cached,
      cells.cachedRatio,
      cells.firstRun,
      cells.memory,
      cells.planned,
    ];
  });
  return rows.length === 0 ? [] : [...lines, PHASES_NOTE];
}

/**
 * Geometric means of the ratios that are claims, by engine, precision and threads. Those of language models are left out: a
 * prompt and a token of generation have no mean that says anything.
 */
export function summaries(
  results: Results,
  notes: Footnotes,
  phase: Result["phase"] = "steady",
): { readonly label: string; readonly mean: number; readonly least: number; readonly cases: number }[] {
  const groups = new Map<string, number[]>();
  for (const row of results.comparisons) {
    if (row.phase !== phase || row.case.startsWith("llm/") || !notes.claim(row).comparable) continue;
    const label = `${row.engine}, ${formatPrecision(row)}, ${row.threads} thread${row.threads === 1 ? "" : "s"}`;
    const ratios = groups.get(label);
    if (ratios === undefined) groups.set(label, [row.ratio]);
    else ratios.push(row.ratio);
  }
  return [...groups].map(([label, ratios]) => ({
    label,
    mean: geometricMean(ratios),
    least: ratios.reduce((least, ratio) => Math.min(least, ratio), Infinity),
    cases: ratios.length,
  }));
}

function summaryLines(results: Results, notes: Footnotes): string[] {
  const several = summaries(results, notes).filter(({ cases }) => cases > 1);
  if (several.length === 0) return [];
  const lines = several.map(
    ({ label, mean, least, cases }) =>
      `${label}: geometric mean ${formatRatio(mean)} over ${cases} cases, least ${formatRatio(least)}`,
  );
  return ["", ...firstLines(lines)];
}

function problemLines(results: Results): string[] {
  const wrong = results.results.filter((row) => row.phase === "steady" && row.verified === false);
  const lines = wrong.map(
    (row) => `✗ ${row.case}, ${row.engine} (${row.precision}, ${row.threads} threads): ${row.note ?? "outputs differ"}`,
  );
  const left = results.skipped.map(
    (row) =>
      `${row.failed === true ? "failed" : "skipped"}: ${row.case}, ${row.engine} (${row.precision}, ${row.threads} threads): ${row.reason}`,
  );
  return lines.length + left.length === 0 ? [] : ["", ...firstLines(lines), ...firstLines(left)];
}
