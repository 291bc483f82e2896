import { describe, expect, it } from "vitest";
import { sampleResults } from "../results/sample-results.ts";
import { digits, formatBytes, formatMs, formatPrecision, formatRatio } from "./format.ts";
import { renderHtml } from "./html.ts";
import { formatTable } from "./table.ts";
import { renderTerminal } from "./terminal.ts";

describe("terminal report", () => {
  const text = renderTerminal(sampleResults());

  it("shows ratio with interval, rates, share of the roofline and the check", () => {
    const line = text
      .split("\n")
      .find((candidate) => candidate.includes("gemm/64x64x64") && candidate.includes("2.00×"));
    expect(line).toMatch(/11\.0 µs\s+\(2\.00×\) a\s+\[1\.90, 2\.10\]\s+47\.7\s+4\.50\s+48 %\s+✓\s+1\.5e-6/);
  });

  it("names what differs and what was skipped", () => {
    expect(text).toContain("✗ model/spoiled, quern (high, 1 threads): y[3] = 1, expected 2");
    expect(text).toContain("skipped: model/odd");
  });

  it("says which weights were quantised, and beside which ratio", () => {
    const results = sampleResults();
    const quantised = <Row extends { readonly engine: string }>(row: Row): Row =>
      row.engine === "quern" ? { ...row, weights: "Q4_K" } : row;
    const labelled = {
      ...results,
      results: results.results.map(quantised),
      comparisons: results.comparisons.map(quantised),
    };
    for (const report of [renderTerminal(labelled), renderHtml(labelled)]) {
      expect(report).toContain("weights quantised: Q4_K (quern)");
      expect(report).toMatch(/quern(<\/td><td>|\s+)highest, Q4_K weights/);
      expect(report).toMatch(/onnxruntime(<\/td><td>|\s+)highest(<|\s{2})/);
    }
    expect(renderHtml(labelled)).toContain("quern Q4_K, 1 thread");
    expect(text).not.toContain("weights");
  });

  it("is plain text", () => {
    expect(text).not.toContain("\u001b");
  });
});

describe("formats", () => {
  it("have three digits and a fitting unit", () => {
    expect([1e-4, 0.0123, 1.234, 123.4, 12345].map(formatMs)).toEqual([
      "100 ns",
      "12.3 µs",
      "1.23 ms",
      "123 ms",
      "12.3 s",
    ]);
    expect([0, 1023, 1536, 5 * 2 ** 20].map(formatBytes)).toEqual(["0 B", "1023 B", "1.50 KiB", "5.00 MiB"]);
    expect([0.456, 1.2345, 34.56].map(formatRatio)).toEqual(["0.46×", "1.23×", "34.6×"]);
    expect(digits(1234.5)).toBe("1235");
  });

  it("tables leave out empty columns", () => {
    const lines = formatTable(
      [
        { title: "a", align: "left" },
        { title: "b", align: "right" },
        { title: "c", align: "right" },
      ],
      [
        ["x", "", "1"],
        ["yy", "", "20"],
      ],
    );
    expect(lines).toEqual(["a    c", "──  ──", "x    1", "yy  20"]);
  });
});

it("a precision says when products were computed at another one", () => {
  expect(formatPrecision({ precision: "high" })).toBe("high");
  expect(formatPrecision({ precision: "high", precisions: ["high"] })).toBe("high");
  expect(formatPrecision({ precision: "high", precisions: ["highest"] })).toBe("high (computed at highest)");
  expect(formatPrecision({ precision: "medium", precisions: ["highest", "medium"] })).toBe(
    "medium (partly computed at highest)",
  );
});
