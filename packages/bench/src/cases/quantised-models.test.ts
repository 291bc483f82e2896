/**
 * ONNX models whose weights are quantised at load, end to end on the CPU: against the float64 reference of the same graph, or the
 * outputs of the weights of the file. Bundled models, and a larger one of the shared data where it is present.
 */

import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { type Graph, Tensor, UserError, quantiseWeights, reachableNodes, referenceDevice } from "@quern/core";
import { readOnnxFile } from "@quern/importers/onnx";
import { cpu } from "@quern/kernels-cpu";
import { afterAll, describe, expect, test } from "vitest";
import { MODEL_TOLERANCE, type Verification, modelLimits, verifyTensors } from "../harness/verify.ts";
import type { TensorSet } from "./inputs.ts";
import { tensorFiles } from "./model.ts";
import { readNpy } from "./npy.ts";
import { bundledModels } from "./suite.ts";

const device = cpu({ threads: 2, cache: false });
afterAll(() => device.dispose());

const bundled = (name: string): string => bundledModels().find((file) => file.includes(name)) as string;
const tensors = (file: string, prefix: "in-" | "out-"): TensorSet =>
  Object.fromEntries(
    Object.entries(tensorFiles(join(dirname(file), "case-0"), prefix)).map(([name, path]) => [name, readNpy(path)]),
  );

function compare(graph: Graph, inputs: TensorSet): { kernels: string[]; result: Verification } {
  using executable = device.compile(graph, { matmulPrecision: "medium" });
  const outputs = executable.runSync(inputs);
  const expected = referenceDevice().compile(graph).runSync(inputs);
  return {
    kernels: executable.report.launches.map(({ kernel }) => kernel),
    result: verifyTensors(outputs, expected, MODEL_TOLERANCE.medium, "reference"),
  };
}

const names = (kernels: readonly string[], encoding: string): string[] =>
  kernels.filter((kernel) => kernel.startsWith(`matmul_${encoding}_`));

/** The graph up to the operand of its last product: a classifier that sums to nearly nothing says little about errors. */
function beforeHead(graph: Graph): Graph {
  const [value] = graph.nodes.findLast(({ op }) => op === "matmul")?.inputs ?? [];
  const inputs = graph.inputs.map((input) => input.value);
  return { ...graph, outputs: [{ name: "state", value: value! }], nodes: reachableNodes([value!], inputs) };
}

describe("tinyxlmroberta", () => {
  const file = bundled("tinyxlmroberta");

  test.each(["Q8_0", "Q5_1", "Q4_K", "F16"])("%s", (encoding) => {
    const { graph, report } = quantiseWeights(readOnnxFile(file).graph, encoding, { minWeights: 0 });
    // Rows of 32 and 64 weights.
    const used = encoding === "Q4_K" ? "Q5_0" : encoding;
    expect(new Set(report.quantised.map((weight) => weight.encoding))).toEqual(new Set([used]));
    expect(report.kept).toEqual([]);
    expect(report.quantised).toHaveLength(17);
    const { kernels, result } = compare(beforeHead(graph), tensors(file, "in-"));
    expect(result).toMatchObject({ ok: true });
    expect(result.maxError).toBeLessThan(0.05);
    expect(names(kernels, used)).toHaveLength(13);
  });

  test("stays as it is where all matrices are small", () => {
    const { graph, quantised } = readOnnxFile(file, { quantize: "Q4_0" });
    expect(quantised?.quantised).toEqual([]);
    expect(quantised?.kept).toHaveLength(17);
    expect(graph.nodes).toHaveLength(readOnnxFile(file).graph.nodes.length);
  });
});

test("magika, through the option of the importer", () => {
  const file = bundled("magika");
  const { graph, quantised } = readOnnxFile(file, { quantize: "Q4_K" });
  expect(quantised?.quantised).toMatchObject([{ rows: 213, columns: 512, encoding: "Q4_K" }]);
  expect(quantised?.kept).toMatchObject([{ columns: 257 }]);
  using executable = device.compile(graph, { matmulPrecision: "medium" });
  const outputs = executable.runSync(tensors(file, "in-"));
  const original = verifyTensors(outputs, tensors(file, "out-"), modelLimits("medium", "Q4_K"), "file");
  expect(original).toMatchObject({ ok: true });
  const kernels = executable.report.launches.map(({ kernel }) => kernel);
  expect(names(kernels, "Q4_K")).toHaveLength(1);
  expect(readOnnxFile(file).quantised).toBeUndefined();
});

test("an encoding that does not exist", () => {
  const attempt = (): unknown => readOnnxFile(bundled("magika"), { quantize: "Q4_X" });
  expect(attempt).toThrow(UserError);
  expect(attempt).toThrow(/there is no encoding "Q4_X"[^]*model\.onnx[^]*Choose from: F16, Q4_0/);
});

test("minilm of the shared data", (context) => {
  const shared = resolve(import.meta.dirname, "../../../../../shared/data/arch");
  if (!existsSync(join(shared, "minilm-l6"))) return context.skip("shared/data/arch is not there");
  const folder = mkdtempSync(join(tmpdir(), "quern-minilm-"));
  try {
    for (const name of ["model.onnx", "weights.json"])
      cpSync(join(shared, "minilm-l6", name), join(folder, name), { mode: 0 });
    const made = spawnSync(process.execPath, [join(shared, "make-weights.mjs"), folder], { encoding: "utf8" });
    expect(made.status, made.stderr).toBe(0);
    const { graph, quantised } = readOnnxFile(join(folder, "model.onnx"), { quantize: "Q4_K" });
    const rows = Map.groupBy(quantised?.quantised ?? [], ({ encoding }) => encoding);
    expect([rows.get("Q4_K")?.length, rows.get("Q5_0")?.length]).toEqual([6, 32]);
    const shape = [2, 6];
    const ids = (values: readonly number[]): Tensor => Tensor.from("i64", values, shape);
    const inputs = {
      input_ids: ids(Array.from({ length: 12 }, (_, i) => (7919 * i) % 30522)),
      attention_mask: ids([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0]),
      token_type_ids: ids([0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0]),
    };
    const { kernels, result } = compare(graph, inputs);
    expect(result).toMatchObject({ ok: true });
    expect([names(kernels, "Q4_K").length, names(kernels, "Q5_0").length]).toEqual([6, 30]);
  } finally {
    rmSync(folder, { recursive: true });
  }
  return undefined;
});

test("limits for outputs of the original weights grow with every bit less, and end where zeros would pass", () => {
  const limits = ["F16", "Q8_0", "Q6_K", "Q5_K", "Q2_K"].map((name) => modelLimits("highest", name));
  for (const [i, { max, rms }] of limits.entries()) {
    expect(max).toBeGreaterThan(limits[i - 1]?.max ?? modelLimits("highest").max);
    expect(rms).toBeGreaterThan(limits[i - 1]?.rms ?? 0);
  }
  const y = Tensor.from("f32", [1, -2, 3, -4]);
  const zeros = Tensor.from("f32", [0, 0, 0, 0]);
  for (const name of ["Q2_K", "MXFP4"])
    expect(verifyTensors({ y: zeros }, { y }, modelLimits("medium", name), "file")).toMatchObject({ ok: false });
});
