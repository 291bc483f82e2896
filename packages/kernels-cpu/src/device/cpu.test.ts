import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Device,
  type Graph,
  GraphBuilder,
  Tensor,
  type Value,
  parseGraph,
  parseKernel,
  printGraph,
  printKernel,
  quantiseWeights,
  referenceDevice,
  symbol,
} from "@quern/core";
import { afterAll, describe, expect, test } from "vitest";
import { cpu } from "./cpu.ts";

const devices: Device[] = [];
afterAll(() => devices.forEach((device) => device.dispose()));

function open(...options: Parameters<typeof cpu>): ReturnType<typeof cpu> {
  const device = cpu(...options);
  devices.push(device);
  return device;
}

function build(make: (b: GraphBuilder) => Value): Graph {
  const b = new GraphBuilder();
  b.output("y", make(b));
  return b.build("test");
}

const one = (b: GraphBuilder, op: string, inputs: readonly Value[], attrs = {}): Value =>
  b.apply(op, inputs, attrs)[0] as Value;

/** rows × 64 through a matrix product, softmax and a pointwise chain. */
function mixed(rows: number | ReturnType<typeof symbol>): Graph {
  return build((b) => {
    const x = b.input("x", "f32", [rows, 64]);
    const w = b.constant({
      dtype: "f32",
      shape: [64, 48],
      bytes: Tensor.from(
        "f32",
        Float32Array.from({ length: 64 * 48 }, (_, i) => Math.sin(i)),
        [64, 48],
      ).bytes(),
    });
    return one(b, "tanh", [one(b, "softmax", [one(b, "relu", [one(b, "matmul", [x, w])])], { axis: 1 })]);
  });
}

const input = (rows: number): Tensor =>
  Tensor.from(
    "f32",
    Float32Array.from({ length: rows * 64 }, (_, i) => Math.cos(i * 0.7)),
    [rows, 64],
  );

function worstError(a: Tensor, b: Tensor): number {
  const [p, q] = [a.toArray(), b.toArray()];
  expect(a.shape).toEqual(b.shape);
  return p.reduce((worst, value, i) => Math.max(worst, Math.abs(value - (q[i] as number))), 0);
}

describe("the CPU device", () => {
  test("one compiled program serves every size of a symbol", () => {
    const graph = mixed(symbol("n"));
    using executable = open({ threads: 2 }).compile(graph);
    const reference = referenceDevice().compile(graph);
    const code = executable.report.codeBytes;
    for (const rows of [1, 2, 7, 33, 64, 1]) {
      const expected = reference.runSync({ x: input(rows) });
      expect(worstError(executable.runSync({ x: input(rows) })["y"] as Tensor, expected["y"] as Tensor)).toBeLessThan(
        1e-5,
      );
    }
    expect(executable.report.codeBytes).toBe(code);
  });

  test("says when the weights are packed", async () => {
    const device = open({ threads: 2 });
    const b = new GraphBuilder();
    const x = b.input("x", "f32", [64, 256]);
    const bytes = Tensor.from("f32", new Float32Array(256 * 256).fill(0.5), [256, 256]).bytes();
    b.output("y", one(b, "matmul", [x, b.constant({ dtype: "f32", shape: [256, 256], bytes })]));
    await device.weightsPacked();
    // Weights in blocks are packed by a kernel.
    const { graph } = quantiseWeights(b.build("packed"), "Q8_0", { minWeights: 0 });
    using executable = device.compile(graph, { matmulPrecision: "medium" });
    let packed = false;
    const done = device.weightsPacked().then(() => (packed = true));
    // What packs in the background is over in a later turn of the event loop.
    await Promise.resolve();
    expect(packed).toBe(false);
    await done;
    const given = Tensor.from("f32", new Float32Array(64 * 256).fill(1), [64, 256]);
    const y = (executable.runSync({ x: given })["y"] as Tensor).toArray();
    for (const value of y) expect(value).toBeCloseTo(128, 0);
  });

  test("run never blocks the event loop", async () => {
    const graph = build((b) => {
      const x = b.input("x", "f32", [768, 768]);
      let y = x;
      for (let i = 0; i < 12; i++) y = one(b, "tanh", [one(b, "matmul", [y, x])]);
      return y;
    });
    using executable = open({ threads: 1 }).compile(graph);
    const x = Tensor.from("f32", new Float32Array(768 * 768).fill(1e-3), [768, 768]);
    executable.runSync({ x });
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    const start = performance.now();
    await executable.run({ x });
    const ms = performance.now() - start;
    clearInterval(timer);
    console.info(`run took ${ms.toFixed(1)} ms, the event loop turned ${ticks} times meanwhile`);
    // A blocked loop turns not at all; a busy machine may slow it down.
    expect(ticks).toBeGreaterThanOrEqual(2);
  });

  test("concurrent runs queue and keep their results apart", async () => {
    const graph = mixed(16);
    using executable = open({ threads: 2 }).compile(graph);
    const inputs = Array.from({ length: 8 }, (_, i) =>
      Tensor.from("f32", new Float32Array(16 * 64).fill(i / 8), [16, 64]),
    );
    const expected = inputs.map((x) => (executable.runSync({ x })["y"] as Tensor).toArray());
    const results = await Promise.all(inputs.map((x) => executable.run({ x })));
    results.forEach((result, i) => expect((result["y"] as Tensor).toArray()).toEqual(expected[i]));
  });

  test("memory does not grow over 10,000 runs", () => {
    using executable = open({ threads: 1 }).compile(mixed(32));
    const x = input(32);
    const residentBytes = (): number => process.memoryUsage.rss();
    // Results are garbage of 6 KiB each: the collector lets tens of megabytes gather before it runs at all.
    for (let i = 0; i < 30_000; i++) (executable.runSync({ x })["y"] as Tensor).dispose();
    const before = residentBytes();
    for (let i = 0; i < 10_000; i++) (executable.runSync({ x })["y"] as Tensor).dispose();
    const growth = residentBytes() - before;
    console.info(`resident memory changed by ${(growth / 2 ** 20).toFixed(1)} MiB over 10,000 runs`);
    // 10,000 results of 6 KiB are 59 MiB: what is kept of them would show.
    expect(growth).toBeLessThan(40 * 2 ** 20);
  });

  test("a disposed large result is no garbage of its size, and no view of what comes after it", () => {
    const device = open({ threads: 1 });
    const bytes = 8 * 2 ** 20;
    const first = device.empty("u8", [bytes]);
    const { data } = first;
    first.dispose();
    expect(data.length).toBe(0);
    const before = process.memoryUsage().external;
    // Few enough for the collector not to come by itself.
    for (let i = 0; i < 5; i++) device.empty("u8", [bytes]).dispose();
    expect(process.memoryUsage().external - before).toBeLessThan(bytes);
  });

  test("wrong inputs are refused before anything runs", () => {
    using executable = open({ threads: 1 }).compile(mixed(4));
    expect(() => executable.runSync({})).toThrow('input "x" is missing, expected f32[4, 64]');
    expect(() => executable.runSync({ x: Tensor.zeros("f64", [4, 64]) })).toThrow("has dtype f64, expected f32");
    expect(() => executable.runSync({ x: input(3) })).toThrow("axis 0 has size 3, expected 4");
    expect(() => executable.runSync({ x: input(4), z: input(4) })).toThrow('there is no input "z"');
  });

  test("check compares every launch with the reference", () => {
    using executable = open({ threads: 1, check: true }).compile(mixed(9));
    const expected = referenceDevice()
      .compile(mixed(9))
      .runSync({ x: input(9) });
    expect(worstError(executable.runSync({ x: input(9) })["y"] as Tensor, expected["y"] as Tensor)).toBeLessThan(1e-5);
  });

  test("outputs that are inputs, constants or repeated are copies", () => {
    const b = new GraphBuilder();
    const x = b.input("x", "f32", [3]);
    const c = b.constant({ dtype: "f32", shape: [2], bytes: Tensor.from("f32", [5, 6]).bytes() });
    const y = one(b, "neg", [x]);
    b.output("same", x);
    b.output("constant", c);
    b.output("y", y);
    b.output("again", y);
    b.output("shaped", one(b, "reshape", [y], { shape: [1, 3] }));
    using executable = open({ threads: 1 }).compile(b.build("copies"));
    const given = Tensor.from("f32", [1, 2, 3]);
    const result = executable.runSync({ x: given });
    (result["same"] as Tensor).data[0] = 9;
    expect(given.toArray()).toEqual([1, 2, 3]);
    expect((result["constant"] as Tensor).toArray()).toEqual([5, 6]);
    expect((result["again"] as Tensor).toArray()).toEqual([-1, -2, -3]);
    expect((result["shaped"] as Tensor).shape).toEqual([1, 3]);
  });

  test("debug output at every level, dumps and traces stay readable", () => {
    const folder = mkdtempSync(join(tmpdir(), "quern-dump-"));
    try {
      const trace = join(folder, "trace.json");
      const program = `
        import { GraphBuilder, Tensor } from "@quern/core";
        import { cpu } from ${JSON.stringify(join(import.meta.dirname, "cpu.ts"))};
        const b = new GraphBuilder();
        const x = b.input("x", "f32", [5, 7]);
        const zero = b.constant({ dtype: "f32", shape: [], bytes: Tensor.from("f32", [0], []).bytes() });
        b.output("y", b.apply("softmax", [b.apply("add", [x, zero])[0]], { axis: 1 })[0]);
        using device = cpu({ threads: 1 });
        device.compile(b.build("debugged")).runSync({ x: Tensor.zeros("f32", [5, 7]) });`;
      const env = { ...process.env, QUERN_DEBUG: "6", QUERN_DUMP: folder, QUERN_TRACE: trace, QUERN_VERIFY: "1" };
      execFileSync(process.execPath, ["--conditions=quern-src", "--input-type=module", "-e", program], {
        env,
        cwd: import.meta.dirname,
        stdio: "pipe",
      });
      const dump = join(folder, readdirSync(folder).find((name) => name.endsWith("debugged")) as string);
      for (const name of readdirSync(dump).filter((file) => file.endsWith(".ir"))) {
        const text = readFileSync(join(dump, name), "utf8");
        const again = name.startsWith("kernel") ? printKernel(parseKernel(text)) : printGraph(parseGraph(text));
        expect(again, name).toBe(text);
      }
      const events = JSON.parse(readFileSync(trace, "utf8")) as { cat: string }[];
      expect(new Set(events.map((event) => event.cat))).toEqual(new Set(["pass", "compile", "launch"]));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
