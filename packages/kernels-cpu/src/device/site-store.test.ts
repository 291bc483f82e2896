/**
 * Kernels kept on disk: what a later device finds there computes the same bits, and nothing that is damaged, foreign or
 * made under other conditions is used.
 */

import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type CompileReport,
  type Graph,
  GraphBuilder,
  Tensor,
  UnsupportedError,
  type Value,
  allOps,
  caseGraph,
  caseInputs,
  symbol,
} from "@quern/core";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { PACKERS } from "../kernels/packers.ts";
import { type CpuOptions, cpu } from "./cpu.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "quern-store-"));
  // With it kernels are always made.
  vi.stubEnv("QUERN_VERIFY", "");
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

interface Outcome {
  readonly bytes: readonly string[];
  readonly kernels: CompileReport["kernels"];
  readonly machine: string;
}

/** Compiles and runs on a device of its own. */
function runOn(graph: Graph, inputs: Readonly<Record<string, Tensor>>, options: CpuOptions = {}): Outcome {
  using device = cpu({ threads: 1, cache: folder, ...options });
  using executable = device.compile(graph);
  const outputs = executable.runSync(inputs);
  const bytes = Object.values(outputs).map((tensor) => Buffer.from(tensor.bytes()).toString("hex"));
  return { bytes, kernels: executable.report.kernels, machine: executable.dump("machine") };
}

/** rows × 64 through packed weights, softmax and a pointwise chain. */
function layers(): Graph {
  const b = new GraphBuilder();
  const one = (op: string, inputs: readonly Value[], attrs = {}): Value => b.apply(op, inputs, attrs)[0] as Value;
  const data = Float32Array.from({ length: 64 * 48 }, (_, i) => Math.sin(i));
  const weights = b.constant({ dtype: "f32", shape: [64, 48], bytes: new Uint8Array(data.buffer) });
  const x = b.input("x", "f32", [symbol("rows"), 64]);
  b.output("y", one("softmax", [one("tanh", [one("matmul", [x, weights])])], { axis: 1 }));
  return b.build("layers");
}

const rows = (count: number): Readonly<Record<string, Tensor>> => ({
  x: Tensor.from(
    "f32",
    Float32Array.from({ length: 64 * count }, (_, i) => Math.cos(i)),
    [count, 64],
  ),
});
const entries = (): string[] => readdirSync(folder).map((name) => join(folder, name));

describe("kernels on disk", () => {
  test("serve a later device, with the same results for any size", () => {
    const first = runOn(layers(), rows(7));
    expect(first.kernels?.cached).toBe(0);
    expect(entries().length).toBeGreaterThan(1);
    for (const count of [7, 1, 30]) {
      const again = runOn(layers(), rows(count));
      expect(again.kernels).toEqual({ total: first.kernels?.total, cached: first.kernels?.total });
      expect(again.bytes).toEqual(runOn(layers(), rows(count), { cache: false }).bytes);
    }
  });

  test("can still be looked into", () => {
    const first = runOn(layers(), rows(2));
    expect(first.machine).toContain("matmul");
    expect(runOn(layers(), rows(2)).machine).toBe(first.machine);
  });

  test("of every op compute the same bits", { timeout: 300_000 }, () => {
    for (const op of allOps()) {
      for (const opCase of op.reference === undefined ? [] : op.cases()) {
        const { graph, inputs } = caseGraph(op, opCase, caseInputs(opCase, 31));
        try {
          const made = runOn(graph, inputs);
          const kept = runOn(graph, inputs);
          expect(kept.bytes, `${op.name} "${opCase.name}"`).toEqual(made.bytes);
          expect(kept.kernels?.cached, `${op.name} "${opCase.name}"`).toBe(kept.kernels?.total);
        } catch (error) {
          if (!(error instanceof UnsupportedError)) throw error;
        }
      }
    }
  });

  test("are apart for other features, threads and precisions", () => {
    runOn(layers(), rows(2));
    const others: CpuOptions[] = [{ features: "avx2" }, { threads: 2 }, { matmulPrecision: "medium" }];
    // The whole machine may be an AVX2 one.
    for (const options of others.filter((each) => each.features === undefined || cpuName() !== "cpu:avx2"))
      expect(runOn(layers(), rows(2), options).kernels?.cached, JSON.stringify(options)).toBe(0);
  });

  test("are apart where sites differ in a scalar, be it the sign of zero", () => {
    const times = (factor: number): Graph => {
      const b = new GraphBuilder();
      const scalar = b.constant({ dtype: "f32", shape: [], bytes: new Uint8Array(Float32Array.of(factor).buffer) });
      b.output("y", b.apply("mul", [b.input("x", "f32", [3]), scalar])[0] as Value);
      return b.build("times");
    };
    const x = Tensor.from("f32", [1, -2, 0.5], [3]);
    for (const factor of [0.1, 0.1000001, 0, -0, 1e-42, Infinity]) {
      const made = runOn(times(factor), { x });
      expect(made.kernels?.cached, String(factor)).toBe(0);
      const expected = Float32Array.from([1, -2, 0.5], (value) => value * Math.fround(factor));
      expect(runOn(times(factor), { x }).bytes).toEqual([Buffer.from(expected.buffer).toString("hex")]);
    }
  });

  test("are not used in check mode, nor where the compiler is verified", () => {
    runOn(layers(), rows(2));
    expect(runOn(layers(), rows(2), { check: true }).kernels?.cached).toBe(0);
    vi.stubEnv("QUERN_VERIFY", "1");
    expect(runOn(layers(), rows(2)).kernels?.cached).toBe(0);
  });
});

function cpuName(): string {
  using device = cpu({ threads: 1, cache: false });
  return device.name;
}

describe("what is wrong on disk is made again", () => {
  const unknownForm = (): Buffer => {
    const header = Buffer.from('{"launches":[{}],"temporaries":[],"rivals":""}');
    const content = Buffer.concat([Uint8Array.of(header.length, 0, 0, 0), header]);
    return Buffer.concat([createHash("sha256").update(content).digest(), content]);
  };
  const flipped = (bytes: Buffer): Buffer => {
    bytes[bytes.length - 5] = (bytes[bytes.length - 5] as number) ^ 1;
    return bytes;
  };
  test.each([
    ["a flipped bit", flipped],
    ["half a file", (bytes: Buffer) => bytes.subarray(0, 100)],
    ["an empty file", () => Buffer.alloc(0)],
    ["a form that is not known, its digest right", unknownForm],
  ] as const)("%s", (_, change) => {
    const first = runOn(layers(), rows(3));
    for (const file of entries()) writeFileSync(file, change(readFileSync(file)));
    const again = runOn(layers(), rows(3));
    expect(again.bytes).toEqual(first.bytes);
    expect(again.kernels?.cached).toBe(0);
    expect(runOn(layers(), rows(3)).kernels?.cached).toBe(first.kernels?.total);
  });

  test("a folder that others may write to is not used", (context) => {
    if (process.platform === "win32") context.skip("Windows has other rights");
    const open = join(folder, "open");
    mkdirSync(open);
    chmodSync(open, 0o777);
    runOn(layers(), rows(2), { cache: open });
    expect(readdirSync(open)).toEqual([]);
  });

  test("a path that is a file", () => {
    const file = join(folder, "file");
    writeFileSync(file, "");
    expect(runOn(layers(), rows(2), { cache: file }).kernels?.cached).toBe(0);
  });
});

test("packers have names of their own", () => {
  expect(new Set(PACKERS.map(({ name }) => name)).size).toBe(PACKERS.length);
});
