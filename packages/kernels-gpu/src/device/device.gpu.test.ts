/**
 * The device itself: runs in turn, symbols, empty tensors, errors, the baseline without features, collection, exit.
 */

import { spawnSync } from "node:child_process";
import { env, execPath } from "node:process";
import { fileURLToPath } from "node:url";
import { type Device, type Graph, GraphBuilder, Tensor, UserError, allOps, symbol } from "@quern/core";
import { type TestContext, afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Opened, openForTests, runCase } from "./gpu.test-support.ts";

const REQUIRED = env["QUERN_REQUIRE_GPU"];
const PACKAGE = fileURLToPath(new URL("../..", import.meta.url));

let opened: Opened = { reason: "not opened" };
beforeAll(async () => {
  opened = await openForTests(REQUIRED);
});
afterAll(() => {
  if ("device" in opened) opened.device.dispose();
});

/** The device; ends the test as skipped, with the reason, where there is none. */
function deviceFor(context: TestContext): Device {
  if ("reason" in opened) return context.skip(opened.reason);
  return opened.device;
}

/** y = relu(x · w + b) over a symbolic number of rows. */
function denseLayer(): Graph {
  const builder = new GraphBuilder();
  const x = builder.input("x", "f32", [symbol("rows"), 3]);
  const w = builder.constant({
    dtype: "f32",
    shape: [3, 5],
    bytes: new Uint8Array(Float32Array.from({ length: 15 }, (_, i) => i - 7).buffer),
  });
  const b = builder.constant({
    dtype: "f32",
    shape: [5],
    bytes: new Uint8Array(Float32Array.from([1, -1, 0.5, 2, 0]).buffer),
  });
  const [product] = builder.apply("matmul", [x, w]);
  const [sum] = builder.apply("add", [product, b]);
  const [y] = builder.apply("relu", [sum]);
  if (y !== undefined) builder.output("y", y);
  return builder.build("dense");
}

function expectedDense(rows: number, value: number): number[] {
  const bias = [1, -1, 0.5, 2, 0];
  return Array.from({ length: rows * 5 }, (_, at) => {
    const column = at % 5;
    const sum = [0, 1, 2].reduce((total, inner) => total + value * (inner * 5 + column - 7), bias[column] as number);
    return Math.max(sum, 0);
  });
}

describe("runs", () => {
  test("one kernel for the layer, any number of rows, none included", async (context) => {
    const device = deviceFor(context);
    using executable = device.compile(denseLayer());
    expect(executable.report.launches).toHaveLength(1);
    for (const rows of [4, 1, 0, 33]) {
      const x = Tensor.from("f32", new Float32Array(rows * 3).fill(2), [rows, 3]);
      const { y } = await executable.run({ x });
      expect(y?.shape).toEqual([rows, 5]);
      expect(y?.toArray()).toEqual(expectedDense(rows, 2));
    }
  });

  test("a row length that only the run tells: workgroups loop over a symbolic axis", async (context) => {
    const device = deviceFor(context);
    const builder = new GraphBuilder();
    const x = builder.input("x", "f32", [symbol("rows"), symbol("columns")]);
    builder.output("y", builder.apply("softmax", [x], { axis: 1 })[0] as typeof x);
    using executable = device.compile(builder.build("rows"));
    for (const [rows, columns] of [
      [3, 5],
      [1, 1000],
      [17, 1],
      [4, 0],
    ] as const) {
      const { y } = await executable.run({ x: Tensor.zeros("f32", [rows, columns]) });
      expect(y?.shape).toEqual([rows, columns]);
      expect(y?.toArray()).toEqual(new Array(rows * columns).fill(Math.fround(1 / columns)));
    }
  });

  test("concurrent runs keep their inputs apart", async (context) => {
    const device = deviceFor(context);
    using executable = device.compile(denseLayer());
    const values = [1, 2, 3, 4, 5, 6];
    const runs = values.map((value) => {
      const x = Tensor.from("f32", new Float32Array(51).fill(value), [17, 3]);
      const result = executable.run({ x });
      // The tensor is the caller's again as soon as `run` has returned.
      x.data.fill(NaN as never);
      return result;
    });
    const results = await Promise.all(runs);
    results.forEach(({ y }, i) => expect(y?.toArray()).toEqual(expectedDense(17, values[i] as number)));
  });

  test("a grid of more than 65,535 workgroups", async (context) => {
    const device = deviceFor(context);
    const builder = new GraphBuilder();
    const x = builder.input("x", "f32", [70_000, 2]);
    builder.output("y", builder.apply("softmax", [x], { axis: 1 })[0] as NonNullable<typeof x>);
    using executable = device.compile(builder.build("tall"));
    const data = Float32Array.from({ length: 140_000 }, (_, i) => (i % 2 === 0 ? 0 : Math.log(1 + (i % 7))));
    const { y } = await executable.run({ x: Tensor.from("f32", data, [70_000, 2]) });
    const wrong = Array.from({ length: 70_000 }, (_, row) => row).filter((row) => {
      const odds = 1 + ((2 * row + 1) % 7);
      return Math.abs(((y?.data[2 * row + 1] ?? NaN) as number) - odds / (1 + odds)) > 1e-6;
    });
    expect(wrong).toEqual([]);
  });

  test("outputs that are inputs, constants or given twice", async (context) => {
    const device = deviceFor(context);
    const builder = new GraphBuilder();
    const x = builder.input("x", "f32", [3]);
    const c = builder.constant({ dtype: "u8", shape: [5], bytes: Uint8Array.from([1, 2, 3, 4, 5]) });
    const [twice] = builder.apply("add", [x, x]);
    builder.output("same", x);
    builder.output("constant", c);
    for (const name of ["a", "b"]) builder.output(name, twice as NonNullable<typeof twice>);
    using executable = device.compile(builder.build("aliases"));
    const results = await executable.run({ x: Tensor.from("f32", [1, 2, 3]) });
    expect(Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, tensor.toArray()]))).toEqual({
      same: [1, 2, 3],
      constant: [1, 2, 3, 4, 5],
      a: [2, 4, 6],
      b: [2, 4, 6],
    });
  });
});

describe("errors", () => {
  test("runSync says what to do", async (context) => {
    const device = deviceFor(context);
    using executable = device.compile(denseLayer());
    expect(() => executable.runSync({})).toThrow(UserError);
    expect(() => executable.runSync({})).toThrow("await executable.run(inputs)");
  });

  test("wrong inputs are told before anything runs", async (context) => {
    const device = deviceFor(context);
    using executable = device.compile(denseLayer());
    await expect(executable.run({ x: Tensor.from("i32", [1, 2, 3], [1, 3]) })).rejects.toThrow("has dtype i32");
  });

  test("everything unsupported is listed at once", async (context) => {
    const device = deviceFor(context);
    const builder = new GraphBuilder();
    const x = builder.input("x", "i64", [3]);
    const z = builder.input("z", "f64", [3]);
    builder.output("y", builder.apply("add", [x, x])[0] as typeof x);
    builder.output("w", builder.apply("exp", [z])[0] as typeof x);
    expect(() => device.compile(builder.build("wide"))).toThrow(
      /add \(i64\) is not supported on gpu.*\n.*exp \(f64\) is not supported on gpu/,
    );
  });

  test("nothing works after dispose", async (context) => {
    const device = deviceFor(context);
    const executable = device.compile(denseLayer());
    executable.dispose();
    await expect(executable.run({ x: Tensor.zeros("f32", [1, 3]) })).rejects.toThrow("used after dispose");
  });
});

test("without optional features: no subgroups, no f16", async (context) => {
  const baseline = await openForTests(REQUIRED, { without: ["shader-f16", "subgroups"] });
  if ("reason" in baseline) return context.skip(baseline.reason);
  using device = baseline.device;
  const wanted: Readonly<Record<string, readonly string[]>> = {
    softmax: ["last", "long row"],
    reduceMax: ["special"],
    reduceSum: ["last", "all"],
    layerNorm: ["rows"],
    add: ["f16 tail"],
    exp: ["f16 tail"],
  };
  let ran = 0;
  for (const op of allOps()) {
    for (const opCase of op.cases().filter(({ name }) => wanted[op.name]?.includes(name))) {
      const outcome = await runCase(device, op, opCase, 20266);
      expect(outcome.problems, outcome.problems.join("\n")).toEqual([]);
      ran += Number(outcome.ran);
    }
  }
  expect(ran).toBe(8);
});

/** A program that multiplies on the GPU and says what it found. */
const PROGRAM = `
import { GraphBuilder, Tensor } from "@quern/core";
import { gpu } from "@quern/kernels-gpu";
const builder = new GraphBuilder();
const x = builder.input("x", "f32", [64]);
builder.output("y", builder.apply("mul", [x, x])[0]);
const device = await gpu();
const executable = device.compile(builder.build("square"));
for (let i = 0; i < 20; i++) {
  globalThis.gc?.();
  const { y } = await executable.run({ x: Tensor.from("f32", new Float32Array(64).fill(i)) });
  if (y.data[63] !== i * i) throw new Error("wrong result");
  globalThis.gc?.();
}
console.log("done");
`;

function runProgram(
  program: string,
  ...options: string[]
): { status: number | null; signal: string | null; stdout: string; stderr: string } {
  const args = [
    "--conditions=quern-src",
    "--disable-warning=ExperimentalWarning",
    ...options,
    "--input-type=module",
    "-e",
    program,
  ];
  return spawnSync(execPath, args, { cwd: PACKAGE, encoding: "utf8", timeout: 250_000 });
}

describe("processes", () => {
  test("survive garbage collection while a device lives", (context) => {
    deviceFor(context);
    const { status, signal, stdout, stderr } = runProgram(PROGRAM, "--expose-gc");
    expect({ status, signal, stdout }, stderr).toEqual({ status: 0, signal: null, stdout: "done\n" });
  });

  test("end by themselves, disposed or not", (context) => {
    deviceFor(context);
    for (const program of [PROGRAM, `${PROGRAM}executable.dispose(); device.dispose();`]) {
      const { status, signal, stdout, stderr } = runProgram(program);
      expect({ status, signal, stdout }, stderr).toEqual({ status: 0, signal: null, stdout: "done\n" });
    }
  });
});
