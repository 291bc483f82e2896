/**
 * Runs the code generated for the Windows calling convention on Linux: thunks translate calls from one convention to
 * the other and check what must be preserved, and stand-ins for the system functions destroy all they are allowed to.
 */
import { expect, test } from "vitest";

import {
  Assembler,
  imm,
  label,
  mem,
  r10,
  r11,
  r12,
  r13,
  r32,
  r8,
  r9,
  rax,
  rcx,
  rdi,
  rdx,
  rsi,
  rsp,
  xmm,
} from "../asm/index.ts";
import { CodeArena } from "./code-arena.ts";
import { cpuInfo } from "./cpu-features.ts";
import { resolveTarget } from "./cpu-target.ts";
import { at } from "./kernel-call.ts";
import type { NativeHost } from "./native-host.ts";
import { ProgramTable } from "./program-table.ts";
import { Runner } from "./runner.ts";
import { nativeHost } from "./select-host.ts";

const linux = process.arch === "x64" && process.platform === "linux";

test("programs run in the Windows convention", { skip: !linux }, async () => {
  const linuxHost = nativeHost();
  const target = resolveTarget(cpuInfo(linuxHost).features);
  const host = windowsConvention(linuxHost);
  const arena = new CodeArena(host);
  const [kernel] = arena.publish([kernelCode()]) as [bigint];
  using sums = host.allocate(8 * 100);
  using slots = host.allocate(8);
  const data = new BigUint64Array(sums.buffer);
  new BigUint64Array(slots.buffer)[0] = sums.address;
  for (const threads of [1, 2, 3]) {
    data.fill(0n);
    using runner = new Runner(host, target, { threads });
    const step = { kernel, slots: slots.address, taskCount: 100, barrier: true };
    using table = new ProgramTable(host, [step, step, step]);
    for (let i = 0; i < 200; i++) {
      runner.runSync(table);
      // Long enough for the workers to fall asleep, now and then.
      if (i % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 3));
    }
    await runner.run(table);
    runner.callKernel(kernel, new BigUint64Array(slots.buffer), 0, 100);
    expect([...data]).toEqual(Array.from({ length: 100 }, (_, i) => BigInt(i) * 604n));
  }
  expect(new BigUint64Array(host.violations.buffer)[0]).toBe(0n);
});

const SENTINEL_RDI = 0x1111;
const SENTINEL_RSI = 0x2222;

/** A Linux host whose functions and code follow the Windows convention; broken promises are counted. */
function windowsConvention(
  inner: NativeHost,
): NativeHost & { readonly violations: ReturnType<NativeHost["allocate"]> } {
  const violations = inner.allocate(8);
  const arena = new CodeArena(inner);
  const publish = (code: Uint8Array): bigint => (arena.publish([code]) as [bigint])[0];
  const thunks = new Map<bigint, bigint>();
  const thunk = (address: bigint): bigint => {
    const known = thunks.get(address) ?? publish(thunkCode(address, violations.address));
    thunks.set(address, known);
    return known;
  };
  return {
    ...inner,
    name: "linux-x64 in the Windows convention",
    abi: "win64",
    waitCalls: {
      kind: "win32",
      waitOnAddress: publish(systemFunction(128)),
      wakeByAddressAll: publish(systemFunction(129)),
      switchToThread: publish(systemFunction(undefined)),
    },
    entry: (address) => inner.entry(thunk(address)),
    startThread: (routine, argument) => inner.startThread(thunk(routine), argument),
    violations,
  };
}

/** `f(rdi)` of Linux that calls the Windows function at `address`, and counts it when rdi, rsi, r12 or xmm6 change. */
function thunkCode(address: bigint, violations: bigint): Uint8Array {
  const a = new Assembler();
  const [broken, done] = [label(), label()];
  a.emit("push", r12).emit("push", r13).emit("sub", rsp, 40);
  a.emit("mov", rcx, rdi);
  a.emit("mov", rdi, SENTINEL_RDI).emit("mov", rsi, SENTINEL_RSI).emit("mov", r12, 77);
  a.emit("vmovq", xmm(6), r12).emit("vmovq", xmm(15), r12);
  a.emit("mov", rax, imm(address)).emit("call", rax);
  a.emit("cmp", rdi, SENTINEL_RDI).emit("jne", broken);
  a.emit("cmp", rsi, SENTINEL_RSI).emit("jne", broken);
  a.emit("cmp", r12, 77).emit("jne", broken);
  for (const id of [6, 15]) a.emit("vmovq", rax, xmm(id)).emit("cmp", rax, 77).emit("jne", broken);
  a.emit("jmp", done);
  a.bind(broken)
    .emit("mov", rax, imm(violations))
    .emit("lock add", at(rax, 0, 8), 1);
  a.bind(done);
  a.emit("xor", r32(0), r32(0));
  a.emit("add", rsp, 40).emit("pop", r13).emit("pop", r12).emit("ret");
  return a.assemble().bytes;
}

/** WaitOnAddress (futex operation 128), WakeByAddressAll (129) or SwitchToThread, with everything destroyed after. */
function systemFunction(futexOperation: number | undefined): Uint8Array {
  const a = new Assembler();
  a.emit("push", rdi).emit("push", rsi);
  if (futexOperation === undefined) a.emit("mov", r32(0), 24);
  else {
    a.emit("mov", rdi, rcx);
    a.emit("mov", r32(6), futexOperation);
    if (futexOperation === 128) {
      const proper = label();
      // Size 4 and no timeout, or the process ends here.
      a.emit("xor", r9, r8)
        .emit("cmp", r32(9), -1 ^ 4)
        .emit("je", proper)
        .emit("ud2")
        .bind(proper);
      a.emit("mov", r32(2), mem({ base: rdx }));
    } else a.emit("mov", r32(2), 1000);
    a.emit("xor", r32(10), r32(10));
    a.emit("mov", r32(0), 202);
  }
  a.emit("syscall");
  for (const reg of [rcx, rdx, r8, r9, r10, r11]) a.emit("mov", reg, -1);
  // The callee owns the 32 bytes above its return address.
  for (let i = 0; i < 4; i++) a.emit("mov", at(rsp, 24 + 8 * i), r8);
  a.emit("mov", r32(0), 1);
  a.emit("pop", rsi).emit("pop", rdi).emit("ret");
  return a.assemble().bytes;
}

/** Slots: words. words[task] += task; destroys what kernels may. */
function kernelCode(): Uint8Array {
  const a = new Assembler();
  const [again, end] = [label(), label()];
  a.emit("mov", r8, mem({ base: rdi }));
  a.bind(again).emit("cmp", rsi, rdx).emit("jae", end);
  a.emit("add", mem({ base: r8, index: rsi, scale: 8 }), rsi);
  a.emit("add", rsi, 1).emit("jmp", again);
  a.bind(end);
  for (const reg of [rax, rcx, rdx, rdi, rsi, r8, r9, r10, r11]) a.emit("mov", reg, -1);
  for (let id = 0; id < 16; id++) a.emit("vxorps", xmm(id), xmm(id), xmm(id));
  a.emit("ret");
  return a.assemble().bytes;
}
