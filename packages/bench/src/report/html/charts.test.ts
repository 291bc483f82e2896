import { describe, expect, it } from "vitest";
import { expectBalanced } from "./balanced.test-support.ts";
import { distributionChart } from "./distribution.ts";
import { engineScale, gateScale, ratioRows, type RatioRow } from "./ratio-rows.ts";
import { rooflineChart } from "./roofline.ts";
import { linearScale, logScale, ratioTicks } from "./scale.ts";
import { gatherParts, squarify } from "./treemap.ts";
import { changesText, trendChart } from "./trend.ts";

function row(changes: Partial<RatioRow>): RatioRow {
  return { label: "b", ratio: 1, low: 0.99, high: 1.01, value: "", cssClass: "c", ...changes };
}

const attribute = (markup: string, pattern: RegExp): number => Number(pattern.exec(markup)?.[1]);

describe("ratio rows", () => {
  it("a bar begins at 1× and ends at its ratio", () => {
    const rows = [row({ ratio: 2, low: null, high: null }), row({ ratio: 0.5, low: null, high: null })];
    const chart = ratioRows(rows, engineScale(rows));
    const bars = Array.from(chart.matchAll(/class="bar c" x="([\d.]+)" width="([\d.]+)"/g), ([, x, width]) => [
      Number(x),
      Number(x) + Number(width),
    ]) as [[number, number], [number, number]];
    const one = attribute(chart, /class="one" d="M([\d.]+) 0V1000"/);
    expect(bars[0][0]).toBeCloseTo(one, 0);
    expect(bars[1][1]).toBeCloseTo(one, 0);
    expect(bars[0][1] - one).toBeCloseTo(one - bars[1][0], 0);
    expectBalanced(chart);
  });

  it("the band is the threshold, and pairs are dots at their ratios", () => {
    const rows = [row({ band: 0.05, pairs: [1.05, 1 / 1.05] })];
    const chart = ratioRows(rows, gateScale(rows));
    const from = attribute(chart, /class="band" x="([\d.]+)"/);
    const width = attribute(chart, /class="band" x="[\d.]+" width="([\d.]+)"/);
    const dots = Array.from(chart.matchAll(/M([\d.]+) [\d.]+h0/g), ([, x]) => Number(x));
    expect(dots[0]).toBeCloseTo(from + width, 0);
    expect(dots[1]).toBeCloseTo(from, 0);
    expect(from + width / 2).toBeCloseTo(500, 0);
  });

  it("a row is drawn with few shapes, whatever it shows", () => {
    const rows = [row({ band: 0.05, pairs: Array.from({ length: 48 }, (_, i) => 1 + i / 1000) })];
    const item = ratioRows(rows, gateScale(rows)).split("<li")[1] ?? "";
    expect(item.match(/<[a-z]+/g)).toEqual([
      "<span",
      "<svg",
      "<svg",
      "<rect",
      "<path",
      "<path",
      "<rect",
      "<path",
      "<path",
      "<span",
    ]);
  });

  it("one ratio beyond reason does not squeeze the others: it gets an arrow", () => {
    const rows = [row({ ratio: 40, high: 44 }), row({ ratio: 1.05 })];
    const scale = gateScale(rows);
    expect(scale.high).toBe(2);
    expect(ratioRows(rows, scale).match(/▶/g)).toHaveLength(1);
  });
});

describe("roofline", () => {
  it("a mark below the roof is drawn below it, and the slope ends at the ridge", () => {
    const chart = rooflineChart(
      [{ label: "m", series: 0, intensity: 100, gflops: 50 }],
      [{ label: "peak", gflops: 100, gbps: 10 }],
    );
    const slope = /class="ceiling" x1="[\d.]+%" y1="([\d.]+)" x2="([\d.]+)%" y2="([\d.]+)"/.exec(chart);
    const roof = attribute(chart, /x2="100%" y1="([\d.]+)" y2="[\d.]+"\/><text x="99%"/);
    expect(Number(slope?.[3])).toBeCloseTo(roof, 0);
    const mark = attribute(chart, /<svg x="[\d.]+%" y="([\d.]+)" overflow/);
    expect(mark).toBeGreaterThan(roof); // y grows downwards
    expectBalanced(chart);
  });
});

describe("distribution", () => {
  it("rises from the first to the last sample", () => {
    const chart = distributionChart("d", [{ label: "a", series: 0, samplesMs: [1, 2, 3, 4, 5, 6, 7, 8] }]);
    const path = /class="curve l0" d="M([^"]*)"/.exec(chart)?.[1] ?? "";
    const points = path.split("L").map((point) => point.split(" ").map(Number) as [number, number]);
    expect(points).toHaveLength(9);
    for (const [i, [x, y]] of points.entries()) {
      if (i === 0) continue;
      const [px, py] = points[i - 1] as [number, number];
      expect(x).toBeGreaterThanOrEqual(px);
      expect(y).toBeLessThan(py);
    }
    expect(chart).toContain("median 4.50 ms");
    expect(distributionChart("none", [{ label: "a", series: 0, samplesMs: [] }])).toBe("");
  });
});

describe("treemap", () => {
  it("areas are shares, tiles fill the box and do not overlap", () => {
    const parts = [6, 6, 4, 3, 2, 2, 1].map((ms, i) => ({ name: `p${i}`, ms }));
    const tiles = squarify(parts, 600, 400);
    for (const { ms, width, height } of tiles) expect(width * height).toBeCloseTo((ms / 24) * 240_000, 3);
    expect(tiles.reduce((sum, { width, height }) => sum + width * height, 0)).toBeCloseTo(240_000, 3);
    for (const [i, a] of tiles.entries()) {
      expect(a.x + a.width).toBeLessThanOrEqual(600.001);
      expect(a.y + a.height).toBeLessThanOrEqual(400.001);
      for (const b of tiles.slice(i + 1)) {
        const apart =
          a.x + a.width <= b.x + 1e-6 ||
          b.x + b.width <= a.x + 1e-6 ||
          a.y + a.height <= b.y + 1e-6 ||
          b.y + b.height <= a.y + 1e-6;
        expect(apart).toBe(true);
      }
    }
    // The example of the paper: no tile is long and thin.
    expect(Math.max(...tiles.map(({ width, height }) => Math.max(width / height, height / width)))).toBeLessThan(3);
  });

  it("parts of one name are one, and the smallest are gathered", () => {
    const parts = Array.from({ length: 100 }, (_, i) => ({ name: `k${i % 50}`, ms: i }));
    const gathered = gatherParts(parts, 10);
    expect(gathered).toHaveLength(10);
    expect(gathered.reduce((sum, { ms }) => sum + ms, 0)).toBe(4950);
    expect(gathered.map(({ name }) => name)).toContain("41 others");
  });
});

describe("trend", () => {
  it("says its changes in words too", () => {
    const points = [1, 1, 2].map((value, i) => ({
      at: `2026-11-0${i + 1}T00:00:00Z`,
      value,
      commit: "abcdef0123456789",
    }));
    const changes = [{ index: 2, ratio: 2, p: 0 }];
    expect(changesText({ bench: "b", unit: "ns", points, changes })).toBe("+100.0 % since 2026-11-03 (abcdef012345)");
    expect(changesText({ bench: "b", unit: "ns", points, changes: [] })).toBe("");
  });

  it("of memory is in bytes", () => {
    const points = Array.from({ length: 3 }, (_, i) => ({ at: `2026-01-0${i + 1}T00:00:00Z`, value: 50 * 2 ** 20 }));
    const chart = trendChart({ bench: "b", unit: "bytes", points, changes: [] });
    expect(chart).toContain("50.0 MiB");
    expect(chart).not.toContain("×");
  });

  it("marks the first point of a new level, and draws a level on each side", () => {
    const points = Array.from({ length: 10 }, (_, i) => ({ at: `2026-01-${10 + i}T00:00:00Z`, value: i < 5 ? 1 : 2 }));
    const chart = trendChart({ bench: "b", unit: "ratio", points, changes: [{ index: 5, ratio: 2, p: 0 }] });
    expect(chart).toContain('class="change" x1="50%"');
    expect(chart).toContain(">+100.0 %<");
    expect(/class="level" d="([^"]*)"/.exec(chart)?.[1]?.split("M").slice(1)).toHaveLength(2);
    expectBalanced(chart);
  });
});

describe("scales", () => {
  it("have a few round ticks within their range", () => {
    expect(linearScale(0.98, 1.11).ticks).toEqual([1, 1.05, 1.1]);
    expect(logScale(1, 1000).ticks).toEqual([1, 3, 10, 30, 100, 300, 1000]);
    expect(logScale(1e-3, 1e9, 6).ticks.length).toBeLessThanOrEqual(7);
    expect(ratioTicks(0.7, 5)).toEqual([1, 2, 4]);
    expect(ratioTicks(0.001, 1000).length).toBeLessThanOrEqual(8);
  });

  it("put values beyond their ends at the end", () => {
    expect([0, 5, 20].map(linearScale(0, 10).at)).toEqual([0, 0.5, 1]);
    expect([-1, 10, 1e9].map(logScale(1, 100).at)).toEqual([0, 0.5, 1]);
    expect(linearScale(3, 3).at(3)).toBe(0);
  });
});
