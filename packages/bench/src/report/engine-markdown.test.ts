import { describe, expect, it } from "vitest";
import { sampleGate } from "../results/sample-gate.ts";
import { sampleResults } from "../results/sample-results.ts";
import type { Comparison, Result, Results } from "../results/schema.ts";
import { claimable } from "./claimable.test-support.ts";
import { rateOf } from "./engine-facts.ts";
import { renderHtml } from "./html.ts";
import { renderMarkdown } from "./markdown.ts";
import { renderTerminal } from "./terminal.ts";

/** Cells of the rows of the table whose head has a column of that title. */
function rowsOf(text: string, title: string): string[][] {
  const table = text.split("\n\n").find((part) => part.split("\n")[0]?.includes(`| ${title} |`)) ?? "";
  return table
    .split("\n")
    .filter((line) => line.startsWith("| "))
    .map((line) => line.slice(2, -2).split(" | "))
    .filter((_, i) => i !== 1);
}

/** Rows at two thread counts, each engine also at its defaults. */
function withDefaults(): Results {
  const base = claimable();
  const [quern, onnxruntime] = ["quern", "onnxruntime"].map((engine) =>
    base.results.find((row) => row.engine === engine && row.phase === "steady"),
  ) as [Result, Result];
  const comparison = base.comparisons[0] as Comparison;
  return {
    ...base,
    results: [
      { ...quern, busyThreads: 1 },
      { ...onnxruntime, busyThreads: 1 },
      { ...quern, threads: 2, busyThreads: 2, median: 0.006 },
      { ...onnxruntime, threads: 2, busyThreads: 2, isa: "amx", note: "a <note>" },
      { ...quern, engine: "quern-defaults", threads: 2, busyThreads: 4, median: 0.009 },
    ],
    comparisons: [
      comparison,
      { ...comparison, threads: 2, low: 0.98, high: 1.03, ratio: 1.01 },
      { ...comparison, engine: "quern-defaults", threads: 2 },
    ],
    skipped: [],
  };
}

describe("engines in Markdown", () => {
  const text = renderMarkdown(withDefaults());

  it("a row has both engines, what bounds them, and whether the ratio is a claim", () => {
    const [titles, first, second] = rowsOf(text, "claim") as [string[], string[], string[]];
    const row = (cells: string[]): Record<string, string | undefined> =>
      Object.fromEntries(titles.map((title, i) => [title, cells[i]]));
    expect(row(first)).toEqual({
      case: "<code>gemm/64x64x64</code>",
      precision: "highest",
      threads: "1",
      ISA: "avx2",
      quern: "11.0 µs",
      onnxruntime: "22.0 µs",
      ratio: "2.00×",
      "95 % interval": "[1.90, 2.10]",
      rate: "47.7 / 23.8 GFLOP/s",
      roofline: "48 % / 24 %",
      claim: "claim",
      note: "",
    });
    expect(row(second)).toMatchObject({
      threads: "2",
      ISA: "avx2 / amx",
      ratio: "(1.01×)",
      claim: "not comparable because instruction sets differ: avx2 and amx",
      note: "onnxruntime: a &#60;note&#62;",
    });
  });

  it("a claim whose interval holds 1 says that no difference was seen", () => {
    const results = withDefaults();
    const same = { ...results, results: results.results.map((row) => ({ ...row, isa: "avx2" })) };
    expect(rowsOf(renderMarkdown(same), "claim")[2]).toContain("claim: no difference seen");
  });

  it("default settings stand beside the best ones of the same engine, and make no claims", () => {
    const [, ...rows] = rowsOf(text, "with defaults");
    expect(rows).toEqual([
      ["<code>gemm/64x64x64</code>", "quern-defaults", "highest", "4", "9.00 µs", "6.00 µs, 2 threads", "1.500×"],
    ]);
    expect(rowsOf(text, "claim")).toHaveLength(3);
    expect(text).not.toContain("beside quern-defaults");
    expect(text).not.toMatch(/quern-defaults, highest.*geometric mean/);
  });

  it("says where, when, with what, and how to repeat it", () => {
    expect(text).toContain("- Example &#60;CPU&#62; &#38; Co, 2 cores");
    expect(text).toContain("- measured peak, 1 thread: 100 GFLOP/s f32, 12.5 GB/s read");
    expect(text).toContain("- onnxruntime: version 1.30.0; libonnxruntime.so.1 sha256 abababababababab…");
    expect(text).toContain("- measured 2026-11-23T12");
    expect(text).toContain("<pre><code>quern bench gemm</code></pre>");
  });

  it("repeats a run by the words that it was started with, but for where its reports went", () => {
    const { settings, ...rest } = withDefaults();
    const withoutCommand = ({ command: _, ...others }: Results["settings"]): Results["settings"] => others;
    const run = { ...sampleGate().run!, kind: "engines", argv: ["bench", "gemm", "-o", "md=x.md"] } as const;
    const given = { ...rest, settings: withoutCommand(settings), run };
    expect(renderMarkdown(given)).toContain("<pre><code>quern bench gemm &#45;&#45;seed 7</code></pre>");
    expect(renderMarkdown({ ...rest, settings: withoutCommand(settings) })).not.toContain("<pre>");
  });

  it("marks an instruction set that is assumed, and says once what that means", () => {
    const results = withDefaults();
    const assumed = results.results.map((row) =>
      row.engine === "onnxruntime" ? { ...row, isa: "avx2 (assumed: the library does not say)" } : row,
    );
    const given = { ...results, results: assumed };
    const [, first] = rowsOf(renderMarkdown(given), "claim") as [string[], string[]];
    expect(first[3]).toBe("avx2 / avx2 (assumed)");
    expect(first[10]).toBe("claim");
    for (const report of [renderMarkdown(given), renderTerminal(given), renderHtml(given)]) {
      expect(report).toContain("instruction set of onnxruntime: assumed to be the widest that the processor has");
      expect(report.match(/the library does not say/g)).toHaveLength(1);
    }
    expect(text).not.toContain("assumed");
  });

  it("says where a machine was disturbed, and makes no claims of it", () => {
    const fingerprint = { hash: "a", class: "b", facts: {} };
    const disturbances = ["peak of arithmetic with 1 thread: 100.0 GFLOP/s before, 80.0 after"];
    const environment = { before: fingerprint, after: fingerprint, controls: [], changed: [], disturbances };
    const results = { ...withDefaults(), environment };
    expect(rowsOf(renderMarkdown(results), "claim")[1]?.[10]).toContain(
      "not comparable because the machine was disturbed",
    );
    for (const report of [renderMarkdown(results), renderTerminal(results), renderHtml(results)])
      expect(report).toMatch(
        /[Tt]he machine was disturbed: peak of arithmetic with 1 thread: 100\.0 GFLOP.s before, 80\.0 after/,
      );
  });

  it("says who chose a precision, and how well logits agree", () => {
    const results = withDefaults();
    const chosen = results.results.map((row) => {
      const facts = { case: "llm/m/tg8", nmse: 0.0022, cosine: 0.9989, checkedOutputs: 12 };
      return row.engine === "onnxruntime"
        ? { ...row, ...facts, chosenPrecision: true, sameTokens: 11, oracle: "logits of the other engines" }
        : { ...row, ...facts, sameTokens: 11, oracle: "logits of the baseline" };
    });
    const comparisons = results.comparisons.map((row) => ({ ...row, case: "llm/m/tg8" }));
    const given = { ...results, results: chosen, comparisons };
    const [, first] = rowsOf(renderMarkdown(given), "claim") as [string[], string[]];
    expect(first[1]).toBe("highest / highest (chosen by onnxruntime)");
    for (const report of [renderMarkdown(given), renderTerminal(given), renderHtml(given)]) {
      expect(report).toMatch(
        /logits of quern, llm.m, 1 thread: worst NMSE 2\.2e-3, worst cosine 0\.9989, the baseline.*s most likely token in 11 of 12 rows/,
      );
    }
  });

  it("shows rows without a baseline, and means of claims over several cases", () => {
    const results = claimable();
    const alone = renderMarkdown({ ...results, comparisons: [] });
    expect(rowsOf(alone, "ok").map((cells) => cells[1])).toEqual(["engine", "quern"]);
    expect(alone).toContain("#### Without a baseline");
    const other = <Row extends { readonly case: string }>(row: Row): Row[] => [row, { ...row, case: "gemm/other" }];
    const two = {
      ...results,
      results: results.results.flatMap(other),
      comparisons: results.comparisons.flatMap(other),
    };
    expect(renderMarkdown(two)).toContain("- quern, highest, 1 thread: geometric mean 2.00× over 2 claims");
  });
});

describe("the rate of a row", () => {
  const { machine, results } = sampleResults();
  const row = (changes: Partial<Result>): Result => ({ ...(results[0] as Result), ...changes });

  it("is of arithmetic below the flat roof, and of reads below the slope", () => {
    expect(rateOf(row({ gflops: 50, gbps: 1, peakShare: 0.5 }), machine)).toEqual({ value: 50, unit: "GFLOP/s" });
    expect(rateOf(row({ gflops: 2, gbps: 10, peakShare: 0.8 }), machine)).toEqual({ value: 10, unit: "GB/s" });
  });

  it("is what is known", () => {
    expect(rateOf(row({ gflops: null, gbps: 10 }), machine)).toEqual({ value: 10, unit: "GB/s" });
    expect(rateOf(row({ gflops: 5, gbps: null, peakShare: 0.05 }), machine)?.unit).toBe("GFLOP/s");
    expect(rateOf(row({ gflops: 2, gbps: 10, peakShare: null }), machine)?.unit).toBe("GFLOP/s");
    expect(rateOf(row({ gflops: null, gbps: null }), machine)).toBeUndefined();
  });
});
