/** Sections that every page has: roofline, trends, what is comparable, the machine before and after. */

import type { Results, RooflinePoint } from "../../results/schema.ts";
import { leftOut } from "../bounds.ts";
import { escapeHtml, shorten } from "../escape.ts";
import { agreementLines, assumedLines, engineText, settingsText, threadsText } from "../engine-facts.ts";
import type { Footnotes } from "../footnotes.ts";
import { digits, formatBytes } from "../format.ts";
import { armText, reproduceCommand } from "../gate-facts.ts";
import { deviceLines } from "../phases.ts";
import { pressureText } from "../pressure.ts";
import { armNames, engineMarks, legend } from "./engine-sections.ts";
import { controlRows, gateMarks } from "./gate-sections.ts";
import { factTable, note, table, type Section } from "./markup.ts";
import { rooflineChart, shapeOf, type RooflineCeiling } from "./roofline.ts";
import { changesText, trendChart } from "./trend.ts";

const MOST_TRENDS = 60;
const NAME_LENGTH = 160;

export function rooflineSection(results: Results): Section {
  const engines = engineMarks(results);
  const benches = gateMarks(results);
  const marks = [...engines, ...benches].filter(
    ({ intensity, gflops }) => Number.isFinite(intensity) && Number.isFinite(gflops) && intensity > 0 && gflops > 0,
  );
  const heading = "Roofline";
  if (marks.length === 0) return { id: "roofline", heading, body: "" };
  const threads = new Set(results.results.map((row) => row.threads));
  const points = results.machine.roofline.filter((point) => threads.size === 0 || threads.has(point.threads));
  const ceilings = points.flatMap(ceilingsOf);
  const keys = benches.length > 0 ? ["head", "base"] : armNames(results);
  const body = [
    `<figure>${rooflineChart(marks, ceilings)}</figure>`,
    legend(keys, new Set(keys), shapeOf),
    note(
      ceilings.length === 0
        ? "The machine's peaks were not measured."
        : "Dashed: measured peaks of arithmetic and of reads from memory and caches. Data that stays in a cache lies above the slope of memory.",
    ),
  ];
  return { id: "roofline", heading, body: body.join("\n") };
}

function ceilingsOf(point: RooflinePoint): RooflineCeiling[] {
  const { threads, fmaGflops, matrixGflops, readGBps, l2ReadGBps, l3ReadGBps } = point;
  const times = threadsText(threads);
  const fast = l2ReadGBps ?? l3ReadGBps ?? readGBps;
  if (fast === null) return [];
  const peaks: readonly (readonly [number | null, string])[] = [
    [fmaGflops, `f32 multiply-add, ${times}`],
    [matrixGflops, `bf16 matrix unit, ${times}`],
  ];
  const slopes: readonly (readonly [number | null | undefined, string])[] = [
    [readGBps, `memory, ${times}`],
    [l3ReadGBps, `L3, ${times}`],
    [l2ReadGBps, `L2, ${times}`],
  ];
  const highest = Math.max(fmaGflops ?? 0, matrixGflops ?? 0);
  const cap = highest > 0 ? { cap: highest } : {};
  return [
    ...peaks.flatMap(([gflops, label]) => (gflops === null ? [] : [{ label, gflops, gbps: fast }])),
    ...slopes.flatMap(([gbps, label]) => (gbps == null ? [] : [{ label, gflops: null, gbps, ...cap }])),
  ].filter(({ gflops, gbps }) => gbps > 0 && (gflops === null || gflops > 0));
}

export function trendSection({ trends = [] }: Results): Section {
  // Those with changes first.
  const sorted = trends.toSorted((a, b) => b.changes.length - a.changes.length).slice(0, MOST_TRENDS);
  const figures = sorted.map((trend) => {
    const unit = { ns: "time", ratio: "time over that of the control kernel", bytes: "memory" }[trend.unit];
    const caption = `${shorten(trend.bench, NAME_LENGTH)}: ${unit}${trend.class === undefined ? "" : `, machines of class ${shorten(trend.class, NAME_LENGTH)}`}`;
    const changes = shorten(changesText(trend), 400);
    const text = changes === "" ? caption : `${caption}; ${changes}`;
    return `<figure data-name="${escapeHtml(shorten(trend.bench, NAME_LENGTH))}">${trendChart(trend)}<figcaption>${escapeHtml(text)}</figcaption></figure>`;
  });
  const body =
    figures.length === 0
      ? ""
      : [
          ...figures,
          ...leftOut(trends.length - sorted.length).map(note),
          note("Thick lines are levels between changes; dashed lines mark the first run of a new level."),
        ].join("\n");
  return { id: "trends", heading: "Trend", body };
}

export function comparabilitySection(results: Results, notes: Footnotes): Section {
  const heading = "Comparability";
  if (results.benches !== undefined) {
    const rows = controlRows(results);
    const body = [
      note(
        "Base and head ran on one machine in pairs of processes, in random order, with the head's harness. Times of other runs and other machines are not comparable with these; ratios are.",
      ),
      ...(rows.length === 0
        ? []
        : [
            "<h3>Control kernels</h3>",
            table(["control", "ratio", "95 % interval", "disturbed rounds", "verdict"], rows, {
              label: "Control kernels",
              numeric: [1, 3],
            }),
            note("The same file in both arms: what moves a control moved the machine, and makes the run invalid."),
          ]),
    ];
    return { id: "comparability", heading, body: body.join("\n") };
  }
  const lines = notes.lines();
  if (results.comparisons.length === 0) return { id: "comparability", heading, body: "" };
  const claims =
    lines.length === 0
      ? note(
          "All ratios are claims: models, inputs, precision, bytes of the weights, caches, threads, instruction sets, versions and processes agree.",
        )
      : `<ul>${lines.map((line) => `<li>${escapeHtml(line)}</li>`).join("\n")}</ul>`;
  const body = [claims, ...[...agreementLines(results), ...assumedLines(results)].map(note)].join("\n");
  return { id: "comparability", heading, body };
}

export function environmentSection(results: Results): Section {
  const { environment, arms = [], run } = results;
  const command = reproduceCommand(results);
  const interleaved = run === undefined || (["engines", "llm"].includes(run.kind) && results.results.length > 0);
  const body = [
    ...(command === undefined ? [] : [`<h3>Repeat</h3><pre><code>${escapeHtml(command)}</code></pre>`]),
    ...(arms.length === 0 ? [] : [armTable(arms)]),
    ...(environment === undefined ? [] : [factsTable(environment)]),
    "<h3>Machine and settings</h3>",
    factTable("Machine and settings", [
      ...machineFacts(results),
      ...(run === undefined
        ? []
        : ([
            ["run", `${run.id}, ${run.tool.name} ${run.tool.version}, started ${run.startedAt}, seed ${run.seed}`],
            ...(run.policy === undefined
              ? []
              : [
                  [
                    "policy",
                    Object.entries(run.policy)
                      .map(([name, value]) => `${name} ${value}`)
                      .join(", "),
                  ],
                ]),
          ] as [string, string][])),
      ...(interleaved ? ([["settings", settingsText(results)]] as [string, string][]) : []),
    ]),
  ];
  return { id: "environment", heading: "Environment", body: body.join("\n") };
}

function armTable(arms: NonNullable<Results["arms"]>): string {
  const rows = arms.map((arm) => ({
    cells: [arm.name, armText(arm), arm.directory, `${arm.files} files`, arm.artefactSha256.slice(0, 16)],
  }));
  return `<h3>Arms</h3>${table(["arm", "source", "directory", "loaded", "sha256"], rows, { label: "Arms", numeric: [], wrap: [1] })}`;
}

/** Changed facts first, marked by a sign. */
function factsTable({ before, after, changed }: NonNullable<Results["environment"]>): string {
  const names = [...new Set([...Object.keys(before.facts), ...Object.keys(after.facts)])];
  const listed = new Set(changed);
  const differs = (name: string): boolean => listed.has(name) || before.facts[name] !== after.facts[name];
  const sorted = names.toSorted((a, b) => Number(differs(b)) - Number(differs(a)));
  const rows = sorted.map((name) => ({
    cssClass: differs(name) ? "changed" : undefined,
    cells: [
      differs(name) ? "≠" : "",
      shorten(name, NAME_LENGTH),
      shorten(before.facts[name] ?? "–", 400),
      differs(name) ? shorten(after.facts[name] ?? "–", 400) : "the same",
    ],
  }));
  const heading = `<h3>Before and after the run: class ${escapeHtml(shorten(before.class, NAME_LENGTH))}</h3>`;
  const hashes = before.hash === after.hash ? before.hash : `${before.hash} before, ${after.hash} after`;
  return `${heading}${note(`fingerprint ${hashes}`)}${table(["change", "fact", "before", "after"], rows, { label: "Facts of the machine", numeric: [], wrap: [2, 3] })}`;
}

function machineFacts(results: Results): [string, string][] {
  const { machine, engines } = results;
  const { cpu } = machine;
  const pressure = pressureText(results);
  return [
    ["CPU", `${cpu.brand} (${cpu.vendor}), ${cpu.cores} cores${cpu.hypervisor === true ? ", virtual machine" : ""}`],
    ["features", cpu.features.join(" ")],
    ["caches", cpu.caches.map((cache) => `L${cache.level} ${cache.type} ${formatBytes(cache.bytes)}`).join(", ")],
    ["memory", formatBytes(machine.memoryBytes)],
    ["system", `${machine.os} ${machine.kernel}, ${machine.arch}, node ${machine.node}`],
    ["fingerprint", machine.fingerprint],
    ...(pressure === undefined ? [] : ([["while it measured", pressure]] as [string, string][])),
    ...machine.roofline.map((point): [string, string] => [`peak, ${threadsText(point.threads)}`, peakText(point)]),
    ...(machine.rooflineNote === undefined ? [] : ([["peaks", machine.rooflineNote]] as [string, string][])),
    ...engines.map((engine): [string, string] => [engine.name, engineText(engine)]),
    ...deviceLines(results).map(([engine, device]): [string, string] => [`${engine} ran on`, device]),
  ];
}

function peakText(point: RooflinePoint): string {
  const rate = (value: number | null | undefined, unit: string): string =>
    value == null ? "–" : `${digits(value)} ${unit}`;
  return [
    `f32 ${rate(point.fmaGflops, "GFLOP/s")}`,
    `bf16 matrix ${rate(point.matrixGflops, "GFLOP/s")}`,
    `int8 ${rate(point.byteGops, "Gop/s")}`,
    `read ${rate(point.readGBps, "GB/s")}`,
  ].join(", ");
}
