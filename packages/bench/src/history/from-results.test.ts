/** What of a result file goes into the history. */

import { describe, expect, it } from "vitest";
import { sampleGate } from "../results/sample-gate.ts";
import { sampleResults } from "../results/sample-results.ts";
import type { Results } from "../results/schema.ts";
import { acceptValue } from "../results/validate.ts";
import { median } from "../statistics/basics.ts";
import { DisturbedResults, recordsOf } from "./from-results.ts";
import { recordSchema } from "./record.ts";

/** The sample without the fact that changed during its run. */
function gate(change: Partial<Results> = {}): Results {
  const results = sampleGate();
  return { ...results, environment: { ...results.environment!, changed: [] }, ...change };
}

describe("of a run that compares two builds", () => {
  it("one record for each bench that was measured", () => {
    const { records, skipped } = recordsOf(gate(), "r.json");
    expect(records.map(({ bench }) => bench)).toEqual(["parse/small", "sort/1e4", "sort/1e5", "hash <b>&", "gemm/256"]);
    expect(skipped).toEqual([
      "noop: INVALID, timer-bound",
      expect.stringContaining("render/page: ERROR, the worker of head"),
    ]);
    for (const record of records) expect(acceptValue(recordSchema, record)).toEqual(record);
  });

  it("times of the head, of all stages, one number for each process; and what was beside them", () => {
    const results = gate();
    const bench = results.benches!.find(({ id }) => id === "sort/1e4")!;
    const pairs = bench.stages.flatMap((stage) => stage.pairs);
    const [record] = recordsOf(results, "r.json").records.filter(({ bench: id }) => id === "sort/1e4");
    expect(record).toMatchObject({
      run: "0123456789abcdef",
      at: "2026-11-23T12:00:00.000Z",
      kind: "gate",
      class: "example-2",
      params: { n: 10_000 },
      unit: "ns",
      value: median(pairs.map(({ head }) => median(head))),
      samples: pairs.length,
      dirty: true,
      source: ".",
      base: { commit: "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d", ratio: 1.083 },
      verdict: "REGRESSED",
    });
    const control = results.environment!.controls[0]!.stages[0]!.pairs;
    expect(record!.controls).toEqual({ "ctl.fma": median(control.map(({ head }) => median(head))) });
    expect(recordsOf(results, "r.json").records.find(({ bench: id }) => id === "gemm/256")!.accepted).toBe(
      "Bench-Accept: gemm/256 +5% exact rounding",
    );
  });

  it("a disturbed machine has no place in the history", () => {
    expect(() => recordsOf(sampleGate(), "r.json")).toThrow(
      /the machine was disturbed, governor changed[^]*at r\.json/,
    );
    const { environment } = gate();
    const moved = { ...environment!, controls: environment!.controls.map((control) => ({ ...control, moved: true })) };
    expect(() => recordsOf(gate({ environment: moved }), "r.json")).toThrow("the machine was disturbed, ctl.fma moved");
    const slower = { ...environment!, disturbances: ["the machine was 20 % slower at the end than at the start"] };
    expect(() => recordsOf(gate({ environment: slower }), "r.json")).toThrow(DisturbedResults);
    expect(new DisturbedResults("x").exitCode).toBe(3);
  });

  it("neither has a run that was interrupted, nor one in which nothing was measured", () => {
    const { run } = gate();
    expect(() => recordsOf(gate({ run: { ...run!, aborted: true } }), "r.json")).toThrow("the run was interrupted");
    expect(() => recordsOf(gate({ benches: [] }), "r.json")).toThrow("nothing in the results has a place");
  });

  it("a commit that is given counts where the results have none", () => {
    const made = "2026-11-22T10:00:00.000Z";
    const { records } = recordsOf(gate(), "r.json", { commit: "abc1234", committedAt: () => made });
    expect(records[0]).toMatchObject({ commit: "abc1234", committedAt: made });
    const clean = gate().arms!.map((arm) => ({ ...arm, commit: "def5678" }));
    expect(recordsOf(gate({ arms: clean }), "r.json", { commit: "abc1234" }).records[0]!.commit).toBe("def5678");
  });
});

describe("of engines", () => {
  it("one record for each row whose outputs were right", () => {
    const results = sampleResults();
    const { records, skipped } = recordsOf(results, "r.json");
    expect(records[0]).toMatchObject({
      kind: "engines",
      class: "0123456789ab",
      bench: "gemm/64x64x64",
      params: { engine: "quern", phase: "steady", threads: 1, precision: "highest" },
      unit: "ns",
      value: 0.011e6,
      low: 0.01e6,
      controls: {},
    });
    const wrong = results.results.filter(({ verified }) => verified === false).length;
    const timeless = results.results.filter(
      ({ verified, median: value }) => verified !== false && !(value! > 0),
    ).length;
    expect(records.length + wrong + timeless).toBe(results.results.length);
    expect(skipped.length).toBe(wrong + timeless);
    for (const record of records) expect(acceptValue(recordSchema, record)).toEqual(record);
  });

  it("the same file is the same run, another is not", () => {
    const run = (results: Results): string => recordsOf(results, "r.json").records[0]!.run;
    expect(run(sampleResults())).toBe(run(sampleResults()));
    expect(run({ ...sampleResults(), createdAt: "2026-11-24T12:00:00.000Z" })).not.toBe(run(sampleResults()));
  });
});
