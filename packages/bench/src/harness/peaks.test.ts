import { InternalError, UnsupportedError, UserError } from "@quern/core";
import { cpuInfo, nativeHost, resolveTarget } from "@quern/kernels-cpu";
import { describe, expect, it } from "vitest";
import { measurePeaks } from "./peaks.ts";
import {
  arithmeticPeak,
  attainableGflops,
  bandwidthFor,
  fastestProducts,
  higherPeaks,
  peaksOrReason,
  peaksTimeoutMs,
  throttledPeaks,
  productPeak,
} from "./roofline.ts";

/** Whether machine code of ours runs here. */
function runsHere(): boolean {
  try {
    resolveTarget(cpuInfo(nativeHost()).features);
    return true;
  } catch (error) {
    if (error instanceof UnsupportedError) return false;
    throw error;
  }
}

describe.skipIf(!runsHere())("measured peaks", () => {
  it("are those of a processor, not of a mistake", () => {
    const [point] = measurePeaks([1]);
    // From one 128-bit unit at 1 GHz to four 512-bit units at 10 GHz.
    expect(point?.fmaGflops).toBeGreaterThan(8);
    expect(point?.fmaGflops).toBeLessThan(1280);
    expect(point?.readGBps).toBeGreaterThan(0.5);
    expect(point?.readGBps).toBeLessThan(500);
    expect(point?.l2ReadGBps ?? Infinity).toBeGreaterThan(point?.readGBps as number);
    // To three loads of 64 bytes in each cycle at 10 GHz.
    expect(point?.l1ReadGBps).toBeGreaterThan(point?.readGBps as number);
    expect(point?.l1ReadGBps).toBeLessThan(1920);
    const tiles = cpuInfo(nativeHost()).features.has("amx-bf16");
    expect(point?.matrixGflops === null).toBe(!tiles);
    // Dot products of bytes do at least the work of multiply-adds of floats.
    if (point?.byteGops != null) expect(point.byteGops).toBeGreaterThan(point.fmaGflops as number);
  });
});

describe("roofline", () => {
  const point = {
    threads: 1,
    fmaGflops: 100,
    matrixGflops: 900,
    byteGops: 400,
    readGBps: 10,
    l1ReadGBps: 160,
    l2ReadGBps: 80,
    l3ReadGBps: 40,
  };
  const caches = [
    { level: 1, type: "data", bytes: 1000 },
    { level: 2, type: "unified", bytes: 10_000 },
    { level: 3, type: "unified", bytes: 100_000 },
  ];

  it("of many thread counts is waited for longer: each takes up to seven kernels of a quarter of a second", () => {
    for (const counts of [1, 8, 48, 256]) {
      expect(peaksTimeoutMs(counts)).toBeGreaterThanOrEqual(20_000 + 2 * counts * 7 * 250);
    }
    expect(peaksTimeoutMs(48) - peaksTimeoutMs(47)).toBe(4000);
  });

  it("that cannot be measured is none, and the reason is one line", async () => {
    const failing = (error: Error) => async (): Promise<never> => Promise.reject(error);
    expect(await peaksOrReason(async () => [point])).toEqual([[point], undefined]);
    const late = new UserError("no answer within 24 s", { hint: "Measure fewer thread counts." });
    expect(await peaksOrReason(failing(late))).toEqual([[], "no answer within 24 s"]);
    await expect(peaksOrReason(failing(new InternalError("lost")))).rejects.toThrow("lost");
  });

  it("is the lower of arithmetic and memory", () => {
    expect(attainableGflops(100, 10, 1000, 1000)).toBe(10);
    expect(attainableGflops(100, 10, 1e6, 1000)).toBe(100);
    expect(attainableGflops(100, null, 1000, null)).toBe(100);
    expect(attainableGflops(null, 10, 1000, 1000)).toBeNull();
  });

  it("takes the bandwidth of the level that holds the data", () => {
    expect([5000, 50_000, 500_000].map((bytes) => bandwidthFor(point, caches, bytes))).toEqual([80, 40, 10]);
    expect(bandwidthFor({ ...point, threads: 2 }, caches, 15_000)).toBe(80);
    expect(bandwidthFor({ ...point, l3ReadGBps: null }, caches, 50_000)).toBe(10);
    expect(bandwidthFor(point, [], 5000)).toBe(10);
  });

  it("knows what each precision runs on", () => {
    expect(arithmeticPeak(point, "highest")).toBe(100);
    expect(arithmeticPeak(point, "high")).toBe(300);
    expect(arithmeticPeak(point, "medium")).toBe(900);
    expect(arithmeticPeak({ ...point, matrixGflops: null }, "medium")).toBe(100);
  });

  it("takes the higher of two measurements", () => {
    const again = { ...point, fmaGflops: 110, matrixGflops: null, readGBps: 9 };
    expect(higherPeaks([point], [again])).toEqual([{ ...point, fmaGflops: 110 }]);
    expect(higherPeaks([point], [])).toEqual([point]);
  });

  it("tells peaks that fell by more than a tenth between two measurements, and none that rose", () => {
    expect(throttledPeaks([point], [{ ...point, fmaGflops: 91, readGBps: 15 }])).toEqual([]);
    expect(throttledPeaks([point], [{ ...point, fmaGflops: 80, readGBps: 8 }])).toEqual([
      "peak of arithmetic with 1 thread: 100.0 GFLOP/s before, 80.0 after",
      "peak of reads from memory with 1 thread: 10.0 GB/s before, 8.0 after",
    ]);
    expect(throttledPeaks([point], [{ ...point, fmaGflops: null, readGBps: null }])).toEqual([]);
    expect(throttledPeaks([point], [])).toEqual([]);
    const two = { ...point, threads: 2, fmaGflops: 200 };
    expect(throttledPeaks([point, two], [two, { ...point, fmaGflops: 50 }])).toEqual([
      "peak of arithmetic with 1 thread: 100.0 GFLOP/s before, 50.0 after",
    ]);
  });

  it("knows that a matrix unit multiplies bytes faster than bf16", () => {
    expect([productPeak(point), fastestProducts(point)]).toEqual([900, 1800]);
    expect(fastestProducts({ ...point, matrixGflops: null })).toBe(400);
    expect(fastestProducts({ threads: 1, fmaGflops: null, matrixGflops: null, readGBps: 1 })).toBeNull();
  });
});
