/**
 * The simulator against the processor, bit for bit, for every target that the processor can run; against the kernel
 * interpreter for the others, so that AVX-512 code is tested on machines without AVX-512.
 */
import { DTYPE_INFO, evaluateDim } from "@quern/core";
import { interpretKernel, legaliseKernel, randomKernel, readElement } from "@quern/core/kernel";
import type { Kernel } from "@quern/core/kernel";
import { describe, expect, test } from "vitest";
import { mem, rax, rcx, tmm, zmm } from "../asm/index.ts";
import type { Item } from "../asm/index.ts";
import { makeInstr } from "./code.ts";
import { compileKernel } from "./compile.ts";
import { Trials, runnableTargets } from "./kernel-trial.ts";
import type { TrialInputs } from "./kernel-trial.ts";
import { Machine } from "./simulate/machine.ts";
import { runItems, simulate } from "./simulate.ts";
import { CPU_TARGETS } from "./target.ts";
import type { CpuTarget } from "./target.ts";

const seed = Number(process.env["QUERN_SEED"] ?? 1);
const count = Number(process.env["QUERN_COUNT"] ?? 60);
const trials = new Trials();
const runnable = runnableTargets();

/** The first element that differs; a NaN is as good as another. */
function difference(
  kernel: Kernel,
  got: ReadonlyMap<string, Uint8Array>,
  want: ReadonlyMap<string, Uint8Array>,
): string | undefined {
  for (const { name, dtype } of kernel.buffers) {
    const size = DTYPE_INFO[dtype].bytes;
    const [a, b] = [got.get(name), want.get(name)].map(
      (bytes) => new DataView((bytes as Uint8Array).buffer, (bytes as Uint8Array).byteOffset),
    ) as [DataView, DataView];
    for (let at = 0; at < b.byteLength && at + size <= a.byteLength; at += size) {
      let same = true;
      for (let i = at; i < at + size; i++) same &&= a.getUint8(i) === b.getUint8(i);
      if (same) continue;
      const [x, y] = [readElement(a, at, dtype), readElement(b, at, dtype)];
      if (!(Number.isNaN(x) && Number.isNaN(y))) return `${name}[${at / size}] is ${String(x)}, not ${String(y)}`;
    }
  }
  return undefined;
}

function interpreted(kernel: Kernel, inputs: TrialInputs): Map<string, Uint8Array> {
  const buffers = new Map(
    kernel.buffers.map(({ name, size, dtype }) => {
      const bytes = new Uint8Array(evaluateDim(size, inputs.symbols ?? {}) * DTYPE_INFO[dtype].bytes).fill(0xa5);
      const given = inputs.buffers[name];
      if (given !== undefined) bytes.set(new Uint8Array(given.buffer, given.byteOffset, given.byteLength));
      return [name, bytes];
    }),
  );
  interpretKernel(kernel, { ...inputs, buffers: Object.fromEntries(buffers) }, { checkRaces: false });
  return buffers;
}

function check(kernel: Kernel, target: CpuTarget, inputs: TrialInputs): string | undefined {
  const compiled = compileKernel(kernel, target);
  const simulated = simulate(compiled, kernel, inputs);
  return difference(
    kernel,
    simulated,
    runnable.includes(target) ? trials.run(compiled, kernel, inputs) : interpreted(kernel, inputs),
  );
}

describe.each(CPU_TARGETS.map((target) => [target.name, target] as const))("%s", (_, target) => {
  test(`random kernels, seeds ${seed}..${seed + count - 1}`, () => {
    for (let at = seed; at < seed + count; at++) {
      const { kernel, inputs } = randomKernel(at);
      const legal = legaliseKernel(kernel, { vectors: { vectorBytes: target.vectorBytes, masks: true } });
      expect(check(legal, target, inputs()), `seed ${at}`).toBeUndefined();
    }
  });
});

function run(...items: Item[]): Machine {
  const m = new Machine();
  const stack = m.addRegion("stack", new Uint8Array(new BigUint64Array([0n, 0x7fffn]).buffer));
  m.general[4] = BigInt(stack + 8);
  runItems(m, [...items, makeInstr("ret", [])]);
  return m;
}

test("errors name the instruction", () => {
  expect(() => run(makeInstr("vrcp14ps", [zmm(0), zmm(1)]))).toThrow("the simulator does not know vrcp14ps");
  expect(() => run(makeInstr("mov", [rax, 16n]), makeInstr("mov", [rcx, mem({ base: rax })]))).toThrow(
    /access of 8 bytes at 16 in "mov rcx, /,
  );
  expect(() =>
    run(makeInstr("mov", [rax, 5]), makeInstr("imul", [rax, rax, 3]), makeInstr("cmove", [rcx, rax])),
  ).toThrow("the zero flag is undefined");
  expect(() => run(makeInstr("tilezero", [tmm(3)]))).toThrow("tmm3 is not configured");
  expect(() => run(makeInstr("push", [rax]))).toThrow("the stack is not balanced");
});

/** C = A × B of one row, one pair and one column, from bit patterns of bf16. */
function bf16Product([a0, a1]: readonly [number, number], [b0, b1]: readonly [number, number], c: number): number {
  const config = new Uint8Array(64);
  config[0] = 1;
  for (const tile of [0, 1, 2]) [config[16 + 2 * tile], config[48 + tile]] = [4, 1];
  const data = new Uint8Array(80);
  data.set(config);
  const view = new DataView(data.buffer);
  [a0, a1, b0, b1].forEach((bits, i) => view.setUint16(64 + 2 * i, bits, true));
  view.setFloat32(72, c, true);
  const m = new Machine();
  const at = m.addRegion("data", data);
  const stack = m.addRegion("stack", new Uint8Array(new BigUint64Array([0x7fffn]).buffer));
  [m.general[0], m.general[1], m.general[4]] = [BigInt(at), 0n, BigInt(stack)];
  const place = (disp: number): ReturnType<typeof mem> => mem({ base: rax, index: rcx, disp });
  runItems(m, [
    makeInstr("ldtilecfg", [mem({ base: rax })]),
    makeInstr("tileloadd", [tmm(0), place(72)]),
    makeInstr("tileloadd", [tmm(1), place(64)]),
    makeInstr("tileloadd", [tmm(2), place(68)]),
    makeInstr("tdpbf16ps", [tmm(0), tmm(1), tmm(2)]),
    makeInstr("tilestored", [place(76), tmm(0)]),
    makeInstr("ret", []),
  ]);
  return view.getFloat32(76, true);
}

test("tdpbf16ps takes denormals as zero", () => {
  const [one, two, half, tiny, denormal] = [0x3f80, 0x4000, 0x3f00, 0x0080, 0x0001];
  expect(bf16Product([one, two], [two, half], 10)).toBe(13);
  // 2^-126 · ½ is a denormal result, 2^-133 a denormal operand, and so may be the sum before.
  expect(bf16Product([tiny, 0], [half, 0], 0)).toBe(0);
  expect(bf16Product([denormal, one], [one, tiny], 0)).toBe(2 ** -126);
  expect(bf16Product([one, 0], [tiny, 0], 2 ** -140)).toBe(2 ** -126);
});
