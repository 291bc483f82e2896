import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { CACHE_STATES, parseCacheState, setsFor, type CacheState } from "./caches.ts";
import { gemmWorkload, parseShapes } from "./gemm.ts";
import { modelWorkload } from "./model.ts";
import { parseOpSizes } from "./ops.ts";
import { parseNumbers, parseSweep } from "./sweep.ts";
import type { Workload } from "./workload.ts";

describe("lists of numbers", () => {
  it.each([
    ["1,2,4", [1, 2, 4]],
    ["1-4", [1, 2, 3, 4]],
    ["1..4", [1, 2, 3, 4]],
    ["256-4096*2", [256, 512, 1024, 2048, 4096]],
    ["256-4095*2", [256, 512, 1024, 2048]],
    ["10-20+5, 7", [10, 15, 20, 7]],
    ["3-3", [3]],
    ["0-2", [0, 1, 2]],
    ["2,1-3", [2, 1, 3]],
  ])("%s", (text, expected) => {
    expect(parseNumbers(text, "--n", "1-4")).toEqual(expected);
  });

  it.each([
    "",
    ",",
    "4-1",
    "1-4*1",
    "1-4*0",
    "1-4+0",
    "0-4*2",
    "1-",
    "-1",
    "1.5",
    "a",
    "1-2-3",
    "0-99999999",
    "1--3",
    "1-4**2",
  ])('refuses "%s"', (text) => {
    expect(() => parseNumbers(text, "--n", "1-4")).toThrow("--n");
  });
});

describe("shapes", () => {
  it("have a range for each side, all combinations", () => {
    expect(parseSweep("1-2x8x4-8*2,3x3x3", "a shape", "MxKxN", 3)).toEqual([
      [1, 8, 4],
      [1, 8, 8],
      [2, 8, 4],
      [2, 8, 8],
      [3, 3, 3],
    ]);
  });

  it("of one number are equal sides", () => {
    expect(parseShapes("256..1024*2").map(({ m, k, n }) => [m, k, n])).toEqual([
      [256, 256, 256],
      [512, 512, 512],
      [1024, 1024, 1024],
    ]);
    expect(parseOpSizes("64, 1x4096")).toEqual([
      { rows: 64, columns: 64 },
      { rows: 1, columns: 4096 },
    ]);
  });

  it("are refused when they are none, too large or too many", () => {
    for (const bad of ["1x2", "1x2x3x4", "0x1x1", "1xx2", "1x2-x3"]) {
      expect(() => parseShapes(bad), bad).toThrow("--shapes");
    }
    expect(() => parseOpSizes("1x2x3")).toThrow("ROWSxCOLUMNS");
    expect(() => parseOpSizes("65536x65536")).toThrow("1 GiB");
    expect(() => parseSweep("1-100x1-100x1", "a shape", "MxKxN", 3)).toThrow("more than 4096");
  });

  it("are counted before they are made: what three ranges stand for has no room in any memory", () => {
    expect(() => parseShapes("1-4096x1-4096x1-4096")).toThrow("68719476736 shapes, more than 4096");
    expect(() => parseSweep("1-4096,1", "a shape", "MxKxN", 3)).toThrow("4097 shapes");
    expect(parseSweep("1-16x1-16x1-16", "a shape", "MxKxN", 3)).toHaveLength(4096);
  });
});

describe("caches", () => {
  const MIB = 2 ** 20;

  it("soft-cold rotates through three times the last-level cache", () => {
    for (const bytes of [MIB, 8 * MIB, 500 * MIB]) {
      const sets = setsFor("soft-cold", bytes, "case", 36 * MIB);
      expect(sets).toBeGreaterThanOrEqual(3);
      // Between two uses of a set come all others.
      expect(sets * bytes).toBeGreaterThanOrEqual(3 * 36 * MIB);
    }
    expect(setsFor("soft-cold", 8 * MIB, "case", 36 * MIB)).toBe(14);
    expect(setsFor("rotating", 8 * MIB, "case", 36 * MIB)).toBe(8);
    expect([16, 32, 64, 500].map((mib) => setsFor("rotating", mib * MIB, "case"))).toEqual([8, 8, 4, 3]);
    expect(() => setsFor("soft-cold", 64, "op/add", 36 * MIB)).toThrow("op/add");
  });

  it("constant weights cannot be made cold", () => {
    expect(() => parseShapes("8x8x8", "constant", "soft-cold")).toThrow("--weights input");
    const gemm = { m: 8, k: 8, n: 8, weights: "constant", cache: "soft-cold" } as const;
    expect(() => gemmWorkload(gemm, 1, "/")).toThrow("--cache soft-cold");
    expect(parseShapes("64x64x64", "input", "soft-cold")[0]?.cache).toBe("soft-cold");
  });

  it("of a model are warm or rotate, and have names of their own", async () => {
    const directory = mkdtempSync(join(tmpdir(), "quern-model-caches-"));
    try {
      const file = join(directory, "net.onnx");
      writeFileSync(file, "");
      const value = { name: "x", dtype: "f32", shape: [1, 4] } as const;
      const options = { seed: 1, dims: {}, directory, describeInputs: async () => [value] };
      const workload = async (cache?: CacheState): Promise<Workload> => modelWorkload(file, { ...options, cache });
      expect(await workload()).toMatchObject({ id: "model/net", sets: 8, cache: "rotating" });
      expect(await workload("warm")).toMatchObject({ id: "model/net/warm", sets: 8, cache: "warm" });
      await expect(workload("soft-cold")).rejects.toThrow("the weights of a model do not rotate");
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it("are named", () => {
    for (const state of CACHE_STATES) expect(parseCacheState(state)).toBe(state);
    expect(() => parseCacheState("icy")).toThrow("rotating, warm, soft-cold");
  });
});
