/** Math functions compiled for every target give the bits of the kernel interpreter, special values included. */
import { expect, test } from "vitest";
import { DTYPE_INFO, UnsupportedError } from "@quern/core";
import { type KValue, KernelBuilder, kernelMath, legaliseKernel, seededRandom } from "@quern/core/kernel";
import { Trials, runnableTargets } from "./kernel-trial.ts";

type MathFunction = (k: KernelBuilder, x: KValue, y: KValue) => KValue;

const SIZE = 600;
const SPECIALS = [0, -0, 1, -1, Infinity, -Infinity, Number.NaN, 2 ** -149, -(2 ** -130), 3.4e38, -3.4e38, 0.5, 88.8];
/** Helpers that do not take floats alone, and one that is defined for arguments up to 88 only. */
const SKIPPED = new Set(["polynomial", "signBit", "withSign", "expNonPositive"]);

const seed = 5;
const random = seededRandom(seed);
const trials = new Trials();

function points(dtype: "f32" | "f64"): Float32Array | Float64Array {
  const data = dtype === "f32" ? new Float32Array(SIZE) : new Float64Array(SIZE);
  for (let i = 0; i < SIZE; i++) {
    const spread = (random() < 0.5 ? -1 : 1) * 2 ** (random() * 60 - 40);
    data[i] = i < SPECIALS.length ? (SPECIALS[i] as number) : i % 2 === 0 ? spread : (random() - 0.5) * 200;
  }
  return data;
}

const functions = Object.entries(kernelMath as unknown as Record<string, MathFunction>).filter(
  ([name]) => !SKIPPED.has(name),
);

test.for(functions)("%s", ([name, f]) => {
  for (const dtype of ["f32", "f64", "f16", "bf16"] as const) {
    const from = dtype === "f64" ? "f64" : "f32";
    const k = new KernelBuilder(`${name}_${dtype}`);
    const x = k.buffer("x", from, SIZE);
    const w = k.buffer("w", from, SIZE);
    const y = k.buffer("y", dtype, SIZE, { access: "write" });
    try {
      k.each(SIZE, (i) => {
        const result = f(k, k.cast(k.load(x, i), dtype), k.cast(k.load(w, i), dtype));
        k.store(y, i, k.cast(result, dtype));
      });
    } catch (error) {
      // Some functions exist in f32 only, and say so.
      if (error instanceof UnsupportedError && dtype === "f64") continue;
      throw error;
    }
    const kernel = k.finish();
    const inputs = { x: points(from), w: points(from), y: new Uint8Array(SIZE * DTYPE_INFO[dtype].bytes) };
    for (const target of runnableTargets()) {
      const legal = legaliseKernel(kernel, { vectors: { vectorBytes: target.vectorBytes, masks: true } });
      expect(trials.compare(legal, target, { buffers: inputs }), `seed ${seed}`).toBeUndefined();
    }
  }
});
