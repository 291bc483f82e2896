import { describe, expect, it } from "vitest";
import type { Workload } from "../cases/workload.ts";
import type { Result, RooflinePoint } from "../results/schema.ts";
import type { Arm, ArmOutcome } from "./interleave.ts";
import { rowsOfArm, withKnownFlops, type Peaks } from "./rows.ts";

const workload: Workload = {
  id: "model/m",
  kind: "model",
  dtype: "f32",
  shape: "1",
  modelPath: "m.onnx",
  inputs: [],
  sets: 1,
  check: { kind: "files", directory: ".", oracle: "o" },
  flops: null,
  bytes: null,
};

/** One thread reaches 100 GFLOP/s of floats and 400 Gop/s of bytes. */
const point: RooflinePoint = { threads: 1, fmaGflops: 100, matrixGflops: null, byteGops: 400, readGBps: 10 };
const peaks: Peaks = { point, single: point, caches: [] };

interface Changes extends Partial<Arm> {
  readonly flops?: number | null;
  readonly busyThreads?: number;
  /** Of a call */
  readonly ms?: number;
}

function outcome({ flops = null, busyThreads = 1, ms = 1, ...arm }: Changes = {}): ArmOutcome {
  const prepared = {
    loadMs: 1,
    compileMs: 1,
    firstRunMs: 1,
    peakBytes: null,
    callMs: ms,
    busyThreads,
    verification: { ok: true, maxError: 0, rmsError: 0, tolerance: 1, oracle: "o" },
    facts: { device: "cpu:avx2", plannedPeakBytes: null, flops },
  };
  const run = { prepared, recompileMs: undefined, slicesMs: [ms, ms, ms, ms, ms], calls: 5, finished: null };
  return { arm: { engine: "quern", precision: "highest", threads: 1, ...arm }, runs: [run] };
}

function steady(of: Workload, given: ArmOutcome, against: Peaks | "unknown" = peaks): Result {
  return rowsOfArm(of, given, against === "unknown" ? undefined : against).find(
    ({ phase }) => phase === "steady",
  ) as Result;
}

describe("the roofline of a model", () => {
  const outcomes = [outcome({ flops: 50e6 }), outcome({ engine: "onnxruntime", ms: 2 })];

  it("is that of the products that one engine counts, for all engines", () => {
    const known = withKnownFlops(workload, outcomes);
    const rows = outcomes.map((one) => steady(known, one));
    expect(rows.map(({ engine, gflops, peakShare, verified }) => [engine, gflops, peakShare, verified])).toEqual([
      ["quern", 50, 0.5, true],
      ["onnxruntime", 25, 0.25, true],
    ]);
  });

  it("is that of the fewest, and none where nobody counts", () => {
    expect(withKnownFlops(workload, [...outcomes, outcome({ flops: 40e6 })]).flops).toBe(40e6);
    expect(withKnownFlops(workload, outcomes.slice(1))).toBe(workload);
    expect(withKnownFlops({ ...workload, flops: 7 }, outcomes).flops).toBe(7);
    expect(steady(workload, outcome()).peakShare).toBeNull();
  });
});

describe("a rate above the peak", () => {
  const of = { ...workload, flops: 150e6 };

  it("is impossible, and no result", () => {
    expect(steady(of, outcome())).toMatchObject({ verified: false, note: expect.stringContaining("impossible: 150") });
    expect(steady(of, outcome(), "unknown")).toMatchObject({ verified: true, peakShare: null });
  });

  it("is possible with more threads than were asked for: then no peak bounds it", () => {
    const row = steady(of, outcome({ engine: "quern-defaults", busyThreads: 2 }));
    expect(row).toMatchObject({ verified: true, peakShare: null, gflops: 150 });
    expect(row.note).toContain("used 2 threads");
  });

  it("is possible on a device", () => {
    expect(steady(of, outcome({ engine: "quern-gpu" }))).toMatchObject({ verified: true, peakShare: null });
  });

  it("is possible with products of bytes, up to the peak of these", () => {
    expect(steady(of, outcome({ quantize: "Q8_0", precision: "medium" }))).toMatchObject({
      verified: true,
      peakShare: 0.375,
    });
    expect(steady({ ...of, flops: 450e6 }, outcome({ quantize: "Q8_0", precision: "medium" })).verified).toBe(false);
  });
});
