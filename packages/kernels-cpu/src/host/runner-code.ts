/**
 * The runner's own machine code, published once per host and target: worker loop, run, stop, single kernel call, clock.
 *
 * The pages stay for the life of the process, so no thread ever returns into code that was unmapped.
 */
import { Assembler, label, rax, rcx, rdi, rdx } from "../asm/index.ts";
import { CodeArena } from "./code-arena.ts";
import { cpuInfo } from "./cpu-features.ts";
import type { CpuTarget } from "./cpu-target.ts";
import { assembleKernelCall, at, emitEpilogue, emitPrologue } from "./kernel-call.ts";
import type { NativeAbi, NativeEntry, NativeHost } from "./native-host.ts";
import { assembleRun, assembleSettle, assembleStop, assembleWorker } from "./program-code.ts";

import type { ProgramCodeOptions } from "./program-code.ts";

export interface RunnerCode {
  /** Address of a worker thread's routine. */
  readonly worker: bigint;
  readonly run: NativeEntry;
  readonly settle: NativeEntry;
  readonly stop: NativeEntry;
  readonly callKernel: NativeEntry;
}

/** How long an idle worker polls before it sleeps: longer than the gap between two runs in a tight loop. */
const IDLE_POLL_NS = 80_000;
/** How long a thread polls at a barrier before it yields its core. */
const BARRIER_POLL_NS = 20_000;

type Addresses = [bigint, bigint, bigint, bigint, bigint];

const published = new WeakMap<NativeHost, Map<string, RunnerCode>>();

/** The runner's code for what a target has to clean up. */
export function runnerCode(host: NativeHost, target: CpuTarget): RunnerCode {
  const byKey = published.get(host) ?? new Map<string, RunnerCode>();
  published.set(host, byKey);
  const cleanUp = { avx: target.features.has("avx"), tiles: target.tileRegisters > 0 };
  const key = `${cleanUp.avx} ${cleanUp.tiles}`;
  let code = byKey.get(key);
  if (code === undefined) {
    const pauseNs = measurePause(host);
    const options: ProgramCodeOptions = {
      abi: host.abi,
      waitCalls: host.waitCalls,
      cleanUp,
      spread: host.waitCalls.kind === "futex" && cpuInfo(host).features.has("rdtscp"),
      idleSpins: Math.ceil(IDLE_POLL_NS / pauseNs),
      barrierSpins: Math.ceil(BARRIER_POLL_NS / pauseNs),
    };
    const controls = [assembleWorker(options), assembleSettle(options), assembleStop(options)];
    const calls = [assembleRun(options), assembleKernelCall(host.abi, cleanUp)];
    const [worker, settle, stop, run, callKernel] = new CodeArena(host).publish([...controls, ...calls]) as Addresses;
    code = {
      worker,
      run: host.entry(run),
      settle: host.entry(settle),
      stop: host.entry(stop),
      callKernel: host.entry(callKernel),
    };
    byKey.set(key, code);
  }
  return code;
}

/** Nanoseconds of one `pause`, which differ tenfold between processors. The least of a few tries, so that a pre-empted one does not count. */
function measurePause(host: NativeHost): number {
  const pauses = 2000;
  using arena = new CodeArena(host);
  using block = host.allocate(8);
  const [address] = arena.publish([assemblePauses(host.abi)]) as [bigint];
  const entry = host.entry(address);
  new BigUint64Array(block.buffer)[0] = BigInt(pauses);
  let leastNs = Infinity;
  for (let i = 0; i < 5; i++) {
    const start = process.hrtime.bigint();
    entry.call(block.address);
    leastNs = Math.min(leastNs, Number(process.hrtime.bigint() - start));
  }
  return Math.max(leastNs / pauses, 1);
}

/** `f(block)`: as many pauses as the first word says. */
function assemblePauses(abi: NativeAbi): Uint8Array {
  const a = new Assembler();
  const again = label();
  emitPrologue(a, abi);
  a.emit("mov", rcx, at(rdi, 0));
  a.bind(again);
  a.emit("pause");
  a.emit("sub", rcx, 1);
  a.emit("jne", again);
  emitEpilogue(a, abi);
  return a.assemble().bytes;
}

/** `f(block)`: the time stamp counter to the first word. */
export function assembleTimeStamp(abi: NativeAbi): Uint8Array {
  const a = new Assembler();
  emitPrologue(a, abi);
  a.emit("rdtsc");
  a.emit("shl", rdx, 32);
  a.emit("or", rax, rdx);
  a.emit("mov", at(rdi, 0), rax);
  emitEpilogue(a, abi);
  return a.assemble().bytes;
}
