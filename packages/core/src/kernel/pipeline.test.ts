import { expect, test } from "vitest";
import { dimMul, symbol } from "../dim.ts";
import { type KValue, type Kernel, KernelBuilder, interpretKernel, printKernel } from "./index.ts";
import { hoist } from "./hoist.ts";
import { KERNEL_PASSES, legaliseKernel } from "./pipeline.ts";
import { randomKernel } from "./random-kernel.ts";
import { simplifyIndex } from "./simplify-index.ts";
import { unrollLoops } from "./unroll.ts";

test("random kernels mean the same after every pass", () => {
  for (let seed = 1001; seed <= 1080; seed++) {
    const { kernel, inputs } = randomKernel(seed);
    const expected = inputs();
    interpretKernel(kernel, expected);
    const check = (name: string, changed: Kernel): void => {
      const actual = inputs();
      try {
        interpretKernel(changed, actual);
        expect(actual.buffers).toEqual(expected.buffers);
      } catch (error) {
        throw new Error(`seed ${seed} after ${name}\n${printKernel(kernel)}${printKernel(changed)}`, { cause: error });
      }
    };
    for (const pass of KERNEL_PASSES.filter(({ name }) => name !== "vectorise")) check(pass.name, pass.run(kernel, {}));
    check("all for vectors", legaliseKernel(kernel, { vectors: { vectorBytes: 32, masks: true }, verify: true }));
    check("all for elements", legaliseKernel(kernel, { verify: true }));
  }
});

/** Index expression of a store to y in a nest of loops, before and after. */
function simplified(build: (k: KernelBuilder, r: KValue, c: KValue, cols: KValue) => KValue): string[] {
  const [rows, cols] = [symbol("rows"), symbol("cols")];
  const k = new KernelBuilder("index");
  const y = k.buffer("y", "f32", dimMul(dimMul(rows, cols), 4096), { access: "write" });
  k.parallel(rows, (r) => k.each(cols, (c) => k.store(y, build(k, r, c, k.index(cols)), 1)));
  const text = printKernel(simplifyIndex(k.finish()));
  return text
    .split("\n")
    .filter((line) => / = (div|rem|add|mul|min|lt|select) /.test(line))
    .map((line) => line.replace(/^ *%\d+: index = /, ""));
}

test("divisions that the extents decide disappear, with symbolic sizes too", () => {
  expect(simplified((k, r, c, cols) => k.div(k.add(k.mul(r, cols), c), cols))).toEqual([]);
  expect(simplified((k, r, c, cols) => k.rem(k.add(k.mul(r, cols), c), cols))).toEqual([]);
  expect(simplified((k, r, c) => k.rem(k.add(k.mul(r, 128), k.mul(c, 64)), 64))).toEqual([]);
  expect(simplified((k, r, c) => k.div(k.add(k.mul(r, 128), c), 64))).toEqual([
    "div %1, index(64)",
    "mul %0, index(2)",
    "add %3, %2",
  ]);
  expect(
    simplified((k, r, c, cols) => {
      const [width, flat] = [
        k.add(cols, k.symbol("pad")),
        k.add(k.mul(k.add(k.mul(r, 12), 5), k.add(cols, k.symbol("pad"))), c),
      ];
      return k.add(k.rem(k.div(flat, width), 12), k.rem(flat, width));
    }),
  ).toEqual(["add %1, index(5)"]);
  expect(simplified((k, _, c) => k.add(k.rem(c, 22), k.mul(k.div(c, 22), 22)))).toEqual([]);
  expect(simplified((k, r, c) => k.add(k.add(k.mul(k.rem(c, 22), 5), r), k.mul(k.div(c, 22), 110)))).toEqual([
    "mul %1, index(5)",
    "add %0, %2",
  ]);
  expect(simplified((k, _, c, cols) => k.min(c, cols))).toEqual([]);
  expect(simplified((k, _, c) => k.div(c, 64))).toEqual(["div %1, index(64)"]);
});

test("extents of literal loops bound remainders", () => {
  const k = new KernelBuilder("literal");
  const y = k.buffer("y", "f32", 768, { access: "write" });
  k.each(12, (h) =>
    k.for({ end: 64 }, (d) => {
      const flat = k.add(k.mul(h, 64), d);
      k.store(y, k.add(k.mul(k.div(flat, 64), 64), k.rem(flat, 64)), 1);
    }),
  );
  const text = printKernel(simplifyIndex(k.finish()));
  expect(text).not.toMatch(/div|rem/);
});

test("negative numerators keep their truncating division", () => {
  const k = new KernelBuilder("negative");
  const y = k.buffer("y", "i32", 8, { access: "write" });
  k.each(8, (i) => k.store(y, i, k.cast(k.div(k.sub(i, 4), 8), "i32")));
  expect(printKernel(simplifyIndex(k.finish()))).toContain("div");
});

test("unrolling copies the body and leaves a loop for the rest", () => {
  const build = (end: number | ReturnType<typeof symbol>, step: number): Kernel => {
    const k = new KernelBuilder("sum");
    const x = k.buffer("x", "f32", 100);
    const y = k.buffer("y", "f32", 1, { access: "write" });
    const sum = k.local("sum", "f32", 0);
    k.for({ start: 1, end, step, unroll: 4 }, (i) => k.assign(sum, k.add(k.read(sum), k.load(x, i))));
    k.store(y, 0, k.read(sum));
    return k.finish();
  };
  const run = (kernel: Kernel, n: number): number => {
    const y = new Float32Array(1);
    interpretKernel(kernel, { buffers: { x: Float32Array.from({ length: 100 }, (_, i) => i), y }, symbols: { n } });
    return y[0] as number;
  };
  for (const step of [1, 3]) {
    for (const n of [0, 1, 2, 4, 5, 9, 13, 14, 50]) {
      const known = unrollLoops(build(n, step));
      expect(run(known, n)).toBe(run(build(n, step), n));
      expect(run(unrollLoops(build(symbol("n"), step)), n)).toBe(run(build(n, step), n));
      expect(printKernel(known)).not.toContain("unroll");
    }
  }
  expect(printKernel(unrollLoops(build(5, 1)))).not.toContain("for ");
  expect(printKernel(unrollLoops(build(50, 1))).match(/= load/g)).toHaveLength(4 + (49 % 4));
});

test("loop-invariant values move in front of the loop", () => {
  const k = new KernelBuilder("invariant");
  const x = k.buffer("x", "f32", 64);
  const y = k.buffer("y", "f32", 64, { access: "write" });
  const a = k.scalar("a", "f32");
  const n = k.symbol("n");
  k.for({ end: 8 }, (i) => {
    k.for({ end: 8 }, (j) => {
      const scale = k.add(k.sqrt(a), k.load(x, 3));
      const column = k.div(k.index(8), n);
      k.store(y, k.add(k.mul(i, 8), j), k.mul(scale, k.cast(k.add(column, j), "f32")));
    });
  });
  const lines = printKernel(hoist(k.finish()))
    .split("\n")
    .map((line) => line.trim().replace(/^%\d+: \S+ = /, ""));
  const outer = lines.findIndex((line) => line.startsWith("for"));
  const inner = lines.findIndex((line, at) => at > outer && line.startsWith("for"));
  expect(lines.slice(0, outer).filter((line) => /^(sqrt|load|add)/.test(line))).toEqual([
    "sqrt $a",
    "load x[index(3)]",
    "add %0, %1",
  ]);
  expect(lines.slice(outer, inner).some((line) => line.startsWith("mul"))).toBe(true);
  // A division by a run-time value might be by zero, which the loop may have avoided.
  expect(lines.slice(inner).some((line) => line.startsWith("div index(8), $n"))).toBe(true);
});
