/**
 * Results as Markdown for pull requests and for the summary of a workflow step: what was found, the rows that need eyes, the
 * others folded away, the machine, and how to repeat it.
 *
 * The text fits its place: rows are left out from the least severe on, and how many is said.
 */

import type { BenchRecord, Result, Results } from "../results/schema.ts";
import { escapeMarkdown, shorten } from "./escape.ts";
import { Footnotes } from "./footnotes.ts";
import {
  formatChangeInterval,
  formatChangeRatio,
  formatInterval,
  formatMs,
  formatNs,
  formatPercent,
  formatPrecision,
  formatShare,
  formatVerified,
} from "./format.ts";
import { armsLine, disturbances, machineLine, missingLines, policyLine, reproduceCommand } from "./gate-facts.ts";
import { findComparison } from "./phases.ts";
import {
  VERDICTS,
  armNs,
  benchName,
  bySeverity,
  decidingPairs,
  remarks,
  totals,
  verdictSentence,
  verdictText,
} from "./verdicts.ts";

/**
 * A comment on GitHub: 65,536 characters, with room for a mark by which the next run finds the comment. Counted in bytes of
 * UTF-8, which are never fewer.
 */
export const COMMENT_BYTES = 65_000;

/** `$GITHUB_STEP_SUMMARY`: 1 MiB, above which the upload is given up. */
export const SUMMARY_BYTES: number = 2 ** 20;

export interface MarkdownOptions {
  /** Largest size in bytes of UTF-8 */
  readonly limit?: number;
}

const NAME_LENGTH = 120;
const REMARK_LENGTH = 300;

export function renderMarkdown(results: Results, { limit = COMMENT_BYTES }: MarkdownOptions = {}): string {
  const parts = results.benches === undefined ? engineParts(results) : gateParts(results, results.benches);
  return fit(parts, limit);
}

interface Section {
  /** Lines above the rows; the head of their table is part of them. */
  readonly before: readonly string[];
  readonly rows: readonly string[];
  readonly after: readonly string[];
}

interface Parts {
  readonly head: readonly string[];
  /** Most important first. */
  readonly sections: readonly Section[];
  readonly foot: readonly string[];
}

/** Takes rows from the end of the last section on until the text is no longer than `limit` bytes. */
function fit({ head, sections, foot }: Parts, limit: number): string {
  const assemble = (kept: number): string => {
    const lines = [...head];
    let left = kept;
    for (const { before, rows, after } of sections) {
      const shown = rows.slice(0, left);
      left -= shown.length;
      if (shown.length > 0) lines.push(...before, ...shown, ...after);
    }
    const dropped = sections.reduce((sum, { rows }) => sum + rows.length, 0) - kept;
    if (dropped > 0) lines.push("", `${dropped} more rows do not fit here: see the JSON, CSV or HTML report.`);
    return `${[...lines, ...foot].join("\n")}\n`;
  };
  // The most rows that fit, by halving.
  let fits = 0;
  let tooMany = sections.reduce((sum, { rows }) => sum + rows.length, 0) + 1;
  while (tooMany - fits > 1) {
    const middle = (fits + tooMany) >> 1;
    if (Buffer.byteLength(assemble(middle)) <= limit) fits = middle;
    else tooMany = middle;
  }
  return assemble(fits);
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}

function tableHead(titles: readonly string[], right: readonly number[]): string[] {
  return [row(titles), row(titles.map((_, i) => (right.includes(i) ? "---:" : "---")))];
}

function name(text: string, length = NAME_LENGTH): string {
  return escapeMarkdown(shorten(text, length));
}

/** A command on lines of its own, whatever backticks it holds. */
function commandBlock(command: string): string[] {
  return ["", `<pre><code>${name(command, 1000)}</code></pre>`];
}

function gateParts(results: Results, all: readonly BenchRecord[]): Parts {
  const benches = bySeverity(all);
  const notable = benches.filter(({ verdict }) => verdict !== "EQUIVALENT");
  const rest = benches.filter(({ verdict }) => verdict === "EQUIVALENT");
  const titles = ["verdict", "bench", "base", "head", "ratio", "95 % interval", "MDE", "remarks"];
  const head = tableHead(titles, [2, 3, 4, 6]);
  const counts = totals(all).map(({ verdict, count }) => `${count} ${verdict}`);
  const command = reproduceCommand(results);
  const moved = disturbances(results);
  return {
    head: [
      `### ${escapeMarkdown(verdictSentence(results))}`,
      "",
      name(armsLine(results), 400),
      ...moved.map((line) => `\n**${name(line, 400)}**`),
    ],
    sections: [
      { before: ["", ...head], rows: notable.map((bench) => benchRow(bench, moved)), after: [] },
      {
        before: ["", `<details><summary>${rest.length} unchanged</summary>`, "", ...head],
        rows: rest.map((bench) => benchRow(bench, moved)),
        after: ["", "</details>"],
      },
      {
        before: ["", "<details><summary>not in both</summary>", ""],
        rows: missingLines(results).map((line) => `- ${name(line, 400)}`),
        after: ["", "</details>"],
      },
    ],
    foot: [
      "",
      `Totals: ${counts.length === 0 ? "no benchmark" : counts.join(", ")}. ratio: time of head over base, above 1 is slower. MDE: smallest change that would have been found in 95 of 100 runs.`,
      "",
      `<sub>${name(machineLine(results), 600)}<br>${name(policyLine(results), 600)}</sub>`,
      ...(command === undefined ? [] : commandBlock(command)),
    ],
  };
}

function benchRow(bench: BenchRecord, said: readonly string[]): string {
  const pairs = decidingPairs(bench);
  const { estimate } = bench;
  return row([
    `${VERDICTS[bench.verdict].sign} ${verdictText(bench)}`,
    `<code>${name(benchName(bench))}</code>`,
    formatNs(armNs(pairs, "base")),
    formatNs(armNs(pairs, "head")),
    estimate === null ? "–" : formatChangeRatio(estimate.ratio),
    estimate === null ? "" : formatChangeInterval(estimate.low, estimate.high),
    estimate === null ? "" : formatPercent(estimate.mde),
    name(remarks(bench, said), REMARK_LENGTH),
  ]);
}

/** Wrong outputs first, then the slowest beside the baseline. */
function engineParts(results: Results): Parts {
  const notes = new Footnotes(results);
  const steady = results.results.filter(({ phase }) => phase === "steady");
  const ratioOf = (result: Result): number => findComparison(results, result)?.ratio ?? Infinity;
  const rank = (result: Result): number => (result.verified === false ? 0 : 1);
  const sorted = steady.toSorted((a, b) => rank(a) - rank(b) || ratioOf(a) - ratioOf(b) || 0);
  const titles = [
    "case",
    "threads",
    "engine",
    "precision",
    "median",
    "ratio",
    "95 % interval",
    "roofline",
    "ok",
    "note",
  ];
  const rows = sorted.map((result) => engineRow(results, result, notes));
  const wrong = steady.filter(({ verified }) => verified === false).length;
  const failed = results.skipped.filter((skipped) => skipped.failed === true);
  const baselines = [...new Set(results.comparisons.map(({ baseline }) => baseline))];
  const found = `${steady.length} measured, ${wrong} with wrong outputs, ${failed.length} failed, ${results.skipped.length - failed.length} skipped`;
  const { command } = results.settings;
  return {
    head: [`### ${found}`],
    sections: [
      { before: ["", ...tableHead(titles, [1, 4, 5, 7])], rows, after: [] },
      {
        before: [
          "",
          `<details><summary>not measured</summary>`,
          "",
          ...tableHead(["what", "case", "engine", "reason"], []),
        ],
        rows: results.skipped.map((skipped) =>
          row([
            skipped.failed === true ? "failed" : "skipped",
            `<code>${name(skipped.case)}</code>`,
            name(skipped.engine),
            name(skipped.reason, REMARK_LENGTH),
          ]),
        ),
        after: ["", "</details>"],
      },
    ],
    foot: [
      "",
      ...(baselines.length === 0
        ? []
        : [`ratio: how many times faster than ${name(baselines.join(", "))}, in brackets where it is no claim.`, ""]),
      ...notes.lines().flatMap((line) => [`- ${name(line, 1000)}`]),
      "",
      `<sub>${name(machineLine(results), 600)}<br>${name(results.engines.map((engine) => `${engine.name} ${engine.version}`).join(", "), 600)}</sub>`,
      ...(command === undefined ? [] : commandBlock(command)),
    ],
  };
}

function engineRow(results: Results, result: Result, notes: Footnotes): string {
  const comparison = findComparison(results, result);
  return row([
    `<code>${name(result.case)}</code>`,
    String(result.threads),
    name(result.engine),
    name(formatPrecision(result)),
    formatMs(result.median),
    notes.ratio(comparison),
    comparison === undefined ? "" : formatInterval(comparison.low, comparison.high),
    formatShare(result.peakShare),
    formatVerified(result.verified),
    name(result.note ?? "", REMARK_LENGTH),
  ]);
}
