/**
 * Matrix tiles, on tile registers where the processor has them and emulated elsewhere, against the interpreter.
 * The elements are small integers, so that sums are exact in any order.
 */
import { expect, test } from "vitest";
import { KernelBuilder, seededRandom, writeElement } from "@quern/core/kernel";
import type { DType } from "@quern/core";
import type { KType } from "@quern/core/kernel";
import { compileKernel } from "./compile.ts";
import { Trials, runnableTargets } from "./kernel-trial.ts";
import { AMX, AVX512_VNNI } from "./target.ts";

const seed = 7;
const canRun = runnableTargets().includes(AMX);
const trials = new Trials();

function smallIntegers(dtype: DType, count: number, bytes: number): Uint8Array {
  const random = seededRandom(seed + count);
  const view = new DataView(new ArrayBuffer(count * bytes));
  for (let i = 0; i < count; i++)
    writeElement(view, i * bytes, dtype, Math.floor(random() * 8) - (dtype === "u8" ? 0 : 4));
  return new Uint8Array(view.buffer);
}

/** C (rows × columns) = A × B in blocks of two by two tiles, over `steps` tiles along k. */
function tileProduct(
  dtype: "bf16" | "i8",
  rows: number,
  columns: number,
  steps: number,
): { kernel: ReturnType<KernelBuilder["finish"]>; buffers: Record<string, Uint8Array> } {
  const perGroup = dtype === "bf16" ? 2 : 4;
  const depth = 16 * perGroup;
  const aType = dtype === "bf16" ? "bf16" : "u8";
  const sum = dtype === "bf16" ? "f32" : "i32";
  const k = new KernelBuilder("tiles");
  const a = k.buffer("a", aType, 2 * rows * steps * depth);
  const b = k.buffer("b", dtype, steps * 16 * 2 * columns * perGroup);
  const c = k.buffer("c", sum, 2 * rows * 2 * columns, { access: "write" });
  const tile: KType = { dtype: sum, rows, lanes: columns };
  const acc = [0, 1].map((i) => [0, 1].map((j) => k.local(`c${i}${j}`, tile)));
  const stride = steps * depth;
  k.parallel(1, () => {
    for (const row of acc) for (const local of row) k.assign(local, k.const(tile, 0));
    k.for({ end: steps }, (step) => {
      const left = [0, 1].map((i) =>
        k.tileLoad(a, k.add(k.mul(step, depth), i * rows * stride), stride, { rows, lanes: depth }),
      );
      const right = [0, 1].map((j) =>
        k.tileLoad(b, k.add(k.mul(step, 16 * 2 * columns * perGroup), j * columns * perGroup), 2 * columns * perGroup, {
          rows: 16,
          lanes: columns * perGroup,
        }),
      );
      acc.forEach((row, i) => row.forEach((local, j) => k.tileMma(local, left[i]!, right[j]!)));
    });
    acc.forEach((row, i) =>
      row.forEach((local, j) => k.tileStore(c, i * rows * 2 * columns + j * columns, 2 * columns, k.read(local))),
    );
  });
  const size = dtype === "bf16" ? 2 : 1;
  return {
    kernel: k.finish(),
    buffers: {
      a: smallIntegers(aType, 2 * rows * stride, size),
      b: smallIntegers(dtype, steps * 16 * 2 * columns * perGroup, size),
    },
  };
}

test.skipIf(!canRun)("products of bf16 and of bytes, whole and partial tiles", () => {
  for (const dtype of ["bf16", "i8"] as const) {
    for (const [rows, columns] of [
      [16, 16],
      [5, 16],
      [16, 9],
      [2, 4],
    ] as const) {
      const { kernel, buffers } = tileProduct(dtype, rows, columns, 3);
      expect(trials.compare(kernel, AMX, { buffers }), `${dtype} ${rows}x${columns}, seed ${seed}`).toBeUndefined();
    }
  }
});

test("a target without tiles", () => {
  const { kernel } = tileProduct("bf16", 16, 16, 2);
  expect(() => compileKernel(kernel, AVX512_VNNI)).toThrow("tile (bf16) is not supported on avx512+vnni");
});
