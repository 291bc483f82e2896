import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { Assembler, imm, mem, r8, r32, rax, rbx, rdi, rdx, rsi, rsp, ymm } from "../asm/index.ts";
import { type Trap, callChecked } from "./checked-call.ts";
import { CodeArena } from "./code-arena.ts";
import { cpuInfo } from "./cpu-features.ts";
import { type CpuTarget, resolveTarget } from "./cpu-target.ts";
import { at } from "./kernel-call.ts";
import type { NativeHost } from "./native-host.ts";
import { Runner } from "./runner.ts";
import { nativeHost } from "./select-host.ts";

const linux = process.arch === "x64" && process.platform === "linux";

describe.skipIf(!linux)("checked calls", () => {
  let host: NativeHost;
  let target: CpuTarget;
  beforeAll(() => {
    host = nativeHost();
    target = resolveTarget(cpuInfo(host).features, {});
  });

  function call(emit: (a: Assembler) => void, argument = 0n, taskCount = 1): Trap | undefined {
    const a = new Assembler();
    emit(a);
    const { bytes } = a.assemble();
    using arena = new CodeArena(host);
    using runner = new Runner(host, target, { threads: 1 });
    const [address] = arena.publish([bytes]) as [bigint];
    const slots = BigUint64Array.of(argument);
    return callChecked(host, target, runner, { address, byteLength: bytes.length }, host.addressOf(slots), taskCount);
  }

  test("the handlers of before are back after the call", () => {
    using stack = host.allocate(1 << 16);
    const handlers = (): bigint[] => {
      const previous = new BigUint64Array(32);
      host.faults?.redirect(0n, stack, previous)();
      return [...previous];
    };
    // The first call of this process, so that these are not ours.
    const before = handlers();
    expect(call((a) => a.emit("ud2"))?.signal).toBe("SIGILL");
    expect(handlers()).toEqual(before);
  });

  test("a kernel without faults does all tasks as thread 0", () => {
    using memory = host.allocate(24);
    const trap = call(
      (a) => {
        a.emit("mov", rax, at(rdi, 0));
        a.emit("mov", at(rax, 0), rsi);
        a.emit("mov", at(rax, 8), rdx);
        a.emit("mov", at(rax, 16), r32(1));
        a.emit("ret");
      },
      memory.address,
      7,
    );
    expect(trap).toBeUndefined();
    expect([...new BigUint64Array(memory.buffer)]).toEqual([0n, 7n, 0n]);
  });

  test("a write to a guard page comes back with address and instruction", () => {
    using memory = host.allocateGuarded(64);
    const write = (a: Assembler): void => {
      a.emit("mov", rax, at(rdi, 0));
      a.emit("vmovups", at(rax, 0), ymm(1));
      a.emit("vmovups", at(rax, 48), ymm(1));
      a.emit("ret");
    };
    for (let round = 0; round < 3; round++) {
      const trap = call(write, memory.address);
      expect(trap?.signal).toBe("SIGSEGV");
      expect(trap?.access?.write).toBe(true);
      // The processor names the first byte of the access or the first byte that faults.
      expect([48n, 64n]).toContain((trap?.access?.address ?? 0n) - memory.address);
      expect(trap?.codeOffset).toBeGreaterThan(3);
    }
  });

  test("reads, and addresses no pointer can have", () => {
    using memory = host.allocateGuarded(64);
    const read = (a: Assembler): void => {
      a.emit("mov", rax, at(rdi, 0));
      a.emit("mov", rax, at(rax, 0));
      a.emit("ret");
    };
    expect(call(read, memory.address + 64n)?.access).toEqual({ address: memory.address + 64n, write: false });
    expect(call(read, 1n << 62n)).toMatchObject({ signal: "SIGSEGV", access: undefined });
  });

  test("illegal instructions and divisions by zero", () => {
    expect(call((a) => a.emit("nop").emit("ud2"))).toEqual({ signal: "SIGILL", codeOffset: 1, access: undefined });
    const divide = (a: Assembler): void => {
      a.emit("xor", r32(2), r32(2)).emit("xor", r32(1), r32(1)).emit("div", r32(1));
    };
    expect(call(divide)).toMatchObject({ signal: "SIGFPE", codeOffset: 4 });
  });

  test("a kernel that lost its stack pointer and saved registers", () => {
    const lose = (a: Assembler): void => {
      a.emit("push", rbx);
      a.emit("xor", r32(3), r32(3));
      a.emit("mov", rsp, imm(64));
      a.emit("mov", r8, mem({ base: rbx }));
    };
    expect(call(lose)?.access).toEqual({ address: 0n, write: false });
  });

  test("faults elsewhere go where they went before", () => {
    const program = `
      import { Assembler } from ${JSON.stringify(join(import.meta.dirname, "../asm/index.ts"))};
      import { CodeArena, callChecked, Runner, cpuInfo, nativeHost, resolveTarget } from ${JSON.stringify(join(import.meta.dirname, "index.ts"))};
      const host = nativeHost();
      const target = resolveTarget(cpuInfo(host).features, {});
      const { bytes } = new Assembler().emit("ud2").assemble();
      const [address] = new CodeArena(host).publish([bytes]);
      // Told that the kernel is empty, the handler finds the fault outside of it.
      callChecked(host, target, new Runner(host, target, { threads: 1 }), { address, byteLength: +process.env.LENGTH }, 0n, 1);
      console.log("survived");`;
    const run = (LENGTH: string): ReturnType<typeof spawnSync> =>
      spawnSync(process.execPath, ["--conditions=quern-src", "--input-type=module", "-e", program], {
        env: { ...process.env, LENGTH },
        encoding: "utf8",
      });
    expect(run("0").signal).toBe("SIGILL");
    expect(run("2").stdout).toBe("survived\n");
  });
});
