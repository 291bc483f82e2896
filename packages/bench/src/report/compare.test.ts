/** Two result files beside each other: no row that is in both is left out, and each says what its times are worth. */

import { describe, expect, it } from "vitest";
import { withoutTimes } from "../harness/withheld.ts";
import { IMPOSSIBLE } from "../results/notes.ts";
import { sampleGate } from "../results/sample-gate.ts";
import { sampleResults } from "../results/sample-results.ts";
import { sampleServing } from "../results/sample-serving.ts";
import type { BenchRecord, Result, Results, Verdict } from "../results/schema.ts";
import { compareResults } from "./compare.ts";

const NOTHING = "no row is in both files";

/** One row of an engine, as measured or with changes. */
function oneRow(changes: Partial<Result> = {}): Results {
  const sample = sampleResults();
  return { ...sample, results: sample.results.slice(0, 1).map((row) => ({ ...row, ...changes })) };
}

function withheld(changes: Partial<Result> = {}): Results {
  const results = oneRow({ verified: false, ...changes });
  return { ...results, results: results.results.map((row) => withoutTimes(row)) };
}

describe("rows of engines", () => {
  it("one whose outputs became wrong is shown, and the file where they are", () => {
    const text = compareResults(oneRow(), withheld());
    expect(text).toMatch(
      /\ngemm\/64x64x64 +steady, quern \(highest, 1 threads\) +11\.0 µs +– +– +outputs are wrong \(B\)\n/,
    );
    expect(text).not.toContain(NOTHING);
    expect(text).not.toContain("in one file only");
    expect(compareResults(withheld(), oneRow())).toMatch(/ – +11\.0 µs +– +outputs are wrong \(A\)\n/);
    expect(compareResults(withheld(), withheld())).toMatch(/ – +– +– +outputs are wrong \(A, B\)\n/);
  });

  it("wrong outputs with times, as of benches of one's own, have no ratio", () => {
    expect(compareResults(oneRow(), oneRow({ verified: false }))).toMatch(
      / 11\.0 µs +11\.0 µs +– +outputs are wrong \(B\)\n/,
    );
  });

  it("a rate that cannot be, no time, and no memory are said too", () => {
    expect(compareResults(withheld({ note: `${IMPOSSIBLE}900 GB/s` }), oneRow())).toMatch(
      / – +11\.0 µs +– +rates are impossible \(A\)\n/,
    );
    expect(compareResults(oneRow({ median: null }), oneRow())).toMatch(/ – +11\.0 µs +– +no times \(A\)\n/);
    const none = oneRow({ phase: "memory", unit: "bytes", median: 0 });
    expect(compareResults(none, none)).toMatch(/memory, quern .* 0 B +0 B +–\n/);
  });

  it("other differences follow", () => {
    const b = withheld({ dtype: "f16" });
    expect(compareResults(oneRow(), b)).toContain("outputs are wrong (B); dtypes differ: f32 and f16\n");
  });
});

describe("benches of gate runs", () => {
  const example = sampleGate().benches?.[0] as BenchRecord;
  const gate = (...benches: Partial<BenchRecord>[]): Results => ({
    ...sampleGate(),
    benches: benches.map((changes) => ({ ...example, id: "x", params: {}, ...changes })),
  });
  const verdict = (given: Verdict): Results => gate({ verdict: given });

  it("say where a verdict makes their times worth nothing", () => {
    expect(compareResults(verdict("EQUIVALENT"), verdict("ERROR"))).toMatch(/\nx +head .* µs +– +ERROR \(B\)\n/);
    expect(compareResults(verdict("INVALID"), verdict("INVALID"))).toMatch(/ 1\.000× +INVALID \(A, B\)\n/);
    expect(compareResults(verdict("REGRESSED"), verdict("EQUIVALENT"))).toMatch(/ 1\.000×\n/);
  });

  it("without samples are shown too", () => {
    const failed = gate({ verdict: "ERROR", stages: [] });
    const text = compareResults(failed, failed);
    expect(text).toMatch(/\nx +head +– +– +– +ERROR \(A, B\)\n/);
    expect(text).not.toContain(NOTHING);
    expect(compareResults(verdict("EQUIVALENT"), gate({ stages: [] }))).toMatch(/ µs +– +– +no times \(B\)\n/);
  });

  it("of one name are one row, at the median of their times", () => {
    const text = compareResults(gate({}, {}), gate({}));
    expect(text.match(/\nx +head/g)).toHaveLength(1);
    expect(text).toContain(" 1.000×\n");
  });
});

describe("load tests", () => {
  it("are not compared, which is said", () => {
    const text = compareResults(sampleServing(), sampleServing());
    expect(text).toContain("load tests are not compared");
    expect(text).not.toContain(NOTHING);
    expect(compareResults(sampleServing(), oneRow())).toContain(NOTHING);
    expect(compareResults(oneRow(), oneRow())).not.toContain("load tests");
  });
});
