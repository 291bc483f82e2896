import { describe, expect, it } from "vitest";
import { findComparison, findRow, findRowOfWeights } from "./find-rows.ts";
import { sampleResults } from "./sample-results.ts";
import type { Comparison, Result } from "./schema.ts";

const sample = sampleResults();
const row = sample.results[0] as Result;
const comparison = sample.comparisons[0] as Comparison;

describe("rows of a file", () => {
  const quantised: Result = { ...row, weights: "Q4_K" };
  const results = [quantised, row, { ...row, median: 1 }, { ...row, threads: 2 }];

  it("the first one of a phase and an arm is found, by its weights or whatever they are", () => {
    expect(findRow({ results }, "steady", row)).toBe(quantised);
    expect(findRowOfWeights({ results }, "steady", row, "Q4_K")).toBe(quantised);
    expect(findRowOfWeights({ results }, "steady", row, undefined)).toBe(row);
    expect(findRow({ results }, "steady", { ...row, threads: 2 })).toBe(results[3]);
  });

  it("none is found where anything differs", () => {
    for (const other of [{ case: "x" }, { threads: 3 }, { engine: "x" }, { precision: "high" as const }]) {
      expect(findRow({ results }, "steady", { ...row, ...other })).toBeUndefined();
    }
    expect(findRow({ results }, "load", row)).toBeUndefined();
    expect(findRowOfWeights({ results }, "steady", row, "Q8_0")).toBeUndefined();
    // Parts of a key are no text that another split would make too.
    expect(findRow({ results: [{ ...row, case: 'a","steady' }] }, "steady", { ...row, case: "a" })).toBeUndefined();
  });

  it("those of another list are not those of this one", () => {
    expect(findRow({ results }, "steady", row)).toBe(quantised);
    expect(findRow({ results: [row] }, "steady", row)).toBe(row);
  });
});

describe("comparisons of a file", () => {
  it("are found by the engine's row, in its phase or another one", () => {
    expect(findComparison(sample, row)).toBe(comparison);
    expect(findComparison(sample, row, "compile")).toBe(sample.comparisons[1]);
    expect(findComparison(sample, { ...row, engine: "onnxruntime" })).toBeUndefined();
  });
});
