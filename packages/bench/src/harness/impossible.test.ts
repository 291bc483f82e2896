import { describe, expect, it } from "vitest";
import type { RooflinePoint } from "../results/schema.ts";
import { highestBandwidth, highestGflops, impossibleRate, type Peaks } from "./impossible.ts";

const MIB = 2 ** 20;
const point: RooflinePoint = {
  threads: 1,
  fmaGflops: 100,
  matrixGflops: null,
  readGBps: 12,
  l3ReadGBps: 24,
  l2ReadGBps: 120,
};
const caches = [
  { level: 1, type: "data", bytes: 32 * 1024 },
  { level: 1, type: "instruction", bytes: 64 * MIB },
  { level: 2, type: "unified", bytes: MIB },
  { level: 3, type: "unified", bytes: 36 * MIB },
];
const peaks: Peaks = { point, single: point, caches };

function bandwidth(workingSet: number, changes: Partial<Peaks> = {}): number {
  return highestBandwidth({ ...peaks, ...changes }, workingSet) ?? NaN;
}

describe("the highest possible bandwidth", () => {
  it("is that of memory for data much larger than the caches, and 5 % more", () => {
    expect(bandwidth(1e12)).toBeCloseTo(1.05 * 12, 2);
  });

  it("allows as much in the caches as they hold, read and written at the rate of the second level", () => {
    const fit = 37 * MIB;
    expect(bandwidth(2 * fit)).toBeGreaterThan(1.9 * 12);
    expect(bandwidth(2 * fit)).toBeLessThan(2.2 * 12);
    // What fits into the third level may come from the second in part: never below the rate of that.
    for (const size of [MIB, 4 * MIB, 30 * MIB]) {
      expect(bandwidth(size)).toBeGreaterThanOrEqual(1.05 * 2 * 120);
      expect(bandwidth(size)).toBeLessThan(1.1 * 2 * 120);
    }
  });

  it("of what fits into first-level caches is that of these", () => {
    const near = { ...point, l1ReadGBps: 300 };
    expect(bandwidth(16 * 1024, { point: near })).toBeCloseTo(1.05 * 2 * 300, 6);
    expect(bandwidth(64 * 1024, { point: near })).toBeCloseTo((1.05 * 2) / (0.5 / 300 + 0.5 / 120), 6);
  });

  it("does not bound what no size or no rate is known of", () => {
    expect(highestBandwidth(peaks, 32 * 1024)).toBeNull();
    expect(highestBandwidth({ ...peaks, caches: [] }, 1e12)).toBeNull();
    expect(highestBandwidth({ point: { ...point, readGBps: null }, single: undefined, caches }, 1e12)).toBeNull();
    const unknown = { ...point, l2ReadGBps: null };
    expect(highestBandwidth({ point: unknown, single: unknown, caches }, 30 * MIB)).toBeNull();
  });

  it("is n times that of one thread where the peak of n was measured beside a neighbour", () => {
    const disturbed = { ...point, threads: 2, readGBps: 13 };
    expect(bandwidth(1e12, { point: disturbed })).toBeCloseTo(1.05 * 24, 2);
    expect(bandwidth(1e12, { point: disturbed, single: undefined })).toBeCloseTo(1.05 * 13, 2);
  });

  it("counts the private caches of every thread", () => {
    const two = { ...point, threads: 2, readGBps: 24, l2ReadGBps: 240 };
    expect(highestBandwidth({ point: two, single: point, caches }, 64 * 1024)).toBeNull();
    expect(bandwidth(2 * MIB, { point: two })).toBeGreaterThan(1.05 * 2 * 240);
  });
});

describe("impossible rates", () => {
  const none = { gflops: null, highestGflops: null, gbps: null, highestGbps: null };

  it("are told with both numbers", () => {
    expect(impossibleRate({ ...none, gflops: 150, highestGflops: highestGflops(peaks, (of) => of.fmaGflops) })).toBe(
      "impossible: 150 GFLOP/s is above the 102 that the measured peak allows",
    );
    expect(impossibleRate({ ...none, gbps: 100, highestGbps: 12.6 })).toBe(
      "impossible: 100.0 GB/s is above the 12.6 that the measured bandwidths allow",
    );
  });

  it("are none at the bound, and where it is not known", () => {
    expect(impossibleRate({ gflops: 102, highestGflops: 102, gbps: 12.6, highestGbps: 12.6 })).toBeUndefined();
    expect(impossibleRate({ ...none, gflops: 1e9, gbps: 1e9 })).toBeUndefined();
  });
});
