/**
 * Products with weights in blocks and gathered rows of them, in every format, against the float64 reference, with vectors
 * of each width. Rows of x that bytes represent exactly must come out as exact as f32 sums are; random ones within the
 * rounding of x to bytes.
 */

import {
  ARRAY_OF,
  type Executable,
  type Graph,
  GraphBuilder,
  Tensor,
  type Value,
  randomNumbers,
  referenceDevice,
} from "@quern/core";
import { interpretKernel } from "@quern/core/kernel";
import { afterAll, describe, expect, test } from "vitest";
import { cpuInfo, nativeHost } from "../../host/index.ts";
import { cpu } from "../../device/cpu.ts";
import type { CpuTarget } from "../../host/cpu-target.ts";
import { relativeError } from "../amx/accuracy.ts";
import { SIMULATED_AMX, SIMULATED_AVX2, SIMULATED_AVX512, simulated } from "../simulated-trial.ts";
import { interpreted, trial } from "../site-trial.ts";
import { matmulFloats } from "./matmul-floats.ts";
import { matmulBlocks } from "./matmul.ts";
import { FLOAT_ENCODINGS, floatPanelPacker } from "./float-panels.ts";
import { BLOCK_FORMATS, formatOf } from "./formats.ts";
import { interleavePacker } from "./interleave.ts";
import { randomBlocks } from "./random-blocks.test-support.ts";

const seed = Number(process.env["QUERN_SEED"] ?? Date.now() % 2 ** 31);
const uniform = randomNumbers(seed);

const { features } = cpuInfo(nativeHost());
const TARGETS = ["avx2", "avx512", "avx512+vnni"].filter((name) =>
  name === "avx2" ? true : name === "avx512" ? features.has("avx512f") : features.has("avx512vnni"),
);
const NAMES = [...FLOAT_ENCODINGS.keys(), ...BLOCK_FORMATS.map(({ name }) => name)];

/** Weight rows that fill no panel, and a depth of some blocks. */
const COLUMNS = 37;
const depthOf = (name: string): number => 3 * (formatOf(name)?.blockWeights ?? 37);

function productGraph(name: string, rows: number | "n"): { graph: Graph; depth: number } {
  const depth = depthOf(name);
  const b = new GraphBuilder();
  const [x, weights] = [input(b, rows, depth), b.constant(randomBlocks(name, COLUMNS, depth, uniform))];
  const y = b.apply("matmul", [x, weights], { transposeB: true })[0] as Value;
  b.output("y", b.apply("relu", [y])[0] as Value);
  return { graph: b.build("product"), depth };
}

function input(b: GraphBuilder, rows: number | "n", depth: number): Value {
  if (rows !== "n") return b.input("x", "f32", [rows, depth]);
  const like = new GraphBuilder();
  const dim = like.freshDim("n");
  return b.input("x", "f32", [dim, depth]);
}

function tensor(rows: number, depth: number, element: (at: number) => number): Tensor {
  return Tensor.from(
    "f32",
    Float32Array.from({ length: rows * depth }, (_, at) => element(at)),
    [rows, depth],
  );
}

/** Numbers that are multiples of a 127th of the greatest one in each 16. */
const exactRows = (rows: number, depth: number): Tensor =>
  tensor(rows, depth, (at) => (at % 16 === 0 ? 127 : Math.floor(uniform() * 255) - 127));

function runBoth(graph: Graph, executable: Executable, x: Tensor): { worst: number; rms: number; names: string[] } {
  const expected = referenceDevice().compile(graph).runSync({ x })["y"] as Tensor;
  const actual = executable.runSync({ x })["y"] as Tensor;
  const [a, b] = [actual.data as Float32Array, expected.data as Float32Array];
  const squares = b.reduce((sum, value) => sum + value * value, 0);
  const scale = Math.sqrt(squares / Math.max(1, b.length));
  let [worst, sum] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    const error = Math.abs((a[i] as number) - (b[i] as number)) / scale;
    worst = error <= worst ? worst : error;
    sum += error * error;
  }
  expect(a).toHaveLength(b.length);
  return { worst, rms: Math.sqrt(sum / Math.max(1, b.length)), names: executable.report.launches.map((l) => l.kernel) };
}

describe.each(TARGETS)("%s", (target) => {
  const devices = [1, 2].map((threads) => cpu({ features: target, threads, cache: false, matmulPrecision: "medium" }));
  afterAll(() => devices.forEach((device) => device.dispose()));

  test.each(NAMES)(`%s: products (seed ${seed})`, (name) => {
    for (const rows of [1, 3, 20]) {
      for (const device of devices) {
        const { graph, depth } = productGraph(name, rows);
        using executable = device.compile(graph);
        const exact = runBoth(graph, executable, exactRows(rows, depth));
        expect(exact.names.at(-1)).toMatch(new RegExp(`^matmul_${name}_`));
        expect(exact.worst, `${rows} rows`).toBeLessThan(6e-6);
        const rounded = runBoth(
          graph,
          executable,
          tensor(rows, depth, () => uniform() - 0.5),
        );
        expect(rounded.rms, `${rows} rows`).toBeLessThan(FLOAT_ENCODINGS.has(name) ? 1e-6 : 2e-2);
      }
    }
  });

  test.each(NAMES)(`%s: any number of rows (seed ${seed})`, (name) => {
    const { graph, depth } = productGraph(name, "n");
    for (const device of devices) {
      using executable = device.compile(graph);
      for (const rows of [1, 0, 2, 4, 5, 8, 9, 17])
        expect(runBoth(graph, executable, exactRows(rows, depth)).worst, `${rows} rows`).toBeLessThan(6e-6);
    }
  });

  test.each(NAMES)(`%s: gathered rows (seed ${seed})`, (name) => {
    const b = new GraphBuilder();
    const weights = b.constant(randomBlocks(name, COLUMNS, depthOf(name), uniform));
    b.output("y", b.apply("gather", [weights, b.input("x", "i32", [6])], { axis: 0 })[0] as Value);
    const graph = b.build("rows");
    using executable = (devices[1] as (typeof devices)[0]).compile(graph);
    const { worst, names } = runBoth(graph, executable, Tensor.from("i32", [0, COLUMNS - 1, 15, 16, 15, -2]));
    expect(names).toEqual([expect.stringMatching(/^gather_/)]);
    expect(worst).toBeLessThan(1e-6);
  });
});

describe.each([
  ["interpreter", interpreted(seed)],
  ["simulator", simulated()],
] as const)("%s", (_where, execute) => {
  const targets = [SIMULATED_AVX2, SIMULATED_AVX512, { ...SIMULATED_AMX, name: "avx512+vnni" }];
  test.each(NAMES)(`%s (seed ${seed})`, (name) => {
    const kernel = FLOAT_ENCODINGS.has(name) ? matmulFloats : matmulBlocks;
    // Rows that go one at a time, as a few, and in blocks; the targets take turns, every kernel meets each of them.
    [1, 3, 9].forEach((rows, at) => {
      const target = targets[(at + NAMES.indexOf(name)) % targets.length] as CpuTarget;
      const { graph, depth } = productGraph(name, rows);
      const x = exactRows(rows, depth);
      const expected = referenceDevice().compile(graph).runSync({ x })["y"] as Tensor;
      const result = trial(graph, { x }, kernel, { target, threads: 2, precision: "medium" }, execute);
      expect(result.used, result.refusals.join()).toBe(1);
      expect(relativeError(result.outputs["y"] as Tensor, expected).max, `${rows} rows`).toBeLessThan(6e-6);
    });
  });
});

test("a value that is no number spoils its own row only", () => {
  using device = cpu({ threads: 1, cache: false, matmulPrecision: "medium" });
  for (const bad of [NaN, Infinity]) {
    const { graph, depth } = productGraph("Q4_K", 3);
    using executable = device.compile(graph);
    const x = exactRows(3, depth);
    (x.data as Float32Array)[depth + 40] = bad;
    const y = (executable.runSync({ x })["y"] as Tensor).data as Float32Array;
    const finite = (row: number): number =>
      y.subarray(row * COLUMNS, (row + 1) * COLUMNS).filter(Number.isFinite).length;
    expect([finite(0), finite(2)]).toEqual([COLUMNS, COLUMNS]);
    expect(finite(1)).toBeLessThan(COLUMNS);
  }
});

test(`kernels pack what JavaScript packs (seed ${seed})`, () => {
  for (const [name, vectorBytes] of NAMES.flatMap((one) => [32, 64].map((bytes) => [one, bytes] as const))) {
    const data = randomBlocks(name, COLUMNS, depthOf(name), uniform);
    const { pack, onDevice } = FLOAT_ENCODINGS.has(name) ? floatPanelPacker : interleavePacker;
    const expected = pack(data, { encoding: name }).bytes;
    const made = new Uint8Array((onDevice as NonNullable<typeof onDevice>).byteLength(data, { encoding: name }));
    const kernel = (onDevice as NonNullable<typeof onDevice>).kernel({ encoding: name }, vectorBytes);
    const buffers = kernel.buffers.map(({ name: buffer, dtype, access }) => {
      const { buffer: memory } = access === "read" ? data.bytes : made;
      return [buffer, new ARRAY_OF[dtype](memory as ArrayBuffer)] as const;
    });
    interpretKernel(kernel, {
      buffers: Object.fromEntries(buffers),
      symbols: onDevice?.symbols(data, { encoding: name }) ?? {},
    });
    expect(made, name).toEqual(expected);
  }
});

test("at the highest precision blocks become f32 weights", () => {
  using device = cpu({ threads: 1, cache: false });
  const { graph, depth } = productGraph("Q4_0", 3);
  using executable = device.compile(graph);
  const { worst, names } = runBoth(
    graph,
    executable,
    tensor(3, depth, () => uniform() - 0.5),
  );
  expect(names.join()).toMatch(/matmul_f32/);
  expect(worst).toBeLessThan(6e-6);
});

test("checked runs find nothing wrong", () => {
  using device = cpu({ threads: 1, check: true, matmulPrecision: "medium" });
  for (const name of ["Q6_K", "IQ4_XS", "F16"]) {
    const { graph, depth } = productGraph(name, "n");
    using executable = device.compile(graph);
    for (const rows of [1, 5]) expect(() => executable.runSync({ x: exactRows(rows, depth) })).not.toThrow();
  }
});
