import { describe, expect, it } from "vitest";
import { sampleResults } from "../results/sample-results.ts";
import type { Comparison, Result, Results } from "../results/schema.ts";
import { claimOf, claimText, withClaims } from "./claim.ts";
import { isaLevel, isaOfRow, withIsa } from "./isa.ts";
import { claimRules } from "./rules.ts";

/** Facts that make rows comparable. */
const FACTS = {
  modelSha256: "ab".repeat(32),
  inputsSha256: "cd".repeat(32),
  cacheState: "warm",
  isa: "avx512",
  busyThreads: 1,
} as const;

/** The sample, with all facts in every row, and changes to the rows of one engine. */
function results(engine = "", changes: Partial<Result> = {}, comparison: Partial<Comparison> = {}): Results {
  const sample = sampleResults();
  return {
    ...sample,
    results: sample.results.map((row) => ({
      ...row,
      ...FACTS,
      ...(row.engine === engine ? changes : {}),
    })),
    comparisons: sample.comparisons.map((row) => ({ ...row, ...comparison })),
  };
}

function steadyClaim(given: Results): ReturnType<typeof claimOf> {
  return claimOf(given, given.comparisons[0] as Comparison);
}

describe("a ratio is a claim", () => {
  it("where every fact agrees", () => {
    expect(steadyClaim(results())).toEqual({ comparable: true, reasons: [] });
    expect(claimText(steadyClaim(results()))).toBeUndefined();
  });

  const cases: readonly (readonly [rule: string, changes: Partial<Result>, reason: string])[] = [
    ["shape", { shape: "32x32" }, "shapes differ: 64x64x64 and 32x32"],
    ["model", { modelSha256: "ef".repeat(32) }, "model hashes differ: abababababab and efefefefefef"],
    ["inputs", { inputsSha256: "00" }, "hashes of the inputs differ: cdcdcdcdcdcd and 00"],
    ["dtype", { dtype: "f64" }, "dtypes differ: f32 and f64"],
    ["precision", { precisions: ["medium"] }, "precisions of products differ: highest and medium"],
    ["weights", { weights: "Q8_0" }, "encodings of the weights differ: those of the file and Q8_0"],
    ["keys and values", { keyValues: "q8_0" }, "forms of keys and values differ: – and q8_0"],
    ["cache", { cacheState: "soft-cold" }, "states of the caches differ: warm and soft-cold"],
    ["thread budget", { busyThreads: 9 }, "onnxruntime used 9 threads instead of 1"],
    ["instruction set", { isa: "cpu:avx2" }, "instruction sets differ: avx512 and avx2"],
    ["outputs", { verified: null }, "outputs were not compared (onnxruntime)"],
    ["outputs", { verified: false, note: "impossible: 9 GB/s" }, "rates are impossible (onnxruntime)"],
    ["kept kernels", { keptKernels: true }, "only onnxruntime found kernels that an earlier process had kept"],
    ["processes", { samples: [1, 2, 3, 4], processes: [2, 2] }, "fewer than 3 processes (onnxruntime: 2)"],
    ["processes", { samples: Array(500).fill(1), processes: [500] }, "fewer than 3 processes (onnxruntime: 1)"],
    ["processes", { processes: [2, 2, 0] }, "fewer than 3 processes (onnxruntime: 2)"],
    ["processes", { processes: [1, 1, 1, 1] }, "numbers of processes differ: 3 and 4"],
  ];
  it.each(cases)("not where it breaks the rule of %s", (rule, changes, reason) => {
    expect(claimRules.map(({ name }) => name)).toContain(rule);
    expect(steadyClaim(results("onnxruntime", changes))).toEqual({ comparable: false, reasons: [reason] });
    expect(claimText(steadyClaim(results("onnxruntime", changes)))).toBe(`not comparable because ${reason}`);
  });

  it.each([
    ["modelSha256", "model hashes not recorded (quern)"],
    ["inputsSha256", "hashes of the inputs not recorded (quern)"],
    ["cacheState", "states of the caches not recorded (quern)"],
    ["isa", "instruction sets not recorded (quern)"],
    ["busyThreads", "numbers of busy threads not recorded (quern)"],
    ["processes", "numbers of processes not recorded (quern)"],
  ] as const)("not where %s is not recorded", (fact, reason) => {
    const given = results();
    const rows = given.results.map(({ [fact]: dropped, ...row }) =>
      row.engine === "quern" ? row : { ...row, [fact]: dropped },
    );
    expect(steadyClaim({ ...given, results: rows as Result[] }).reasons).toEqual([reason]);
  });

  it("not without versions, an interval, or a row; all reasons are given", () => {
    const given = results("quern", { cacheState: "cold" }, { low: null, high: null });
    const engines = given.engines.map((engine) => ({ ...engine, version: "" }));
    expect(claimText(steadyClaim({ ...given, engines }))).toBe(
      "not comparable because states of the caches differ: cold and warm; versions not recorded (quern, onnxruntime); the ratio has no interval",
    );
    expect(steadyClaim({ ...given, results: [] }).reasons).toEqual(["the file has no row of quern"]);
  });

  it("where other encodings take the same bytes, and not where the same name takes others", () => {
    const bytes = (ofQuern: number): Results => {
      const given = results("quern", { bytesPerWeight: ofQuern, weights: "Q4_K" });
      return {
        ...given,
        results: given.results.map((row) => ({ bytesPerWeight: 0.5625, ...row })),
        comparisons: given.comparisons.map((row) => ({ ...row, weights: "Q4_K" })),
      };
    };
    expect(steadyClaim(bytes(0.5626)).reasons).toEqual([]);
    expect(steadyClaim(bytes(0.65)).reasons).toEqual(["bytes per weight differ: 0.65 and 0.563"]);
  });

  it("where a lower precision was asked for and not used", () => {
    expect(steadyClaim(results("quern", { precisions: ["highest"] })).comparable).toBe(true);
  });

  it("by the lowest precision that products are computed at, of whichever there are more", () => {
    const both = results("quern", { precision: "medium", precisions: ["highest", "medium"] });
    const other = { precision: "medium", chosenPrecision: true } as const;
    const rows = both.results.map((row) => (row.engine === "onnxruntime" ? { ...row, ...other } : row));
    const comparisons = both.comparisons.map((row) => ({
      ...row,
      precision: "medium" as const,
      baselinePrecision: "medium" as const,
    }));
    expect(steadyClaim({ ...both, results: rows, comparisons })).toEqual({ comparable: true, reasons: [] });
  });

  it("needs no inputs and no count of threads before the first run", () => {
    const sample = results("quern", {});
    const compile = { ...(sample.comparisons[1] as Comparison), low: 0.4, high: 0.6 };
    const compiled = sample.results.find((row) => row.phase === "compile" && row.engine === "quern") as Result;
    const rows = [compiled, { ...compiled, engine: "onnxruntime" }].map(
      ({ inputsSha256: _, busyThreads: __, ...row }) => row,
    );
    expect(claimOf({ ...sample, results: rows }, compile)).toEqual({ comparable: true, reasons: [] });
  });

  it("not where more threads than allowed were counted, which may have compiled as well", () => {
    const sample = results();
    const compiled = sample.results.find((row) => row.phase === "compile" && row.engine === "quern") as Result;
    const rows = [compiled, { ...compiled, engine: "onnxruntime", busyThreads: 2 }];
    const compile = { ...(sample.comparisons[1] as Comparison), low: 0.4, high: 0.6 };
    const { reasons } = claimOf({ ...sample, results: rows }, compile);
    expect(reasons).toEqual(["onnxruntime used 2 threads instead of 1"]);
  });

  it("of loading where the core of Quern counts to it, as it did not in older files", () => {
    const sample = results("quern", {});
    const loaded: Comparison = { ...(sample.comparisons[1] as Comparison), phase: "load", low: 1, high: 2 };
    const compiled = sample.results.find((row) => row.phase === "compile" && row.engine === "quern") as Result;
    const beside = (engine: string, coreIncluded?: boolean): string | undefined => {
      const rows = ["quern", engine].map((name): Result => ({
        ...compiled,
        phase: "load",
        engine: name,
        ...(coreIncluded === true && name.startsWith("quern") ? { coreIncluded } : {}),
      }));
      const engines = ["quern", engine].map((name) => ({ ...sample.engines[0]!, name }));
      return claimText(claimOf({ ...sample, engines, results: rows }, { ...loaded, baseline: engine }));
    };
    expect(beside("onnxruntime")).toBe("not comparable because a part of quern is loaded before it is timed");
    expect(beside("onnxruntime", true)).toBeUndefined();
    expect(beside("quern-reference")).toBeUndefined();
    expect(beside("quern-reference", true)).toBeUndefined();
  });

  it("not where a cached compilation stands beside a whole one", () => {
    const sample = results("quern", {});
    const cached: Comparison = { ...(sample.comparisons[1] as Comparison), phase: "compile-cached", low: 1, high: 2 };
    const compiled = sample.results.find((row) => row.phase === "compile" && row.engine === "quern") as Result;
    const rows: Result[] = [
      { ...compiled, phase: "compile-cached", keptKernels: true },
      { ...compiled, engine: "onnxruntime" },
    ];
    expect(claimText(claimOf({ ...sample, results: rows }, cached))).toBe(
      "not comparable because phases differ: compile-cached and compile; only quern found kernels that an earlier process had kept",
    );
  });

  it("not where the machine was disturbed", () => {
    const fingerprint = { hash: "a", class: "b", facts: {} };
    const environment = { before: fingerprint, after: fingerprint, controls: [], changed: [] };
    expect(steadyClaim({ ...results(), environment }).reasons).toEqual([]);
    const slower = {
      ...environment,
      disturbances: ["peak of arithmetic with 1 thread: 150.0 GFLOP/s before, 99.0 after"],
    };
    expect(steadyClaim({ ...results(), environment: slower }).reasons).toEqual([
      "the machine was disturbed (peak of arithmetic with 1 thread: 150.0 GFLOP/s before, 99.0 after)",
    ]);
    expect(steadyClaim({ ...results(), environment: { ...environment, changed: ["governor"] } }).reasons).toEqual([
      "the machine was disturbed (changed: governor)",
    ]);
  });

  it("is written into every comparison", () => {
    const [steady, compile] = withClaims(results()).comparisons;
    expect(steady?.notComparable).toEqual([]);
    expect(compile?.notComparable).toEqual(["the file has no row of onnxruntime"]);
  });
});

describe("instruction sets", () => {
  it.each([
    ["cpu:avx512+vnni+amx", "amx"],
    ["cpu:avx2", "avx2"],
    ["SkylakeX", "avx512"],
    ["Haswell", "avx2"],
    ["CPU : AVX = 1 | AVX2 = 1 | AVX512 = 0 | AMX_INT8 = 0 |", "avx2"],
    ["Wasm with 128-bit SIMD, as V8 compiles it", "wasm"],
    ["cpu", null],
    [null, null],
  ])("%s is %s", (words, level) => {
    expect(isaLevel(words)).toBe(level);
  });

  // Anyone may have written the words. Reading some of them anew from each letter takes minutes.
  it.each([
    ["a = 0 avx2=0 | AVX512 =\t0-avx=1", "avx"],
    ["avx2 = 01", "avx2"],
    ["a".repeat(65_536), null],
    [" ".repeat(65_536), null],
    [`${"-a".repeat(15_000)}${" ".repeat(30_000)}=`, null],
    ["amx_a-".repeat(10_000), "amx"],
  ])(
    "words of any length are read once (%#)",
    (words, level) => {
      expect(isaLevel(words)).toBe(level);
      const { machine, results: rows } = sampleResults();
      const features = Array.from({ length: 200_000 }, () => "");
      const row: Result = { ...(rows[0] as Result), device: words, engine: "onnxruntime" };
      const found = isaOfRow(row, {}, { ...machine, cpu: { ...machine.cpu, features } });
      // Products at full precision use no matrix unit.
      expect(found).toBe(level === "amx" ? null : level);
    },
    20_000,
  );

  it("the matrix unit counts where products use it", () => {
    const sample = sampleResults();
    const row = (changes: Partial<Result>): Result => ({ ...(sample.results[0] as Result), ...changes });
    const amx = { device: "cpu:avx512+vnni+amx" };
    expect(isaOfRow(row(amx), {}, sample.machine)).toBe("avx512");
    expect(isaOfRow(row({ ...amx, precision: "medium" }), {}, sample.machine)).toBe("amx");
    const llama = { systemInfo: "CPU : AVX512 = 1 | AMX_INT8 = 1 |" };
    expect(isaOfRow(row({ device: "weights in CPU", engine: "llama.cpp" }), llama, sample.machine)).toBe("avx512");
    expect(isaOfRow(row({ device: "weights in AMX", engine: "llama.cpp" }), llama, sample.machine)).toBe("amx");
  });

  it("of language models are those of the model, not of another one in the same file", () => {
    const sample = sampleResults();
    const rows = ["AMX", "CPU"].flatMap((buffers): Result[] => {
      const { device = `weights in ${buffers}`, ...cold } = {
        ...sample.results[0]!,
        device: undefined,
        case: `llm/${buffers}/first-token`,
        engine: "llama.cpp",
      };
      return [
        { ...cold, phase: "steady", device },
        { ...cold, phase: "compile" },
      ];
    });
    const settings = { systemInfo: "CPU : AVX512 = 1 | AMX_INT8 = 1 |" };
    const engines = [{ ...sample.engines[0]!, name: "llama.cpp", settings }];
    expect(withIsa({ ...sample, engines, results: rows }).results.map(({ isa }) => isa)).toEqual([
      "amx",
      "amx",
      "avx512",
      "avx512",
    ]);
  });

  it("a library that chooses by CPUID is assumed to use the widest unit; another one that says nothing is not guessed", () => {
    const sample = sampleResults();
    const levels = withIsa(sample).results.map(({ engine, phase, isa }) => `${engine} ${phase} ${isa}`);
    expect(levels).toContain("onnxruntime steady avx2 (assumed: the library does not say)");
    expect(isaLevel("avx2 (assumed: the library does not say)")).toBe("avx2");
    expect(levels).toContain("quern steady avx2");
    expect(levels).toContain("quern compile avx2");
    expect(
      isaOfRow({ ...(sample.results[0] as Result), device: "cpu", engine: "other" }, {}, sample.machine),
    ).toBeNull();
  });
});
