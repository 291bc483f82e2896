import { describe, expect, it } from "vitest";
import { sampleGate } from "../results/sample-gate.ts";
import { sampleResults } from "../results/sample-results.ts";
import type { BenchRecord, Results, Skipped } from "../results/schema.ts";
import { renderBadge } from "./badge.ts";
import { claimable } from "./claimable.test-support.ts";

function badge(results: Results): { readonly message: string; readonly color: string } {
  const { message, color } = JSON.parse(renderBadge(results)) as { message: string; color: string };
  return { message, color };
}

/** All benches unchanged. */
function calm(changes: Partial<Results> = {}): Results {
  const gate = sampleGate();
  const benches = gate.benches!.map((bench): BenchRecord => ({ ...bench, verdict: "EQUIVALENT" }));
  return { ...gate, benches, summary: { verdict: "EQUIVALENT", exitCode: 0, geomean: 1 }, ...changes };
}

/** Engines without a row that is wrong. */
function right(results: Results): Results {
  return { ...results, results: results.results.filter(({ verified }) => verified !== false) };
}

const FAILED: Skipped = {
  case: "model/other",
  engine: "quern",
  threads: 1,
  precision: "highest",
  reason: "the process ended with signal SIGSEGV",
  failed: true,
};

describe("the badge of a gate run", () => {
  it("counts verdicts, in the colour of the gravest", () => {
    expect(badge(calm())).toEqual({ message: "7 unchanged", color: "brightgreen" });
    expect(badge(sampleGate())).toMatchObject({ color: "red" });
    expect(badge(calm({ benches: [] }))).toEqual({ message: "not measured", color: "lightgrey" });
  });

  it("is grey where it was interrupted, whatever was found until then", () => {
    const run = { ...sampleGate().run!, aborted: true };
    const summary = { verdict: "INCONCLUSIVE", exitCode: 130, geomean: 1 };
    expect(badge(calm({ run, summary }))).toEqual({ message: "interrupted", color: "lightgrey" });
  });

  it("is not green where not all was compared, or the run did not pass", () => {
    expect(badge(calm({ skipped: [FAILED] }))).toEqual({ message: "7 unchanged, 1 not compared", color: "yellow" });
    expect(badge(calm({ skipped: [{ ...FAILED, failed: false }] })).color).toBe("brightgreen");
    expect(badge(calm({ summary: { verdict: "INCONCLUSIVE", exitCode: 6, geomean: 1 } })).color).toBe("yellow");
  });
});

describe("the badge of engines", () => {
  it("is their ratio where comparisons are claims", () => {
    expect(badge(right(claimable()))).toEqual({ message: "quern against onnxruntime: 2.00×", color: "brightgreen" });
  });

  it("is no mean of what has none: a prompt and a token, one thread and two", () => {
    const results = right(claimable());
    const [claim] = results.comparisons;
    const other = results.results.map((row) => ({ ...row, threads: 2 }));
    const two = {
      ...results,
      results: [...results.results, ...other],
      comparisons: [claim!, { ...claim!, threads: 2 }],
    };
    expect(badge(two)).toEqual({ message: "1 case", color: "blue" });
    const named = (name: string): Pick<Results, "results" | "comparisons"> => ({
      results: results.results.map((row) => ({ ...row, case: name })),
      comparisons: [{ ...claim!, case: name }],
    });
    const tests = [named("llm/small/pp512"), named("llm/small/tg64")];
    const models = {
      ...results,
      results: tests.flatMap((test) => test.results),
      comparisons: tests.flatMap((test) => test.comparisons),
    };
    expect(badge(models)).toEqual({ message: "2 cases", color: "blue" });
  });

  it("takes no ratio for a claim of which the file does not say so", () => {
    const results = right(sampleResults());
    expect(results.comparisons[0]?.notComparable).toBeUndefined();
    expect(badge(results)).toEqual({ message: "1 case", color: "blue" });
  });

  it("is red where outputs are wrong or an engine failed, beside any claim", () => {
    expect(badge(claimable())).toEqual({ message: "1 wrong", color: "red" });
    expect(badge({ ...right(claimable()), skipped: [FAILED] })).toEqual({ message: "1 failed", color: "red" });
    expect(badge({ ...claimable(), skipped: [FAILED, FAILED] })).toEqual({
      message: "1 wrong, 2 failed",
      color: "red",
    });
  });

  it("is grey where the run was interrupted", () => {
    const run = { ...sampleGate().run!, kind: "engines", aborted: true } as const;
    expect(badge({ ...claimable(), run })).toEqual({ message: "interrupted", color: "lightgrey" });
  });
});
