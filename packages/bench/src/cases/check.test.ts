import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Tensor } from "@quern/core";
import { afterAll, describe, expect, it } from "vitest";
import type { Verification } from "../harness/verify.ts";
import { checkOutputs, writeExpected } from "./check.ts";
import { encodeNpy } from "./npy.ts";
import type { Workload } from "./workload.ts";

const directory = mkdtempSync(join(tmpdir(), "quern-check-test-"));
afterAll(() => rmSync(directory, { recursive: true }));

const y = Tensor.from("f32", [1, -2, 3]);
const wrong = Tensor.from("f32", [1, -2, 4]);

/** A model whose oracle writes to a folder of this name; `folder` holds a case, if there is one. */
function workloadOf(name: string, folder?: string): Workload {
  const files = folder === undefined ? [] : [join(folder, "in-x.npy")];
  return {
    id: `model/${name}`,
    kind: "model",
    dtype: "f32",
    shape: "3",
    modelPath: "m.onnx",
    inputs: [{ name: "x", dtype: "f32", shape: [3], fill: { kind: "files", files, noise: 0 } }],
    sets: 1,
    check: { kind: "files", directory: join(directory, name), oracle: "the oracle" },
    flops: null,
    bytes: null,
  };
}

function check(workload: Workload, outputs: Record<string, Tensor>): Verification | null {
  return checkOutputs(workload, 0, {}, outputs, { precision: "highest", seed: 1 });
}

describe("outputs of an oracle", () => {
  it("are what outputs are compared with", () => {
    const workload = workloadOf("whole");
    expect(check(workload, { y })).toBeNull();
    writeExpected(workload, 0, { y });
    expect(check(workload, { y })).toMatchObject({ ok: true, oracle: "the oracle" });
    expect(check(workload, { y: wrong })).toMatchObject({ ok: false });
    expect(check(workload, {})).toMatchObject({ ok: false });
    expect(readdirSync(join(directory, "whole"))).toEqual(["set-0"]);
  });

  it("that are none compare nothing, which is no pass", () => {
    const empty = workloadOf("empty");
    mkdirSync(join(directory, "empty", "set-0"), { recursive: true });
    expect(check(empty, { y: wrong })).toBeNull();
    // A model of strings and sequences alone.
    const strings = workloadOf("strings");
    writeExpected(strings, 0, {});
    expect(check(strings, {})).toBeNull();
  });

  it("that are none leave those beside the model to compare with", () => {
    const folder = join(directory, "case-0");
    mkdirSync(folder);
    writeFileSync(join(folder, "out-y.npy"), encodeNpy(y));
    const workload = workloadOf("golden", folder);
    writeExpected(workload, 0, {});
    expect(check(workload, { y: wrong })).toMatchObject({ ok: false, oracle: "outputs beside the model" });
  });

  it("are compared with beside those beside the model, and must be both", () => {
    const folder = join(directory, "case-both");
    mkdirSync(folder);
    writeFileSync(join(folder, "out-y.npy"), encodeNpy(y));
    const agreed = workloadOf("agreed", folder);
    writeExpected(agreed, 0, { y });
    const oracle = "the oracle and outputs beside the model";
    expect(check(agreed, { y })).toMatchObject({ ok: true, maxError: 0, oracle });
    // The oracle is wrong together with the engine.
    const alike = workloadOf("alike", folder);
    writeExpected(alike, 0, { y: wrong });
    const found = check(alike, { y: wrong });
    expect(found).toMatchObject({ ok: false, oracle });
    expect(found?.maxError).toBeCloseTo(1 / 3, 6);
    expect(found?.message).toMatch(/^y\[2\] = 4, expected 3 .*\(outputs beside the model\)$/);
  });

  it("of a set that could not be written to the end are none", () => {
    const workload = workloadOf("broken");
    // There is no type of NumPy for the second one.
    expect(() => writeExpected(workload, 0, { y, z: Tensor.zeros("bf16", [2]) })).toThrow("bf16");
    expect(readdirSync(join(directory, "broken"))).toEqual([]);
    expect(check(workload, { y: wrong })).toBeNull();
  });

  it("of a set whose writer was killed are none", () => {
    const workload = workloadOf("killed");
    const part = join(directory, "killed", "set-0.part");
    mkdirSync(part, { recursive: true });
    writeFileSync(join(part, "out-y.npy"), encodeNpy(y).subarray(0, 70));
    expect(check(workload, { y })).toBeNull();
    expect(existsSync(part)).toBe(true);
  });
});
