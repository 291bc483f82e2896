import { expect, test } from "vitest";
import { dimMul, symbol } from "../dim.ts";
import { KernelBuilder, interpretKernel, kernelMath, parseKernel, printKernel, verifyKernel } from "./index.ts";
import { randomKernel } from "./random-kernel.ts";
import { vectorise } from "./vectorise.ts";

const OPTIONS = [
  { vectorBytes: 64, masks: true },
  { vectorBytes: 32, masks: false },
  { vectorBytes: 16, masks: true, accumulators: 1 },
] as const;

test("random kernels give the same results as scalars and as vectors", () => {
  for (let seed = 1; seed <= 150; seed++) {
    const { kernel, inputs } = randomKernel(seed);
    verifyKernel(kernel);
    const expected = inputs();
    interpretKernel(kernel, expected);
    for (const options of OPTIONS) {
      const vectors = vectorise(kernel, options);
      const actual = inputs();
      try {
        verifyKernel(vectors);
        interpretKernel(vectors, actual, { shuffleSeed: seed });
        expect(actual.buffers["y"]).toEqual(expected.buffers["y"]);
        expect(actual.buffers["z"]).toEqual(expected.buffers["z"]);
        expect(actual.buffers["q"]).toEqual(expected.buffers["q"]);
      } catch (error) {
        throw new Error(`seed ${seed}, ${JSON.stringify(options)}\n${printKernel(kernel)}${printKernel(vectors)}`, {
          cause: error,
        });
      }
      expect(parseKernel(printKernel(vectors)).body.length).toBe(vectors.body.length);
    }
  }
});

test("a pointwise kernel becomes a loop over vectors and one masked vector", () => {
  const n = symbol("n");
  const k = new KernelBuilder("scale");
  const x = k.buffer("x", "f32", n);
  const y = k.buffer("y", "f32", n, { access: "write" });
  k.each(n, (i) => k.store(y, i, k.mul(k.load(x, i), 2)));
  expect(printKernel(vectorise(k.finish(), { vectorBytes: 64, masks: true }))).toBe(`kernel "scale" {
  buffer x: f32[n] read align 4
  buffer y: f32[n] write align 4
  symbol n
  %0: index = div $n, index(16)
  %1: index = mul %0, index(16)
  for %2 = index(0) to %1 step 16 unroll 4 {
    %3: f32x16 = load x[%2]
    %4: f32x16 = mul %3, f32x16(2)
    store y[%2] = %4
  }
  %5: bool = lt %1, $n
  if %5 {
    %6: indexx16 = iota %1
    %7: indexx16 = broadcast $n
    %8: boolx16 = lt %6, %7
    %9: f32x16 = load x[%1] mask %8
    %10: f32x16 = mul %9, f32x16(2)
    store y[%1] = %10 mask %8
  }
}
`);
});

test("a reduction keeps several accumulators", () => {
  const k = new KernelBuilder("dot");
  const x = k.buffer("x", "f32", 256);
  const w = k.buffer("w", "f32", 256);
  const y = k.buffer("y", "f32", 1, { access: "write" });
  k.store(
    y,
    0,
    k.reduce("sum", 256, (i) => k.mul(k.load(x, i), k.load(w, i))),
  );
  expect(printKernel(vectorise(k.finish(), { vectorBytes: 64, masks: true, accumulators: 2 }))).toBe(`kernel "dot" {
  buffer x: f32[256] read align 4
  buffer w: f32[256] read align 4
  buffer y: f32[1] write align 4
  local acc0#0: f32x16
  local acc1#1: f32x16
  acc0#0 = f32x16(0)
  acc1#1 = f32x16(0)
  for %0 = index(0) to index(256) step 32 {
    %1: f32x16 = load x[%0]
    %2: f32x16 = load w[%0]
    %3: f32x16 = read acc0#0
    %4: f32x16 = fma %1, %2, %3
    acc0#0 = %4
    %5: index = add %0, index(16)
    %6: f32x16 = load x[%5]
    %7: f32x16 = load w[%5]
    %8: f32x16 = read acc1#1
    %9: f32x16 = fma %6, %7, %8
    acc1#1 = %9
  }
  %10: f32x16 = read acc0#0
  %11: f32x16 = read acc1#1
  %12: f32x16 = add %10, %11
  %13: f32 = horizontal sum %12
  store y[index(0)] = %13
}
`);
});

/** Text of the loads in a vectorised kernel. */
function loads(
  body: (
    k: KernelBuilder,
    x: ReturnType<KernelBuilder["buffer"]>,
    i: ReturnType<KernelBuilder["symbol"]>,
  ) => ReturnType<KernelBuilder["symbol"]>,
  count = 4096,
): string[] {
  const k = new KernelBuilder("views");
  const x = k.buffer("x", "f32", 1 << 20);
  const y = k.buffer("y", "f32", 1 << 20, { access: "write" });
  k.parallel(8, (p) => k.each(count, (i) => k.store(y, k.add(k.mul(p, count), i), k.load(x, body(k, x, i)))));
  const text = printKernel(vectorise(k.finish(), { vectorBytes: 64, masks: true }));
  return [...text.matchAll(/: (\S+) = load/g)].map((match) => match[1] as string);
}

test("views read vectors where lanes are consecutive, scalars where they are equal", () => {
  expect(loads((k, _, i) => k.add(i, 100))).toEqual(["f32x16"]);
  expect(loads((k) => k.index(5))).toEqual(["f32"]);
  // reshape [4096] to [64, 64] and broadcast one of the axes
  expect(loads((k, _, i) => k.div(i, 64))).toEqual(["f32"]);
  expect(loads((k, _, i) => k.rem(i, 64))).toEqual(["f32x16"]);
  // transpose of the inner axis: gathers
  expect(loads((k, _, i) => k.add(k.mul(k.rem(i, 64), 64), k.div(i, 64)))).toEqual(["f32x16"]);
  // rows of 7: not in step, so a gather
  expect(loads((k, _, i) => k.rem(i, 7))).toEqual(["f32x16"]);
  // divided by a run-time value: the loop stays scalar
  expect(loads((k, _, i) => k.rem(i, k.symbol("n")))).toEqual(["f32"]);
});

test("divisions by literals are exact up to the bounds of the axes", () => {
  for (const [count, offset] of [
    [200, 0],
    [40, 32_700],
    [40, 2 ** 31 - 40],
  ] as const) {
    for (const divisor of [1, 2, 3, 5, 7, 9, 22, 100, 641, 32_767, 65_535, 1_000_003, 2 ** 31 - 1]) {
      const k = new KernelBuilder("divide");
      const y = k.buffer("y", "i64", 2 * count, { access: "write" });
      k.each(count, (i) => {
        const x = k.add(i, offset);
        k.store(y, i, k.cast(k.div(x, divisor), "i64"));
        k.store(y, k.add(i, count), k.cast(k.rem(x, divisor), "i64"));
      });
      const quotients = new BigInt64Array(2 * count);
      interpretKernel(vectorise(k.finish(), { vectorBytes: 64, masks: true }), { buffers: { y: quotients } });
      for (let i = 0; i < count; i++) {
        const x = i + offset;
        expect([Number(quotients[i]), Number(quotients[i + count])]).toEqual([Math.floor(x / divisor), x % divisor]);
      }
    }
  }
});

test("loops that start below zero keep truncating divisions apart", () => {
  const k = new KernelBuilder("below");
  const y = k.buffer("y", "i32", 128, { access: "write" });
  k.for({ start: -1, end: 1 }, (j) =>
    k.each(64, (i) => {
      const place = k.add(k.mul(j, 64), i);
      k.store(y, k.add(place, 64), k.cast(k.div(place, 64), "i32"));
    }),
  );
  const kernel = k.finish();
  const [scalars, vectors] = [new Int32Array(128), new Int32Array(128)];
  interpretKernel(kernel, { buffers: { y: scalars } });
  interpretKernel(vectorise(kernel, { vectorBytes: 64, masks: true }), { buffers: { y: vectors } });
  expect(vectors).toEqual(scalars);
});

test("an each with row reductions vectorises along the rows", () => {
  const [rows, cols] = [symbol("rows"), symbol("cols")];
  const k = new KernelBuilder("rowSums");
  const x = k.buffer("x", "f32", dimMul(rows, cols));
  const y = k.buffer("y", "f32", rows, { access: "write" });
  k.each(rows, (r) =>
    k.store(
      y,
      r,
      k.reduce("sum", cols, (c) => k.load(x, k.add(k.mul(r, k.index(cols)), c))),
    ),
  );
  const decisions: string[] = [];
  const text = printKernel(
    vectorise(k.finish(), {
      vectorBytes: 32,
      masks: true,
      decision: (statement, why) => decisions.push(`${statement.kind}: ${why}`),
    }),
  );
  expect(text).toContain("horizontal sum");
  expect(text).not.toContain("load x[%0] mask");
  expect(decisions).toContain("reduce: 8 lanes");
});

test("narrow types get more lanes", () => {
  const k = new KernelBuilder("bytes");
  const x = k.buffer("x", "u8", 1024);
  const y = k.buffer("y", "u8", 1024, { access: "write" });
  k.each(1024, (i) => k.store(y, i, k.max(k.load(x, i), 7)));
  expect(printKernel(vectorise(k.finish(), { vectorBytes: 64, masks: true }))).toContain("u8x64 = load");
});

test("a reduction may store what it sums, and a later loop scale it", () => {
  const [rows, cols] = [3, 53];
  const k = new KernelBuilder("softmax");
  const x = k.buffer("x", "f32", rows * cols);
  const y = k.buffer("y", "f32", rows * cols, { access: "readwrite" });
  k.parallel(rows, (r) => {
    const at = (c: typeof r): typeof r => k.add(k.mul(r, cols), c);
    const top = k.reduce("max", cols, (c) => k.load(x, at(c)));
    const sum = k.reduce("sum", cols, (c) => {
      const e = kernelMath.expNonPositive(k, k.sub(k.load(x, at(c)), top));
      k.store(y, at(c), e);
      return e;
    });
    const scale = k.div(1, sum);
    k.each(cols, (c) => k.store(y, at(c), k.mul(k.load(y, at(c)), scale)));
  });
  const kernel = k.finish();
  verifyKernel(kernel);
  for (const options of OPTIONS) {
    const y1 = new Float32Array(rows * cols);
    const x1 = Float32Array.from({ length: rows * cols }, (_, i) => Math.sin(i) * 5);
    interpretKernel(vectorise(kernel, options), { buffers: { x: x1, y: y1 } });
    for (let r = 0; r < rows; r++) {
      const row = x1.subarray(r * cols, (r + 1) * cols);
      const total = row.reduce((sum, v) => sum + Math.exp(v), 0);
      row.forEach((v, c) => expect(y1[r * cols + c]).toBeCloseTo(Math.exp(v) / total, 6));
    }
  }
});
