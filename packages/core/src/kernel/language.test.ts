import { expect, test } from "vitest";
import {
  KernelBuilder,
  buffer,
  prefixMasks,
  interpretKernel,
  kernel,
  legaliseKernel,
  out,
  printKernel,
  registerTile,
  scalar,
  verifyKernel,
} from "./index.ts";

/** y[r, :] = x[r, :] / rms(x[r, :]) * weight. */
const rmsNorm = kernel(
  "rmsNorm",
  {
    x: buffer("f32", ["rows", "cols"]),
    weight: buffer("f32", ["cols"]),
    y: out("f32", ["rows", "cols"]),
    eps: scalar("f32"),
  },
  (k, { x, weight, y, eps, rows, cols }) =>
    k.parallel(rows, (r) => {
      const squares = k.reduce(cols, "sum", (c) => x.at(r, c).square());
      const scale = squares.div(cols.toFloat()).add(eps).rsqrt();
      k.each(cols, (c) => y.set([r, c], x.at(r, c).mul(scale).mul(weight.at(c))));
    }),
);

function runRmsNorm(built: ReturnType<typeof rmsNorm.build>, rows: number, cols: number): Float32Array {
  const y = new Float32Array(rows * cols);
  const x = Float32Array.from({ length: rows * cols }, (_, i) => Math.sin(i * 1.7));
  const weight = Float32Array.from({ length: cols }, (_, i) => 1 + i / cols);
  interpretKernel(built, { buffers: { x, weight, y }, scalars: { eps: 1e-5 }, symbols: { rows, cols } });
  return y;
}

test("one kernel for any size, one for given sizes, the same results", () => {
  const [rows, cols] = [3, 37];
  const any = rmsNorm.build();
  const given = rmsNorm.build({ rows, cols });
  expect(any.symbols).toEqual(["rows", "cols"]);
  expect(given.symbols).toEqual([]);
  const expected = Array.from({ length: rows * cols }, (_, i) => {
    const row = Math.floor(i / cols);
    const values = Array.from({ length: cols }, (_, c) => Math.fround(Math.sin((row * cols + c) * 1.7)));
    const scale = 1 / Math.sqrt(values.reduce((sum, v) => sum + v * v, 0) / cols + 1e-5);
    return (values[i % cols] as number) * scale * (1 + (i % cols) / cols);
  });
  const vectors = { vectorBytes: 32, masks: true } as const;
  for (const built of [any, given, legaliseKernel(any, { vectors }), legaliseKernel(given, { vectors })]) {
    verifyKernel(built);
    runRmsNorm(built, rows, cols).forEach((v, i) => expect(v).toBeCloseTo(expected[i] as number, 5));
  }
});

test("run-time values are not host values", () => {
  const wrong = kernel("wrong", { x: buffer("f32", ["n"]), y: out("f32", ["n"]) }, (k, { x, y, n }) => {
    k.each(n, (i) => y.set([i], Number(x.at(i)) + 1));
  });
  expect(() => wrong.build()).toThrow("run-time value used as a host value\n  at kernel wrong");
});

test("a position needs one index per axis", () => {
  const wrong = kernel("axes", { x: buffer("f32", ["m", "n"]), y: out("f32", ["n"]) }, (k, { x, y, n }) =>
    k.each(n, (i) => y.set([i], x.at(i))),
  );
  expect(() => wrong.build()).toThrow('kernel axes: "x" has 2 axes, got 1 indices');
});

test("variables, loops, conditions and scratch", () => {
  const runningMax = kernel("runningMax", { x: buffer("i32", ["n"]), y: out("i32", ["n"]) }, (k, { x, y, n }) => {
    const copy = k.scratch("copy", "i32", [8]);
    const largest = k.variable("largest", k.const("i32", -100));
    k.each(n, (i) => copy.set([i], x.at(i)));
    k.barrier();
    k.for(n, (i) => {
      k.if(
        copy.at(i).gt(largest.get()),
        () => largest.set(copy.at(i)),
        () => largest.set(largest.get().add(1)),
      );
      y.set([i], largest.get().gt(4).select(largest.get(), 4));
    });
  });
  const y = new Int32Array(6);
  interpretKernel(runningMax.build({ n: 6 }), { buffers: { x: Int32Array.of(1, 5, 2, 9, 0, 10), y } });
  expect([...y]).toEqual([4, 5, 6, 9, 10, 11]);
});

test.for([
  [4, 2, 8],
  [6, 4, 4],
  [3, 1, 16],
] as const)(
  "a register tile of %i × %i vectors of %i lanes multiplies matrices with edges",
  ([rows, vectors, lanes]) => {
    const [m, n, depth] = [11, 37, 9];
    const k = new KernelBuilder("matmul");
    const a = k.buffer("a", "f32", m * depth);
    const b = k.buffer("b", "f32", depth * n);
    const bias = k.buffer("bias", "f32", n);
    const c = k.buffer("c", "f32", m * n, { access: "write" });
    const columns = vectors * lanes;
    k.parallel(Math.ceil(m / rows), (rowBlock) =>
      k.parallel(Math.ceil(n / columns), (columnBlock) => {
        const tile = registerTile(k, rows, vectors, lanes);
        const row = k.mul(rowBlock, rows);
        const column = k.mul(columnBlock, columns);
        const masks = prefixMasks(k, k.sub(k.index(n), column), vectors, lanes);
        tile.zero();
        k.for({ end: depth }, (p) => {
          const right = tile.loadRow(b, k.add(k.mul(p, n), column), masks);
          // Rows below the matrix repeat its last row and are not stored.
          tile.outerProduct((r) => k.load(a, k.add(k.mul(k.min(k.add(row, r), m - 1), depth), p)), right);
        });
        tile.map((value, _, v) => k.add(value, k.load(bias, k.add(column, v * lanes), { lanes, mask: masks[v] })));
        tile.store(c, k.add(k.mul(row, n), column), n, { masks, rows: k.sub(k.index(m), row) }, (value) =>
          k.max(value, 0),
        );
      }),
    );
    const built = k.finish();
    verifyKernel(built);
    const left = Float32Array.from({ length: m * depth }, (_, i) => (i % 7) - 3);
    const right = Float32Array.from({ length: depth * n }, (_, i) => (i % 5) - 2);
    const offsets = Float32Array.from({ length: n }, (_, i) => i % 3);
    const result = new Float32Array(m * n);
    interpretKernel(built, { buffers: { a: left, b: right, bias: offsets, c: result } }, { shuffleSeed: 5 });
    for (let i = 0; i < m * n; i++) {
      let sum = offsets[i % n] as number;
      for (let p = 0; p < depth; p++)
        sum += (left[Math.floor(i / n) * depth + p] as number) * (right[p * n + (i % n)] as number);
      expect(result[i]).toBe(Math.max(sum, 0));
    }
    expect(printKernel(built)).toContain(`f32x${lanes} = fma`);
  },
);
