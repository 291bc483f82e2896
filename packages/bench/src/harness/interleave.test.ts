import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { gemmWorkload } from "../cases/gemm.ts";
import { EngineFailure, EngineProcess } from "./engine-process.ts";
import { measureGroup, roundCount, type Arm } from "./interleave.ts";
import { rowsOfArm, compareArms } from "./rows.ts";

const directory = mkdtempSync(join(tmpdir(), "quern-interleave-"));
afterAll(() => rmSync(directory, { recursive: true }));

const settings = { seed: 3, secondsPerEngine: 0.05, processes: 2, sliceMs: 5, timeoutMs: 30_000 };
const workload = gemmWorkload({ m: 32, k: 48, n: 64, weights: "constant" }, settings.seed, directory);
const arm: Arm = { engine: "onnxruntime", precision: "highest", threads: 1 };

describe("measureGroup", () => {
  it("gives every arm as many slices, checks outputs of timed calls, and compares", async () => {
    const outcomes = await measureGroup(workload, [arm, { ...arm }], settings, () => {});
    expect(outcomes.map((outcome) => outcome.failure)).toEqual([undefined, undefined]);
    const counts = outcomes.map(({ runs }) => runs.map((run) => run.slicesMs.length));
    expect(counts[0]).toEqual(counts[1]);
    expect(counts[0]?.every((count) => count >= 5)).toBe(true);
    for (const run of outcomes.flatMap(({ runs }) => runs)) {
      expect(run.prepared.verification?.ok).toBe(true);
      expect(run.finished?.checks.length).toBeGreaterThan(0);
      expect(run.finished?.checks.every((check) => check.ok)).toBe(true);
      expect(run.prepared.peakBytes).toBeGreaterThan(0);
    }
    const rows = rowsOfArm(workload, outcomes[0] as NonNullable<(typeof outcomes)[0]>, undefined);
    expect(rows.map((row) => row.phase)).toEqual(["steady", "load", "compile", "first-run", "memory"]);
    expect(rows[0]?.gflops).toBeGreaterThan(0);
    // The same engine twice: whatever the machine does, neither is thrice as fast.
    const steady = compareArms(workload, outcomes, "onnxruntime").find((row) => row.phase === "steady");
    expect(steady?.ratio).toBeGreaterThan(1 / 3);
    expect(steady?.ratio).toBeLessThan(3);
  });

  it("compiles again in another process where the engine keeps kernels", async () => {
    const quern: Arm = { ...arm, engine: "quern" };
    const [outcome] = await measureGroup(workload, [quern], { ...settings, processes: 1 }, () => {});
    expect(outcome?.failure).toBeUndefined();
    const rows = rowsOfArm(workload, outcome as NonNullable<typeof outcome>, undefined);
    const ms = (phase: string): number => rows.find((row) => row.phase === phase)?.median ?? NaN;
    expect(ms("compile-cached")).toBeGreaterThan(0);
  });

  it("more GFLOP/s than the measured peak is an error", async () => {
    const [outcome] = await measureGroup(workload, [arm], { ...settings, processes: 1 }, () => {});
    const [steady] = rowsOfArm(workload, outcome as NonNullable<typeof outcome>, {
      point: { threads: 1, fmaGflops: 1e-6, matrixGflops: null, readGBps: null },
      single: undefined,
      caches: [],
    });
    expect(steady?.verified).toBe(false);
    expect(steady?.note).toContain("impossible");
  });

  it("an engine that fails leaves the other one measured", async () => {
    const spoiled = { ...workload, modelPath: join(directory, "spoiled.onnx") };
    writeFileSync(spoiled.modelPath, "not a model");
    const [failed] = await measureGroup(spoiled, [arm], { ...settings, processes: 1 }, () => {});
    expect(failed?.failure?.reason).toBeTruthy();
    expect(failed?.runs).toEqual([]);

    const outcomes = await measureGroup(
      workload,
      [{ ...arm, engine: "no-such-engine" }, arm],
      { ...settings, processes: 1 },
      () => {},
    );
    expect(outcomes[0]?.failure?.reason).toContain('no engine "no-such-engine"');
    expect(outcomes[1]?.runs.length).toBe(1);
  });
});

describe("a process that fails after it was timed", () => {
  const ask = EngineProcess.prototype.ask;
  let finishes = 0;

  afterEach(() => {
    vi.restoreAllMocks();
    finishes = 0;
  });

  it("leaves no times, since nobody knows what its timed calls computed", async () => {
    vi.spyOn(EngineProcess.prototype, "ask").mockImplementation(async function (this: EngineProcess, request, ms) {
      if (request.kind === "finish" && ++finishes === 2) throw new EngineFailure("it crashed", false);
      return await ask.call(this, request, ms);
    } as typeof ask);
    const [outcome] = await measureGroup(workload, [arm], { ...settings, processes: 3 }, () => {});
    expect(outcome?.runs.map(({ finished }) => finished?.checks.every(({ ok }) => ok))).toEqual([true]);
    expect(outcome?.failure).toEqual({ reason: "it crashed", unsupported: false });
  });

  it("keeps what was found before, as where its launches cannot be timed", async () => {
    vi.spyOn(EngineProcess.prototype, "ask").mockImplementation(async function (this: EngineProcess, request, ms) {
      const response = await ask.call(this, request, ms);
      if (response.kind !== "finish") return response;
      return { ...response, finished: { ...response.finished, failure: "no profile" } };
    } as typeof ask);
    const [outcome] = await measureGroup(workload, [arm], { ...settings, processes: 1 }, () => {});
    expect(outcome?.runs[0]?.finished?.checks.length).toBeGreaterThan(0);
    expect(outcome?.failure).toEqual({ reason: "no profile", unsupported: false });
  });
});

describe("the number of rounds", () => {
  const asked = { secondsPerEngine: 1, processes: 4, sliceMs: 5 };

  it("fills the time that was asked for, however long", () => {
    expect(roundCount([1, 1], asked)).toBe(50);
    expect(roundCount([1, 20], asked)).toBe(20);
    expect(roundCount([1], { ...asked, secondsPerEngine: 3600 })).toBe(180_000);
  });

  it("is never too small to say anything", () => {
    expect(roundCount([400, 400], { ...asked, secondsPerEngine: 0.01 })).toBe(5);
    expect(roundCount([4000], { ...asked, secondsPerEngine: 0.01 })).toBe(2);
  });
});

describe("a repeat that cannot begin", () => {
  it("leaves what the repeats before it gave", async () => {
    try {
      const [outcome] = await measureGroup(workload, [arm], settings, (text, share) => {
        // From the second repeat on there is no place for files.
        if (text.startsWith("round") && share < 0.5) vi.stubEnv("TMPDIR", join(directory, "nowhere"));
      });
      expect(outcome?.runs).toHaveLength(1);
      expect(outcome?.failure).toMatchObject({ unsupported: false, reason: expect.stringContaining("Set TMPDIR") });
    } finally {
      vi.unstubAllEnvs();
    }
  });
});

describe("EngineProcess", () => {
  it("says how a process died", async () => {
    const process = new EngineProcess("victim");
    const answer = process.ask({ kind: "slice", keep: false }, 10_000);
    await expect(answer).rejects.toThrow("before it was prepared");
    process.kill();
    await expect(process.ask({ kind: "finish" }, 1000)).rejects.toThrow("the process of victim was ended");
  });

  it("gives up on an engine that does not answer", async () => {
    const process = new EngineProcess("sleeper");
    process.pause();
    await expect(process.ask({ kind: "finish" }, 300)).rejects.toThrow("gave no answer within");
  });
});
