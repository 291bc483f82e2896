/**
 * The report as one HTML file that needs nothing else: styles, charts and a small script are in it, nothing is fetched. It follows
 * the reader's light or dark setting, fits a phone, and prints.
 *
 * The file names the hashes of its style and its script in a policy of its own, so that nothing else in it can run or be styled,
 * whatever a result file holds; where scripts are forbidden it is the same page without sorting.
 */

import { createHash } from "node:crypto";
import type { Results } from "../results/schema.ts";
import { firstLines } from "./bounds.ts";
import { escapeHtml, shorten } from "./escape.ts";
import { Footnotes } from "./footnotes.ts";
import { formatDuration } from "./format.ts";
import { armsLine, disturbances, failingInBase, machineLine, refusalDetails } from "./gate-facts.ts";
import { comparabilitySection, environmentSection, rooflineSection, trendSection } from "./html/common-sections.ts";
import { engineSections } from "./html/engine-sections.ts";
import { gateSections } from "./html/gate-sections.ts";
import type { Section } from "./html/markup.ts";
import { servingSection } from "./html/serving-section.ts";
import { SCRIPT } from "./html/script.ts";
import { STYLE } from "./html/style.ts";
import { INTERRUPTED, VERDICTS, isFailure, nothingMeasured, totals, verdictSentence } from "./verdicts.ts";

/** Of a line that a build has printed. */
const LINE_LENGTH = 400;
/** All of them are in a section of their own. */
const MOST_FAILING = 10;
/** A file may name any number of reasons against itself. */
const MOST_DISTURBANCES = 100;

function policy(): string {
  const hash = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
  return `default-src 'none'; style-src ${hash(STYLE)}; script-src ${hash(SCRIPT)}; base-uri 'none'; form-action 'none'`;
}

/** The page as text in UTF-8, of any run. */
export function renderHtml(results: Results): string {
  const notes = new Footnotes(results);
  const gate = results.benches !== undefined;
  const own = gate ? gateSections(results) : engineSections(results, notes);
  const sections = [
    ...own.slice(0, 2),
    servingSection(results),
    rooflineSection(results),
    ...own.slice(2),
    trendSection(results),
    comparabilitySection(results, notes),
    environmentSection(results),
  ].filter(({ body }) => body !== "");
  const name = gate ? "Quern gate" : "Quern benchmark";
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy()}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${name}, ${escapeHtml(results.createdAt.slice(0, 10))}</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>${name}</h1>
${header(results)}
${navigation(sections)}
</header>
<main>
${sections.map(sectionMarkup).join("\n")}
</main>
<script>${SCRIPT}</script>
</body>
</html>
`;
}

function header(results: Results): string {
  const { benches, summary, run } = results;
  const facts = [
    machineLine(results),
    results.createdAt,
    ...(run === undefined ? [] : [`took ${formatDuration(run.wallMs)}`]),
    ...(benches === undefined && run?.aborted === true ? [INTERRUPTED] : []),
  ];
  const line = `<p class="note">${escapeHtml(facts.join(" · "))}</p>`;
  const disturbed = disturbances(results);
  if (benches === undefined) {
    const lines = disturbed.map((text) => `The machine was disturbed: ${text}.`);
    return [...firstLines(lines, MOST_DISTURBANCES).map(disturbedMarkup), line].join("\n");
  }
  const refused = run?.refused !== undefined;
  const neutral = benches.length === 0 && nothingMeasured(run) !== undefined && !refused;
  // A comparison of two builds fails by wrong outputs alone: slower is no worse than faster there.
  const faults = run?.kind === "ab" ? benches.filter(({ verdict }) => verdict === "ERROR") : benches.filter(isFailure);
  const bad = refused || benches.length === 0 || faults.length > 0 || (summary?.exitCode ?? 0) !== 0;
  const look = neutral ? "neutral" : bad ? "bad" : "good";
  const counts = totals(benches).map(({ verdict, count }) => `<li>${VERDICTS[verdict].sign} ${count} ${verdict}</li>`);
  const details = refusalDetails(results).map((text) => shorten(text, LINE_LENGTH));
  const failing = failingInBase(results).slice(0, MOST_FAILING);
  const said = [armsLine(results), ...firstLines(disturbed, MOST_DISTURBANCES), ...failing, ...details].filter(
    (text) => text !== "",
  );
  return `<div class="verdict ${look}">
<p>${escapeHtml(verdictSentence(results))}${summary === undefined ? "" : ` · exit code ${summary.exitCode}`}</p>
<ul class="counts">${counts.join("")}</ul>
${said.map((text) => `<p>${escapeHtml(text)}</p>`).join("\n")}
</div>
${line}`;
}

function disturbedMarkup(text: string): string {
  return `<p class="verdict bad">${escapeHtml(text)}</p>`;
}

function navigation(sections: readonly Section[]): string {
  const links = sections.map(({ id, heading }) => `<li><a href="#${id}">${escapeHtml(heading)}</a></li>`);
  return `<nav aria-label="Sections"><ul>${links.join("")}</ul></nav>`;
}

function sectionMarkup({ id, heading, body }: Section): string {
  return `<section id="${id}"><h2>${escapeHtml(heading)}</h2>\n${body}\n</section>`;
}
