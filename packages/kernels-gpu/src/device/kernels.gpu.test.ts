/**
 * Rendered kernels on the GPU against the kernel interpreter: random kernels of every 32-bit or narrower type, and
 * workgroup memory with barriers.
 */

import { env } from "node:process";
import {
  type Kernel,
  KernelBuilder,
  type KernelInputs,
  UnsupportedError,
  interpretKernel,
  randomKernel,
  vectorType,
} from "@quern/core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runKernelOnGpu } from "./kernel-run.test-support.ts";
import { type OpenDevice, openDevice } from "./webgpu.ts";

const REQUIRED = env["QUERN_REQUIRE_GPU"];
const SEEDS = Array.from({ length: 24 }, (_, i) => 9200 + i);
/** At least so many of them must have no 64-bit types. */
const LEAST = 12;

let open: OpenDevice | undefined;
let reason = "";
beforeAll(async () => {
  try {
    open = await openDevice({});
  } catch (error) {
    if (!(error instanceof UnsupportedError) || (REQUIRED !== undefined && REQUIRED !== "0")) throw error;
    reason = error.message;
  }
});
afterAll(() => open?.device.destroy());

/** Names of the buffers in which the GPU and the interpreter differ. */
async function differences(device: OpenDevice, kernel: Kernel, inputs: () => KernelInputs): Promise<string[]> {
  const actual = await runKernelOnGpu(device, kernel, inputs());
  const expected = inputs();
  interpretKernel(kernel, expected, { workgroups: true });
  return Object.entries(expected.buffers).flatMap(([name, { buffer, byteOffset, byteLength }]) => {
    const [got, want] = [actual[name] as Uint8Array, new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength)];
    const at = want.findIndex((byte, i) => byte !== got[i]);
    return at < 0 ? [] : [`${name}: byte ${at} is ${got[at]}, not ${want[at]}`];
  });
}

test(`random kernels, seeds ${SEEDS[0]} to ${SEEDS.at(-1)}`, async (context) => {
  if (open === undefined) return context.skip(reason);
  let ran = 0;
  const reasons: string[] = [];
  for (const seed of SEEDS) {
    const { kernel, inputs } = randomKernel(seed);
    try {
      expect(await differences(open, kernel, inputs), `seed ${seed}`).toEqual([]);
      ran++;
    } catch (error) {
      if (!(error instanceof UnsupportedError)) throw error;
      reasons.push(error.message);
    }
  }
  expect(ran, reasons.join("\n")).toBeGreaterThanOrEqual(LEAST);
});

test("workgroup memory: invocations see what others wrote before the barrier", async (context) => {
  if (open === undefined) return context.skip(reason);
  const k = new KernelBuilder("reverse");
  const x = k.buffer("x", "f32", 128);
  const y = k.buffer("y", "f32", 128, { access: "write" });
  const shared = k.scratch("shared", "f32", 64);
  k.parallel(2, (block) => {
    const first = k.mul(block, 64);
    k.each(64, (i) => k.store(shared, i, k.load(x, k.add(first, i))));
    k.barrier();
    k.each(64, (i) => k.store(y, k.add(first, i), k.load(shared, k.sub(63, i))));
  });
  const inputs = (): KernelInputs => ({
    buffers: { x: Float32Array.from({ length: 128 }, (_, i) => i), y: new Float32Array(128) },
  });
  expect(await differences(open, k.finish(), inputs)).toEqual([]);
});

test("vectors: shuffles, gathers, scatters, masks, lanes combined", async (context) => {
  if (open === undefined) return context.skip(reason);
  const k = new KernelBuilder("vectors");
  const x = k.buffer("x", "f32", 23);
  const y = k.buffer("y", "f32", 24, { access: "readwrite" });
  const z = k.buffer("z", "i32", 6, { access: "write" });
  const sum = k.local("sum", vectorType("f32", 4), 0);
  k.parallel(6, (i) => {
    const at = k.mul(i, 4);
    const lanes = k.iota(at, 4);
    const mask = k.lt(lanes, k.broadcast(k.index(23), 4));
    const whole = k.load(x, at, { lanes: 4, mask, other: -1 });
    const swapped = k.shuffle(whole, k.neg(whole), [1, 4, 3, 6]);
    const gathered = k.load(x, k.sub(k.broadcast(k.index(22), 4), k.min(lanes, k.broadcast(k.index(22), 4))));
    k.assign(sum, k.fma(swapped, gathered, whole));
    k.store(y, k.add(k.broadcast(at, 4), k.sub(k.broadcast(k.index(3), 4), k.iota(k.index(0), 4))), k.read(sum), {
      mask,
    });
    k.store(z, i, k.cast(k.add(k.horizontal("max", whole), k.extract(swapped, 2)), "i32"));
  });
  const inputs = (): KernelInputs => ({
    buffers: {
      x: Float32Array.from({ length: 23 }, (_, i) => (i * 7) % 11),
      y: new Float32Array(24),
      z: new Int32Array(6),
    },
  });
  expect(await differences(open, k.finish(), inputs)).toEqual([]);
});
