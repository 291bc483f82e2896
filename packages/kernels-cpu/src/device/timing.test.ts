import { type Graph, GraphBuilder, Tensor, type Value, setDebugKernel, setDebugLevel, symbol } from "@quern/core";
import { afterEach, describe, expect, test, vi } from "vitest";
import { cpu } from "./cpu.ts";
import { launchLine } from "./timing.ts";

afterEach(() => {
  setDebugLevel(0);
  setDebugKernel(undefined);
  vi.restoreAllMocks();
});

/** A product over a number of rows known at run time, softmax and a test of its results. */
function graph(): Graph {
  const b = new GraphBuilder();
  const x = b.input("x", "f32", [symbol("n"), 64]);
  const w = b.constant({ dtype: "f32", shape: [64, 48], bytes: Tensor.zeros("f32", [64, 48]).bytes() });
  const y = b.apply("softmax", [b.apply("matmul", [x, w])[0]], { axis: 1 })[0] as Value;
  b.output("y", y);
  b.output("isNaN", b.apply("isNaN", [y])[0] as Value);
  return b.build("narrated");
}

const x = Tensor.zeros("f32", [16, 64]);

function listen(): () => string[] {
  const error = vi.spyOn(console, "error").mockImplementation(() => {});
  return () => error.mock.calls.splice(0).map(([line]) => String(line));
}

describe("narration", () => {
  test("a line per launch at level 2, of every way to run", async () => {
    for (const check of [false, true]) {
      using device = cpu({ threads: 2, check });
      using executable = device.compile(graph());
      const kernels = executable.report.launches.map(({ kernel }) => kernel);
      expect(kernels.length).toBeGreaterThan(1);
      const lines = listen();
      executable.runSync({ x });
      expect(lines()).toEqual([]);
      setDebugLevel(2);
      executable.runSync({ x });
      const sync = lines();
      await executable.run({ x });
      for (const told of [sync, lines()]) {
        expect(told.map((line) => /^cpu {3}(\S+) {3}[\d.]+ (ms|µs)/.exec(line)?.[1])).toEqual(kernels);
        const product = told.find((line) => line.includes("matmul")) as string;
        expect(product).toMatch(/s {2}[\d.]+ GFLOP\/s {2}[\d.]+ GB\/s$/);
      }
      setDebugLevel(0);
      executable.runSync({ x });
      expect(lines()).toEqual([]);
      vi.restoreAllMocks();
    }
  });

  test("figures that are not known are left out", () => {
    expect(launchLine("matmul", 10.2, { flops: 2e9, bytes: 12e6 })).toBe(
      "cpu   matmul   10.2 ms  196 GFLOP/s  1.18 GB/s",
    );
    expect(launchLine("neg", 0.05, { bytes: 1e6 })).toBe("cpu   neg   50.0 µs  20.0 GB/s");
    expect(launchLine("host:nonZero", 1234.5, {})).toBe("cpu   host:nonZero   1235 ms");
  });

  test("level 4 prints the code of each distinct kernel once, restricted by name", () => {
    using device = cpu({ threads: 1 });
    const b = new GraphBuilder();
    const given = b.input("x", "f32", [8, 64]);
    b.output("a", b.apply("softmax", [given], { axis: 1 })[0] as Value);
    b.output("b", b.apply("softmax", [b.apply("softmax", [given], { axis: 1 })[0]], { axis: 1 })[0] as Value);
    b.output("c", b.apply("neg", [given])[0] as Value);
    const lines = listen();
    const listings = (): string[] => {
      device.compile(b.build("listed")).dispose();
      return lines().filter((line) => line.startsWith("; "));
    };
    setDebugLevel(3);
    expect(listings()).toEqual([]);
    setDebugLevel(4);
    const all = listings();
    expect(all.map((text) => text.split("\n")[0])).toEqual([...new Set(all.map((text) => text.split("\n")[0]))]);
    expect(all.length).toBe(2);
    expect(all[0]).toMatch(/^; softmax\S*\n +0: {2}([0-9a-f]{2} )+ +\w/);
    setDebugKernel("ne?");
    const [only, ...others] = listings();
    expect(only).toMatch(/^; neg\n/);
    expect(others).toEqual([]);
  });

  test("decisions are restricted to the kernels that were chosen", () => {
    using device = cpu({ threads: 1 });
    const lines = listen();
    setDebugLevel(3);
    setDebugKernel("matmul*");
    device.compile(graph()).dispose();
    const told = lines().filter((line) => !line.startsWith("compiled"));
    expect(told.length).toBe(1);
    expect(told[0]).toMatch(/matmul.*: \d+ ns/);
  });
});
