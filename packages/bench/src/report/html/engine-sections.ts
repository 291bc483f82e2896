/** Sections of the page for runs that measure engines beside each other. */

import { findComparison } from "../../results/find-rows.ts";
import type { Result, Results } from "../../results/schema.ts";
import { threadsText } from "../engine-facts.ts";
import { leftOut } from "../bounds.ts";
import { escapeHtml, shorten } from "../escape.ts";
import type { Footnotes } from "../footnotes.ts";
import {
  digits,
  formatInterval,
  formatMs,
  formatPrecision,
  formatRatio,
  formatShare,
  formatVerified,
} from "../format.ts";
import { PHASES_NOTE, phaseCells, rowsWithPhases, weightsLines } from "../phases.ts";
import { summaries } from "../terminal.ts";
import { distributionChart, strokeOf } from "./distribution.ts";
import { folded, note, table, type Section, type TableRow } from "./markup.ts";
import { engineScale, ratioRows, type RatioRow } from "./ratio-rows.ts";
import type { RooflineMark } from "./roofline.ts";
import { treemapChart } from "./treemap.ts";

const MOST_ROWS = 1000;
const NAME_LENGTH = 160;
const OPEN_DISTRIBUTIONS = 6;
const OPEN_TREEMAPS = 2;
const MOST_CHARTS = 120;
/** Of one chart: as many as can be told apart. */
const CURVES = 6;
const MOST_TREEMAPS = 40;
/** Areas of all treemaps together: a page of 200 rows stays below a megabyte, and opens at once. */
const MOST_AREAS = 800;

/** "quern high, 2 threads": an engine as it was set up. Each has one colour and one shape in all charts. */
function armLabel(row: Pick<Result, "engine" | "precision" | "threads" | "weights">): string {
  const precision = row.precision === "highest" ? "" : ` ${row.precision}`;
  const weights = row.weights === undefined ? "" : ` ${row.weights}`;
  return shorten(`${row.engine}${precision}${weights}, ${threadsText(row.threads)}`, NAME_LENGTH);
}

/** Arms in order of appearance. */
export function armNames(results: Results): string[] {
  return [...new Set(results.results.map(armLabel))];
}

/** Keys of those arms that are shown. */
export function legend(names: readonly string[], shown: ReadonlySet<string>, key: (series: number) => string): string {
  const keys = names.flatMap((name, i) => (shown.has(name) ? [`<li>${key(i)} ${escapeHtml(name)}</li>`] : []));
  return `<ul class="legend">${keys.join("")}</ul>`;
}

function steadyRows(results: Results): Result[] {
  return results.results.filter(({ phase }) => phase === "steady").slice(0, MOST_ROWS);
}

export function engineSections(results: Results, notes: Footnotes): Section[] {
  return [
    ratioSection(results, notes),
    tableSection(results, notes),
    phasesSection(results, notes),
    distributionSection(results),
    timeSection(results),
    skippedSection(results),
  ];
}

function ratioSection(results: Results, notes: Footnotes): Section {
  const steady = results.comparisons.filter(({ phase }) => phase === "steady").slice(0, MOST_ROWS);
  const baselines = [...new Set(steady.map(({ baseline }) => baseline))].join(", ");
  const heading = `How many times faster than ${shorten(baselines, NAME_LENGTH)}`;
  if (steady.length === 0) return { id: "ratios", heading, body: "" };
  const names = armNames(results);
  const shown = new Set(steady.map(armLabel));
  const rows = steady.map((row): RatioRow => {
    const mark = notes.mark(row);
    const label = shown.size > 1 ? `${row.case}, ${armLabel(row)}` : row.case;
    const value = `${formatRatio(row.ratio)} ${formatInterval(row.low, row.high)}`.trimEnd();
    return {
      label: shorten(label, NAME_LENGTH),
      ratio: row.ratio,
      low: row.low,
      high: row.high,
      value: mark === "" ? value : `(${value}) ${mark}`,
      cssClass: `s${Math.max(0, names.indexOf(armLabel(row))) % 6}`,
      hollow: mark !== "",
      name: shorten(label, NAME_LENGTH),
      kind: row.engine,
    };
  });
  const means = summaries(results, notes)
    .filter(({ cases }) => cases > 1)
    .map(
      ({ label, mean, least, cases }) =>
        `${label}: geometric mean ${formatRatio(mean)} over ${cases} cases, least ${formatRatio(least)}.`,
    );
  const hollow = rows.some((row) => row.hollow === true);
  const key = (series: number): string =>
    `<svg class="shape" width="14" height="14" aria-hidden="true"><rect class="s${series % 6}" y="2" width="14" height="10"/></svg>`;
  const body = [
    `<figure>${ratioRows(rows, engineScale(rows))}</figure>`,
    shown.size > 1 ? legend(names, shown, key) : "",
    note(
      `Steady runs. Right of 1× is faster; whiskers are 95 % intervals of the paired ratio.${hollow ? " Outlined bars in brackets are no claims: the letter names the reason under Comparability." : ""}`,
    ),
    ...weightsLines(results).map(note),
    ...means.map((line) => `<p>${escapeHtml(line)}</p>`),
  ];
  return { id: "ratios", heading, body: body.join("\n") };
}

function rate(value: number | null | undefined): { readonly text: string; readonly value?: number } {
  return value == null ? { text: "" } : { text: digits(value), value };
}

function tableSection(results: Results, notes: Footnotes): Section {
  const all = results.results.filter(({ phase }) => phase === "steady").length;
  const rows = steadyRows(results).map((row): TableRow => {
    const comparison = findComparison(results, row);
    return {
      cssClass: row.verified === false ? "bad" : undefined,
      name: shorten(`${row.case} ${armLabel(row)}`, NAME_LENGTH),
      kind: row.engine,
      cells: [
        shorten(row.case, NAME_LENGTH),
        shorten(row.shape, NAME_LENGTH),
        { text: String(row.threads), value: row.threads },
        shorten(row.engine, NAME_LENGTH),
        formatPrecision(row),
        { text: formatMs(row.median), value: row.median },
        formatInterval(row.low, row.high),
        rate(row.tokensPerSecond),
        { text: notes.ratio(comparison), value: comparison?.ratio },
        comparison === undefined ? "" : formatInterval(comparison.low, comparison.high),
        rate(row.gflops),
        rate(row.gbps),
        { text: formatShare(row.peakShare), value: row.peakShare },
        formatVerified(row.verified),
        row.maxError === null ? "" : { text: row.maxError.toExponential(1), value: row.maxError },
        row.nmse == null ? "" : { text: row.nmse.toExponential(1), value: row.nmse },
        shorten(row.note ?? "", 400),
      ],
    };
  });
  const titles =
    "case;shape;threads;engine;precision;median;95 %, ms;tokens/s;ratio;95 %;GFLOP/s;GB/s;roofline;ok;max error;NMSE;note";
  const body = [
    `<div class="tools" data-kinds="engine" hidden></div>`,
    table(titles.split(";"), rows, {
      label: "Steady runs",
      numeric: [2, 5, 7, 8, 10, 11, 12, 14, 15],
      wrap: [16],
      sortable: true,
    }),
    ...(all > rows.length ? [note(`${all - rows.length} more rows are in the JSON and CSV reports.`)] : []),
    note(
      "ok: outputs compared before and during timing (✓ equal, ✗ different, ? nothing to compare with). max error: share of max(|expected|, rms).",
    ),
  ];
  return { id: "steady", heading: "Steady runs", body: body.join("\n") };
}

function phasesSection(results: Results, notes: Footnotes): Section {
  const rows = rowsWithPhases(results)
    .slice(0, MOST_ROWS)
    .map((row): TableRow => {
      const cells = phaseCells(results, row, notes);
      return {
        name: shorten(`${row.case} ${armLabel(row)}`, NAME_LENGTH),
        kind: row.engine,
        cells: [
          shorten(row.case, NAME_LENGTH),
          String(row.threads),
          shorten(row.engine, NAME_LENGTH),
          formatPrecision({ precision: row.precision, weights: row.weights }),
          cells.load,
          cells.compile,
          cells.compileRatio,
          cells.cached,
          cells.cachedRatio,
          cells.firstRun,
          formatMs(row.median),
          cells.memory,
          cells.planned,
        ],
      };
    });
  const titles =
    "case;threads;engine;precision;load;compile;compile ratio;cached;cached ratio;first run;steady;peak memory;planned buffers";
  const body =
    rows.length === 0
      ? ""
      : `${table(titles.split(";"), rows, { label: "Phases", numeric: [1, 4, 5, 6, 7, 8, 9, 10, 11, 12] })}\n${note(PHASES_NOTE)}`;
  return { id: "phases", heading: "Phases", body };
}

function distributionSection(results: Results): Section {
  const names = armNames(results);
  // Engines beside each other at one thread count.
  const byCase = Map.groupBy(
    steadyRows(results).filter(({ samples }) => samples.length > 1),
    (row) => `${row.case}, ${threadsText(row.threads)}`,
  );
  const figures = [...byCase].slice(0, MOST_CHARTS).map(([name, rows]) => {
    const label = shorten(name, NAME_LENGTH);
    const drawn = rows.slice(0, CURVES);
    const series = drawn.map((row) => ({
      label: armLabel(row),
      series: Math.max(0, names.indexOf(armLabel(row))),
      samplesMs: row.samples,
    }));
    return `<figure data-name="${escapeHtml(label)}">${distributionChart(label, series)}<figcaption>${escapeHtml(label)}${rows.length > CURVES ? `, and ${rows.length - CURVES} that are not drawn` : ""}</figcaption></figure>`;
  });
  const heading = "Distribution of times";
  if (figures.length === 0) return { id: "distributions", heading, body: "" };
  const shown = new Set([...byCase.values()].flatMap((rows) => rows.slice(0, CURVES)).map(armLabel));
  const grid = (parts: readonly string[]): string => `<div class="cards">${parts.join("\n")}</div>`;
  const rest = figures.slice(OPEN_DISTRIBUTIONS);
  const body = [
    legend(names, shown, strokeOf),
    grid(figures.slice(0, OPEN_DISTRIBUTIONS)),
    folded(`${rest.length} more`, rest.length === 0 ? [] : [grid(rest)]),
    ...leftOut(byCase.size - figures.length).map(note),
    note("Share of the timed slices whose calls took at most so long."),
  ];
  return { id: "distributions", heading, body: body.join("\n") };
}

function timeSection(results: Results): Section {
  const all = results.results.flatMap((row) =>
    row.profile === undefined || row.profile.length === 0 ? [] : [{ row, profile: row.profile }],
  );
  const profiled = all.slice(0, MOST_TREEMAPS);
  const areas = Math.max(8, Math.min(48, Math.floor(MOST_AREAS / Math.max(1, profiled.length))));
  const figures = profiled.map(({ row, profile }) => {
    const label = shorten(`${row.case}, ${armLabel(row)}`, NAME_LENGTH);
    return `<figure data-name="${escapeHtml(label)}" data-kind="${escapeHtml(row.engine)}"><h3>${escapeHtml(label)}</h3>${treemapChart(label, profile, areas)}</figure>`;
  });
  const heading = "Time per op";
  if (figures.length === 0) return { id: "time", heading, body: "" };
  const rest = figures.slice(OPEN_TREEMAPS);
  const body = [
    ...figures.slice(0, OPEN_TREEMAPS),
    folded(`${rest.length} more`, rest),
    ...(all.length > profiled.length ? [note(`${all.length - profiled.length} more are in the JSON report.`)] : []),
    note("Areas are shares of the time of one run. Parts with one name are together."),
  ];
  return { id: "time", heading, body: body.join("\n") };
}

function skippedSection({ skipped }: Results): Section {
  const rows = skipped.slice(0, MOST_ROWS).map((row): TableRow => ({
    cssClass: row.failed === true ? "bad" : undefined,
    cells: [
      row.failed === true ? "✗ failed" : "skipped",
      shorten(row.case, NAME_LENGTH),
      shorten(row.engine, NAME_LENGTH),
      row.precision,
      String(row.threads),
      shorten(row.reason, 400),
    ],
  }));
  const titles = ["what", "case", "engine", "precision", "threads", "reason"];
  const body = rows.length === 0 ? "" : table(titles, rows, { label: "Not measured", numeric: [4], wrap: [5] });
  return { id: "skipped", heading: "Not measured", body };
}

/** Steady rows whose arithmetic and traffic are known. */
export function engineMarks(results: Results): RooflineMark[] {
  const names = armNames(results);
  return steadyRows(results).flatMap((row) =>
    row.gflops && row.flops && row.bytes
      ? [
          {
            label: shorten(`${row.case}, ${armLabel(row)}`, NAME_LENGTH),
            series: Math.max(0, names.indexOf(armLabel(row))),
            intensity: row.flops / row.bytes,
            gflops: row.gflops,
          },
        ]
      : [],
  );
}
