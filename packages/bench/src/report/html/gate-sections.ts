/** Sections of the page for runs that compare two builds. */

import type { BenchRecord, Results } from "../../results/schema.ts";
import { escapeHtml, shorten } from "../escape.ts";
import { digits, formatChangeInterval, formatChangeRatio, formatNs, formatPercent } from "../format.ts";
import { disturbances, missingLines } from "../gate-facts.ts";
import {
  VERDICTS,
  armNs,
  benchName,
  bySeverity,
  decidingPairs,
  isFailure,
  logRatios,
  nothingMeasured,
  remarks,
  verdictText,
} from "../verdicts.ts";
import { distributionChart, strokeOf } from "./distribution.ts";
import { folded, note, table, type Section, type TableRow } from "./markup.ts";
import { gateScale, ratioRows, type RatioRow } from "./ratio-rows.ts";
import type { RooflineMark } from "./roofline.ts";

/** Rows of one page: more are in the other forms of the report. */
export const MOST_ROWS = 1000;
const NAME_LENGTH = 160;
/** Distributions that are shown at once; the others are folded. */
const OPEN_DISTRIBUTIONS = 12;
/** Worst first: those of more benches that did not change would be most of the page. */
const MOST_DISTRIBUTIONS = 100;

const BAR_CLASSES = {
  ERROR: "bad-bar",
  REGRESSED: "bad-bar",
  INVALID: "warn-bar",
  INCONCLUSIVE: "warn-bar",
  IMPROVED: "good-bar",
  EQUIVALENT: "plain-bar",
} as const;

function shortName(bench: BenchRecord): string {
  return shorten(benchName(bench), NAME_LENGTH);
}

export function gateSections(results: Results): Section[] {
  const all = bySeverity(results.benches ?? []);
  const benches = all.slice(0, MOST_ROWS);
  const cut = all.length - benches.length;
  if (all.length === 0) return [missingSection(results)];
  return [
    ratioSection(benches),
    tableSection(benches, cut, new Set(disturbances(results))),
    distributionSection(benches),
    missingSection(results),
  ];
}

/** Benches that only one of the arms has, or that are the same in both. */
function missingSection(results: Results): Section {
  const lines = missingLines(results).slice(0, MOST_ROWS);
  const items = lines.map((line) => `<li>${escapeHtml(shorten(line, 400))}</li>`);
  const heading = nothingMeasured(results.run) === undefined ? "Not in both" : "Not measured";
  return { id: "missing", heading, body: items.length === 0 ? "" : `<ul>${items.join("\n")}</ul>` };
}

function ratioRow(bench: BenchRecord): RatioRow {
  const { estimate, verdict, delta } = bench;
  const value =
    estimate === null
      ? ""
      : `${formatChangeRatio(estimate.ratio)} ${formatChangeInterval(estimate.low, estimate.high)}`;
  return {
    label: shortName(bench),
    ratio: estimate?.ratio ?? null,
    low: estimate?.low ?? null,
    high: estimate?.high ?? null,
    value: `${VERDICTS[verdict].sign} ${value === "" ? verdict : value}`,
    cssClass: BAR_CLASSES[verdict],
    band: delta,
    pairs: logRatios(decidingPairs(bench)).map(Math.exp),
    name: shortName(bench),
    kind: verdict,
  };
}

function ratioSection(benches: readonly BenchRecord[]): Section {
  const rows = benches.map(ratioRow);
  const scale = gateScale(rows);
  const notable = rows.filter(({ kind }) => kind !== "EQUIVALENT");
  const rest = rows.filter(({ kind }) => kind === "EQUIVALENT");
  const few = rows.length <= 40;
  const shown = few ? rows : notable;
  const signs = Object.entries(VERDICTS).map(([verdict, { sign }]) => `${sign} ${verdict}`);
  const body = [
    ...(shown.length === 0 ? [] : [`<figure>${ratioRows(shown, scale)}</figure>`]),
    few
      ? ""
      : folded(`${rest.length} unchanged`, rest.length === 0 ? [] : [`<figure>${ratioRows(rest, scale)}</figure>`]),
    note(
      "Time of head over base: right of 1× is slower. Whiskers are 95 % intervals; the grey band is the threshold, within which changes do not matter; dots are pairs of processes.",
    ),
    note(signs.join(" · ")),
  ];
  return { id: "ratios", heading: "Head beside base", body: body.join("\n") };
}

/** Work of a call over the time of the head: flops or bytes per ns are GFLOP/s or GB/s. */
function rateCells({ work }: BenchRecord, ns: number | null): TableRow["cells"] {
  return [work?.flops, work?.bytes].map((amount) => {
    const rate = ns === null || !amount ? null : amount / ns;
    return { text: rate === null ? "" : digits(rate), value: rate };
  });
}

function tableSection(benches: readonly BenchRecord[], cut: number, said: ReadonlySet<string>): Section {
  const rows = benches.map((bench): TableRow => {
    const pairs = decidingPairs(bench);
    const { estimate, verdict, check } = bench;
    const [base, head] = [armNs(pairs, "base"), armNs(pairs, "head")];
    return {
      cssClass: isFailure(bench) ? "bad" : undefined,
      name: shortName(bench),
      kind: verdict,
      cells: [
        { text: `${VERDICTS[verdict].sign} ${verdictText(bench)}`, value: Object.keys(VERDICTS).indexOf(verdict) },
        shortName(bench),
        { text: formatNs(base), value: base },
        { text: formatNs(head), value: head },
        ...rateCells(bench, head),
        estimate === null ? "–" : { text: formatChangeRatio(estimate.ratio), value: estimate.ratio },
        estimate === null ? "" : formatChangeInterval(estimate.low, estimate.high),
        estimate === null ? "" : { text: formatPercent(estimate.mde), value: estimate.mde },
        { text: formatPercent(bench.delta), value: bench.delta },
        estimate === null ? "" : { text: formatPercent(estimate.sw), value: estimate.sw },
        estimate === null ? "" : { text: String(estimate.pairs), value: estimate.pairs },
        check === null ? "" : `${check.passed ? "✓" : "✗"} ${check.checked}`,
        shorten(remarks(bench, said), 400),
      ],
    };
  });
  const titles = [
    "verdict",
    "bench",
    "base",
    "head",
    "GFLOP/s",
    "GB/s",
    "ratio",
    "95 % interval",
    "MDE",
    "threshold",
    "spread",
    "pairs",
    "checked",
    "remarks",
  ];
  const body = [
    `<div class="tools" data-kinds="verdict" hidden></div>`,
    table(titles, rows, { label: "Benchmarks", numeric: [2, 3, 4, 5, 6, 8, 9, 10, 11], wrap: [13], sortable: true }),
    ...(cut > 0 ? [note(`${cut} more benchmarks are in the JSON and CSV reports.`)] : []),
    note(
      "MDE: smallest change that would have been found in 95 of 100 runs. spread: winsorised standard deviation of the log-ratios of pairs. checked: timed calls whose output was compared. Rates are those of the head.",
    ),
  ];
  return { id: "benchmarks", heading: "Benchmarks", body: body.join("\n") };
}

function distributionSection(benches: readonly BenchRecord[]): Section {
  const figures = benches.slice(0, MOST_DISTRIBUTIONS).flatMap((bench) => {
    const pairs = decidingPairs(bench);
    const samples = (arm: "base" | "head"): number[] => pairs.flatMap((pair) => pair[arm].map((ns) => ns / 1e6));
    const chart = distributionChart(shortName(bench), [
      { label: "base", series: 1, samplesMs: samples("base") },
      { label: "head", series: 0, samplesMs: samples("head") },
    ]);
    if (chart === "") return [];
    return [
      `<figure data-name="${escapeHtml(shortName(bench))}" data-kind="${bench.verdict}">${chart}<figcaption>${escapeHtml(shortName(bench))}</figcaption></figure>`,
    ];
  });
  if (figures.length === 0) return { id: "distributions", heading: "Distribution of times", body: "" };
  const grid = (parts: readonly string[]): string => `<div class="cards">${parts.join("\n")}</div>`;
  const rest = figures.slice(OPEN_DISTRIBUTIONS);
  const body = [
    `<ul class="legend"><li>${strokeOf(1)} base</li><li>${strokeOf(0)} head</li></ul>`,
    grid(figures.slice(0, OPEN_DISTRIBUTIONS)),
    folded(`${rest.length} more`, rest.length === 0 ? [] : [grid(rest)]),
    ...(benches.length > MOST_DISTRIBUTIONS
      ? [note(`The samples of ${benches.length - MOST_DISTRIBUTIONS} more are in the JSON and CSV reports.`)]
      : []),
    note(
      "Share of the rounds that took at most so long. Both curves drift together with the machine; what counts is the gap.",
    ),
  ];
  return { id: "distributions", heading: "Distribution of times", body: body.join("\n") };
}

/** Both arms of benches whose work is known. */
export function gateMarks(results: Results): RooflineMark[] {
  return bySeverity(results.benches ?? [])
    .slice(0, MOST_ROWS)
    .flatMap((bench) => {
      const { flops, bytes } = bench.work ?? {};
      if (!flops || !bytes) return [];
      const pairs = decidingPairs(bench);
      return (["base", "head"] as const).flatMap((arm, i): RooflineMark[] => {
        const ns = armNs(pairs, arm);
        if (ns === null) return [];
        const label = `${shortName(bench)}, ${arm}`;
        return [{ label, series: i === 0 ? 1 : 0, intensity: flops / bytes, gflops: flops / ns }];
      });
    });
}

/** Frozen kernels that were measured with the benches. */
export function controlRows(results: Results): TableRow[] {
  return (results.environment?.controls ?? []).map(({ id, estimate, disturbed, moved }) => ({
    cssClass: moved ? "bad" : undefined,
    cells: [
      shorten(id, NAME_LENGTH),
      estimate === null ? "–" : formatChangeRatio(estimate.ratio),
      estimate === null ? "" : formatChangeInterval(estimate.low, estimate.high),
      `${digits(100 * disturbed)} %`,
      moved ? "✗ moved" : "✓ steady",
    ],
  }));
}
