import { describe, expect, it } from "vitest";
import { sampleResults } from "../results/sample-results.ts";
import type { Comparison, Result, Results } from "../results/schema.ts";
import { claimable } from "./claimable.test-support.ts";
import { rateOf } from "./engine-facts.ts";
import { renderMarkdown } from "./markdown.ts";

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
