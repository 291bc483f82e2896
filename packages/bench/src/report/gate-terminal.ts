/**
 * A gate run on a terminal: what it found, one line for each bench with suspects first, what was compared and where.
 * Nothing depends on colour.
 */

import type { BenchRecord, Results } from "../results/schema.ts";
import { firstLines } from "./bounds.ts";
import { plainText } from "./escape.ts";
import { formatChangeInterval, formatChangeRatio, formatDuration, formatNs, formatPercent } from "./format.ts";
import {
  armsLine,
  disturbances,
  machineLine,
  missingLines,
  policyLine,
  refusalDetails,
  reproduceCommand,
} from "./gate-facts.ts";
import { pressureLines } from "./pressure.ts";
import { reportTable, type Column } from "./table.ts";
import {
  VERDICTS,
  armNs,
  benchName,
  bySeverity,
  decidingPairs,
  logRatios,
  remarks,
  verdictSentence,
  verdictText,
} from "./verdicts.ts";

export interface TerminalOptions {
  /** Adds to every bench the ratios of its pairs as a line of small bars. */
  readonly verbose?: boolean;
}

const COLUMNS: readonly Column[] = [
  { title: "verdict", align: "left" },
  { title: "bench", align: "left" },
  { title: "base", align: "right" },
  { title: "head", align: "right" },
  { title: "ratio", align: "right" },
  { title: "95 % interval", align: "left" },
  { title: "MDE", align: "right" },
  { title: "pairs", align: "left" },
  { title: "remarks", align: "left" },
];

const RATIO_NOTE =
  "ratio: time of head over base, > 1 is slower; MDE: smallest change that would have been found in 95 of 100 runs";

export function renderGateTerminal(results: Results, { verbose = false }: TerminalOptions = {}): string {
  const benches = bySeverity(results.benches ?? []);
  const { run, summary } = results;
  const command = reproduceCommand(results);
  const moved = disturbances(results);
  const said = new Set(moved);
  const notes = new LongRemarks();
  const lines = [
    verdictSentence(results),
    ...refusalDetails(results),
    "",
    ...(benches.length === 0
      ? []
      : [
          ...reportTable(COLUMNS, benches, (bench) =>
            cells(bench, verbose, notes.cell(plainText(remarks(bench, said)))),
          ),
          ...notes.lines(),
          "",
        ]),
    ...(run?.refused === undefined ? [RATIO_NOTE] : []),
    ...(summary?.geomean == null
      ? []
      : [`geometric mean of the ratios: ${formatChangeRatio(summary.geomean)} (not judged)`]),
    ...firstLines(moved),
    ...pressureLines(results),
    ...firstLines(missingLines(results)),
    armsLine(results),
    ...(run?.refused === undefined ? [policyLine(results)] : []),
    machineLine(results),
    ...(run === undefined ? [] : [`took ${formatDuration(run.wallMs)}, run ${run.id}`]),
    ...(command === undefined ? [] : [`repeat: ${command}`]),
    ...(summary === undefined ? [] : [`exit code ${summary.exitCode}`]),
  ];
  return `${lines
    .filter((line, i) => line !== "" || lines[i - 1] !== "")
    .map(plainText)
    .join("\n")}\n`;
}

/** Longer ones stand below the table, which would leave the screen. */
const REMARK_WIDTH = 40;

class LongRemarks {
  readonly #numbers = new Map<string, number>();

  cell(remark: string): string {
    if (remark.length <= REMARK_WIDTH) return remark;
    const number = this.#numbers.get(remark) ?? this.#numbers.size + 1;
    this.#numbers.set(remark, number);
    return `[${number}]`;
  }

  lines(): string[] {
    return [...this.#numbers].map(([text, number]) => `[${number}] ${text}`);
  }
}

function cells(bench: BenchRecord, verbose: boolean, remark: string): string[] {
  const pairs = decidingPairs(bench);
  const { estimate } = bench;
  return [
    `${VERDICTS[bench.verdict].sign} ${verdictText(bench)}`,
    benchName(bench),
    formatNs(armNs(pairs, "base")),
    formatNs(armNs(pairs, "head")),
    estimate === null ? "–" : formatChangeRatio(estimate.ratio),
    estimate === null ? "" : formatChangeInterval(estimate.low, estimate.high),
    estimate === null ? "" : formatPercent(estimate.mde),
    verbose ? sparkline(logRatios(pairs)) : "",
    remark,
  ];
}

const BARS = "▁▂▃▄▅▆▇█";

/** Counts of pairs in eight steps from the least ratio to the largest, as bars: where the pairs lie, and whether in two heaps. */
export function sparkline(values: readonly number[], steps = 8): string {
  if (values.length === 0) return "";
  // Not by spreading: more pairs than a call may have arguments are no reason to fail.
  const low = values.reduce((least, value) => Math.min(least, value), Infinity);
  const high = values.reduce((most, value) => Math.max(most, value), -Infinity);
  const counts = Array.from({ length: steps }, () => 0);
  for (const value of values) {
    const step = high === low ? 0 : Math.min(steps - 1, Math.floor((steps * (value - low)) / (high - low)));
    counts[step] = (counts[step] ?? 0) + 1;
  }
  const most = Math.max(...counts);
  const bars = counts.map((count) => (count === 0 ? " " : BARS[Math.ceil((count / most) * BARS.length) - 1]));
  return `${formatChangeRatio(Math.exp(low))} ${bars.join("")} ${formatChangeRatio(Math.exp(high))}`;
}
