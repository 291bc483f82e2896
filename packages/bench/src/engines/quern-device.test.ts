import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Tensor } from "@quern/core";
import { afterAll, describe, expect, it } from "vitest";
import { encodeOnnx } from "../cases/onnx-model.ts";
import { finishCompiling, openDevice, readModel } from "./quern-device.ts";

const directory = mkdtempSync(join(tmpdir(), "quern-device-test-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** A convolution over images of any size. */
function convolution(): string {
  const path = join(directory, "convolution.onnx");
  const weights = new Float32Array(2 * 2 * 3 * 3).fill(0.5);
  const { bytes } = encodeOnnx({
    name: "convolution",
    opset: 17,
    inputs: [{ name: "x", dtype: "f32", shape: [1, 2, "height", "width"] }],
    outputs: [{ name: "y", dtype: "f32", shape: [1, 2, "rows", "columns"] }],
    initialisers: [{ name: "w", dtype: "f32", shape: [2, 2, 3, 3], bytes: new Uint8Array(weights.buffer) }],
    nodes: [{ op: "Conv", inputs: ["x", "w"], outputs: ["y"] }],
  });
  writeFileSync(path, bytes);
  return path;
}

describe("compiling to its end", () => {
  it("makes the program for the sizes of the inputs, which the first run would make", async () => {
    const device = await openDevice("cpu", { threads: 1, cache: false });
    const { graph } = await readModel(convolution(), "cpu");
    const executable = device.compile(graph);
    await finishCompiling(device, executable);
    expect(executable.report.launches).toEqual([]);
    await finishCompiling(device, executable, { x: Tensor.zeros("f32", [1, 2, 8, 8]) });
    expect(executable.report.launches.length).toBeGreaterThan(0);
    device.dispose();
  });

  it("waits for weights to be packed", async () => {
    const device = await openDevice("reference", {});
    const { graph } = await readModel(convolution());
    let packed = false;
    const packing = Object.assign(Object.create(device) as typeof device, {
      weightsPacked: async () => {
        await new Promise((resolve) => setImmediate(resolve));
        packed = true;
      },
    });
    await finishCompiling(packing, device.compile(graph));
    expect(packed).toBe(true);
  });
});
