/**
 * Measures what this machine can do at all, with machine code of our own: chains of multiply-adds, the matrix unit,
 * and reads of a buffer far larger than the caches.
 *
 * In: thread counts. Out: one roofline point each, the best of several short runs, since everything that disturbs a
 * run makes it slower. The kernels follow the convention of `@quern/kernels-cpu` (slots in rdi, tasks rsi to rdx).
 */

import {
  CodeArena,
  ProgramTable,
  Runner,
  cpuInfo,
  nativeHost,
  resolveTarget,
  type CpuTarget,
  type NativeHost,
} from "@quern/kernels-cpu";
import { Assembler, label, mem, r8, r9, rdi, rdx, rsi, tmm, ymm, zmm, type Reg } from "@quern/kernels-cpu/asm";
import type { RooflinePoint } from "../results/schema.ts";

/** One task of a kernel does this much; the count of a run makes it a few milliseconds long. */
interface PeakKernel {
  readonly code: Uint8Array;
  readonly workPerTask: number;
}

const FMA_ROUNDS = 100_000;
const TILE_ROUNDS = 20_000;
const TASK_BYTES = 1 << 16;
/** Fits into every first-level cache, and a pass over it is one stretch of code. */
const NEAR_BYTES = 4096;
const NEAR_ROUNDS = 20_000;
const MIN_READ_BYTES = 256 << 20;
const MAX_READ_BYTES = 1 << 30;
/** Reads of a cached region are repeated up to this much per run. */
const CACHED_PASS_BYTES = 256 << 20;
/** Each peak is the best of the runs in this time: long enough to find a moment without neighbours. */
const PATIENCE_NS = 250_000_000n;

/** Loops over the tasks rsi to rdx around `body`, which must keep them. */
function taskLoop(a: Assembler, body: () => void): Uint8Array {
  const next = label("next");
  const done = label("done");
  a.bind(next).emit("cmp", rsi, rdx).emit("jae", done);
  body();
  a.emit("add", rsi, 1).emit("jmp", next).bind(done).emit("ret");
  return a.assemble().bytes;
}

/** `rounds` times `body`, counted in r8. */
function countedLoop(a: Assembler, rounds: number, body: () => void): void {
  const again = label("again");
  a.emit("mov", r8, rounds).align(32).bind(again);
  body();
  a.emit("sub", r8, 1).emit("jne", again);
}

/** Independent multiply-add chains, enough of them to hide the latency on two units. Values stay normal numbers. */
function fmaKernel(target: CpuTarget): PeakKernel {
  const wide = target.vectorBytes === 64;
  const vector = wide ? zmm : ymm;
  const chains = wide ? 24 : 12;
  const [x, y] = [vector(chains), vector(chains + 1)];
  const a = new Assembler();
  const lanes = target.vectorBytes / 4;
  const spread = (value: number): Float32Array => new Float32Array(lanes).fill(value);
  a.emit("vmovups", x, mem({ label: a.constant(spread(0.999)), size: target.vectorBytes }));
  a.emit("vmovups", y, mem({ label: a.constant(spread(1.5e-3)), size: target.vectorBytes }));
  for (let i = 0; i < chains; i++) a.emit("vmovups", vector(i), x);
  const code = taskLoop(a, () =>
    countedLoop(a, FMA_ROUNDS, () => {
      for (let i = 0; i < chains; i++) a.emit("vfmadd231ps", vector(i), x, y);
    }),
  );
  return { code, workPerTask: 2 * lanes * chains * FMA_ROUNDS };
}

/** Four accumulator tiles fed from two pairs of operand tiles: bf16 products, f32 sums. */
function tileKernel(target: CpuTarget): PeakKernel | undefined {
  if (!target.features.has("amx-bf16")) return undefined;
  const config = new Uint8Array(64);
  config[0] = 1; // palette 1: 8 tiles of up to 16 rows of 64 bytes
  for (let tile = 0; tile < 8; tile++) {
    config[16 + 2 * tile] = 64;
    config[48 + tile] = 16;
  }
  const a = new Assembler();
  a.emit("ldtilecfg", mem({ label: a.constant(config), size: 64 }));
  for (let tile = 0; tile < 8; tile++) a.emit("tilezero", tmm(tile));
  const code = taskLoop(a, () =>
    countedLoop(a, TILE_ROUNDS, () => {
      for (let sum = 0; sum < 4; sum++) a.emit("tdpbf16ps", tmm(sum), tmm(4 + (sum >> 1)), tmm(6 + (sum & 1)));
    }),
  );
  return { code, workPerTask: 4 * 2 * 16 * 16 * 32 * TILE_ROUNDS };
}

/** Chains of dot products of bytes, 32-bit sums: what vectors without a matrix unit do with quantised weights. */
function byteKernel(target: CpuTarget): PeakKernel | undefined {
  const wide = target.vectorBytes === 64 && target.features.has("avx512vnni");
  if (!wide && !target.features.has("avx-vnni")) return undefined;
  const vector = wide ? zmm : ymm;
  const chains = wide ? 24 : 12;
  const a = new Assembler();
  const code = taskLoop(a, () =>
    countedLoop(a, FMA_ROUNDS, () => {
      for (let i = 0; i < chains; i++) {
        a.emit(wide ? "vpdpbusd" : "{vex} vpdpbusd", vector(i), vector(chains), vector(chains + 1));
      }
    }),
  );
  return { code, workPerTask: 2 * (wide ? 64 : 32) * chains * FMA_ROUNDS };
}

/** Reads task t's part of the buffer in slot 0, at the offset t · TASK_BYTES under the mask in slot 1. */
function readKernel(target: CpuTarget): PeakKernel {
  const wide = target.vectorBytes === 64;
  const vector = wide ? zmm : ymm;
  const loads = 8;
  const step = loads * target.vectorBytes;
  const a = new Assembler();
  const code = taskLoop(a, () => {
    const base: Reg = r9;
    a.emit("mov", base, rsi).emit("shl", base, Math.log2(TASK_BYTES));
    a.emit("and", base, mem({ base: rdi, disp: 8, size: 8 })).emit("add", base, mem({ base: rdi, size: 8 }));
    countedLoop(a, TASK_BYTES / step, () => {
      for (let i = 0; i < loads; i++) {
        a.emit("vmovups", vector(i), mem({ base, disp: i * target.vectorBytes, size: target.vectorBytes }));
      }
      a.emit("add", base, step);
    });
  });
  return { code, workPerTask: TASK_BYTES };
}

/** Reads the beginning of the buffer in slot 0 over and over: after the first pass it is in the nearest cache. */
function nearReadKernel(target: CpuTarget): PeakKernel {
  const size = target.vectorBytes;
  const vector = size === 64 ? zmm : ymm;
  const a = new Assembler();
  const code = taskLoop(a, () => {
    const base: Reg = r9;
    a.emit("mov", base, mem({ base: rdi, size: 8 }));
    countedLoop(a, NEAR_ROUNDS, () => {
      for (let at = 0; at < NEAR_BYTES; at += size) {
        a.emit("vmovups", vector((at / size) % 8), mem({ base, disp: at, size }));
      }
    });
  });
  return { code, workPerTask: NEAR_BYTES * NEAR_ROUNDS };
}

function powerBelow(size: number): number {
  return 2 ** Math.floor(Math.log2(size));
}

/** Work per nanosecond (10^9 per second) of the best of several runs. */
function bestRate(
  host: NativeHost,
  runner: Runner,
  kernel: bigint,
  slots: bigint,
  tasks: number,
  work: number,
): number {
  using table = new ProgramTable(host, [{ kernel, slots, taskCount: tasks, barrier: true }]);
  let best = Infinity;
  const end = process.hrtime.bigint() + PATIENCE_NS;
  for (let start = process.hrtime.bigint(); start < end; start = process.hrtime.bigint()) {
    runner.runSync(table);
    best = Math.min(best, Number(process.hrtime.bigint() - start));
  }
  return (work * tasks) / best;
}

/** Peaks at each thread count. Throws an `UnsupportedError` where no machine code of ours runs. */
export function measurePeaks(threadCounts: readonly number[]): RooflinePoint[] {
  const host = nativeHost();
  const info = cpuInfo(host);
  const target = resolveTarget(info.features);
  const [fma, read, near] = [fmaKernel(target), readKernel(target), nearReadKernel(target)];
  const [tile, byte] = [tileKernel(target), byteKernel(target)];
  using arena = new CodeArena(host);
  const publish = (kernel: PeakKernel | undefined): bigint | undefined =>
    kernel === undefined ? undefined : arena.publish([kernel.code])[0];
  const [fmaCode, readCode, nearCode, tileCode, byteCode] = [fma, read, near, tile, byte].map(publish);
  const { l2, l3 } = info.caches;
  const bytes = powerBelow(Math.min(MAX_READ_BYTES, Math.max(MIN_READ_BYTES, 4 * l3)));
  using buffer = host.allocate(bytes, { hugePages: true, populate: true });
  new Float64Array(buffer.buffer).fill(1); // pages of their own, not one shared page of zeros
  using slots = host.allocate(16);
  const words = new BigUint64Array(slots.buffer);
  words[0] = buffer.address;
  return threadCounts.map((threads) => {
    using runner = new Runner(host, target, { threads });
    const rate = (code: bigint | undefined, tasks: number, work: number): number =>
      bestRate(host, runner, code ?? 0n, slots.address, tasks, work);
    const readRate = (region: number, passBytes: number): number => {
      words[1] = BigInt(region - 1);
      return rate(readCode, Math.floor(passBytes / TASK_BYTES), read.workPerTask);
    };
    // Half a cache holds the region beside everything else; a level that is hardly larger than the one below is none.
    const cachedRate = (size: number, below: number): number | null =>
      size < 4 * TASK_BYTES || size < 4 * below ? null : readRate(powerBelow(size / 2), CACHED_PASS_BYTES);
    return {
      threads,
      fmaGflops: rate(fmaCode, 2 * threads, fma.workPerTask),
      matrixGflops: tile === undefined ? null : rate(tileCode, 2 * threads, tile.workPerTask),
      byteGops: byte === undefined ? null : rate(byteCode, 2 * threads, byte.workPerTask),
      readGBps: readRate(bytes, bytes),
      l1ReadGBps: rate(nearCode, 2 * threads, near.workPerTask),
      l2ReadGBps: cachedRate(l2, 0),
      l3ReadGBps: cachedRate(l3, l2),
    };
  });
}
