/** A gate run in Markdown: what needs eyes first, the rest folded away, the machine, and how to repeat it. */

import type { BenchRecord, Results } from "../results/schema.ts";
import { formatChangeInterval, formatChangeRatio, formatNs, formatPercent } from "./format.ts";
import {
  armsLine,
  disturbances,
  failingInBase,
  machineLine,
  missingLines,
  policyLine,
  refusalDetails,
  reproduceCommand,
} from "./gate-facts.ts";
import {
  FOLDED_AFTER,
  code,
  commandBlock,
  foldedBefore,
  name,
  row,
  rowsOfSection,
  tableHead,
  type MarkdownParts,
} from "./markdown-parts.ts";
import { pressureLines } from "./pressure.ts";
import {
  VERDICTS,
  armNs,
  benchName,
  bySeverity,
  decidingPairs,
  nothingMeasured,
  remarks,
  totals,
  verdictSentence,
  verdictText,
} from "./verdicts.ts";

const REMARK_LENGTH = 300;
const LINE_LENGTH = 400;
/** Of what makes a run worthless: a file may name any number of them, and the head is never shortened. */
const MOST_DISTURBANCES = 10;

export function gateParts(results: Results, all: readonly BenchRecord[]): MarkdownParts {
  if (results.run?.refused !== undefined && all.length === 0) return refusalParts(results);
  const benches = bySeverity(all);
  const notable = benches.filter(({ verdict }) => verdict !== "EQUIVALENT");
  const rest = benches.filter(({ verdict }) => verdict === "EQUIVALENT");
  const titles = ["verdict", "bench", "base", "head", "ratio", "95 % interval", "MDE", "remarks"];
  const head = tableHead(titles, [2, 3, 4, 6]);
  const counts = totals(all).map(({ verdict, count }) => `${count} ${verdict}`);
  const command = reproduceCommand(results);
  const moved = disturbances(results);
  const said = new Set(moved);
  const facts = [machineLine(results), policyLine(results), ...pressureLines(results)];
  return {
    head: [
      headline(results),
      "",
      name(armsLine(results), LINE_LENGTH),
      ...moved.slice(0, MOST_DISTURBANCES).map((line) => `\n**${name(line, LINE_LENGTH)}**`),
      ...failingInBase(results)
        .slice(0, MOST_DISTURBANCES)
        .map((line) => `\n**${name(line, LINE_LENGTH)}**`),
      ...(moved.length > MOST_DISTURBANCES ? [`\n**and ${moved.length - MOST_DISTURBANCES} more**`] : []),
    ],
    sections: [
      { before: ["", ...head], ...rowsOfSection(notable, (bench) => benchRow(bench, said)), after: [] },
      {
        before: [...foldedBefore(`${rest.length} unchanged`), ...head],
        ...rowsOfSection(rest, (bench) => benchRow(bench, said)),
        after: FOLDED_AFTER,
      },
      {
        before: foldedBefore(nothingMeasured(results.run) === undefined ? "not in both" : "not measured"),
        ...rowsOfSection(missingLines(results), (line) => `- ${name(line, LINE_LENGTH)}`),
        after: FOLDED_AFTER,
      },
    ],
    foot: [
      "",
      `Totals: ${counts.length === 0 ? "no benchmark" : counts.join(", ")}. ${meanText(results)}ratio: time of head over base, above 1 is slower. MDE: smallest change that would have been found in 95 of 100 runs.`,
      "",
      `<sub>${facts.map((line) => name(line, 600)).join("<br>")}</sub>`,
      ...(command === undefined ? [] : commandBlock(command)),
    ],
  };
}

function meanText({ summary }: Results): string {
  return summary?.geomean == null
    ? ""
    : `Geometric mean of the ratios: ${formatChangeRatio(summary.geomean)} (not judged). `;
}

function headline(results: Results): string {
  return `### ${name(verdictSentence(results), 600)}`;
}

/** Nothing was measured: why, and with which command. */
function refusalParts(results: Results): MarkdownParts {
  const command = reproduceCommand(results);
  return {
    head: [headline(results)],
    sections: [
      {
        before: ["", "<pre>"],
        rows: refusalDetails(results).map((line) => name(line, LINE_LENGTH)),
        after: ["</pre>"],
      },
    ],
    foot: [
      "",
      `<sub>${name(machineLine(results), 600)}</sub>`,
      ...(command === undefined ? [] : commandBlock(command)),
    ],
  };
}

function benchRow(bench: BenchRecord, said: ReadonlySet<string>): string {
  const pairs = decidingPairs(bench);
  const { estimate } = bench;
  return row([
    `${VERDICTS[bench.verdict].sign} ${verdictText(bench)}`,
    code(benchName(bench)),
    formatNs(armNs(pairs, "base")),
    formatNs(armNs(pairs, "head")),
    estimate === null ? "–" : formatChangeRatio(estimate.ratio),
    estimate === null ? "" : formatChangeInterval(estimate.low, estimate.high),
    estimate === null ? "" : formatPercent(estimate.mde),
    name(remarks(bench, said), REMARK_LENGTH),
  ]);
}
