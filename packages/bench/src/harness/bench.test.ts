import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, describe, expect, it, vi } from "vitest";
import { parseShapes } from "../cases/gemm.ts";
import { encodeOnnx, type OnnxNode, type OnnxValue } from "../cases/onnx-model.ts";
import { bundledModels } from "../cases/suite.ts";
import { resultsSchema, type Results } from "../results/schema.ts";
import { DEFAULT_SETTINGS, runBench, type BenchPlan, type CaseRequest } from "./bench.ts";

const directory = mkdtempSync(join(tmpdir(), "quern-bench-test-"));
afterAll(() => rmSync(directory, { recursive: true }));

const validate = new Ajv2020({ formats: { "date-time": true } }).compile(resultsSchema);
const mnist = bundledModels().find((file) => file.includes("mnist")) ?? "";

function bench(
  cases: readonly CaseRequest[],
  engines: readonly string[],
  changes: Partial<BenchPlan> = {},
): Promise<Results> {
  const plan = { cases, engines, threads: [1], precisions: ["highest"], dims: {}, ...changes } as const;
  return runBench(plan, { ...DEFAULT_SETTINGS, secondsPerEngine: 0.02, processes: 1 }, () => {});
}

const gemm: CaseRequest[] = parseShapes("24x16x40").map((shape) => ({ kind: "gemm", gemm: shape }));

/** A model "enc.onnx" of one node, in a folder of this name. */
function modelOf(folder: string, node: Omit<OnnxNode, "outputs">, value: Omit<OnnxValue, "name">): CaseRequest {
  const file = join(directory, folder, "enc.onnx");
  mkdirSync(dirname(file), { recursive: true });
  const { bytes } = encodeOnnx({
    name: node.op,
    opset: 17,
    inputs: [{ name: "x", ...value }],
    outputs: [{ name: "y", ...value }],
    initialisers: [],
    nodes: [{ ...node, outputs: ["y"] }],
  });
  writeFileSync(file, bytes);
  return { kind: "model", file };
}

/** A model that doubles its input. */
function doubling(folder: string, shape: readonly (number | string)[]): CaseRequest {
  return modelOf(folder, { op: "Add", inputs: ["x", "x"] }, { dtype: "f32", shape });
}

/** The steady rows: case, shape and engine. */
function steadyRows({ results }: Results): string[] {
  return results.filter(({ phase }) => phase === "steady").map((row) => `${row.case} ${row.shape} ${row.engine}`);
}

describe("models", () => {
  it("of one name are told apart by their folders, and each has its own ratio", async () => {
    const cases = [doubling("small", [2, 3]), doubling("large", [4, 5])];
    const results = await bench([...cases, ...cases], ["quern-reference", "onnxruntime"]);
    expect(steadyRows(results)).toEqual([
      "model/small/enc 2x3 quern-reference",
      "model/small/enc 2x3 onnxruntime",
      "model/large/enc 4x5 quern-reference",
      "model/large/enc 4x5 onnxruntime",
    ]);
    const compared = results.comparisons.filter(({ phase }) => phase === "steady");
    expect(compared.map((row) => row.case)).toEqual(["model/small/enc", "model/large/enc"]);
    expect(steadyRows(await bench(cases.slice(1), ["onnxruntime"]))).toEqual(["model/enc 4x5 onnxruntime"]);
  });

  it("have the sizes of dimensions that were chosen in their names, whatever the order", async () => {
    const request = doubling("symbolic", ["batch", "sequence", 3]);
    const named = async (dims: Record<string, number>): Promise<string[]> =>
      steadyRows(await bench([request], ["onnxruntime"], { dims }));
    expect(await named({})).toEqual(["model/enc 1x1x3 onnxruntime"]);
    expect(await named({ sequence: 8 })).toEqual(["model/enc/sequence=8 1x8x3 onnxruntime"]);
    const both = ["model/enc/batch=2/sequence=8 2x8x3 onnxruntime"];
    expect(await named({ sequence: 8, batch: 2 })).toEqual(both);
    expect(await named({ batch: 2, sequence: 8 })).toEqual(both);
  });

  it("that the baseline cannot read are measured with the engines that can, and their rows say so", async () => {
    // The operator is not for this type, but Quern does not mind.
    const celu = modelOf("celu", { op: "Celu", inputs: ["x"] }, { dtype: "f64", shape: [2, 3] });
    const results = await bench([celu], ["onnxruntime", "quern-reference"]);
    expect(steadyRows(results)).toEqual(["model/enc 2x3 quern-reference"]);
    const [row] = results.results.filter(({ phase }) => phase === "steady");
    expect(row).toMatchObject({ verified: null, oracle: null });
    expect(row?.note).toContain("expected outputs could not all be computed: ");
    expect(row?.note).not.toContain("\n");
    expect(results.skipped).toMatchObject([{ case: "model/enc", engine: "onnxruntime", failed: true }]);
  });

  it("are no cases of engines for matrix products, which do not fail on them", async () => {
    const results = await bench([doubling("loops", [2, 3])], ["javascript", "quern-reference"]);
    expect(steadyRows(results)).toEqual(["model/enc 2x3 quern-reference"]);
    const refusal = { case: "model/enc", engine: "javascript", reason: "plain loops are for matrix products and ops" };
    expect(results.skipped).toEqual([{ ...refusal, threads: 1, precision: "highest" }]);
    const alone = bench([doubling("loops", [2, 3])], ["javascript"]);
    await expect(alone).rejects.toThrow(/nothing could be measured[^]*plain loops are for matrix products/);
  });

  it("a size of nothing is refused, with the dimensions that there are", async () => {
    const request = doubling("symbolic", ["batch", "sequence", 3]);
    const refused = (cases: readonly CaseRequest[], name: string): Promise<unknown> =>
      bench(cases, ["onnxruntime"], { dims: { [name]: 128 } });
    await expect(refused([...gemm, request], "sequnce")).rejects.toThrow(
      /a dimension "sequnce"[^]*--dim sequnce=128[^]*: batch, sequence\./,
    );
    await expect(refused(gemm, "sequence")).rejects.toThrow(/a dimension "sequence"[^]*there are none here/);
    // Its inputs are files.
    await expect(refused([{ kind: "model", file: mnist }], "N")).rejects.toThrow('a dimension "N"');
    await expect(refused([request], "constructor")).rejects.toThrow('a dimension "constructor"');
  });
});

describe("runBench", () => {
  it("produces a file that follows the schema, with both engines verified and compared", async () => {
    const results = await bench([...gemm, { kind: "model", file: mnist }], ["quern-reference", "onnxruntime"]);
    validate(JSON.parse(JSON.stringify(results)));
    expect(validate.errors).toBeNull();
    const steady = results.results.filter((row) => row.phase === "steady");
    expect(steady.map((row) => [row.case, row.engine, row.verified])).toEqual([
      ["gemm/24x16x40", "quern-reference", true],
      ["gemm/24x16x40", "onnxruntime", true],
      ["model/mnist", "quern-reference", true],
      ["model/mnist", "onnxruntime", true],
    ]);
    expect(steady.every((row) => row.samples.length >= 2 && (row.median ?? 0) > 0)).toBe(true);
    expect(results.comparisons.filter((row) => row.phase === "steady").map((row) => row.engine)).toEqual([
      "quern-reference",
      "quern-reference",
    ]);
    expect(results.skipped).toEqual([]);
  });

  it("one file that no engine can read leaves the others measured", async () => {
    const spoiled = join(directory, "spoiled.onnx");
    writeFileSync(spoiled, "nonsense");
    const results = await bench([{ kind: "model", file: spoiled }, ...gemm], ["onnxruntime"]);
    expect(results.skipped).toMatchObject([{ case: "model/spoiled", engine: "onnxruntime", failed: true }]);
    expect(results.results.some((row) => row.case === "gemm/24x16x40")).toBe(true);
    await expect(bench([{ kind: "model", file: spoiled }], ["onnxruntime"])).rejects.toThrow(
      "nothing could be measured",
    );
  });

  it("a size that its caches cannot have is refused before anything is measured", async () => {
    const sizes = [
      { rows: 512, columns: 512 },
      { rows: 1, columns: 1 },
    ];
    const plan: BenchPlan = {
      cases: sizes.map((size) => ({ kind: "op", name: "exp", sizes: size, cache: "soft-cold" })),
      engines: ["quern-reference"],
      threads: [1],
      precisions: ["highest"],
      dims: {},
    };
    const progress = vi.fn<(text: string, share: number) => void>();
    const refused = runBench(plan, { ...DEFAULT_SETTINGS, secondsPerEngine: 0.01, processes: 1 }, progress);
    await expect(refused).rejects.toThrow(/soft-cold caches would take[^]*op\/exp\/1x1\/soft-cold/);
    expect(progress).not.toHaveBeenCalled();
  });

  it("a case whose files cannot be written leaves those before and behind it measured", async () => {
    const place = join(directory, "temporary");
    mkdirSync(place);
    vi.stubEnv("TMPDIR", place);
    try {
      const plan: BenchPlan = {
        cases: parseShapes("24x16x40,8x8x8,4x4x4").map((shape) => ({ kind: "gemm", gemm: shape })),
        engines: ["quern-reference"],
        threads: [1, 2],
        precisions: ["highest"],
        dims: {},
      };
      const settings = { ...DEFAULT_SETTINGS, secondsPerEngine: 0.01, processes: 1 };
      const results = await runBench(plan, settings, (text) => {
        if (!text.startsWith("gemm/24x16x40")) return;
        // A folder where the file of the second case will go.
        for (const folder of readdirSync(place).filter((name) => name.startsWith("quern-bench-")))
          mkdirSync(join(place, folder, "gemm-8x8x8.onnx"), { recursive: true });
      });
      const steady = results.results.filter(({ phase }) => phase === "steady");
      expect(steady.map((row) => [row.case, row.threads])).toEqual([
        ["gemm/24x16x40", 1],
        ["gemm/24x16x40", 2],
        ["gemm/4x4x4", 1],
        ["gemm/4x4x4", 2],
      ]);
      const failed = { case: "gemm/8x8x8", engine: "quern-reference", precision: "highest", failed: true };
      const reason = expect.stringMatching(/^its files cannot be read or written \(EISDIR/);
      expect(results.skipped).toEqual([1, 2].map((threads) => ({ ...failed, threads, reason })));
      expect(readdirSync(place).filter((name) => name.startsWith("quern-"))).toEqual([]);
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it("an engine of one precision stands beside all that are asked for", async () => {
    const results = await bench(gemm, ["onnxruntime", "quern-reference"], { precisions: ["high"] });
    expect(new Set(results.results.map((row) => row.precision))).toEqual(new Set(["highest"]));
  });

  it("default settings, with a thread budget of their own, are measured once: beside the most threads", async () => {
    const results = await bench(gemm, ["onnxruntime", "onnxruntime-defaults"], { threads: [1, 2] });
    const steady = results.results.filter((row) => row.phase === "steady");
    expect(steady.map((row) => [row.engine, row.threads])).toEqual([
      ["onnxruntime", 1],
      ["onnxruntime", 2],
      ["onnxruntime-defaults", 2],
    ]);
  });

  it("another seed gives other inputs", async () => {
    const errorOf = async (seed: number): Promise<number | null | undefined> => {
      const plan: BenchPlan = {
        cases: gemm,
        engines: ["quern-reference"],
        threads: [1],
        precisions: ["highest"],
        dims: {},
      };
      const settings = { ...DEFAULT_SETTINGS, seed, secondsPerEngine: 0.01, processes: 1 };
      return (await runBench(plan, settings, () => {})).results[0]?.rmsError;
    };
    const first = await errorOf(1);
    expect(first).toBeGreaterThan(0);
    expect(await errorOf(2)).not.toBe(first);
  });

  describe("Ctrl-C", () => {
    const call = { tool: { name: "quern", version: "0.0.0" }, argv: ["bench", "gemm"] };
    const plan: BenchPlan = {
      cases: parseShapes("24x16x40,8x8x8").map((shape) => ({ kind: "gemm", gemm: shape })),
      engines: ["quern-reference", "onnxruntime"],
      threads: [1],
      precisions: ["highest"],
      dims: {},
    };

    /** Interrupts the first time that the progress is like `when`. */
    const interrupted = (when: RegExp, processes: number): Promise<Results> => {
      const controller = new AbortController();
      const settings = { ...DEFAULT_SETTINGS, secondsPerEngine: 0.02, processes, call, signal: controller.signal };
      return runBench(plan, settings, (text) => {
        if (when.test(text)) controller.abort();
      });
    };

    it("keeps the cases measured until then, in a file that says so", async () => {
      const results = await interrupted(/8x8x8.*round 2/, 1);
      validate(JSON.parse(JSON.stringify(results)));
      expect(validate.errors).toBeNull();
      expect(new Set(results.results.map((row) => row.case))).toEqual(new Set(["gemm/24x16x40"]));
      expect(results.run).toMatchObject({ kind: "engines", aborted: true, ...call });
      expect(results.skipped).toEqual([]);
    });

    it("keeps whole repeats of a case", async () => {
      let repeats = 0;
      const controller = new AbortController();
      const settings = { ...DEFAULT_SETTINGS, secondsPerEngine: 0.02, processes: 3, call, signal: controller.signal };
      const results = await runBench(plan, settings, (text) => {
        if (text.includes("24x16x40") && text.includes("round 2") && ++repeats === 3) controller.abort();
      });
      const steady = results.results.filter((row) => row.phase === "steady");
      expect(steady.map((row) => [row.engine, row.processes?.length])).toEqual([
        ["quern-reference", 2],
        ["onnxruntime", 2],
      ]);
      expect(results.skipped).toEqual([]);
    });

    it.each([/24x16x40.*preparing/, /24x16x40.*round 1/, /peaks/])("%s leaves nothing to report", async (when) => {
      await expect(interrupted(when, 1)).rejects.toThrow(expect.objectContaining({ name: "AbortError" }));
    });
  });

  it("an option that no engine takes is refused at once", async () => {
    const model: CaseRequest = { kind: "model", file: mnist };
    await expect(bench([model], ["onnxruntime"], { quantize: "Q8_0" })).rejects.toThrow(
      /none of the engines quantises weights[^]*--quantize[^]*quern/,
    );
    await expect(bench(gemm, ["onnxruntime", "quern-gpu"], { features: "avx2" })).rejects.toThrow(
      /can be told which CPU features[^]*--features[^]*: quern, quern-defaults\./,
    );
  });

  it.each([
    [[], ["onnxruntime"], "nothing to measure"],
    [gemm, [], "no engine to measure"],
    [gemm, ["torch"], 'there is no engine "torch"'],
    [[{ kind: "op", name: "wiggle" }], ["onnxruntime"], 'there is no op case "wiggle"'],
    [[{ kind: "model", file: "/nowhere/x.onnx" }], ["onnxruntime"], "the model file does not exist"],
  ] as const)("%j with %j is refused at once", async (cases, engines, message) => {
    await expect(bench(cases, engines)).rejects.toThrow(message);
  });
});
