/**
 * Bundled models, and those of the shared data where it is present, end to end on the GPU device: imported, compiled to
 * WGSL, run, and compared with the outputs that come with them.
 */

import { existsSync } from "node:fs";
import { env } from "node:process";
import { fileURLToPath } from "node:url";
import { type Tensor, UnsupportedError } from "@quern/core";
import { readOnnxFile } from "@quern/importers";
import { gpu } from "@quern/kernels-gpu";
import { expect, test } from "vitest";
import { caseFolders, tensorFiles } from "./model.ts";
import { readNpy } from "./npy.ts";

const REQUIRED = env["QUERN_REQUIRE_GPU"];
const ROOT = fileURLToPath(new URL("../../../../", import.meta.url));
/** Largest difference from the recorded outputs, relative to their largest element. */
const BOUND = 1e-5;
/** The software driver compiles dozens of shaders at their first dispatch. */
const TIMEOUT = 300_000;

const MODELS = [
  { name: "mnist", file: "packages/bench-models/mnist/model.onnx" },
  { name: "resnet20", file: "packages/bench-models/resnet20/model.onnx" },
  { name: "mnist/zoo-8", file: "../shared/data/onnx-models/mnist/zoo-8/model.onnx" },
  { name: "mnist/onnx2c-mlp", file: "../shared/data/onnx-models/mnist/onnx2c-mlp/model.onnx" },
] as const;

function largest(values: readonly number[]): number {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

for (const { name, file } of MODELS) {
  test(`${name}`, { timeout: TIMEOUT }, async (context) => {
    if (!existsSync(ROOT + file)) return context.skip(`${file} is not there`);
    const device = await gpu().catch((error: unknown) => {
      if (!(error instanceof UnsupportedError) || (REQUIRED !== undefined && REQUIRED !== "0")) throw error;
      return context.skip(error.message);
    });
    using executable = device.compile(readOnnxFile(ROOT + file).graph);
    const folders = caseFolders(ROOT + file);
    expect(folders.length).toBeGreaterThan(0);
    for (const folder of folders) {
      const inputs: Record<string, Tensor> = {};
      for (const [input, path] of Object.entries(tensorFiles(folder, "in-"))) inputs[input] = readNpy(path);
      const results = await executable.run(inputs);
      const expected = Object.entries(tensorFiles(folder, "out-"));
      expect(expected.length).toBeGreaterThan(0);
      for (const [output, path] of expected) {
        const [got, want] = [(results[output] as Tensor).toArray(), readNpy(path).toArray()];
        expect(got.length).toBe(want.length);
        const error = largest(got.map((value, i) => value - (want[i] as number)));
        expect(error, `${output} of ${folder}`).toBeLessThanOrEqual(BOUND * largest(want));
      }
    }
    device.dispose();
  });
}
