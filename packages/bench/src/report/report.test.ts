import { describe, expect, it } from "vitest";
import { sampleResults } from "../results/sample-results.ts";
import { digits, formatBytes, formatMs, formatPrecision, formatRatio } from "./format.ts";
import { renderHtml } from "./html.ts";
import { ratioChart, rooflineChart } from "./svg.ts";
import { formatTable } from "./table.ts";
import { renderTerminal } from "./terminal.ts";

/** Fails unless every element that is opened is closed, in order. */
function expectBalanced(markup: string): void {
  const open: string[] = [];
  for (const [, close, name, rest] of markup.matchAll(/<(\/?)([a-z][a-z0-9]*)((?:[^>"]|"[^"]*")*)>/g)) {
    if (close === "/") expect(open.pop()).toBe(name);
    else if (!(rest as string).endsWith("/") && name !== "meta") open.push(name as string);
  }
  expect(open).toEqual([]);
}

describe("HTML report", () => {
  const page = renderHtml(sampleResults());

  it("needs nothing from a network and runs nothing", () => {
    expect(page).not.toMatch(/https?:|\/\/[a-z]|<script|<link|<img|url\(|@import|src=/i);
  });

  it("is well formed and escapes what it shows", () => {
    expectBalanced(page);
    expect(page).toContain("Example &lt;CPU&gt; &amp; Co");
    expect(page).not.toMatch(/NaN|undefined|Infinity|\[object/);
  });

  it("has every section", () => {
    const titles = Array.from(page.matchAll(/<h2>(.*?)<\/h2>/g), (match) => match[1]);
    expect(titles).toEqual([
      "How many times faster than onnxruntime",
      "Steady runs",
      "Roofline",
      "Phases",
      "Time per op: gemm/64x64x64, quern, 1 thread",
      "Not measured",
      "Machine and settings",
    ]);
    expect(page).toContain("2.00×");
    expect(page).toContain("y[3] = 1, expected 2");
    expect(page).toContain("NonZero is not supported");
  });

  it("follows light, dark and print", () => {
    expect(page).toContain("prefers-color-scheme: dark");
    expect(page).toContain("@media print");
  });

  it("shows results of one engine without comparisons", () => {
    const results = sampleResults();
    const alone = renderHtml({
      ...results,
      comparisons: [],
      skipped: [],
      machine: { ...results.machine, roofline: [] },
    });
    expectBalanced(alone);
    expect(alone).not.toContain("How many times faster");
  });
});

describe("charts", () => {
  it("a bar twice as fast ends right of 1×, a slower one left of it", () => {
    const chart = ratioChart([
      { label: "fast", series: 0, ratio: 2, low: 1.9, high: 2.1 },
      { label: "slow", series: 0, ratio: 0.5, low: null, high: null },
    ]);
    const bars = Array.from(chart.matchAll(/<rect [^>]*x="([\d.]+)"[^>]* width="([\d.]+)"/g), ([, x, width]) => [
      Number(x),
      Number(x) + Number(width),
    ]);
    const [fast, slow] = bars as [[number, number], [number, number]];
    expect(fast[0]).toBeCloseTo(slow[1], 0);
    expect(fast[1]).toBeGreaterThan(fast[0]);
    expectBalanced(chart);
  });

  it("a mark below the roof is drawn below it", () => {
    const chart = rooflineChart(
      [{ label: "m", series: 0, intensity: 100, gflops: 50 }],
      [{ label: "peak", gflops: 100, gbps: 10 }],
    );
    const roof = Number(/class="ceiling" d="M[\d.]+ [\d.]+L[\d.]+ ([\d.]+)H/.exec(chart)?.[1]);
    const mark = Number(/cy="([\d.]+)"/.exec(chart)?.[1]);
    expect(mark).toBeGreaterThan(roof); // y grows downwards
  });
});

describe("terminal report", () => {
  const text = renderTerminal(sampleResults());

  it("shows ratio with interval, rates, share of the roofline and the check", () => {
    const line = text
      .split("\n")
      .find((candidate) => candidate.includes("gemm/64x64x64") && candidate.includes("2.00×"));
    expect(line).toMatch(/11\.0 µs\s+2\.00×\s+\[1\.90, 2\.10\]\s+47\.7\s+4\.50\s+48 %\s+✓\s+1\.5e-6/);
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
