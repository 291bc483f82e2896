import { describe, expect, it } from "vitest";
import type { Workload } from "../cases/workload.ts";
import type { Result, RooflinePoint } from "../results/schema.ts";
import type { Arm, ArmOutcome } from "./interleave.ts";
import type { Peaks } from "./impossible.ts";
import { rowsOfArm, withKnownFlops } from "./rows.ts";

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
  /** null: not counted */
  readonly busyThreads?: number | null;
  /** Of a call */
  readonly ms?: number;
  readonly dequantised?: boolean;
}

function outcome({ flops = null, busyThreads = 1, ms = 1, dequantised = false, ...arm }: Changes = {}): ArmOutcome {
  const prepared = {
    loadMs: 1,
    compileMs: 1,
    firstRunMs: 1,
    peakBytes: null,
    callMs: ms,
    busyThreads,
    verification: { ok: true, maxError: 0, rmsError: 0, tolerance: 1, oracle: "o" },
    facts: { device: "cpu:avx2", plannedPeakBytes: null, flops, dequantised },
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
    const row = steady(of, outcome());
    expect(row).toMatchObject({ verified: false, note: expect.stringContaining("impossible: 150") });
    expect(row).toMatchObject({ samples: [], median: null, gflops: null, peakShare: null });
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

describe("a model that multiplies dequantised integers", () => {
  /** Its products as an engine counts them that computes with floats, beside one that multiplies the integers in 1 ms. */
  const rows = (flops: number, dequantised: boolean): (boolean | number | null | undefined)[][] => {
    const outcomes = [outcome({ flops, dequantised, ms: 10 }), outcome({ engine: "onnxruntime" })];
    const known = withKnownFlops(workload, outcomes);
    return outcomes.map((one) => steady(known, one)).map(({ verified, peakShare }) => [verified, peakShare]);
  };

  it("is bounded by the peak of bytes, for every engine", () => {
    expect(rows(200e6, true)).toEqual([
      [true, 0.05],
      [true, 0.5],
    ]);
    expect(rows(450e6, true)[1]).toEqual([false, null]);
  });

  it("is no other model: floats are not multiplied at twice their peak", () => {
    expect(rows(200e6, false)).toEqual([
      [true, 0.2],
      [false, null],
    ]);
  });
});

describe("threads above the budget", () => {
  it("are in every row, the note on them in that of warm calls", () => {
    const rows = rowsOfArm(workload, outcome({ busyThreads: 2 }), undefined);
    expect(rows.map(({ phase, busyThreads, note }) => [phase, busyThreads, note])).toEqual([
      ["steady", 2, "used 2 threads, 1 was allowed"],
      ["load", 2, undefined],
      ["compile", 2, undefined],
      ["first-run", 2, undefined],
    ]);
    const uncounted = rowsOfArm(workload, outcome({ busyThreads: null }), undefined);
    expect(uncounted.every((row) => !("busyThreads" in row))).toBe(true);
  });
});

describe("a wrong output", () => {
  it("of a timed call, in whichever process, leaves one row that says so, and no time", () => {
    const of = { ...workload, flops: 50e6 };
    const { arm, runs } = outcome();
    const [run] = runs;
    const right = { ok: true, maxError: 0, rmsError: 0, tolerance: 1, oracle: "o" };
    const wrong = { ...right, ok: false, maxError: 2, message: "y[3] = 1, expected 2" };
    const ended = (checks: (typeof wrong | typeof right)[]): NonNullable<typeof run> => ({
      ...(run as NonNullable<typeof run>),
      finished: { checks, profile: [{ name: "matmul", ms: 1 }] },
    });
    expect(rowsOfArm(of, { arm, runs: [ended([right]), ended([right])] }, peaks).length).toBeGreaterThan(3);
    const [row, ...others] = rowsOfArm(of, { arm, runs: [ended([right]), ended([right, wrong])] }, peaks);
    expect(others).toEqual([]);
    expect(row).toMatchObject({ phase: "steady", verified: false, maxError: 2, note: "y[3] = 1, expected 2" });
    expect(row).toMatchObject({ samples: [], processes: [0, 0], calls: 0, median: null, low: null, high: null });
    expect(row).toMatchObject({ gflops: null, gbps: null, peakShare: null });
    expect(row?.profile).toBeUndefined();
  });
});

describe("a bandwidth above the peak", () => {
  const MIB = 2 ** 20;
  const known: Peaks = {
    point: { ...point, l2ReadGBps: 120 },
    single: { ...point, l2ReadGBps: 120 },
    caches: [
      { level: 1, type: "data", bytes: 32 * 1024 },
      { level: 2, type: "unified", bytes: MIB },
      { level: 3, type: "unified", bytes: 36 * MIB },
    ],
  };
  /** Moves `bytes` with inputs that make up half of them. */
  const moving = (bytes: number, changes: Partial<Workload> = {}): Workload => ({
    ...workload,
    bytes,
    inputs: [{ name: "x", dtype: "f32", shape: [bytes / 8], fill: { kind: "normal", scale: 1 } }],
    ...changes,
  });
  const verifiedAt = (gbps: number, of: Workload, changes: Changes = {}): boolean | null =>
    steady(of, outcome({ ms: (of.bytes as number) / gbps / 1e6, ...changes }), known).verified;

  it("is impossible, though no arithmetic is known", () => {
    const large = moving(400 * MIB);
    const row = steady(large, outcome({ ms: (400 * MIB) / 100e6 }), known);
    expect(row).toMatchObject({ verified: false, note: expect.stringContaining("impossible: 100.0 GB/s is above") });
    expect(verifiedAt(10, large)).toBe(true);
  });

  it("is that of the caches where these hold the data", () => {
    expect(verifiedAt(100, moving(MIB / 2))).toBe(true);
    expect(verifiedAt(300, moving(MIB / 2))).toBe(false);
    expect(verifiedAt(100, moving(16 * MIB))).toBe(true);
    // Eight sets of inputs are more than the caches, one for all calls of a slice is not.
    expect(verifiedAt(100, moving(32 * MIB, { sets: 8 }))).toBe(false);
    expect(verifiedAt(100, moving(32 * MIB, { sets: 8, cache: "warm" }))).toBe(true);
  });

  it("counts half where matrices may be kept in 16 bits", () => {
    const large = moving(4000 * MIB);
    expect(verifiedAt(15, large)).toBe(false);
    expect(verifiedAt(15, large, { precision: "medium" })).toBe(true);
    expect(verifiedAt(25, large, { precision: "medium" })).toBe(false);
  });

  it("does not bound default settings whose threads were not counted", () => {
    const large = moving(400 * MIB);
    expect(verifiedAt(100, large, { engine: "quern-defaults" })).toBe(false);
    expect(verifiedAt(100, large, { engine: "quern-defaults", busyThreads: null })).toBe(true);
  });
});
