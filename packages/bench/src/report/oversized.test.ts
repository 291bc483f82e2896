/**
 * Files that someone made to be slow: texts as long and rows as many as a reader accepts. Work that grows with the square of
 * either takes minutes here; what reports show people stays small.
 */

import { describe, expect, it } from "vitest";
import { sampleGate } from "../results/sample-gate.ts";
import { sampleResults } from "../results/sample-results.ts";
import type { BenchRecord, Comparison, Result, Results, Skipped } from "../results/schema.ts";
import { resultsSchema } from "../results/schema.ts";
import { acceptValue } from "../results/validate.ts";
import { renderBadge } from "./badge.ts";
import { claimable } from "./claimable.test-support.ts";
import { renderComment } from "./comment.ts";
import { compareResults } from "./compare.ts";
import { renderCsv, renderCsvRounds, renderJsonLines, renderJsonLinesRounds } from "./csv.ts";
import { renderHtml } from "./html.ts";
import { renderJunit } from "./junit.ts";
import { COMMENT_BYTES, SUMMARY_BYTES, renderMarkdown } from "./markdown.ts";
import { renderTerminal } from "./terminal.ts";

/** Many times what is needed. */
const TIMEOUT_MS = 60_000;
/** As long as a text may be. */
const LONGEST = 65_536;
const SPACES = " ".repeat(LONGEST);
const LETTERS = "a".repeat(LONGEST);

type Form = readonly [name: string, render: (results: Results) => string];

const FOR_PEOPLE: readonly Form[] = [
  ["a terminal", (results) => renderTerminal(results, { verbose: true })],
  ["Markdown", (results) => renderMarkdown(results)],
  ["a summary", (results) => renderMarkdown(results, { limit: SUMMARY_BYTES })],
  ["a comment", (results) => renderComment(results)],
  ["a comment with a second machine", (results) => renderComment(results, results)],
  ["a page", renderHtml],
  ["a badge", renderBadge],
  ["two files beside each other", (results) => compareResults(results, results)],
];

const FOR_PROGRAMS: readonly Form[] = [
  ["CSV", renderCsv],
  ["CSV of rounds", renderCsvRounds],
  ["lines of JSON", renderJsonLines],
  ["lines of JSON of rounds", renderJsonLinesRounds],
  ["JUnit", renderJunit],
];

const example = sampleGate().benches?.[0] as BenchRecord;

function skippedAs(text: string): Skipped {
  return { case: text, engine: text, threads: 1, precision: "highest", reason: text, failed: true };
}

function machineAs(text: string): Results["machine"] {
  const { machine } = sampleGate();
  return {
    ...machine,
    cpu: { ...machine.cpu, brand: text, features: Array.from({ length: 100_000 }, () => "") },
  };
}

function gateOf(text: string): Results {
  const gate = sampleGate();
  return {
    ...gate,
    machine: machineAs(text),
    arms: gate.arms!.map((arm) => ({ ...arm, source: text })),
    environment: { ...gate.environment!, disturbances: [text], changed: [text] },
    benches: gate.benches!.map((bench, i) => ({
      ...bench,
      id: `${text.slice(1)}${i}`,
      reason: text.slice(1),
      flags: [text, text],
    })),
    skipped: [skippedAs(text)],
  };
}

function enginesOf(text: string): Results {
  const sample = claimable();
  const texts = { isa: text, device: text, note: text, shape: text, dtype: text, weights: text };
  return {
    ...sample,
    machine: machineAs(text),
    engines: sample.engines.map((engine) => ({ ...engine, settings: { systemInfo: text } })),
    results: sample.results.map((row) => ({ ...row, ...texts, case: text })),
    comparisons: sample.comparisons.map((row) => ({ ...row, case: text, weights: text })),
    skipped: [skippedAs(text)],
  };
}

describe.each([
  ["spaces", SPACES],
  ["letters", LETTERS],
  ["letters and spaces", `${LETTERS.slice(0, LONGEST / 2)}${SPACES.slice(0, LONGEST / 2)}`],
  ["breaks", "\n ".repeat(LONGEST / 2)],
  ["dashes", "-".repeat(LONGEST)],
])("texts of as many %s as there may be", (_, text) => {
  const files = [gateOf(text), enginesOf(text)];

  it("are those of a file that is read", () => {
    for (const results of files) expect(() => acceptValue(resultsSchema, results)).not.toThrow();
  });

  it.each(FOR_PEOPLE)(
    "are shown in %s in little room",
    (_name, render) => {
      for (const results of files) expect(Buffer.byteLength(render(results))).toBeLessThan(2_000_000);
    },
    TIMEOUT_MS,
  );

  it.each(FOR_PROGRAMS)(
    "are in %s",
    (_name, render) => {
      for (const results of files) expect(render(results).length).toBeGreaterThan(1000);
    },
    TIMEOUT_MS,
  );
});

it("one long name makes no other row of a terminal as long as itself", () => {
  const benches = Array.from({ length: 1000 }, (_, i) => ({ ...example, id: `b${i}`, stages: [] }));
  const results = {
    ...sampleGate(),
    benches: [{ ...example, id: LETTERS, verdict: "REGRESSED" as const }, ...benches],
  };
  for (const text of [renderTerminal(results), compareResults(results, results)]) {
    expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThan(1000);
    expect(text).toContain("aaa…");
    expect(text).toContain("\nand 1 more, which are in the result file\n");
  }
});

describe("more rows than anyone reads", () => {
  const engines = manyRows(10_000);

  it.each(FOR_PEOPLE)(
    "of benches are bounded in %s",
    (_, render) => {
      const benches = Array.from({ length: 100_000 }, (_each, i) => ({ ...example, id: `b${i}`, stages: [] }));
      const disturbances = Array.from({ length: 50_000 }, (_each, i) => `disturbance ${i}`);
      const gate = sampleGate();
      const results = { ...gate, benches, environment: { ...gate.environment!, disturbances } };
      expect(Buffer.byteLength(render(results))).toBeLessThan(4_000_000);
    },
    TIMEOUT_MS,
  );

  it.each(FOR_PEOPLE)(
    "of engines are bounded in %s",
    (_, render) => {
      expect(Buffer.byteLength(render(engines))).toBeLessThan(4_000_000);
    },
    TIMEOUT_MS,
  );

  it("are counted where they are left out", () => {
    const results = manyRows(21_000);
    expect(renderTerminal(results)).toContain("\nand 41000 more, which are in the result file\n");
    const comment = renderMarkdown(results);
    expect(Buffer.byteLength(comment)).toBeLessThanOrEqual(COMMENT_BYTES);
    const shown = comment.split("\n").filter((line) => line.startsWith("| <code>")).length;
    // Of each comparison one row, and of each steady row with a load phase one more.
    expect(comment).toContain(`${42_000 - shown} more rows do not fit here`);
    expect(renderComment(results)).toContain("more rows do not fit here");
  });
});

/** So many cases with a row of each of two engines, its phase of loading, and a comparison. */
function manyRows(cases: number): Results {
  const sample = sampleResults();
  const [quern, onnxruntime] = ["quern", "onnxruntime"].map((engine) =>
    claimable().results.find((row) => row.engine === engine && row.phase === "steady"),
  ) as [Result, Result];
  const comparison = sample.comparisons[0] as Comparison;
  const names = Array.from({ length: cases }, (_, i) => `case ${i}`);
  return {
    ...sample,
    results: names.flatMap((name): Result[] => [
      { ...quern, case: name },
      { ...onnxruntime, case: name },
      { ...quern, case: name, phase: "load" },
    ]),
    comparisons: names.map((name) => ({ ...comparison, case: name })),
    skipped: [],
  };
}
