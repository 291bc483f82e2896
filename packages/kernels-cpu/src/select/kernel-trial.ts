/**
 * Runs compiled kernels for tests: every buffer ends at a page that faults, outputs are poisoned, and the results are
 * compared with the kernel interpreter's.
 */
import { DTYPE_INFO, evaluateDim } from "@quern/core";
import type { DType, DimBindings } from "@quern/core";
import { interpretKernel, readElement, seededRandom, writeElement } from "@quern/core/kernel";
import type { Buffer, Kernel, Scalar } from "@quern/core/kernel";
import { assemble } from "../asm/index.ts";
import { CodeArena, cpuInfo, nativeHost } from "../host/index.ts";
import { assembleKernelCall } from "../host/kernel-call.ts";
import type { NativeMemory } from "../host/index.ts";
import { literalBytes } from "./constants.ts";
import { compileKernel } from "./compile.ts";
import type { CompiledKernel } from "./compile.ts";
import { CPU_TARGETS } from "./target.ts";
import { EMULATION_BYTES, emulateTiles } from "./tile-emulation.ts";
import type { CpuTarget } from "./target.ts";
import { taskCount } from "./tasks.ts";

export interface TrialInputs {
  readonly buffers: Readonly<Record<string, ArrayBufferView>>;
  readonly scalars?: Readonly<Record<string, Scalar>>;
  readonly symbols?: DimBindings;
}

/** The pinned targets that this processor can run, tiles in memory where it has no tile registers. */
export function runnableTargets(): readonly CpuTarget[] {
  const features: ReadonlySet<string> = cpuInfo(nativeHost()).features;
  return CPU_TARGETS.filter((target) =>
    [...target.features].every((name) => features.has(name) || name.startsWith("amx")),
  );
}

const POISON = 0xa5;

/** Keeps the code arena of a test run. */
export class Trials {
  private readonly host = nativeHost();
  private readonly arena = new CodeArena(this.host);
  private readonly caller: ReturnType<typeof this.host.entry>;

  constructor() {
    const [address] = this.arena.publish([assembleKernelCall(this.host.abi, { avx: true, tiles: false })]);
    this.caller = this.host.entry(address as bigint);
  }

  /** The bytes of every buffer after the tasks ran in `ranges` pieces. */
  run(compiled: CompiledKernel, kernel: Kernel, inputs: TrialInputs, ranges = 2): Map<string, Uint8Array> {
    const { symbols = {}, scalars = {} } = inputs;
    const memories: NativeMemory[] = [];
    const allocate = (bytes: number, alignment: number): NativeMemory => {
      const memory = this.host.allocateGuarded(Math.max(1, bytes), alignment);
      memories.push(memory);
      return memory;
    };
    const isNative = !compiled.usesTiles || (cpuInfo(this.host).features as ReadonlySet<string>).has("amx-tile");
    const code = isNative
      ? compiled.bytes
      : assemble(emulateTiles(compiled.items, allocate(EMULATION_BYTES, 64).address)).bytes;
    const [address] = this.arena.publish([code]);
    const slots: bigint[] = [];
    const outputs = new Map<string, Uint8Array>();
    const buffers = new Map(kernel.buffers.map((buffer) => [buffer.name, buffer]));
    for (const { name, kind } of compiled.slots) {
      if (kind === "buffer") {
        const buffer = buffers.get(name) as Buffer;
        const bytes = evaluateDim(buffer.size, symbols) * DTYPE_INFO[buffer.dtype].bytes;
        const memory = allocate(bytes, buffer.alignBytes);
        const view = new Uint8Array(memory.buffer, 0, bytes).fill(POISON);
        const given = inputs.buffers[name];
        if (given !== undefined) view.set(new Uint8Array(given.buffer, given.byteOffset, given.byteLength));
        outputs.set(name, view);
        slots.push(memory.address);
      } else if (kind === "scalar") {
        const param = kernel.scalars.find((scalar) => scalar.name === name)!;
        const word = new Uint8Array(8);
        word.set(literalBytes(param.dtype, scalars[name] as Scalar));
        slots.push(new DataView(word.buffer).getBigUint64(0, true));
      } else if (kind === "symbol") slots.push(BigInt(symbols[name] as number));
      else {
        const scratch = allocate(compiled.scratchBytes(symbols), 64);
        new Uint8Array(scratch.buffer).fill(POISON);
        const table = allocate(16, 8);
        new BigUint64Array(table.buffer, 0, 2).set([0n, scratch.address]);
        slots.push(table.address);
      }
    }
    const args = allocate(8 * slots.length, 8);
    new BigUint64Array(args.buffer, 0, slots.length).set(slots);
    const tasks = taskCount(kernel, { symbols, scalars });
    const step = Math.max(1, Math.ceil(tasks / ranges));
    const block = allocate(64, 8);
    for (let begin = 0; begin < tasks; begin += step) {
      new BigUint64Array(block.buffer, 0, 5).set([
        address as bigint,
        args.address,
        BigInt(begin),
        BigInt(Math.min(tasks, begin + step)),
        1n,
      ]);
      this.caller.call(block.address);
    }
    const copies = new Map([...outputs].map(([name, view]) => [name, view.slice()]));
    for (const memory of memories) memory.free();
    return copies;
  }

  /**
   * Compiles, runs and compares with the interpreter; returns a description of the first difference. Elements may
   * differ by `ulps` units of the last place for f32 outputs (0: bit for bit, NaN equal to NaN).
   */
  compare(kernel: Kernel, target: CpuTarget, inputs: TrialInputs, ulps = 0): string | undefined {
    const compiled = compileKernel(kernel, target);
    const expected: Record<string, ArrayBufferView> = {};
    for (const { name, size, dtype } of kernel.buffers) {
      const bytes = new Uint8Array(evaluateDim(size, inputs.symbols ?? {}) * DTYPE_INFO[dtype].bytes).fill(POISON);
      const given = inputs.buffers[name];
      if (given !== undefined) bytes.set(new Uint8Array(given.buffer, given.byteOffset, given.byteLength));
      expected[name] = bytes;
    }
    interpretKernel(kernel, { ...inputs, buffers: expected }, { checkRaces: false });
    const actual = this.run(compiled, kernel, inputs);
    for (const { name, dtype } of kernel.buffers) {
      const want = expected[name] as Uint8Array;
      const got = actual.get(name) as Uint8Array;
      const at = firstDifference(dtype, want, got, ulps);
      if (at !== undefined)
        return `${kernel.name} on ${target.name}: ${name}[${at}] is ${element(dtype, got, at)}, expected ${element(dtype, want, at)}`;
    }
    return undefined;
  }
}

function element(dtype: DType, bytes: Uint8Array, at: number): string {
  const size = DTYPE_INFO[dtype].bytes;
  const raw = Array.from(bytes.subarray(at * size, (at + 1) * size), (b) => b.toString(16).padStart(2, "0"))
    .reverse()
    .join("");
  return `${String(readElement(new DataView(bytes.buffer, bytes.byteOffset), at * size, dtype))} (0x${raw})`;
}

function firstDifference(dtype: DType, want: Uint8Array, got: Uint8Array, ulps: number): number | undefined {
  const size = DTYPE_INFO[dtype].bytes;
  const [a, b] = [new DataView(want.buffer, want.byteOffset), new DataView(got.buffer, got.byteOffset)];
  for (let at = 0; at * size < want.length; at++) {
    let same = true;
    for (let i = at * size; i < (at + 1) * size; i++) same &&= want[i] === got[i];
    if (same) continue;
    const [x, y] = [readElement(a, at * size, dtype), readElement(b, at * size, dtype)];
    if (Number.isNaN(x) && Number.isNaN(y)) continue;
    if (
      dtype === "f32" &&
      ulps > 0 &&
      Math.abs(order(a.getInt32(at * 4, true)) - order(b.getInt32(at * 4, true))) <= ulps
    )
      continue;
    return at;
  }
  return undefined;
}

/** f32 bits as integers in the order of the values. */
function order(bits: number): number {
  return bits < 0 ? -(bits & 0x7fffffff) : bits;
}

/** Random elements: ordinary values, and for one in eight an extreme. */
export function randomElements(dtype: DType, count: number, seed: number, range = 100): Uint8Array {
  const random = seededRandom(seed);
  const { bytes, kind, min, max } = DTYPE_INFO[dtype];
  const view = new DataView(new ArrayBuffer(count * bytes));
  const extremes =
    kind === "float"
      ? [0, -0, Infinity, -Infinity, NaN, 1e-40, -1e-40, 1e10, -1e10, 2 ** 31, -(2 ** 31), 0.5, 1.5, 2.5, -0.5]
      : [0, 1, min, max, -1];
  for (let i = 0; i < count; i++) {
    const isExtreme = random() < 0.125;
    const pick = extremes[Math.floor(random() * extremes.length)] as number;
    const value = isExtreme
      ? pick
      : kind === "float"
        ? (random() * 2 - 1) * range
        : Math.floor((kind === "uint" ? random() : random() * 2 - 1) * range);
    let scalar: Scalar = value;
    if (dtype === "f32") scalar = Math.fround(value);
    else if (dtype === "bool") scalar = random() < 0.5;
    else if (dtype === "i64")
      scalar = BigInt.asIntN(
        64,
        BigInt(Math.abs(value) >= 2 ** 63 ? (value > 0 ? 2n ** 63n - 1n : -(2n ** 63n)) : value),
      );
    else if (dtype === "u64") scalar = BigInt.asUintN(64, value >= 2 ** 63 ? 2n ** 64n - 1n : BigInt(value));
    else if (dtype === "bf16" && Number.isFinite(value)) scalar = Math.fround(value);
    writeElement(view, i * bytes, dtype, scalar);
  }
  return new Uint8Array(view.buffer);
}
