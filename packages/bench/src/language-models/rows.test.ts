import { describe, expect, it } from "vitest";
import { claimOf, claimText } from "../claims/claim.ts";
import { sampleResults } from "../results/sample-results.ts";
import type { Peaks } from "../harness/impossible.ts";
import type { Result, Results } from "../results/schema.ts";
import { agreementLines } from "../report/engine-facts.ts";
import { compareRows } from "./agreement.ts";
import { facts, step as test } from "./made-up-model.test-support.ts";
import type { LlmAgreement, LlmOutcome, LlmRun, TestRun } from "./measure.ts";
import type { ModelFacts } from "./model-facts.ts";
import type { Opened } from "./protocol.ts";
import { llmComparisons, llmRows, type LlmMeasured } from "./rows.ts";
import type { LlmTest } from "./tests.ts";

const row = Float32Array.of(1, 2, 3);

/** Of the first prompt and of the test. */
function agreed(against: string, of: readonly (LlmTest | undefined)[] = [undefined, test]): LlmAgreement[] {
  return of.map((one) => ({ ...compareRows([row], [row]), against, test: one }));
}

function run(stepMs: number, changes: Partial<LlmRun> = {}): LlmRun {
  const opened: Opened = { loadMs: 10, openMs: 100, firstTokenMs: 20, peakBytes: 1000, row, about: "cpu:avx512" };
  const slicesMs = [stepMs, stepMs, stepMs];
  return {
    opened,
    reopened: undefined,
    tests: new Map([[test, { slicesMs, calls: 30, busyThreads: 1 }]]),
    agreements: agreed("llama.cpp"),
    peakBytes: 1000,
    ...changes,
  };
}

/** Three processes of Quern, which keeps kernels, and of llama.cpp. */
function measured(quernMs: number, llamaMs: number, model: ModelFacts = facts): LlmMeasured {
  const opened: Opened = { ...run(1).opened, precisions: ["highest", "medium"] };
  const quern = (): LlmRun => run(quernMs, { opened, reopened: { ...opened, openMs: 30 } });
  const llama = (): LlmRun => run(llamaMs, { agreements: agreed("quern") });
  const outcomes: LlmOutcome[] = [
    { engine: "quern", runs: [quern(), quern(), quern()] },
    { engine: "llama.cpp", runs: [llama(), llama(), llama()] },
  ];
  const options = { threads: 1, contextLength: 256, sequences: 1, cache: "f16", precision: "medium" } as const;
  return { facts: model, options, tests: [test], outcomes };
}

const peaks: Peaks = {
  point: { threads: 1, fmaGflops: 100, matrixGflops: null, byteGops: 400, readGBps: 12, l2ReadGBps: 120 },
  single: undefined,
  caches: [
    { level: 1, type: "data", bytes: 32768 },
    { level: 2, type: "unified", bytes: 2 ** 20 },
    { level: 3, type: "unified", bytes: 32 * 2 ** 20 },
  ],
};

function rowsBy(of: LlmMeasured, against: Peaks | undefined = peaks): (what: string, phase?: string) => Result[] {
  const rows = llmRows(of, against);
  return (what, phase = "steady") => rows.filter((one) => one.case === `llm/m/${what}` && one.phase === phase);
}

/** What is said of the ratio of a case, with all other facts recorded. */
function claimFor(of: LlmMeasured, what: string, phase: string): string | undefined {
  const sample = sampleResults();
  const engines = ["quern", "llama.cpp"].map((name) => ({ ...sample.engines[0]!, name, version: "1" }));
  const more = { modelSha256: "a", inputsSha256: "b", cacheState: "warm", isa: "avx512" } as const;
  const results: Results = { ...sample, engines, results: llmRows(of, peaks).map((one) => ({ ...one, ...more })) };
  const comparison = llmComparisons(of).find((one) => one.case === `llm/m/${what}` && one.phase === phase);
  return claimText(claimOf(results, comparison!));
}

describe("rows of language models", () => {
  it("say of the first token which kernels it is with, and how many processes there were", () => {
    const [quern, llama] = rowsBy(measured(200, 300))("first-token");
    expect(quern).toMatchObject({ median: 50, keptKernels: true, processes: [1, 1, 1], busyThreads: 1 });
    expect(quern?.note).toContain("a later start, with the kernels that the first one has kept");
    expect(llama).toMatchObject({ median: 120, processes: [1, 1, 1] });
    expect(llama?.keptKernels).toBeUndefined();
    expect(llama?.note).toBeUndefined();
  });

  it("have the threads that were counted in every phase, so that none above the budget is a claim", () => {
    const of = measured(200, 300);
    const slicesMs = [200, 200, 200];
    for (const one of of.outcomes[0]?.runs ?? [])
      (one.tests as Map<LlmTest, TestRun>).set(test, { slicesMs, calls: 30, busyThreads: 2 });
    const rows = llmRows(of, undefined).filter(({ engine }) => engine === "quern");
    expect(rows.length).toBeGreaterThan(4);
    for (const { phase, busyThreads, note } of rows) {
      expect(busyThreads).toBe(2);
      expect(note).toBe(phase === "steady" ? "used 2 threads, 1 was allowed" : undefined);
    }
    expect(claimFor(of, "first-token", "compile")).toBe("not comparable because quern used 2 threads instead of 1");
  });

  it("claim no ratio of a later start to a first one", () => {
    const of = measured(200, 300);
    const kept = "only quern found kernels that an earlier process had kept";
    expect(claimFor(of, "first-token", "steady")).toBe(`not comparable because ${kept}`);
    expect(claimFor(of, "first-token", "compile-cached")).toBe(
      `not comparable because phases differ: compile-cached and compile; ${kept}`,
    );
    expect(claimFor(of, "first-token", "compile")).toBeUndefined();
    expect(claimFor(of, "tg8", "steady")).toBeUndefined();
  });

  it("compare opening with kept kernels of the engines that keep some, the baseline's as it is", () => {
    const of = measured(200, 300);
    const outcomes = [...of.outcomes, { engine: "llama.cpp-defaults", runs: [run(300), run(300), run(300)] }];
    const compared = (phase: string): string[][] =>
      llmComparisons({ ...of, outcomes })
        .filter((one) => one.phase === phase)
        .map(({ engine, baseline }) => [engine, baseline]);
    expect(compared("compile-cached")).toEqual([["quern", "llama.cpp"]]);
    expect(compared("compile")).toEqual([
      ["quern", "llama.cpp"],
      ["llama.cpp-defaults", "llama.cpp"],
    ]);
  });

  it("have the precision that llama.cpp chooses, which may be another than was asked for", () => {
    const [quern, llama] = rowsBy(measured(200, 300))("tg8");
    expect(quern).toMatchObject({ precision: "medium", precisions: ["highest", "medium"] });
    expect(llama).toMatchObject({ precision: "medium", chosenPrecision: true });
    const floats = measured(200, 300, { ...facts, floats: true });
    expect(rowsBy(floats)("tg8")[1]).toMatchObject({ precision: "highest", chosenPrecision: true });
    expect(claimFor(floats, "tg8", "steady")).toBe(
      "not comparable because precisions of products differ: medium and highest",
    );
  });

  it("report how many tokens are the same, and the cosine", () => {
    expect(rowsBy(measured(200, 300))("tg8")[0]).toMatchObject({ sameTokens: 6, checkedOutputs: 6, nmse: 0 });
    expect(rowsBy(measured(200, 300))("tg8")[0]?.cosine).toBeCloseTo(1, 12);
  });

  it("say whose logits they were compared with", () => {
    const [quern, llama] = rowsBy(measured(200, 300))("tg8");
    expect(quern).toMatchObject({ verified: true, oracle: "logits of the baseline" });
    expect(llama).toMatchObject({ verified: true, oracle: "logits of quern" });
  });

  it("are open where a process was compared with nothing", () => {
    const of = measured(200, 300);
    const [quern, llama] = of.outcomes as [LlmOutcome, LlmOutcome];
    const rowsOf = (agreements: LlmAgreement[]): Result[] => {
      const last = { ...(quern.runs[2] as LlmRun), agreements };
      const runs = [...quern.runs.slice(0, 2), last];
      return llmRows({ ...of, outcomes: [{ ...quern, runs }, llama] }, peaks).filter(
        ({ engine }) => engine === "quern",
      );
    };
    for (const one of rowsOf([])) {
      expect(one).toMatchObject({ verified: null, maxError: null, oracle: null, checkedOutputs: 0 });
      expect(one.samples).not.toEqual([]);
    }
    expect(agreementLines({ ...sampleResults(), results: rowsOf([]) })).toEqual([]);
    // The other engine failed behind the first prompt.
    const crashed = rowsOf(agreed("llama.cpp", [undefined]));
    const verified = new Set(crashed.map((one) => `${one.case} ${one.verified}`));
    expect(verified).toEqual(new Set(["llm/m/first-token true", "llm/m/tg8 null"]));
  });

  it("with wrong logits say so and have no times", () => {
    const of = measured(200, 300);
    const [quern, llama] = of.outcomes as [LlmOutcome, LlmOutcome];
    const rows = llmRows({ ...of, outcomes: [{ ...quern, wrong: "logits differ" }, llama] }, peaks);
    const wrong = rows.filter(({ engine }) => engine === "quern");
    expect(wrong.map((one) => [one.case, one.phase])).toEqual([
      ["llm/m/first-token", "steady"],
      ["llm/m/tg8", "steady"],
    ]);
    for (const one of wrong) {
      expect(one).toMatchObject({ verified: false, note: "logits differ", samples: [], median: null, calls: 0 });
    }
    expect(wrong[1]).toMatchObject({ tokensPerSecond: null, gbps: null, peakShare: null, processes: [0, 0, 0] });
    expect(rows.filter(({ engine }) => engine === "llama.cpp").every(({ median }) => median !== null)).toBe(true);
  });

  it("above the peak of reads, or of arithmetic, are no results", () => {
    // 1 GiB in 50 ms are 21 GB/s.
    const [quern, llama] = rowsBy(measured(50, 100))("tg8");
    expect(quern).toMatchObject({ samples: [], median: null, tokensPerSecond: null });
    expect(quern).toMatchObject({
      verified: false,
      note: expect.stringMatching(/^impossible: 21\.\d GB\/s is above the 13\.0/),
    });
    expect(llama).toMatchObject({ verified: true });
    const weak = { ...peaks, point: { ...peaks.point, fmaGflops: 5, byteGops: 8, readGBps: 100 } };
    expect(rowsBy(measured(200, 300), weak)("tg8")[0]).toMatchObject({
      verified: false,
      note: expect.stringContaining("impossible: 11 GFLOP/s is above the 8"),
    });
    const unknown: Peaks = { ...peaks, caches: [] };
    expect(rowsBy(measured(50, 100), unknown)("tg8")[0]?.verified).toBe(true);
  });
});
