import { UnsupportedError } from "@quern/core";
import { cpuInfo, nativeHost, resolveTarget } from "@quern/kernels-cpu";
import { describe, expect, it } from "vitest";
import { measurePeaks } from "./peaks.ts";
import { arithmeticPeak, attainableGflops, higherPeaks } from "./roofline.ts";

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
    const tiles = cpuInfo(nativeHost()).features.has("amx-bf16");
    expect(point?.matrixGflops === null).toBe(!tiles);
  });
});

describe("roofline", () => {
  const point = { threads: 1, fmaGflops: 100, matrixGflops: 900, readGBps: 10 };

  it("is the lower of arithmetic and memory", () => {
    expect(attainableGflops(point, "highest", 1000, 1000)).toBe(10);
    expect(attainableGflops(point, "highest", 1e6, 1000)).toBe(100);
    expect(attainableGflops(point, "highest", 1000, null)).toBe(100);
  });

  it("knows what each precision runs on", () => {
    expect(arithmeticPeak(point, "highest")).toBe(100);
    expect(arithmeticPeak(point, "high")).toBe(300);
    expect(arithmeticPeak(point, "medium")).toBe(900);
    expect(arithmeticPeak({ ...point, matrixGflops: null }, "medium")).toBe(100);
  });

  it("takes the higher of two measurements", () => {
    const again = { threads: 1, fmaGflops: 110, matrixGflops: null, readGBps: 9 };
    expect(higherPeaks([point], [again])).toEqual([{ threads: 1, fmaGflops: 110, matrixGflops: 900, readGBps: 10 }]);
    expect(higherPeaks([point], [])).toEqual([point]);
  });
});
