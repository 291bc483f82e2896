/** A solo run on a terminal: a line for each bench, in the order of the files. */

import { plainText } from "../report/escape.ts";
import { digits, formatNs, formatPercent } from "../report/format.ts";
import { INTERRUPTED } from "../report/verdicts.ts";
import { formatTable, type Column } from "../report/table.ts";
import { medianAbsoluteDeviation, medianInterval } from "../statistics/basics.ts";
import type { SoloRun } from "./run-solo.ts";
import { leastOf, type SoloBench } from "./measure.ts";

const COLUMNS: readonly Column[] = [
  { title: "bench", align: "left" },
  { title: "median", align: "right" },
  { title: "95 % interval", align: "left" },
  { title: "least", align: "right" },
  { title: "spread", align: "right" },
  { title: "calls", align: "right" },
  { title: "GFLOP/s", align: "right" },
  { title: "GB/s", align: "right" },
  { title: "ok", align: "left" },
  { title: "remarks", align: "left" },
];

export function renderSolo({ results, benches }: SoloRun): string {
  const { machine, engines, run } = results;
  const lines = [
    ...formatTable(COLUMNS, benches.map(cells)),
    "",
    "median: of slices of a few milliseconds; spread: median absolute deviation over the median; ok: outputs of timed calls compared",
    "these are times of one build on a machine whose speed changes: to compare two builds, use ab or gate",
    `${engines[0]?.version ?? ""}, ${machine.cpu.brand}, ${machine.cpu.cores} cores, node ${machine.node}, seed ${results.settings.seed}`,
    ...(run?.aborted === true ? [INTERRUPTED] : []),
  ];
  return `${lines.map(plainText).join("\n")}\n`;
}

function cells({ ref, samples, calls, flags, check, failure }: SoloBench): string[] {
  const name = [ref.id, ...Object.entries(ref.params ?? {}).map(([key, value]) => `${key}=${value}`)].join(" ");
  const remarks = [...(failure === undefined ? [] : [failure.split("\n", 1)[0] ?? ""]), ...flags].join("; ");
  if (samples.length === 0) return [name, "–", "", "", "", "", "", "", "✗", remarks];
  const { centre, low, high } = medianInterval(samples);
  const { flops, bytes } = ref.work ?? {};
  return [
    name,
    formatNs(centre),
    low === null || high === null ? "" : `[${formatNs(low)}, ${formatNs(high)}]`,
    formatNs(leastOf(samples)),
    formatPercent(medianAbsoluteDeviation(samples) / centre),
    String(calls),
    flops === undefined ? "" : digits(flops / centre),
    bytes === undefined ? "" : digits(bytes / centre),
    failure !== undefined ? "✗" : check !== undefined && check.checked > 0 ? "✓" : "?",
    remarks,
  ];
}
