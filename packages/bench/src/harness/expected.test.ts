import { describe, expect, it } from "vitest";
import type { Workload } from "../cases/workload.ts";
import { sampleResults } from "../results/sample-results.ts";
import type { Result } from "../results/schema.ts";
import { DEFAULT_SETTINGS } from "./bench.ts";
import { makeExpected, withOracleNote } from "./expected.ts";

const workload: Workload = {
  id: "model/m",
  kind: "model",
  dtype: "f32",
  shape: "1",
  modelPath: "/nowhere/m.onnx",
  inputs: [],
  sets: 1,
  check: { kind: "files", directory: "/nowhere", oracle: "o" },
  flops: null,
  bytes: null,
};

describe("an oracle that fails", () => {
  it("says why: it has no such model, or gave no answer", async () => {
    expect(await makeExpected("onnxruntime", workload, DEFAULT_SETTINGS)).toContain("/nowhere/m.onnx");
    const hurried = { ...DEFAULT_SETTINGS, timeoutMs: 1 };
    expect(await makeExpected("onnxruntime", workload, hurried)).toContain("the oracle gave no answer within");
  });

  it("is none where the case is checked by a formula", async () => {
    const check = { kind: "op", op: "exp", rows: 1, columns: 1 } as const;
    expect(await makeExpected("onnxruntime", { ...workload, check }, DEFAULT_SETTINGS)).toBeUndefined();
  });

  it("ends with the run, on Ctrl-C", async () => {
    const settings = { ...DEFAULT_SETTINGS, signal: AbortSignal.abort() };
    await expect(makeExpected("onnxruntime", workload, settings)).rejects.toMatchObject({ name: "AbortError" });
  });

  it("is in the note of steady rows, behind what else they say", () => {
    const row = sampleResults().results.find(({ phase }) => phase === "steady") as Result;
    const text = "expected outputs could not all be computed: the disk is full";
    expect(withOracleNote(row, undefined)).toBe(row);
    expect(withOracleNote(row, "the disk is full\n  at /tmp").note).toBe(text);
    expect(withOracleNote({ ...row, note: "used 2 threads" }, "the disk is full").note).toBe(`used 2 threads; ${text}`);
    const compiled: Result = { ...row, phase: "compile" };
    expect(withOracleNote(compiled, "the disk is full")).toBe(compiled);
  });
});
