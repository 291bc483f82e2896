import { InternalError, UserError } from "@quern/core";
import { describe, expect, it } from "vitest";
import { renderHtml } from "../report/html.ts";
import { renderMarkdown } from "../report/markdown.ts";
import { renderTerminal } from "../report/terminal.ts";
import { sampleResults } from "../results/sample-results.ts";
import type { Results, RooflinePoint } from "../results/schema.ts";
import { DEFAULT_SETTINGS } from "./bench.ts";
import { ComparisonRun } from "./comparison.ts";
import { withoutTimes } from "./withheld.ts";

const point: RooflinePoint = { threads: 1, fmaGflops: 100, matrixGflops: null, readGBps: 10 };

type Peaks = RooflinePoint[] | Error;

/** Results of a run whose machine had these peaks before and after; an error: they could not be measured. */
async function between(before: Peaks, after: Peaks, again = after): Promise<Results> {
  const measured = [before, after, after, again, again];
  const measureRoofline = async (): Promise<RooflinePoint[]> => {
    const points = measured.shift() ?? [];
    if (points instanceof Error) throw points;
    return points;
  };
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

  it("has no ratio of a time that is withheld", () => {
    const { machine, engines, results, comparisons, skipped } = sampleResults();
    const compared = (phase: string, engine: string): string[] => {
      const rows = results.map((row) =>
        row.phase === phase && row.engine === engine ? withoutTimes({ ...row, verified: false }) : row,
      );
      const run = new ComparisonRun("engines", DEFAULT_SETTINGS);
      return run.results({ machine, engines, results: rows, comparisons, skipped }).comparisons.map((row) => row.phase);
    };
    expect(compared("steady", "nobody")).toEqual(["steady", "compile"]);
    expect(compared("steady", "quern")).toEqual(["compile"]);
    expect(compared("steady", "onnxruntime")).toEqual(["compile"]);
  });

  describe("without peaks", () => {
    const late = new UserError("the calibration gave no answer within 24 s", { hint: "never mind" });

    it("goes on, and says so in its file and its reports", async () => {
      const results = await between(late, [point]);
      const note = "the machine's peaks could not be measured (the calibration gave no answer within 24 s)";
      expect(results.machine).toMatchObject({ roofline: [], rooflineNote: note });
      expect(results.results.length).toBeGreaterThan(0);
      expect(renderTerminal(results)).toContain(note);
      for (const report of [renderMarkdown(results), renderHtml(results)])
        expect(report).toContain("the calibration gave no answer within 24 s");
    });

    it("at its end says that nobody knows whether it was slower then, and makes no claims", async () => {
      const results = await between([point], late);
      expect(results.machine.roofline).toEqual([expect.objectContaining({ fmaGflops: 100 })]);
      expect(results.machine.rooflineNote).toContain("could not be measured again (the calibration gave no answer");
      expect(results.environment?.disturbances).toEqual([results.machine.rooflineNote]);
      expect(results.comparisons[0]?.notComparable?.join()).toContain("the machine was disturbed (whether the machine");
    });

    it("that were not asked for, or were measured, says nothing", async () => {
      expect((await between([], [])).machine.rooflineNote).toBeUndefined();
      expect((await between([point], [point])).machine.rooflineNote).toBeUndefined();
    });

    it("through a defect does not go on", async () => {
      await expect(between(new InternalError("lost"), [point])).rejects.toThrow("lost");
    });
  });
});
