import { type Graph, GraphBuilder, Tensor, type Value, referenceDevice, setDebugLevel, symbol } from "@quern/core";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import { type CpuDevice, cpu } from "./cpu.ts";

const devices: CpuDevice[] = [];
afterEach(() => {
  setDebugLevel(0);
  vi.restoreAllMocks();
});
afterAll(() => devices.forEach((device) => device.dispose()));

function open(options: Parameters<typeof cpu>[0] = { threads: 2 }): CpuDevice {
  const device = cpu(options);
  devices.push(device);
  return device;
}

function build(name: string, make: (b: GraphBuilder) => Readonly<Record<string, Value>>): Graph {
  const b = new GraphBuilder();
  for (const [output, value] of Object.entries(make(b))) b.output(output, value);
  return b.build(name);
}

const one = (b: GraphBuilder, op: string, inputs: readonly (Value | undefined)[], attrs = {}): Value =>
  b.apply(op, inputs, attrs)[0] as Value;

const scalar = (b: GraphBuilder, dtype: "i64" | "f32", value: number): Value =>
  b.constant({ dtype, shape: [], bytes: Tensor.from(dtype, [value], []).bytes() });

const ramp = (...shape: readonly number[]): Tensor => {
  const size = shape.reduce((n, dim) => n * dim, 1);
  return Tensor.from(
    "f32",
    Float32Array.from({ length: size }, (_, i) => Math.sin(i * 0.7)),
    shape,
  );
};

/** Where runs, of either kind, differ from the reference device. */
async function differences(
  graph: Graph,
  inputs: Readonly<Record<string, Tensor>>,
  device: CpuDevice = open(),
): Promise<string[]> {
  const expected = referenceDevice().compile(graph).runSync(inputs);
  using executable = device.compile(graph);
  const runs = [executable.runSync(inputs), await executable.run(inputs), executable.runSync(inputs)];
  return runs.flatMap((actual, run) =>
    Object.entries(expected).flatMap(([name, tensor]) => {
      const [wanted, found] = [tensor.toArray(), actual[name]?.toArray() ?? []];
      const same = String(actual[name]?.shape) === String(tensor.shape);
      const near = wanted.every((value, i) => Math.abs(value - (found[i] ?? NaN)) <= 1e-5 * (1 + Math.abs(value)));
      return same && near ? [] : [`run ${run}, ${name}: [${found.join(", ")}] instead of [${wanted.join(", ")}]`];
    }),
  );
}

/** if (outer) { if (inner) tanh(x @ x) else -x } else exp(x). */
function nestedIf(rows: number | ReturnType<typeof symbol>): Graph {
  const shape = [rows, 4];
  const product = build("product", (b) => {
    const x = b.input("x", "f32", shape);
    return { y: one(b, "tanh", [one(b, "mul", [x, x])]) };
  });
  const negated = build("negated", (b) => ({ y: one(b, "neg", [b.input("x", "f32", shape)]) }));
  const inner = build("inner", (b) => {
    const [condition, x] = [b.input("condition", "bool", []), b.input("x", "f32", shape)];
    return { y: one(b, "if", [condition, x], { then: product, else: negated }) };
  });
  const exponential = build("exponential", (b) => {
    b.input("condition", "bool", []);
    return { y: one(b, "exp", [b.input("x", "f32", shape)]) };
  });
  return build("nested", (b) => {
    const [outer, condition] = [b.input("outer", "bool", []), b.input("inner", "bool", [])];
    const x = one(b, "add", [b.input("x", "f32", shape), scalar(b, "f32", 1)]);
    const y = one(b, "if", [outer, condition, x], { then: inner, else: exponential });
    return { z: one(b, "mul", [y, y]) };
  });
}

interface LoopOptions {
  /** Goes on while the sum of the first carried value is below. */
  readonly below?: number;
  readonly scans?: boolean;
}

/** Carries x = tanh(x) + step and a count; stacks x. */
function loopBody({ below, scans = true }: LoopOptions): Graph {
  return build("body", (b) => {
    const turn = b.input("turn", "i64", []);
    const going = b.input("going", "bool", []);
    const [x, count] = [b.input("x", "f32", [2, 3]), b.input("count", "i64", [])];
    const next = one(b, "add", [one(b, "tanh", [x]), b.input("step", "f32", [3])]);
    const sum = one(b, "reduceSum", [next], { axes: [0, 1], keepDims: false });
    const again = below === undefined ? going : one(b, "less", [sum, scalar(b, "f32", below)]);
    return { again, x: next, count: one(b, "add", [count, turn]), ...(scans ? { history: next } : {}) };
  });
}

function loop(tripCount: number | "input" | undefined, options: LoopOptions): Graph {
  return build("looped", (b) => {
    const [x, step] = [b.input("x", "f32", [2, 3]), b.input("step", "f32", [3])];
    const count = tripCount === "input" ? b.input("count", "i64", []) : undefined;
    const trips = tripCount === "input" ? count : tripCount === undefined ? undefined : scalar(b, "i64", tripCount);
    const results = b.apply("loop", [trips, undefined, one(b, "neg", [x]), scalar(b, "i64", 100), step], {
      body: loopBody(options),
      carried: 2,
      captured: 1,
    });
    const history = results[2];
    return {
      x: one(b, "exp", [results[0]]),
      total: results[1] as Value,
      ...(history === undefined ? {} : { history: one(b, "neg", [history]) }),
    };
  });
}

const flag = (value: number): Tensor => Tensor.from("bool", [value], []);

describe("control flow", () => {
  test("nested branches, with sizes known or not", async () => {
    for (const graph of [nestedIf(3), nestedIf(symbol("n"))]) {
      for (const [outer, inner] of [
        [1, 1],
        [1, 0],
        [0, 1],
      ] as const) {
        expect(await differences(graph, { outer: flag(outer), inner: flag(inner), x: ramp(3, 4) })).toEqual([]);
      }
    }
    expect(
      await differences(
        nestedIf(symbol("n")),
        { outer: flag(1), inner: flag(1), x: ramp(3, 4) },
        open({ threads: 1, check: true }),
      ),
    ).toEqual([]);
  });

  test("loops by trip count stack what their turns give", async () => {
    const inputs = { x: ramp(2, 3), step: ramp(3) };
    for (const trips of [0, 1, 9]) expect(await differences(loop(trips, {}), inputs)).toEqual([]);
  });

  test("loops with a condition, with a count of the run, without turns", async () => {
    const inputs = { x: ramp(2, 3), step: Tensor.from("f32", [0.1, 0.2, 0.3]) };
    expect(await differences(loop(undefined, { below: 1, scans: false }), inputs)).toEqual([]);
    expect(await differences(loop(20, { below: 1, scans: false }), inputs)).toEqual([]);
    for (const count of [0, 1, 5]) {
      const count_ = Tensor.from("i64", [count], []);
      expect(await differences(loop("input", { scans: false }), { ...inputs, count: count_ })).toEqual([]);
      expect(await differences(loop("input", { below: 1.2, scans: false }), { ...inputs, count: count_ })).toEqual([]);
    }
  });

  test("a loop within a branch within a loop", async () => {
    const inner = loopBody({ scans: false });
    const branch = build("looping", (b) => {
      const [x, step] = [b.input("x", "f32", [2, 3]), b.input("step", "f32", [3])];
      const attrs = { body: inner, carried: 2, captured: 1 };
      return { y: b.apply("loop", [scalar(b, "i64", 3), undefined, x, scalar(b, "i64", 0), step], attrs)[0] as Value };
    });
    const other = build("plain", (b) => {
      const [x, step] = [b.input("x", "f32", [2, 3]), b.input("step", "f32", [3])];
      return { y: one(b, "sub", [x, step]) };
    });
    const body = build("outer", (b) => {
      const [turn, going] = [b.input("turn", "i64", []), b.input("going", "bool", [])];
      const [x, step] = [b.input("x", "f32", [2, 3]), b.input("step", "f32", [3])];
      const early = one(b, "less", [turn, scalar(b, "i64", 2)]);
      return { going, y: one(b, "if", [early, x, step], { then: branch, else: other }) };
    });
    const graph = build("deep", (b) => {
      const [x, step] = [b.input("x", "f32", [2, 3]), b.input("step", "f32", [3])];
      const attrs = { body, carried: 1, captured: 1 };
      return { y: b.apply("loop", [scalar(b, "i64", 4), undefined, x, step], attrs)[0] as Value };
    });
    expect(await differences(graph, { x: ramp(2, 3), step: ramp(3) })).toEqual([]);
  });

  test("scans slice and stack along any axis, forwards and backwards", async () => {
    const step = build("step", (b) => {
      const [total, slice, factor] = [
        b.input("total", "f32", [2]),
        b.input("slice", "f32", [2]),
        b.input("f", "f32", []),
      ];
      const sum = one(b, "add", [total, one(b, "mul", [slice, factor])]);
      return { total: sum, sums: sum, doubled: one(b, "add", [sum, sum]) };
    });
    const variants = [
      { inputAxes: [0], shape: [5, 2] },
      { inputAxes: [1], inputDirections: [1], outputAxes: [0, 1], outputDirections: [1, 0], shape: [2, 5] },
      { inputAxes: [0], outputAxes: [1, 0], outputDirections: [0, 1], shape: [0, 2] },
    ];
    for (const { shape, ...axes } of variants) {
      const graph = build("scanned", (b) => {
        const [start, list] = [b.input("start", "f32", [2]), b.input("list", "f32", shape)];
        const results = b.apply("scan", [start, list, scalar(b, "f32", 0.5)], {
          body: step,
          carried: 1,
          scanned: 1,
          ...axes,
        });
        return { total: results[0] as Value, sums: results[1] as Value, doubled: results[2] as Value };
      });
      expect(await differences(graph, { start: ramp(2), list: ramp(...shape) })).toEqual([]);
    }
  });

  test("sub-graphs are compiled with the program and run as machine code", async () => {
    const lines: string[] = [];
    vi.spyOn(console, "error").mockImplementation((line) => void lines.push(String(line)));
    setDebugLevel(2);
    const compiled = (): number => lines.splice(0).filter((line) => line.startsWith("compiled")).length;
    const device = open();
    lines.length = 0;
    using executable = device.compile(loop(4, {}));
    using branches = device.compile(nestedIf(3));
    // The program and its body; the program, two branches, and the branches of one of them.
    expect(compiled()).toBe(2 + 5);
    executable.runSync({ x: ramp(2, 3), step: ramp(3) });
    const launches = lines.filter((line) => /^cpu {3}\S*tanh/.test(line)).length;
    expect(launches).toBe(4);
    expect(lines.filter((line) => line.startsWith("cpu   host:loop")).length).toBe(1);
    await branches.run({ outer: flag(1), inner: flag(1), x: ramp(3, 4) });
    expect(compiled()).toBe(0);
  });

  test("kernels of the program around a sub-graph are not compiled again", () => {
    const branch = (name: string): Graph => {
      const b = new GraphBuilder();
      b.output(name, one(b, "softmax", [b.input("x", "f32", [4, 32])], { axis: 1 }));
      return b.build(name);
    };
    const graph = build("shared", (b) => {
      const [condition, x] = [b.input("condition", "bool", []), b.input("x", "f32", [4, 32])];
      const y = one(b, "softmax", [x], { axis: 1 });
      return { y, z: one(b, "if", [condition, y], { then: branch("then"), else: branch("else") }) };
    });
    const listings: string[] = [];
    vi.spyOn(console, "error").mockImplementation((line) => void listings.push(String(line)));
    setDebugLevel(4);
    using executable = open().compile(graph);
    setDebugLevel(0);
    expect(listings.filter((line) => line.startsWith("; softmax")).length).toBe(1);
    const { y, z } = executable.runSync({ condition: flag(1), x: ramp(4, 32) });
    using plain = open().compile(branch("z"));
    expect(z?.toArray()).toEqual(plain.runSync({ x: y as Tensor })["z"]?.toArray());
  });

  test("a body with sizes that only a run tells is left to the reference", async () => {
    const body = build("picking", (b) => {
      b.input("turn", "i64", []);
      const going = b.input("going", "bool", []);
      const total = b.input("total", "i64", []);
      const places = one(b, "nonZero", [b.input("x", "f32", [2, 3])]);
      return { going, total: one(b, "add", [total, one(b, "reduceSum", [places], { axes: [0, 1] })]) };
    });
    const graph = build("counting", (b) => {
      const attrs = { body, carried: 1, captured: 1 };
      const x = b.input("x", "f32", [2, 3]);
      return { y: one(b, "loop", [scalar(b, "i64", 3), undefined, scalar(b, "i64", 0), x], attrs) };
    });
    expect(await differences(graph, { x: ramp(2, 3) })).toEqual([]);
  });

  test("run does not block the event loop in branches and loops", async () => {
    const heavy = (b: GraphBuilder, x: Value): Value => {
      let y = x;
      for (let i = 0; i < 6; i++) y = one(b, "tanh", [one(b, "matmul", [y, x])]);
      return y;
    };
    const branch = build("heavy", (b) => ({ y: heavy(b, b.input("x", "f32", [640, 640])) }));
    const light = build("light", (b) => ({ y: b.input("x", "f32", [640, 640]) }));
    const body = build("turns", (b) => {
      b.input("turn", "i64", []);
      const going = b.input("going", "bool", []);
      return { going, y: heavy(b, b.input("x", "f32", [640, 640])) };
    });
    const graphs = [
      build("branching", (b) => {
        const condition = b.input("condition", "bool", []);
        return { y: one(b, "if", [condition, b.input("x", "f32", [640, 640])], { then: branch, else: light }) };
      }),
      build("looping", (b) => {
        b.input("condition", "bool", []);
        const x = b.input("x", "f32", [640, 640]);
        return { y: one(b, "loop", [scalar(b, "i64", 3), undefined, x], { body, carried: 1, captured: 0 }) };
      }),
    ];
    const inputs = { condition: flag(1), x: Tensor.from("f32", new Float32Array(640 * 640).fill(1 / 640), [640, 640]) };
    for (const graph of graphs) {
      using executable = open({ threads: 1, check: false }).compile(graph);
      executable.runSync(inputs);
      let ticks = 0;
      const timer = setInterval(() => ticks++, 1);
      const start = performance.now();
      await executable.run(inputs);
      const ms = performance.now() - start;
      clearInterval(timer);
      console.info(`${graph.name}: run took ${ms.toFixed(1)} ms, the event loop turned ${ticks} times meanwhile`);
      // Between the runs of sub-graphs alone it would turn a few times; a busy machine may slow it down.
      expect(ticks).toBeGreaterThanOrEqual(5);
    }
  });

  test("a program disposed while it runs ends its run", async () => {
    const executable = open().compile(loop(50, {}));
    const inputs = { x: ramp(2, 3), step: ramp(3) };
    const expected = executable.runSync(inputs)["x"]?.toArray();
    const running = executable.run(inputs);
    executable.dispose();
    expect(() => executable.runSync(inputs)).toThrow("used after dispose");
    expect((await running)["x"]?.toArray()).toEqual(expected);
  });
});
