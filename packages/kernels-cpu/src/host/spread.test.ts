/** Workers leave the caller's processor: a thread that is put on it by force computes elsewhere in the next run. */

import { availableParallelism } from "node:os";
import { expect, test } from "vitest";
import { Assembler, mem, r8, r9, r32, rax, rcx, rdi } from "../asm/index.ts";
import { CodeArena } from "./code-arena.ts";
import { cpuInfo } from "./cpu-features.ts";
import { resolveTarget } from "./cpu-target.ts";
import { loadKoffi } from "./load-koffi.ts";
import { ProgramTable } from "./program-table.ts";
import { Runner } from "./runner.ts";
import { nativeHost } from "./select-host.ts";

const SYS_GETTID = 186;

/** out[2 · thread]: the system's number of the thread, out[2 · thread + 1]: its processor. */
function whereCode(): Uint8Array {
  const a = new Assembler();
  a.emit("mov", r8, mem({ base: rdi, disp: 0 }));
  a.emit("mov", r9, rcx);
  a.emit("shl", r9, 4);
  a.emit("add", r8, r9);
  a.emit("mov", r32(0), SYS_GETTID);
  a.emit("syscall");
  a.emit("mov", mem({ base: r8, disp: 0 }), rax);
  a.emit("rdtscp");
  a.emit("and", r32(1), 0xfff);
  a.emit("mov", mem({ base: r8, disp: 8 }), rcx);
  a.emit("ret");
  return a.assemble().bytes;
}

test("a worker leaves the processor that the caller is on", (context) => {
  if (process.platform !== "linux" || process.arch !== "x64") context.skip("affinity is read on Linux alone");
  const host = nativeHost();
  const info = cpuInfo(host);
  if (availableParallelism() < 2) context.skip("one processor leaves nowhere to go");
  if (!info.features.has("rdtscp")) context.skip("the processor does not tell its number");
  const libc = loadKoffi().load("libc.so.6");
  const setAffinity = libc.func("int sched_setaffinity(int, size_t, void*)");
  const getAffinity = libc.func("int sched_getaffinity(int, size_t, void*)");
  const pin = (thread: number, processor: number): void => {
    const mask = new BigUint64Array(16);
    mask[processor >> 6] = 1n << BigInt(processor & 63);
    expect(setAffinity(thread, 128, mask)).toBe(0);
  };
  using arena = new CodeArena(host);
  using runner = new Runner(host, resolveTarget(info.features), { threads: 2 });
  const [kernel] = arena.publish([whereCode()]) as [bigint];
  using out = host.allocate(32);
  using slots = host.allocate(8);
  new BigUint64Array(slots.buffer)[0] = out.address;
  using table = new ProgramTable(host, [{ kernel, slots: slots.address, taskCount: 2 }]);
  const run = (): { worker: number; caller: number; workerOn: number } => {
    runner.runSync(table);
    const [, caller, worker, workerOn] = Array.from(new BigUint64Array(out.buffer), Number) as [
      number,
      number,
      number,
      number,
    ];
    return { worker, caller, workerOn };
  };
  const before = new BigUint64Array(16);
  getAffinity(0, 128, before);
  try {
    const { worker, caller } = run();
    for (let i = 0; i < 20; i++) {
      pin(0, caller);
      pin(worker, caller);
      const now = run();
      expect(now.caller).toBe(caller);
      expect(now.workerOn).not.toBe(caller);
    }
  } finally {
    setAffinity(0, 128, before);
  }
});
