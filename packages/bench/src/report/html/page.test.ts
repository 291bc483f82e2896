import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { FULL_FACTS, claimable } from "../claimable.test-support.ts";
import { hostileTexts, withHostileTexts } from "../hostile.test-support.ts";
import { renderHtml } from "../html.ts";
import { sampleGate, samplePairs } from "../../results/sample-gate.ts";
import { sampleResults } from "../../results/sample-results.ts";
import { sampleServing } from "../../results/sample-serving.ts";
import { Random } from "../../harness/random.ts";
import type { BenchRecord, Results } from "../../results/schema.ts";
import { expectBalanced } from "./balanced.test-support.ts";
import { SCRIPT } from "./script.ts";
import { STYLE } from "./style.ts";

/** The page without its own style and script. */
function content(page: string): string {
  expect(page.split(STYLE)).toHaveLength(2);
  expect(page.split(SCRIPT)).toHaveLength(2);
  return page.replace(STYLE, "").replace(SCRIPT, "");
}

function headings(page: string): (string | undefined)[] {
  return Array.from(page.matchAll(/<h2>(.*?)<\/h2>/g), (match) => match[1]);
}

function withoutWork({ work: _work, ...bench }: BenchRecord): BenchRecord {
  return bench;
}

/** 200 benches as a gate with the profile `ci` leaves them. */
function large(): Results {
  const random = new Random(3);
  const gate = sampleGate();
  const [example] = gate.benches as [BenchRecord];
  const benches = Array.from({ length: 200 }, (_, i): BenchRecord => {
    const base = 1e5 * (i + 1);
    const suspect = i % 20 === 0;
    return {
      ...example,
      id: `family-${i % 7}/a bench with a name of some length/${i}`,
      verdict: suspect ? "REGRESSED" : "EQUIVALENT",
      stages: [{ stage: "screen", pairs: samplePairs(random, suspect ? 48 : 16, 20, base, suspect ? 1.05 : 1) }],
    };
  });
  return { ...gate, benches };
}

describe.each([
  ["of a gate run", sampleGate()],
  ["of engines", sampleResults()],
  ["of engines with claims", claimable()],
])("the page %s", (_, results) => {
  const page = renderHtml(results);

  it("needs nothing from a network, and runs only its own script", () => {
    expect(page).not.toMatch(/https?:|\/\/[a-z]|<link|<img|<iframe|url\(|@import|\bsrc=|\bstyle="/i);
    const hash = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
    expect(page).toContain(`default-src 'none'; style-src ${hash(STYLE)}; script-src ${hash(SCRIPT)};`);
    expect(page).not.toMatch(/<[^>]*\son[a-z]+=/i);
    expect(SCRIPT).not.toMatch(/innerHTML|outerHTML|insertAdjacent|eval|Function\(|setTimeout|fetch|document\.write/);
  });

  it("is well formed and shows no value that is none", () => {
    const { attributes } = expectBalanced(content(page));
    expect([...attributes].filter((name) => /^on|style|src/.test(name))).toEqual([]);
    expect(page).toContain("Example &lt;CPU&gt; &amp; Co");
    expect(content(page)).not.toMatch(/NaN|undefined|Infinity|\[object/);
  });

  it("follows light, dark, phone and print", () => {
    expect(page).toContain("prefers-color-scheme: dark");
    expect(page).toContain("max-width: 640px");
    expect(page).toContain("@media print");
    expect(page).toContain('name="viewport"');
  });

  it("links to sections that are there, each once", () => {
    const links = Array.from(page.matchAll(/href="#([^"]*)"/g), ([, id]) => id);
    const sections = Array.from(page.matchAll(/<section id="([^"]*)"/g), ([, id]) => id);
    expect(links).toEqual(sections);
    expect(new Set(sections).size).toBe(sections.length);
  });
});

describe("sections", () => {
  it("of a gate run", () => {
    const page = renderHtml(sampleGate());
    expect(headings(page)).toEqual([
      "Head beside base",
      "Benchmarks",
      "Roofline",
      "Distribution of times",
      "Trend",
      "Comparability",
      "Environment",
    ]);
    expect(page).toContain("1.083× [1.074, 1.092]");
    expect(page).toContain("changed during the run: governor");
    expect(page).toContain("quern gate --base main --profile ci --seed 7");
    expect(page).toContain("REGRESSED, accepted");
    expect(page).toContain("accepted up to 5.0 %: exact rounding");
    // The step of the made-up trend.
    expect(page).toContain(">+6.0 %<");
  });

  it("tells rates where the work of a bench is known", () => {
    const gate = sampleGate();
    const [first, ...others] = gate.benches as BenchRecord[];
    const column = /<th[^>]*>GFLOP\/s<\/th>/;
    const benches = (work: NonNullable<BenchRecord["work"]>): BenchRecord[] => [
      { ...first!, work },
      ...others.map(withoutWork),
    ];
    expect(renderHtml({ ...gate, benches: benches({ flops: 1e6 }) })).toMatch(column);
    expect(renderHtml({ ...gate, benches: benches({}) })).not.toMatch(column);
  });

  it("of engines", () => {
    const page = renderHtml(sampleResults());
    expect(headings(page)).toEqual([
      "How many times faster than onnxruntime",
      "Steady runs",
      "Roofline",
      "Distribution of times",
      "Time per op",
      "Not measured",
      "Comparability",
      "Environment",
    ]);
    expect(page).toContain("y[3] = 1, expected 2");
    expect(page).toContain("NonZero is not supported");
  });

  it("a ratio that is no claim is an outline in brackets, with its reason", () => {
    const page = renderHtml(sampleResults());
    expect(page).toContain("(2.00× [1.90, 2.10]) a");
    expect(page).toContain('class="bar s0 hollow"');
    expect(page).toMatch(/<li>a: not comparable because model hashes not recorded/);
    const claims = renderHtml(claimable());
    expect(claims).toContain("2.00× [1.90, 2.10]");
    expect(claims).not.toContain("(2.00×");
    expect(claims).not.toContain('hollow"');
    expect(Object.keys(FULL_FACTS)).toContain("modelSha256");
  });

  it("a load test of a server", () => {
    const page = renderHtml(sampleServing());
    expectBalanced(content(page));
    expect(headings(page)).toContain("Load tests");
    expect(page).toContain("90.0 % within ttft ≤ 200 ms");
    expect(page).toContain("end to end median 49.5 ms");
  });

  it("benches that one arm does not have", () => {
    const skipped = [
      { case: "old", engine: "head", threads: 1, precision: "highest", reason: "declared as removed" } as const,
    ];
    const page = renderHtml({ ...sampleGate(), skipped });
    expect(headings(page)).toContain("Not in both");
    expect(page).toContain("<li>old not measured in head: declared as removed</li>");
  });

  it("engines without comparisons, and a gate run without benches", () => {
    const results = sampleResults();
    const alone = { ...results, comparisons: [], skipped: [], machine: { ...results.machine, roofline: [] } };
    expectBalanced(content(renderHtml(alone)));
    expect(renderHtml(alone)).not.toContain("How many times faster");
    const empty = renderHtml({ ...sampleGate(), benches: [] });
    expectBalanced(content(empty));
    expect(empty).toContain("no benchmark was measured");
  });
});

describe("sizes", () => {
  /** What a browser makes when it opens the page takes most of the time until it is shown. */
  const elements = (page: string): number => page.match(/<[a-z]/gi)?.length ?? 0;

  it("200 benches take at most a megabyte", () => {
    const page = renderHtml(large());
    expect(Buffer.byteLength(page)).toBeLessThan(1_000_000);
    expect(page.match(/<tr data-name=|<tr class="bad" data-name=/g)).toHaveLength(200);
    expect(elements(page)).toBeLessThan(7500);
  });

  it("200 rows of engines take at most a megabyte", () => {
    const sample = sampleResults();
    const random = new Random(4);
    const samples = Array.from({ length: 400 }, () => 5 + random.uniform());
    const [row] = sample.results as [Results["results"][number]];
    const results = Array.from({ length: 200 }, (_, i) => ({
      ...row,
      case: `model/a network of some kind ${i >> 1}`,
      engine: i % 2 === 0 ? "quern" : "onnxruntime",
      samples,
      profile: Array.from({ length: 60 }, (_each, op) => ({
        name: `${op} conv_f32_3x3_c24o24_t${op}`,
        ms: 1 / (op + 1),
      })),
    }));
    const comparisons = results.slice(0, 100).map((one) => ({
      ...(sample.comparisons[0] as Results["comparisons"][number]),
      case: one.case,
    }));
    const page = renderHtml({ ...sample, results, comparisons });
    expect(Buffer.byteLength(page)).toBeLessThan(1_000_000);
    expect(elements(page)).toBeLessThan(15_000);
    expect(page).toContain("160 more are in the JSON report.");
  });

  it("far more rows are cut, and the page says so", () => {
    const [example] = sampleGate().benches as [BenchRecord];
    const benches = Array.from({ length: 3000 }, (_, i) => ({ ...example, id: `b${i}` }));
    const page = renderHtml({ ...sampleGate(), benches });
    expect(page).toContain("2000 more benchmarks are in the JSON and CSV reports.");
  });
});

describe("text from strangers", () => {
  const seed = Number(process.env["QUERN_SEED"] ?? 9);

  it.each([
    ["a gate run", sampleGate()],
    ["engines", sampleResults()],
  ])("is text on the page of %s", (_, results) => {
    const plain = expectBalanced(content(renderHtml(results)));
    for (const turn of [0, 1, 2]) {
      const page = content(renderHtml(withHostileTexts(results, seed + turn)));
      const { elements, attributes } = expectBalanced(page);
      const found = `QUERN_SEED=${seed}, turn ${turn}`;
      // Nothing that is not on the page of harmless texts; lists of reasons and changed facts come and go.
      expect(
        [...elements].filter((name) => !plain.elements.has(name) && !["ul", "li", "text"].includes(name)),
        found,
      ).toEqual([]);
      expect(
        [...attributes].filter((name) => !plain.attributes.has(name)),
        found,
      ).toEqual([]);
      expect(page, found).not.toMatch(/[^\n\P{C}]/u);
    }
    expect(hostileTexts.length).toBeGreaterThan(10);
  });

  it("numbers beyond reason draw no nonsense", () => {
    const [example] = sampleGate().benches as [BenchRecord];
    const estimate = example.estimate as NonNullable<BenchRecord["estimate"]>;
    const benches = [1e-300, 1e300, 5e-324, 1].map((ratio, i): BenchRecord => ({
      ...example,
      id: `b${i}`,
      work: { flops: 1e300, bytes: 1e-300 },
      estimate: { ...estimate, ratio, low: 0, high: 1e308 },
      stages: [
        { stage: "screen", pairs: [{ index: 0, order: "base-first", base: [1e-300, 1e300], head: [1e300, 5e-324] }] },
        { stage: "confirm", pairs: [] },
      ],
    }));
    const { trends = [] } = sampleGate();
    const odd = trends.map((trend) => ({
      ...trend,
      points: trend.points.slice(0, 3).map((point, i) => ({ ...point, value: [1e300, 1e-300, 1][i] as number })),
      changes: [2, 2, 1, 0, 99].map((index) => ({ index, ratio: 1e300, p: 0 })),
    }));
    const page = renderHtml({ ...sampleGate(), benches, trends: odd });
    expectBalanced(content(page));
    expect(content(page)).not.toMatch(/NaN|undefined|"[^"]*Infinity/);
  });
});
