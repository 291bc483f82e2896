/**
 * A trained model of five layers in eight precisions: logits of a float64 forward over the decoded weights of each file.
 * Weights are decoded exactly, so only frequencies and results are rounded.
 */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readGgufFile } from "@quern/importers/gguf";
import { sharedFile } from "../text/shared-data.test-support.ts";
import { buildStepGraph } from "./index.ts";
import { StepRunner, difference } from "./run-step.test-support.ts";

const TOKENS = 512;
const CLOSE = 1e-6;

/** The elements of a NumPy file of version 1. */
function npy<T>(path: string, read: (bytes: ArrayBuffer) => T): T {
  const file = readFileSync(path);
  return read(Uint8Array.from(file.subarray(10 + file.readUInt16LE(8))).buffer);
}

describe.each(["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"])("stories260K in %s", (precision) => {
  it("gives the logits of a float64 forward, at once and in pieces", (context) => {
    const suffix = precision === "f32" ? "" : `-${precision}`;
    const file = readGgufFile(sharedFile(context, "gguf", `stories260K${suffix}.gguf`));
    const ids = npy(sharedFile(context, "gguf", "case-0", "in-input_ids.npy"), (bytes) =>
      Array.from(new BigInt64Array(bytes), Number),
    );
    const all = npy(
      sharedFile(context, "gguf", "case-0", `logits-${precision}.npy`),
      (bytes) => new Float32Array(bytes),
    );
    const expected = ids.map((_, row) => all.subarray(row * TOKENS, (row + 1) * TOKENS));
    const step = buildStepGraph(file, { cache: "f32", pageSize: 16 });
    expect(ids).toHaveLength(32);
    expect(difference(new StepRunner(step).step([{ sequence: 0, ids }]), expected)).toBeLessThan(CLOSE);

    const runner = new StepRunner(step);
    const pieces = [ids.slice(0, 17), ids.slice(17, 29), ids.slice(29, 30), ids.slice(30, 31), ids.slice(31)];
    const rows = pieces.flatMap((piece) => runner.step([{ sequence: 2, ids: piece }]));
    expect(difference(rows, expected)).toBeLessThan(CLOSE);
  });
});
