import { describe, expect, it } from "vitest";
import { sampleResults } from "../results/sample-results.ts";
import type { Results, RooflinePoint } from "../results/schema.ts";
import { DEFAULT_SETTINGS } from "./bench.ts";
import { ComparisonRun } from "./comparison.ts";

const point: RooflinePoint = { threads: 1, fmaGflops: 100, matrixGflops: null, readGBps: 10 };

/** Results of a run whose machine had these peaks before and after. */
async function between(before: RooflinePoint[], after: RooflinePoint[], again = after): Promise<Results> {
  const measured = [before, after, after, again, again];
  const measureRoofline = async (): Promise<RooflinePoint[]> => measured.shift() ?? [];
  const run = new ComparisonRun("engines", { ...DEFAULT_SETTINGS, measureRoofline });
  const roofline = await run.betweenPeaks(
    [1],
    () => {},
    async () => {},
  );
  const { machine, engines, results, comparisons, skipped } = sampleResults();
  return run.results({ machine: { ...machine, roofline }, engines, results, comparisons, skipped });
}

describe("a comparison of engines", () => {
  it("has the fingerprint of the machine before and after, and the higher peaks", async () => {
    const results = await between([point], [{ ...point, fmaGflops: 95 }]);
    expect(results.machine.roofline).toMatchObject([{ fmaGflops: 100, readGBps: 10 }]);
    expect(results.environment).toMatchObject({ controls: [], changed: [] });
    expect(results.environment?.before.hash).toBe(results.environment?.after.hash);
    expect(results.environment?.disturbances).toBeUndefined();
    expect(results.comparisons[0]?.notComparable?.join()).not.toContain("disturbed");
  });

  it("is not disturbed by what lasts for a moment at its end", async () => {
    const results = await between([point], [{ ...point, fmaGflops: 60 }], [{ ...point, readGBps: 9 }]);
    expect(results.environment?.disturbances).toBeUndefined();
  });

  it("of a machine that became slower makes no claims", async () => {
    const results = await between([point], [{ ...point, fmaGflops: 80 }]);
    expect(results.environment?.disturbances).toEqual([
      "peak of arithmetic with 1 thread: 100.0 GFLOP/s before, 80.0 after",
    ]);
    for (const { notComparable } of results.comparisons.filter(({ phase }) => phase === "steady")) {
      expect(notComparable?.join()).toContain("the machine was disturbed (peak of arithmetic");
    }
  });

  it("of a machine that was slow at its start alone has the peaks of its end", async () => {
    const results = await between([point], [{ ...point, readGBps: 15 }]);
    expect(results.environment?.disturbances).toBeUndefined();
    expect(results.machine.roofline).toMatchObject([{ fmaGflops: 100, readGBps: 15 }]);
  });
});
