/**
 * The report as one HTML file that needs nothing else: no script, no network, charts as inline SVG. It follows the
 * reader's light or dark setting and prints.
 */

import type { Result, Results } from "../results/schema.ts";
import {
  digits,
  formatBytes,
  formatInterval,
  formatMs,
  formatPrecision,
  formatRatio,
  formatShare,
  formatVerified,
} from "./format.ts";
import { escapeHtml, ratioChart, rooflineChart, seriesClass, timeChart, type RooflineCeiling } from "./svg.ts";
import { PHASES_NOTE, deviceLines, findComparison, phaseCells, rowsWithPhases, weightsLines } from "./phases.ts";
import { summaries } from "./terminal.ts";

const STYLE = `
:root { color-scheme: light dark; --ink: #1d2127; --soft: #667080; --paper: #fff; --line: #dfe3e8; --band: #f5f7f9;
  --s0: #2563b8; --s1: #c4622d; --s2: #3f8f5b; --s3: #8a5bb5; --s4: #b08a1e; --s5: #5b7c8d; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #9aa5b4; --paper: #15181c; --line: #333a43; --band: #1d2127;
  --s0: #6ea3ec; --s1: #e59a6c; --s2: #7cc396; --s3: #bd97e0; --s4: #dcbb5c; --s5: #93b2c2; --bad: #f28b82; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1000px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p.note, figcaption { color: var(--soft); font-size: .88rem; } figure { margin: 0; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .86rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .28rem .55rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; } td.n, th.n { text-align: right; } td.wrap { white-space: normal; overflow-wrap: anywhere; } tr.bad td { color: var(--bad); }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; } svg text { fill: var(--ink); } svg .tick { fill: var(--soft); font-size: 11px; }
svg .value { font-variant-numeric: tabular-nums; } svg .grid { stroke: var(--line); } svg .axis { stroke: var(--ink); } svg .interval { stroke: var(--ink); stroke-width: 1.5; fill: none; }
svg .ceiling { stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 5 3; fill: none; }
.series-0 { fill: var(--s0); background: var(--s0); } .series-1 { fill: var(--s1); background: var(--s1); } .series-2 { fill: var(--s2); background: var(--s2); }
.series-3 { fill: var(--s3); background: var(--s3); } .series-4 { fill: var(--s4); background: var(--s4); } .series-5 { fill: var(--s5); background: var(--s5); }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin: 0 .35em 0 1em; } .key:first-child { margin-left: 0; }
@media print { body { margin: 0; max-width: none; } h2 { break-after: avoid; } figure, tr { break-inside: avoid; } }
`;

/** Arms (engine, precision, threads) in order of appearance: each has one colour in all charts. */
function seriesNames(results: Results): string[] {
  return [...new Set(results.results.map(armLabel))];
}

function armLabel(row: Pick<Result, "engine" | "precision" | "threads" | "weights">): string {
  const precision = row.precision === "highest" ? "" : ` ${row.precision}`;
  const weights = row.weights === undefined ? "" : ` ${row.weights}`;
  return `${row.engine}${precision}${weights}, ${row.threads} thread${row.threads === 1 ? "" : "s"}`;
}

/** The page. */
export function renderHtml(results: Results): string {
  const sections = [
    ratioSection(results),
    tableSection(results),
    rooflineSection(results),
    phasesSection(results),
    profileSection(results),
    problemsSection(results),
    machineSection(results),
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Quern benchmark, ${escapeHtml(results.createdAt.slice(0, 10))}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Quern benchmark</h1>
<p class="note">${escapeHtml(results.machine.cpu.brand)}, ${results.machine.cpu.cores} cores · ${escapeHtml(results.createdAt)}</p>
${sections.filter((section) => section !== "").join("\n")}
</body>
</html>
`;
}

function table(
  titles: readonly string[],
  rows: readonly { readonly cells: readonly string[]; readonly bad?: boolean }[],
  numeric: readonly number[],
): string {
  const cssClass = (i: number): string => (numeric.includes(i) ? ' class="n"' : "");
  // As on a terminal, columns that are empty in every row are left out.
  const used = titles.map((_, i) => rows.some(({ cells }) => (cells[i] ?? "") !== ""));
  const line = (tag: "th" | "td", cells: readonly string[]): string =>
    cells.map((cell, i) => (used[i] === true ? `<${tag}${cssClass(i)}>${escapeHtml(cell)}</${tag}>` : "")).join("");
  const head = line("th", titles);
  const body = rows.map(({ cells, bad }) => `<tr${bad === true ? ' class="bad"' : ""}>${line("td", cells)}</tr>`);
  return `<div class="scroll"><table><thead><tr>${head}</tr></thead><tbody>\n${body.join("\n")}\n</tbody></table></div>`;
}

/** Colour keys of the arms in `shown`; a colour means the same arm in every chart. */
function legend(names: readonly string[], shown: ReadonlySet<string>): string {
  const keys = names.flatMap((name, i) =>
    shown.has(name) ? [`<span class="key ${seriesClass(i)}"></span>${escapeHtml(name)}`] : [],
  );
  return `<p class="note">${keys.join(" ")}</p>`;
}

function ratioSection(results: Results): string {
  const steady = results.comparisons.filter((row) => row.phase === "steady");
  if (steady.length === 0) return "";
  const names = seriesNames(results);
  const shown = new Set(steady.map(armLabel));
  const bars = steady.map((row) => ({
    label:
      shown.size > 1
        ? `${row.case}, ${row.precision === "highest" ? "" : `${row.precision}, `}${row.weights === undefined ? "" : `${row.weights}, `}${row.threads}t`
        : row.case,
    series: names.indexOf(armLabel(row)),
    ratio: row.ratio,
    low: row.low,
    high: row.high,
  }));
  const baselines = [...new Set(steady.map((row) => row.baseline))].join(", ");
  const means = summaries(results)
    .filter(({ cases }) => cases > 1)
    .map(
      ({ label, mean, least, cases }) =>
        `${label}: geometric mean ${formatRatio(mean)} over ${cases} cases, least ${formatRatio(least)}.`,
    );
  const mixed = steady.some((row) => row.baselinePrecision !== undefined && row.baselinePrecision !== row.precision);
  return `<h2>How many times faster than ${escapeHtml(baselines)}</h2>
<figure>${ratioChart(bars)}<figcaption>Steady runs. Right of 1× is faster; whiskers are 95 % intervals of the paired ratio.${mixed ? " Rows with another precision than the baseline's are labelled with it." : ""}</figcaption></figure>
${shown.size > 1 ? legend(names, shown) : ""}
${weightsLines(results)
  .map((line) => `<p>${escapeHtml(line)}</p>`)
  .join("\n")}
${means.map((line) => `<p>${escapeHtml(line)}</p>`).join("\n")}`;
}

function tableSection(results: Results): string {
  const rows = results.results
    .filter((row) => row.phase === "steady")
    .map((row) => {
      const comparison = findComparison(results, row);
      return {
        bad: row.verified === false,
        cells: [
          row.case,
          row.shape,
          String(row.threads),
          row.engine,
          formatPrecision(row),
          formatMs(row.median),
          formatInterval(row.low, row.high),
          row.tokensPerSecond == null ? "" : digits(row.tokensPerSecond),
          comparison === undefined ? "" : formatRatio(comparison.ratio),
          comparison === undefined ? "" : formatInterval(comparison.low, comparison.high),
          row.gflops === null || row.gflops === undefined ? "" : digits(row.gflops),
          row.gbps === null || row.gbps === undefined ? "" : digits(row.gbps),
          formatShare(row.peakShare),
          formatVerified(row.verified),
          row.maxError === null ? "" : row.maxError.toExponential(1),
          row.nmse == null ? "" : row.nmse.toExponential(1),
          row.note ?? "",
        ],
      };
    });
  const titles = [
    "case",
    "shape",
    "threads",
    "engine",
    "precision",
    "median",
    "95 %, ms",
    "tokens/s",
    "ratio",
    "95 %",
    "GFLOP/s",
    "GB/s",
    "roofline",
    "ok",
    "max error",
    "NMSE",
    "note",
  ];
  return `<h2>Steady runs</h2>\n${table(titles, rows, [2, 5, 7, 8, 10, 11, 12, 14, 15])}
<p class="note">ok: outputs compared before and during timing (✓ equal, ✗ different, ? nothing to compare with). max error: share of max(|expected|, rms).</p>`;
}

function rooflineSection(results: Results): string {
  const names = seriesNames(results);
  const marks = results.results.flatMap((row) =>
    row.phase === "steady" && row.gflops && row.flops && row.bytes
      ? [
          {
            label: `${row.case}, ${armLabel(row)}`,
            series: names.indexOf(armLabel(row)),
            intensity: row.flops / row.bytes,
            gflops: row.gflops,
          },
        ]
      : [],
  );
  if (marks.length === 0) return "";
  const ceilings = results.machine.roofline.flatMap((point): RooflineCeiling[] => {
    const { threads, fmaGflops, matrixGflops, readGBps } = point;
    if (readGBps === null) return [];
    const of = (gflops: number | null, unit: string): RooflineCeiling[] =>
      gflops === null
        ? []
        : [{ label: `${unit}, ${threads} thread${threads === 1 ? "" : "s"}`, gflops, gbps: readGBps }];
    return [...of(fmaGflops, "f32 multiply-add"), ...of(matrixGflops, "bf16 matrix unit")];
  });
  const caption =
    ceilings.length === 0
      ? "The machine's peaks were not measured."
      : "Dashed: measured peaks of arithmetic and memory reads. Data that stays in caches may lie above the slope.";
  return `<h2>Roofline</h2>\n<figure>${rooflineChart(marks, ceilings)}<figcaption>${caption}</figcaption></figure>\n${legend(names, new Set(names))}`;
}

function phasesSection(results: Results): string {
  const rows = rowsWithPhases(results).map((row) => {
    const cells = phaseCells(results, row);
    return {
      cells: [
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
        formatMs(row.median),
        cells.memory,
        cells.planned,
      ],
    };
  });
  const titles = [
    "case",
    "threads",
    "engine",
    "precision",
    "load",
    "compile",
    "compile ratio",
    "cached",
    "cached ratio",
    "first run",
    "steady",
    "peak memory",
    "planned buffers",
  ];
  return `<h2>Phases</h2>\n${table(titles, rows, [1, 4, 5, 6, 7, 8, 9, 10, 11, 12])}
<p class="note">${PHASES_NOTE}</p>`;
}

function profileSection(results: Results): string {
  const names = seriesNames(results);
  return results.results
    .flatMap((row) => (row.profile === undefined || row.profile.length === 0 ? [] : [{ row, profile: row.profile }]))
    .map(({ row, profile }) => {
      const bars = [...profile]
        .sort((a, b) => b.ms - a.ms)
        .slice(0, 25)
        .map(({ name, ms }) => ({
          label: name.length > 44 ? `${name.slice(0, 43)}…` : name,
          ms,
          series: names.indexOf(armLabel(row)),
        }));
      return `<h2>Time per op: ${escapeHtml(`${row.case}, ${armLabel(row)}`)}</h2>\n<figure>${timeChart(bars)}</figure>`;
    })
    .join("\n");
}

function problemsSection(results: Results): string {
  if (results.skipped.length === 0) return "";
  const rows = results.skipped.map((row) => ({
    bad: row.failed === true,
    cells: [
      row.failed === true ? "failed" : "skipped",
      row.case,
      row.engine,
      row.precision,
      String(row.threads),
      row.reason,
    ],
  }));
  return `<h2>Not measured</h2>\n${table(["", "case", "engine", "precision", "threads", "reason"], rows, [4])}`;
}

function machineSection(results: Results): string {
  const { machine, settings } = results;
  const { cpu } = machine;
  const facts: [string, string][] = [
    ["CPU", `${cpu.brand} (${cpu.vendor}), ${cpu.cores} cores${cpu.hypervisor === true ? ", virtual machine" : ""}`],
    ["features", cpu.features.join(" ")],
    ["caches", cpu.caches.map((cache) => `L${cache.level} ${cache.type} ${formatBytes(cache.bytes)}`).join(", ")],
    ["memory", formatBytes(machine.memoryBytes)],
    ["system", `${machine.os} ${machine.kernel}, ${machine.arch}, node ${machine.node}`],
    ["fingerprint", machine.fingerprint],
    ...machine.roofline.map((point): [string, string] => [
      `peak, ${point.threads} threads`,
      [
        `f32 ${point.fmaGflops === null ? "–" : digits(point.fmaGflops)} GFLOP/s`,
        `bf16 matrix ${point.matrixGflops === null ? "–" : digits(point.matrixGflops)} GFLOP/s`,
        `int8 ${point.byteGops == null ? "–" : digits(point.byteGops)} Gop/s`,
        `read ${point.readGBps === null ? "–" : digits(point.readGBps)} GB/s`,
      ].join(", "),
    ]),
    ...results.engines.map((engine): [string, string] => [
      engine.name,
      [
        `version ${engine.version}`,
        ...(engine.sha256 === null ? [] : [`${engine.library} sha256 ${engine.sha256.slice(0, 16)}…`]),
        ...Object.entries(engine.settings).map(([name, value]) => `${name}: ${value}`),
      ].join("; "),
    ]),
    ...deviceLines(results).map(([engine, device]): [string, string] => [`${engine} ran on`, device]),
    [
      "settings",
      `seed ${settings.seed}, ${settings.secondsPerEngine} s per engine and case, ${settings.processes} processes each, slices of ${settings.sliceMs} ms, idle engines ${settings.idle}`,
    ],
    ...(settings.command === undefined ? [] : ([["command", settings.command]] as [string, string][])),
  ];
  const rows = facts.map(
    ([name, value]) => `<tr><th>${escapeHtml(name)}</th><td class="wrap">${escapeHtml(value)}</td></tr>`,
  );
  return `<h2>Machine and settings</h2>\n<table><tbody>\n${rows.join("\n")}\n</tbody></table>`;
}
