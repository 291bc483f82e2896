import { expect, test } from "vitest";
import { symbol } from "../dim.ts";
import { KernelBuilder, interpretKernel, kernelMath, parseKernel } from "./index.ts";

test("softmax over rows on the element level", () => {
  const [rows, cols] = [3, 5];
  const k = new KernelBuilder("softmax");
  const x = k.buffer("x", "f32", rows * cols);
  const y = k.buffer("y", "f32", rows * cols, { access: "write" });
  k.parallel(rows, (r) => {
    const start = k.mul(r, cols);
    const largest = k.reduce("max", cols, (c) => k.load(x, k.add(start, c)));
    const term = (c: typeof r): typeof r => kernelMath.exp(k, k.sub(k.load(x, k.add(start, c)), largest));
    const sum = k.reduce("sum", cols, term);
    k.each(cols, (c) => k.store(y, k.add(start, c), k.div(term(c), sum)));
  });
  const data = Float32Array.from({ length: rows * cols }, (_, i) => Math.sin(i) * 3);
  const out = new Float32Array(rows * cols);
  interpretKernel(k.finish(), { buffers: { x: data, y: out } }, { shuffleSeed: 7, workgroups: true });
  for (let r = 0; r < rows; r++) {
    const row = data.slice(r * cols, r * cols + cols);
    const total = row.reduce((sum, v) => sum + Math.exp(v), 0);
    row.forEach((v, c) => expect(out[r * cols + c]).toBeCloseTo(Math.exp(v) / total, 6));
  }
});

test("vectors, masks, gathers and symbols", () => {
  const k = new KernelBuilder("vectors");
  const n = symbol("n");
  const x = k.buffer("x", "i32", n);
  const y = k.buffer("y", "i32", n, { access: "write" });
  k.for({ end: n, step: 4 }, (i) => {
    const lane = k.iota(i, 4);
    const mask = k.lt(lane, k.index(n));
    const reversed = k.sub(k.sub(k.index(n), 1), lane);
    k.store(y, i, k.mul(k.load(x, reversed, { mask, other: 0 }), 2), { mask });
  });
  const out = new Int32Array(6);
  interpretKernel(k.finish(), { buffers: { x: Int32Array.of(1, 2, 3, 4, 5, 6), y: out }, symbols: { n: 6 } });
  expect([...out]).toEqual([12, 10, 8, 6, 4, 2]);
});

test("matrix tiles multiply in the interleaved layout", () => {
  // a is 2 × 4, b is 4 × 2 with pairs of rows interleaved.
  const text = `kernel "tile" {
  buffer a: bf16[8] read align 2
  buffer b: bf16[8] read align 2
  buffer c: f32[4] write align 4
  local acc#0: f32x2x2
  acc#0 = f32x2x2(0)
  %0: bf16x2x4 = tileLoad a[index(0)] stride index(4)
  %1: bf16x2x4 = tileLoad b[index(0)] stride index(4)
  tileMma acc#0 += %0, %1
  %2: f32x2x2 = read acc#0
  tileStore c[index(0)] stride index(2) = %2
}
`;
  const bf16 = (values: number[]): Uint16Array =>
    new Uint16Array(Float32Array.from(values).buffer).filter((_, i) => i % 2 === 1);
  const c = new Float32Array(4);
  // b = [[1, 2], [3, 4], [5, 6], [7, 8]] as rows of pairs: [1 3 2 4], [5 7 6 8].
  interpretKernel(parseKernel(text), {
    buffers: { a: bf16([1, 2, 3, 4, 5, 6, 7, 8]), b: bf16([1, 3, 2, 4, 5, 7, 6, 8]), c },
  });
  expect([...c]).toEqual([50, 60, 114, 140]);
});

test("64-bit integers are exact", () => {
  const k = new KernelBuilder("big");
  const x = k.buffer("x", "i64", 1);
  const y = k.buffer("y", "i64", 1, { access: "write" });
  k.store(y, 0, k.add(k.mul(k.load(x, 0), 3), (1n << 60n) + 1n));
  const out = new BigInt64Array(1);
  interpretKernel(k.finish(), { buffers: { x: BigInt64Array.of(2n ** 61n), y: out } });
  expect(out[0]).toBe(BigInt.asIntN(64, 2n ** 61n * 3n + 2n ** 60n + 1n));
});

function failing(
  body: (k: KernelBuilder, x: ReturnType<KernelBuilder["buffer"]>, y: ReturnType<KernelBuilder["buffer"]>) => void,
  workgroups = false,
): () => void {
  const k = new KernelBuilder("failing");
  const x = k.buffer("x", "f32", 8);
  const y = k.buffer("y", "f32", 8, { access: "write" });
  body(k, x, y);
  const kernel = k.finish();
  return () => interpretKernel(kernel, { buffers: { x: new Float32Array(8), y: new Float32Array(8) } }, { workgroups });
}

test("accesses out of bounds name the statement and the axes", () => {
  expect(failing((k, x, y) => k.each(9, (i) => k.store(y, k.rem(i, 8), k.load(x, i))))).toThrow(
    /load of "x" at element 8, outside 0\.\.7\n {2}at %\d: f32 = load x\[%0\] of kernel failing, %0 = 8/,
  );
  expect(failing((k, _, y) => k.store(y, 4, k.const({ dtype: "f32", lanes: 8, rows: 1 }, 0)))).toThrow(
    'store of "y" at element 8',
  );
});

test("reads of what nobody wrote are reported", () => {
  expect(failing((k, _, y) => k.store(y, 0, k.load(y, 1)))).toThrow(
    'load of "y" at element 1, which was never written',
  );
  expect(failing((k, _, y) => k.store(y, 0, k.read(k.local("a", "f32"))))).toThrow(
    "local a is read before it is assigned",
  );
  expect(
    failing((k, _, y) => {
      const s = k.scratch("s", "f32", 2);
      k.parallel(2, (i) => {
        k.if(k.eq(i, 0), () => k.store(s, 0, 1));
        k.store(y, i, k.load(s, 0));
      });
    }),
  ).toThrow('load of "s" at element 0, which was never written');
});

test("races between tasks and between iterations are reported", () => {
  expect(failing((k, _, y) => k.parallel(2, () => k.store(y, 0, 1)))).toThrow(
    'write-write race between parallel tasks on element 0 of "y"',
  );
  expect(failing((k, _, y) => k.each(2, () => k.store(y, 0, 1)))).toThrow(
    'write-write race between iterations on element 0 of "y"',
  );
  const shift = (k: KernelBuilder, y: ReturnType<KernelBuilder["buffer"]>, barrier: boolean): void => {
    k.each(8, (i) => k.store(y, i, 1));
    if (barrier) k.barrier();
    k.each(7, (i) => k.if(k.lt(k.load(y, k.add(i, 1)), 0), () => k.store(y, i, 2)));
  };
  expect(failing((k, _, y) => shift(k, y, false))).not.toThrow();
  expect(failing((k, _, y) => shift(k, y, false), true)).toThrow(
    'read-write race between iterations on element 1 of "y"',
  );
  expect(failing((k, _, y) => shift(k, y, true), true)).not.toThrow();
});

test("a misaligned array is reported", () => {
  const k = new KernelBuilder("aligned");
  const x = k.buffer("x", "f32", 2, { access: "write", alignBytes: 64 });
  k.store(x, 0, 1);
  const kernel = k.finish();
  expect(() => interpretKernel(kernel, { buffers: { x: new Float32Array(new ArrayBuffer(64), 4, 2) } })).toThrow(
    'buffer "x" starts at byte 4, which is not aligned to 64',
  );
});
