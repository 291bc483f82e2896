/** Load tests of servers in Markdown. */

import type { Results, ServingRecord } from "../results/schema.ts";
import { formatMs } from "./format.ts";
import { machineLine, reproduceCommand } from "./gate-facts.ts";
import { commandBlock, name, tableSection, type MarkdownParts, type MarkdownSection } from "./markdown-parts.ts";
import { LATENCIES, LATENCY_NOTE, loadLines } from "./serving-facts.ts";
import { INTERRUPTED } from "./verdicts.ts";

const LINE_LENGTH = 400;

/** The whole report of a run that measured nothing but servers. */
export function servingParts(results: Results, serving: readonly ServingRecord[]): MarkdownParts {
  const sum = (pick: (record: ServingRecord) => number): number =>
    serving.reduce((total, record) => total + pick(record), 0);
  const failed = sum((record) => record.failed);
  const command = reproduceCommand(results);
  const interrupted = results.run?.aborted === true ? `; ${INTERRUPTED}` : "";
  return {
    head: [`### ${sum(({ completed }) => completed)} requests answered, ${failed} failed${interrupted}`],
    sections: serving.flatMap(loadSections),
    foot: [
      "",
      `- requests came from ${name(machineLine(results), 600)}`,
      `- measured ${name(results.createdAt)}`,
      ...(command === undefined ? [] : commandBlock(command)),
    ],
  };
}

/** What came of it, and the latencies. */
export function loadSections(record: ServingRecord): MarkdownSection[] {
  const { latency, note } = record;
  const lines = [
    ...loadLines(record),
    ...(latency.withheld === undefined ? [] : [`no latencies: ${latency.withheld}`]),
    ...(note === undefined ? [] : [note]),
  ];
  const facts: MarkdownSection = {
    before: ["", `#### ${name(`${record.model} at ${record.url}`, LINE_LENGTH)}`, ""],
    rows: lines.map((line) => `- ${name(line, LINE_LENGTH)}`),
    after: [],
  };
  if (latency.withheld !== undefined) return [facts];
  type Row = (typeof LATENCIES)[number];
  const percentiles = ["mean", "p50", "p90", "p95", "p99"] as const;
  const table = tableSection<Row>(
    [
      { title: "latency", cell: ([, label]) => label },
      ...percentiles.map((key) => ({
        title: key,
        right: true,
        cell: ([latencyName]: Row) => formatMs(latency[latencyName][key]),
      })),
      { title: "samples", right: true, cell: ([latencyName]) => String(latency[latencyName].samples) },
    ],
    LATENCIES,
    [""],
    ["", LATENCY_NOTE],
  );
  return [facts, table];
}
