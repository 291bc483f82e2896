/**
 * Engines that are no part of Quern: what they compute is right, their threads are those of the budget, what is missing is
 * said with what to install.
 */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Tensor } from "@quern/core";
import { afterAll, describe, expect, it } from "vitest";
import { checkOutputs } from "../cases/check.ts";
import { gemmWorkload, parseShapes } from "../cases/gemm.ts";
import { makeInputs } from "../cases/inputs.ts";
import { encodeOnnx } from "../cases/onnx-model.ts";
import { gemmOf, readCaseGraph } from "../cases/onnx-reader.ts";
import { opCases, opWorkload } from "../cases/ops.ts";
import type { Workload } from "../cases/workload.ts";
import { countBusyThreads } from "../harness/busy-threads.ts";
import { bindCublas, cublas } from "./cublas.ts";
import type { CompiledModel, EngineOptions } from "./engine.ts";
import { engineNamed, engines, withDefaults } from "./index.ts";
import { withLlmDefaults } from "./llm-engines.ts";
import { loadLibrary } from "./native-library.ts";
import { transformersEngine } from "./transformers.ts";

const SEED = 11;
const directory = mkdtempSync(join(tmpdir(), "quern-adapters-"));
afterAll(() => rmSync(directory, { recursive: true }));

const OPTIONS: EngineOptions = { threads: 1, precision: "highest", idle: "blocked" };

/** Why an engine cannot be asked here, if so. */
async function missing(name: string): Promise<string | undefined> {
  try {
    await engineNamed(name).describe(OPTIONS);
    return undefined;
  } catch (error) {
    return `${name}: ${(error as Error).message}`;
  }
}

async function withModel(
  name: string,
  path: string,
  options: EngineOptions,
  use: (model: CompiledModel) => Promise<void>,
): Promise<void> {
  const engine = await engineNamed(name).open(options);
  const model = await engine.compile(path);
  try {
    await use(model);
  } finally {
    await model.close();
    await engine.close();
  }
}

/** Runs all sets of a workload twice over, checks each output, and that outputs kept are not written to by later calls. */
async function wrongOutputs(name: string, workload: Workload): Promise<string[]> {
  const wrong: string[] = [];
  await withModel(name, workload.modelPath, OPTIONS, async (model) => {
    const sets = makeInputs(workload, SEED);
    const kept: (readonly [set: number, fetched: unknown])[] = [];
    for (let call = 0; call < 2 * sets.length; call++) {
      const set = call % sets.length;
      const fetched = await model.call(model.bind(sets[set] ?? {}));
      if (call % 2 === 0) kept.push([set, fetched]);
      else model.release(fetched);
    }
    for (const [set, fetched] of kept) {
      const found = checkOutputs(workload, set, sets[set] ?? {}, model.tensors(fetched), {
        precision: "highest",
        seed: SEED,
      });
      if (found?.ok !== true) wrong.push(`${workload.id}, set ${set}: ${found?.message}`);
      model.release(fetched);
    }
  });
  return wrong;
}

const SHAPES = "33x40x24,1x48x64,128x128x128";
const adapters = engines.filter(({ name }) => !name.startsWith("quern"));

describe.each(adapters.map(({ name }) => name))("%s", (name) => {
  const engine = engineNamed(name);

  it("multiplies matrices", async (context) => {
    const reason = (await missing(name)) ?? unsupported(parseShapes("2x3x4")[0]);
    if (reason !== undefined) context.skip(reason);
    for (const weights of ["constant", "input"] as const) {
      for (const gemm of parseShapes(SHAPES, weights)) {
        expect(await wrongOutputs(name, gemmWorkload(gemm, SEED, directory))).toEqual([]);
      }
    }
  });

  function unsupported(gemm: Parameters<typeof gemmWorkload>[0] | undefined): string | undefined {
    return engine.supports(gemmWorkload(gemm as NonNullable<typeof gemm>, SEED, directory), OPTIONS);
  }

  it("computes the ops that it has", async (context) => {
    const reason = await missing(name);
    if (reason !== undefined) context.skip(reason);
    const able = opCases
      .map((record) => opWorkload(record.name, SEED, directory, { rows: 12, columns: 70 }))
      .filter((workload) => engine.supports(workload, OPTIONS) === undefined);
    if (able.length === 0) context.skip(`${name} has no ops`);
    expect(able.length).toBe(opCases.length);
    for (const workload of able) expect(await wrongOutputs(name, workload)).toEqual([]);
  });

  it("says its version and its settings", async (context) => {
    const reason = await missing(name);
    if (reason !== undefined) context.skip(reason);
    const record = await engine.describe(OPTIONS);
    expect(record.name).toBe(name);
    expect(record.version).toMatch(/^\d+\.\d+/);
    expect(record.settings["isa"]).toBeTruthy();
    expect(record.settings["call"]).toBeTruthy();
    if (record.library !== null) expect(record.sha256).toMatch(/^[0-9a-f]{64}$/);
  });
});

describe("the budget of threads", () => {
  const onProcessor = ["onnxruntime", "onnxruntime-web", "openblas", "javascript"];
  it.for(onProcessor)("%s computes on one thread where it may have one", async (name, context) => {
    const reason = await missing(name);
    if (reason !== undefined) context.skip(reason);
    const [gemm] = parseShapes("256x256x256");
    const { modelPath, ...rest } = gemmWorkload(gemm as NonNullable<typeof gemm>, SEED, directory);
    const [inputs] = makeInputs({ ...rest, modelPath }, SEED);
    await withModel(name, modelPath, OPTIONS, async (model) => {
      const feeds = model.bind(inputs ?? {});
      const work = async (ms: number): Promise<void> => {
        for (const start = performance.now(); performance.now() - start < ms;) model.release(await model.call(feeds));
      };
      await work(100);
      expect(await countBusyThreads(() => work(100))).toBeOneOf([1, null]);
    });
  });

  it("OpenBLAS has the threads it was given", async (context) => {
    const reason = await missing("openblas");
    if (reason !== undefined) context.skip(reason);
    if (process.platform !== "linux") context.skip("looks for the library by its name on Linux");
    const library = await loadLibrary(["libopenblas.so.0", "libopenblas.so"], "test", "");
    for (const threads of [2, 1]) {
      await engineNamed("openblas").open({ ...OPTIONS, threads });
      expect(library.bind("int openblas_get_num_threads(void)")()).toBe(threads);
    }
  });
});

describe("what is missing", () => {
  it("a library that is not there is named with what to install", async () => {
    await expect(loadLibrary(["libquern-none.so.1"], "the engine none", "Install libquern-none.")).rejects.toThrow(
      /the engine none: the library could not be loaded \(libquern-none\.so\.1: .*\)\s+Install libquern-none\./,
    );
  });

  it("a library that lacks a function is named with it", async (context) => {
    if (process.platform !== "linux") context.skip("looks for the C library of Linux");
    const library = await loadLibrary(["libc.so.6", "libc.musl-x86_64.so.1"], "test", "");
    expect(() => bindCublas({ blas: library, runtime: library })).toThrow(/libc.*cublasCreate_v2/);
    expect(library.text("openblas_get_corename")).toBeNull();
  });

  it("cublas says what to install", async (context) => {
    if ((await missing("cublas")) === undefined) context.skip("cuBLAS is installed here");
    await expect(cublas.open(OPTIONS)).rejects.toThrow(/the engine cublas.*\n[\s\S]*CUDA toolkit/);
  });

  it("transformers.js is named with its package", async () => {
    const engine = transformersEngine(true, [directory]);
    await expect(engine.describe(OPTIONS)).rejects.toThrow(/engine transformers\.js.*@huggingface\/transformers/);
  });
});

describe("transformers.js, with a stand-in for the package", () => {
  const base = mkdtempSync(join(directory, "project-"));
  const home = join(base, "node_modules", "@huggingface", "transformers");
  mkdirSync(home, { recursive: true });
  writeFileSync(join(home, "package.json"), JSON.stringify({ name: "@huggingface/transformers", main: "index.cjs" }));
  // Doubles its input; tells what it was asked for.
  writeFileSync(
    join(home, "index.cjs"),
    `class Tensor { constructor(type, data, dims) { Object.assign(this, { type, data, dims }); } }
     const env = { version: "4.0.0-stand-in" };
     const metadata = (name) => [{ name, isTensor: true, type: "float32", shape: ["batch", 3] }];
     const AutoModel = { async from_pretrained(id, options) {
       if (env.allowRemoteModels !== false) throw new Error("would have used the network");
       const model = async ({ x }) => ({ y: new Tensor(x.type, x.data.map((v) => 2 * v), x.dims), extra: 1 });
       model.sessions = { model: { inputMetadata: metadata("x"), outputMetadata: metadata("y") } };
       model.dispose = async () => {};
       globalThis.standIn = { id, root: env.localModelPath, options };
       return model;
     } };
     module.exports = { AutoModel, Tensor, env };`,
  );
  const root = join(base, "models", "doubling");
  mkdirSync(join(root, "onnx"), { recursive: true });
  writeFileSync(join(root, "config.json"), "{}");
  const path = join(root, "onnx", "model.onnx");
  writeFileSync(path, "");
  const workload = { kind: "model", modelPath: path, inputs: [] } as unknown as Workload;

  it.each([true, false])("loads the folder and passes tensors through (best settings: %s)", async (best) => {
    const engine = transformersEngine(best, [base]);
    expect((await engine.describe(OPTIONS)).version).toBe("4.0.0-stand-in");
    expect(engine.supports(workload, OPTIONS)).toBeUndefined();
    const opened = await engine.open({ ...OPTIONS, threads: 2 });
    const model = await opened.compile(path);
    expect(model.inputs).toEqual([{ name: "x", dtype: "f32", shape: ["batch", 3] }]);
    const fetched = await model.call(model.bind({ x: new Tensor("f32", [1, 3], Float32Array.of(1, 2, 3)) }));
    expect(model.tensors(fetched)).toEqual({ y: new Tensor("f32", [1, 3], Float32Array.of(2, 4, 6)) });
    const { standIn } = globalThis as unknown as { standIn: { options: Record<string, unknown> } };
    expect(standIn).toMatchObject({ id: "doubling", root: `${join(base, "models")}/` });
    expect(standIn.options).toMatchObject({ subfolder: "onnx", model_file_name: "model", local_files_only: true });
    const session = standIn.options["session_options"];
    if (best) expect(session).toMatchObject({ intraOpNumThreads: 2, interOpNumThreads: 1 });
    else expect(session).toBeUndefined();
    await model.close();
  });

  it("refuses other workloads", () => {
    const engine = transformersEngine(true, [base]);
    const elsewhere = { ...workload, modelPath: join(directory, "model.onnx") };
    expect(engine.supports(elsewhere, OPTIONS)).toContain("config.json");
    expect(engine.supports({ ...workload, kind: "gemm" }, OPTIONS)).toContain("config.json");
  });
});

describe("case graphs", () => {
  it("read back what was written", () => {
    const [gemm] = parseShapes("3x4x300");
    const workload = gemmWorkload(gemm as NonNullable<typeof gemm>, SEED, directory);
    const graph = readCaseGraph(workload.modelPath);
    const { m, k, n, weights } = gemmOf(graph);
    expect([m, k, n, weights?.length]).toEqual([3, 4, 300, 1200]);
    const op = readCaseGraph(opWorkload("layerNorm", SEED, directory, { rows: 2, columns: 5 }).modelPath);
    expect(op.name).toBe("layerNorm");
    expect(op.inputs).toEqual([{ name: "x", dtype: "f32", shape: [2, 5] }]);
    expect(Object.entries(op.initialisers).map(([name, { length }]) => [name, length])).toEqual([
      ["scale", 5],
      ["bias", 5],
    ]);
    expect(() => gemmOf(op)).toThrow("no matrix product");
  });

  it("refuse what they are not, with the path", () => {
    const bad = join(directory, "bad.onnx");
    const { bytes } = encodeOnnx({ name: "g", opset: 17, inputs: [], outputs: [], initialisers: [], nodes: [] });
    for (const content of [Uint8Array.of(0xff, 0xff), bytes.subarray(0, bytes.length - 9), new Uint8Array()]) {
      writeFileSync(bad, content);
      expect(() => readCaseGraph(bad)).toThrow("bad.onnx");
    }
  });
});

describe("records of default settings", () => {
  it("stand behind the engine that they are of", () => {
    expect(withDefaults(["openblas", "quern"])).toEqual(["openblas", "openblas-defaults", "quern", "quern-defaults"]);
    expect(withDefaults(["onnxruntime-defaults", "onnxruntime"])).toEqual(["onnxruntime-defaults", "onnxruntime"]);
    expect(withDefaults(["onnxruntime-webgpu"])).toEqual(["onnxruntime-webgpu", "onnxruntime-webgpu-defaults"]);
    // Of these nothing is set that is not set by default.
    expect(withDefaults(["quern-gpu", "cublas"])).toEqual(["quern-gpu", "cublas"]);
    expect(withLlmDefaults(["quern", "llama.cpp"])).toEqual([
      "quern",
      "quern-defaults",
      "llama.cpp",
      "llama.cpp-defaults",
    ]);
    for (const { variantOf } of engines) if (variantOf !== undefined) expect(engineNamed(variantOf)).toBeDefined();
  });
});
