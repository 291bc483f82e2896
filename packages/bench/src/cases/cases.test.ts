import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { Tensor } from "@quern/core";
import { onnxruntime } from "../engines/onnxruntime.ts";
import { Random } from "../harness/random.ts";
import { checkOutputs } from "./check.ts";
import { gemmWorkload, parseShapes } from "./gemm.ts";
import { makeInput, makeInputs } from "./inputs.ts";
import { distinctNames, fileNameParts, modelName, modelNameParts } from "./model-name.ts";
import { encodeNpy } from "./npy.ts";
import { erf, opCases, opWorkload } from "./ops.ts";
import type { Workload } from "./workload.ts";

const SEED = 7;
const directory = mkdtempSync(join(tmpdir(), "quern-cases-"));
afterAll(() => rmSync(directory, { recursive: true }));

const OPTIONS = { threads: 1, precision: "highest", idle: "blocked" } as const;

async function runBaseline(workload: Workload): Promise<Record<string, Tensor>> {
  const engine = await onnxruntime.open(OPTIONS);
  const model = await engine.compile(workload.modelPath);
  const fetched = await model.call(model.bind(makeInputs(workload, SEED)[0] ?? {}));
  return { ...model.tensors(fetched) };
}

/** Verdicts on a right output, the same with one wrong element, no output, and zeros. */
async function judgeAll(workload: Workload): Promise<(boolean | undefined)[]> {
  const outputs = await runBaseline(workload);
  const inputs = makeInputs(workload, SEED)[0] ?? {};
  const judge = (y: Tensor | undefined): boolean | undefined =>
    checkOutputs(workload, 0, inputs, y === undefined ? {} : { y }, { precision: "highest", seed: SEED })?.ok;
  const y = outputs["y"] as Tensor;
  const spoiled = new Tensor(y.dtype, y.shape, (y.data as Float32Array).slice());
  const middle = y.size >> 1;
  (spoiled.data as Float32Array)[middle] = ((y.data as Float32Array)[middle] as number) * 1.02 + 0.5;
  return [y, spoiled, undefined, Tensor.zeros(y.dtype, y.shape)].map(judge);
}

const RIGHT_WRONG_NONE_ZEROS = [true, false, false, false];

describe("gemm cases", () => {
  it("reads shapes", () => {
    expect(parseShapes("1x2x3, 4x5x6")).toEqual([
      { m: 1, k: 2, n: 3, weights: "constant", cache: "rotating" },
      { m: 4, k: 5, n: 6, weights: "constant", cache: "rotating" },
    ]);
    for (const bad of ["", "1x2", "0x1x1", "axbxc", "1x2x3,,", "1.5x2x3", "99999x99999x99999"]) {
      expect(() => parseShapes(bad)).toThrow("--shapes");
    }
  });

  it.each(["96x64x80", "1x300x200"])("%s: right outputs pass, one wrong element does not", async (shape) => {
    for (const weights of ["constant", "input"] as const) {
      const [gemm] = parseShapes(shape, weights);
      expect(await judgeAll(gemmWorkload(gemm as NonNullable<typeof gemm>, SEED, directory))).toEqual(
        RIGHT_WRONG_NONE_ZEROS,
      );
    }
  });

  it("small errors in corners are always seen, elsewhere by some processes", async () => {
    const [gemm] = parseShapes("96x64x80");
    const workload = gemmWorkload(gemm as NonNullable<typeof gemm>, SEED, directory);
    const { y } = await runBaseline(workload);
    const inputs = makeInputs(workload, SEED)[0] ?? {};
    /** Whether an output passes that has an error in one place, too small for projections. */
    const passes = (place: number, process: number): boolean | undefined => {
      const data = Float32Array.from(y?.data as Float32Array);
      data[place] = (data[place] as number) + 4e-4;
      const spoiled = { y: new Tensor("f32", [96, 80], data) };
      return checkOutputs(workload, 0, inputs, spoiled, { precision: "highest", seed: SEED, process })?.ok;
    };
    for (const corner of [0, 79, 95 * 80, 96 * 80 - 1]) expect(passes(corner, 0)).toBe(false);
    const seen = new Set(Array.from({ length: 40 }, (_, process) => passes(48 * 80 + 33, process)));
    expect(seen).toEqual(new Set([true, false]));
  });

  it("one seed, one file", () => {
    const [gemm] = parseShapes("3x4x5");
    const write = (seed: number): Buffer =>
      readFileSync(gemmWorkload(gemm as NonNullable<typeof gemm>, seed, directory).modelPath);
    expect(write(1)).toEqual(write(1));
    expect(write(1)).not.toEqual(write(2));
  });
});

describe("op cases", () => {
  it.each(opCases.map((record) => record.name))("%s: right outputs pass, one wrong element does not", async (name) => {
    expect(await judgeAll({ ...opWorkload(name, SEED, directory), sets: 1 })).toEqual(RIGHT_WRONG_NONE_ZEROS);
  });

  it("erf agrees with published values", () => {
    expect(erf(0)).toBe(0);
    expect(erf(0.5)).toBeCloseTo(0.5204998778130465, 12);
    expect(erf(-1)).toBeCloseTo(-0.8427007929497149, 12);
    expect(erf(2)).toBeCloseTo(0.9953222650189527, 12);
    expect(erf(3)).toBeCloseTo(0.9999779095030014, 12);
    expect(erf(40)).toBe(1);
    expect(erf(Number.NaN)).toBeNaN();
  });
});

describe("models", () => {
  it("are named by file or folder", () => {
    expect(modelName("/a/mnist-12.onnx")).toBe("mnist-12");
    expect(modelName("/a/models/mnist/model.onnx")).toBe("mnist");
    expect(modelName("/a/silero/v6/model.onnx")).toBe("silero/v6");
    expect(modelName("/model.onnx")).toBe("model");
  });

  it.each([
    [["/a/enc.onnx", "/b/other.onnx"], "enc other"],
    [["/a/enc.onnx", "/b/enc.onnx", "/b/other.onnx"], "a/enc b/enc other"],
    [["/x/q/enc.onnx", "/y/q/enc.onnx", "/y/r/enc.onnx"], "x/q/enc y/q/enc r/enc"],
    [["/enc.onnx", "/a/enc.onnx"], "enc a/enc"],
    [["/x/models/mnist/model.onnx", "/y/models/mnist/model.onnx"], "x/models/mnist y/models/mnist"],
    [["/a/mnist/model.onnx", "/b/mnist/model.onnx"], "a/mnist b/mnist"],
    // Folders do not tell these apart.
    [["/a/enc.onnx", "/a/enc.ort", "/b/enc.onnx"], "enc.onnx enc.ort b/enc"],
    [["/models/enc.onnx", "/models/enc/model.onnx"], "enc.onnx model.onnx"],
    // The same file in other words.
    [["/a/enc.onnx", "/a/../a/enc.onnx"], "enc"],
  ])("%j have names of their own", (files, names) => {
    expect([...distinctNames(files, modelNameParts).values()].join(" ")).toBe(names);
  });

  it("language models are named by their files", () => {
    const files = ["/a/q4/model.gguf", "/a/q8/model.gguf", "/a/m.gguf"];
    expect(Object.fromEntries(distinctNames(files, fileNameParts))).toEqual({
      "/a/q4/model.gguf": "q4/model",
      "/a/q8/model.gguf": "q8/model",
      "/a/m.gguf": "m",
    });
  });
});

describe("inputs", () => {
  it.each(["f32", "f16", "i64"] as const)("of files, %s: sets beyond them are varied", (dtype) => {
    const file = join(directory, `in-${dtype}.npy`);
    const values = Array.from({ length: 24 }, (_, i) => i + 1);
    writeFileSync(file, encodeNpy(Tensor.from(dtype, values)));
    const fill = { kind: "files", files: [file], noise: 0.01 } as const;
    const recipe = { name: "x", dtype, shape: [24], fill };
    const sets = [0, 1, 2].map((set) => makeInput(recipe, set, new Random(set)));
    expect(sets[0]?.toArray()).toEqual(values);
    const distinct = new Set(sets.map((tensor) => tensor.toArray().join()));
    expect(distinct.size).toBe(3);
    for (const tensor of sets) {
      expect(tensor.dtype).toBe(dtype);
      const sorted = tensor.toArray().toSorted((a, b) => a - b);
      for (const [i, value] of sorted.entries()) expect(Math.abs(value - (values[i] as number))).toBeLessThan(1);
    }
  });

  it("differ between sets, and not between processes", () => {
    const workload = opWorkload("add", SEED, directory);
    const [first, second] = makeInputs({ ...workload, sets: 2 }, SEED);
    expect(first?.["x"]?.data.subarray(0, 8)).not.toEqual(second?.["x"]?.data.subarray(0, 8));
    expect(first?.["x"]?.data.subarray(0, 8)).toEqual(
      makeInputs({ ...workload, sets: 1 }, SEED)[0]?.["x"]?.data.subarray(0, 8),
    );
  });
});
