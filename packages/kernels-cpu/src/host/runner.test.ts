import { spawnSync } from "node:child_process";

import { InternalError, UserError } from "@quern/core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { Assembler, label, mem, r8, r9, rax, rcx, rdi, rdx, rsi } from "../asm/index.ts";
import { CodeArena } from "./code-arena.ts";
import { cpuInfo } from "./cpu-features.ts";
import { resolveTarget } from "./cpu-target.ts";
import type { CpuTarget } from "./cpu-target.ts";
import type { NativeHost, NativeMemory } from "./native-host.ts";
import { shareReciprocal } from "./program-code.ts";
import { ProgramTable } from "./program-table.ts";
import { Runner } from "./runner.ts";
import { nativeHost } from "./select-host.ts";
import { ticksPerNs } from "./time-stamp.ts";

const supported = process.arch === "x64" && (process.platform === "linux" || process.platform === "win32");

test("the reciprocal divides exactly up to 2^40 tasks", () => {
  const exact = (n: bigint, t: bigint, count: bigint): boolean =>
    (n * t * shareReciprocal(Number(count))) >> 64n === (n * t) / count;
  for (let count = 2n; count <= 128n; count++) {
    for (const n of [
      0n,
      1n,
      2n,
      3n,
      count - 1n,
      count,
      count + 1n,
      1000n,
      (1n << 32n) - 1n,
      (1n << 40n) - 1n,
      1n << 40n,
    ]) {
      for (let t = 1n; t <= count; t++) expect(exact(n, t, count)).toBe(true);
    }
  }
});

describe.skipIf(!supported)("program runner", () => {
  let host: NativeHost;
  let target: CpuTarget;
  let arena: CodeArena;
  let addIndex: bigint;
  let addNeighbour: bigint;
  let noteThread: bigint;
  let waitForLast: bigint;
  let spin: bigint;
  const held: NativeMemory[] = [];

  beforeAll(() => {
    host = nativeHost();
    target = resolveTarget(cpuInfo(host).features);
    arena = new CodeArena(host);
    [addIndex, addNeighbour, noteThread, waitForLast, spin] = arena.publish([
      addIndexCode(),
      addNeighbourCode(),
      noteThreadCode(),
      waitForLastCode(),
      spinCode(),
    ]) as [bigint, bigint, bigint, bigint, bigint];
  });
  afterAll(() => {
    for (const memory of held.splice(0)) memory.free();
    arena.free();
  });

  const words = (count: number): { address: bigint; data: BigUint64Array } => {
    const memory = host.allocate(8 * count);
    held.push(memory);
    return { address: memory.address, data: new BigUint64Array(memory.buffer) };
  };
  const slots = (...values: bigint[]): bigint => {
    const { address, data } = words(values.length);
    data.set(values);
    return address;
  };

  test("a kernel alone gets its slots, range and thread index", () => {
    using runner = new Runner(host, target, { threads: 1 });
    const out = words(8);
    runner.callKernel(noteThread, new BigUint64Array([out.address]), 2, 5, 3);
    expect([...out.data]).toEqual([0n, 0n, 4n, 4n, 4n, 0n, 0n, 0n]);
  });

  test.each([1, 2, 3, 5])("every task is done once, in shares and claimed pieces (%i threads)", (threads) => {
    using runner = new Runner(host, target, { threads });
    const [owners, sums] = [words(100), words(100)];
    const table = new ProgramTable(host, [
      { kernel: noteThread, slots: slots(owners.address), taskCount: 0 },
      { kernel: addIndex, slots: slots(sums.address), taskCount: 0 },
    ]);
    for (let count = 0; count <= 100; count++) {
      owners.data.fill(0n);
      sums.data.fill(0n);
      for (const step of [0, 1]) table.setTaskCount(step, count);
      runner.runSync(table);
      expect([...sums.data]).toEqual(Array.from({ length: 100 }, (_, task) => (task < count ? BigInt(task) : 0n)));
      const unshared = threads > 1 && count >> 2 >= threads ? count >> 2 : 0;
      const shared = count - unshared;
      const share = (task: number): bigint => {
        if (count === 1) return 1n;
        for (let t = 0; ; t++) if (task < Math.floor((shared * (t + 1)) / threads)) return BigInt(t + 1);
      };
      const tasks = Array.from({ length: shared }, (_, task) => task);
      expect([...owners.data.subarray(0, shared)]).toEqual(tasks.map(share));
      for (const owner of owners.data.subarray(shared, count)) {
        expect(owner).toBeGreaterThanOrEqual(1n);
        expect(owner).toBeLessThanOrEqual(BigInt(threads));
      }
    }
    table.free();
  });

  test("a thread that is held up keeps only its own share waiting", () => {
    using runner = new Runner(host, target, { threads: 2 });
    const owners = words(64);
    // The second thread's first task lasts until all that nobody shares is done, or the test runs into its time limit.
    const table = new ProgramTable(host, [{ kernel: waitForLast, slots: slots(owners.address, 64n), taskCount: 64 }]);
    runner.runSync(table);
    expect([...owners.data.subarray(48)]).toEqual(Array.from({ length: 16 }, () => 1n));
    table.free();
  });

  test("serial steps and fewer threads than the pool has", () => {
    using runner = new Runner(host, target, { threads: 3 });
    const out = words(6);
    const table = new ProgramTable(host, [
      { kernel: noteThread, slots: slots(out.address), taskCount: 6, serial: true },
    ]);
    runner.runSync(table);
    expect([...out.data]).toEqual([1n, 1n, 1n, 1n, 1n, 1n]);
    table.setSerial(0, false);
    runner.runSync(table, { threads: 2 });
    expect([...out.data]).toEqual([1n, 1n, 1n, 2n, 2n, 2n]);
    runner.runSync(table, { threads: 1 });
    expect([...out.data]).toEqual([1n, 1n, 1n, 1n, 1n, 1n]);
    runner.runSync(table);
    expect([...out.data]).toEqual([1n, 1n, 2n, 2n, 3n, 3n]);
    table.free();
  });

  test("10,000 runs of a program of two steps on two threads add up", () => {
    using runner = new Runner(host, target, { threads: 2 });
    const sums = words(1000);
    const step = { kernel: addIndex, slots: slots(sums.address), taskCount: 1000 };
    const table = new ProgramTable(host, [
      { ...step, barrier: true },
      { ...step, taskCount: 999 },
    ]);
    for (let i = 0; i < 10_000; i++) runner.runSync(table, { threads: 1 + (i & 1) });
    expect([...sums.data]).toEqual(Array.from({ length: 1000 }, (_, i) => BigInt(i) * (i < 999 ? 20_000n : 10_000n)));
    table.free();
  });

  test.each([2, 3, 4])("a barrier separates steps that read each other's output (%i threads)", (threads) => {
    using runner = new Runner(host, target, { threads });
    const count = 37;
    const a = words(count);
    const b = words(count);
    const steps = Array.from({ length: 200 }, (_, i) => {
      const [from, to] = i % 2 === 0 ? [a, b] : [b, a];
      return {
        kernel: addNeighbour,
        slots: slots(from.address, to.address, BigInt(count)),
        taskCount: count,
        barrier: true,
      };
    });
    const table = new ProgramTable(host, steps);
    let expected = Array.from({ length: count }, (_, i) => BigInt(i));
    for (let i = 0; i < 200; i++) {
      expected = expected.map((value, j) => BigInt.asUintN(64, value + (expected[(j + 1) % count] ?? 0n)));
    }
    for (let run = 0; run < 20; run++) {
      for (let i = 0; i < count; i++) a.data[i] = BigInt(i);
      runner.runSync(table);
      expect([...a.data]).toEqual(expected);
    }
    table.free();
  });

  test("a range of steps can be run", () => {
    using runner = new Runner(host, target, { threads: 2 });
    const sums = [words(2), words(2), words(2)];
    const table = new ProgramTable(
      host,
      sums.map(({ address }) => ({ kernel: addIndex, slots: slots(address), taskCount: 2 })),
    );
    table.setRange(1, 2);
    runner.runSync(table);
    table.setRange(2, 2);
    runner.runSync(table);
    expect(sums.map(({ data }) => data[1])).toEqual([0n, 1n, 0n]);
    table.free();
  });

  test("asynchronous runs queue in order, and a synchronous one waits for the run in progress", async () => {
    using runner = new Runner(host, target, { threads: 2 });
    const order: string[] = [];
    const sums = words(2);
    const step = { kernel: addIndex, slots: slots(sums.address), taskCount: 2, barrier: true };
    const table = new ProgramTable(host, [
      { kernel: spin, slots: slots(20_000_000n), taskCount: 1, barrier: true },
      step,
    ]);
    const runs = [0, 1, 2, 3].map((i) => runner.run(table, { before: () => order.push(`${i} after ${sums.data[1]}`) }));
    // The first run starts in a microtask, and its promise cannot settle before a turn of the event loop.
    while (order.length === 0) await Promise.resolve();
    runner.runSync(table, { before: () => order.push(`sync after ${sums.data[1]}`) });
    await Promise.all(runs);
    expect(order).toEqual(["0 after 0", "sync after 1", "1 after 2", "2 after 3", "3 after 4"]);
    expect(sums.data[1]).toBe(5n);
    table.free();
  });

  test("a run does not block the event loop", async () => {
    using runner = new Runner(host, target, { threads: 2 });
    const table = new ProgramTable(host, [{ kernel: spin, slots: slots(2_000_000_000n), taskCount: 1 }]);
    let ticks = 0;
    const timer = setInterval(() => ticks++, 5);
    const start = performance.now();
    await runner.run(table);
    const elapsedMs = performance.now() - start;
    clearInterval(timer);
    expect(elapsedMs).toBeGreaterThan(100);
    expect(ticks).toBeGreaterThan(5);
    table.free();
  });

  test("an error in `before` fails that run alone", async () => {
    using runner = new Runner(host, target, { threads: 2 });
    const sums = words(2);
    const table = new ProgramTable(host, [{ kernel: addIndex, slots: slots(sums.address), taskCount: 2 }]);
    const fail = (): void => {
      throw new UserError("wrong input");
    };
    const failed = runner.run(table, { before: fail });
    const passed = runner.run(table);
    await expect(failed).rejects.toThrow("wrong input");
    await passed;
    expect(() => runner.runSync(table, { before: fail })).toThrow("wrong input");
    runner.runSync(table);
    expect(sums.data[1]).toBe(2n);
    table.free();
  });

  test("dispose lets queued runs finish and refuses new ones", async () => {
    const runner = new Runner(host, target, { threads: 2 });
    const sums = words(2);
    const table = new ProgramTable(host, [{ kernel: addIndex, slots: slots(sums.address), taskCount: 2 }]);
    const runs = [runner.run(table), runner.run(table)];
    runner.dispose();
    runner.dispose();
    expect(() => runner.runSync(table)).toThrow(InternalError);
    await Promise.all(runs);
    expect(sums.data[1]).toBe(2n);
    table.free();
  });

  test("runners come and go without leaving threads behind", { skip: process.platform !== "linux" }, () => {
    const threadCount = (): number =>
      Number(/Threads:\s+(\d+)/.exec(spawnSync("cat", [`/proc/${process.pid}/status`]).stdout.toString())?.[1]);
    const before = threadCount();
    for (let i = 0; i < 50; i++) new Runner(host, target, { threads: 3 }).dispose();
    expect(threadCount()).toBeLessThanOrEqual(before + 2);
  });

  test("steps note their times", () => {
    using runner = new Runner(host, target, { threads: 2 });
    const table = new ProgramTable(host, [
      { kernel: spin, slots: slots(3_000_000n), taskCount: 1, barrier: true },
      { kernel: spin, slots: slots(1n), taskCount: 1 },
    ]);
    table.setTimed(true);
    runner.runSync(table);
    const [long, short] = table.timings() as [{ started: bigint; ended: bigint }, { started: bigint; ended: bigint }];
    expect(long.ended).toBeGreaterThan(long.started);
    expect(short.started).toBeGreaterThanOrEqual(long.ended);
    expect(Number(long.ended - long.started) / ticksPerNs(host)).toBeGreaterThan(300_000);
    table.free();
  });

  test("thread counts that are none are refused", () => {
    expect(() => new Runner(host, target, { threads: 0 })).toThrow("threads: 0 is not a number of threads");
    expect(() => new Runner(host, target, { threads: 1000 })).toThrow(UserError);
    using runner = new Runner(host, target, { threads: 2 });
    const table = new ProgramTable(host, []);
    expect(() => runner.runSync(table, { threads: 0 })).toThrow("threads: 0 is not a number of threads");
    runner.runSync(table);
    table.free();
  });

  test.each(["dispose", "forget", "exit while running", "exit while idle"])(
    "a process ends at once and well: %s",
    (manner) => {
      const source = `
      import { Runner, ProgramTable, CodeArena, nativeHost, cpuInfo, resolveTarget } from ${JSON.stringify(new URL("./index.ts", import.meta.url).href)};
      const host = nativeHost();
      const runner = new Runner(host, resolveTarget(cpuInfo(host).features), { threads: 3 });
      const [kernel] = new CodeArena(host).publish([Uint8Array.from(${JSON.stringify([...spinCode()])})]);
      const slots = host.allocate(8);
      const work = new BigUint64Array(slots.buffer);
      work[0] = 1000n;
      const table = new ProgramTable(host, [{ kernel, slots: slots.address, taskCount: 3 }]);
      runner.runSync(table);
      await runner.run(table);
      const manner = ${JSON.stringify(manner)};
      if (manner === "dispose") runner.dispose();
      if (manner === "exit while running") {
        work[0] = 300_000_000n;
        void runner.run(table);
        setTimeout(() => process.exit(0), 20);
      }
      if (manner === "exit while idle") process.exit(0);
    `;
      const { status, signal, stderr } = spawnSync(
        process.execPath,
        ["--conditions=quern-src", "--input-type=module", "-e", source],
        { timeout: 250_000 },
      );
      expect({ status, signal, stderr: stderr.toString() }).toEqual({ status: 0, signal: null, stderr: "" });
    },
  );

  test("what a call, a barrier and a wake-up cost (printed, not judged)", async () => {
    using runner = new Runner(host, target, { threads: 2 });
    const empty = new ProgramTable(host, []);
    const step = { kernel: spin, slots: slots(1n), taskCount: 2 };
    const barriers = new ProgramTable(
      host,
      Array.from({ length: 1001 }, () => ({ ...step, barrier: true })),
    );
    const free = new ProgramTable(
      host,
      Array.from({ length: 1001 }, () => step),
    );
    const lines = [
      `runSync of nothing, 1 thread: ${leastNs(2000, () => runner.runSync(empty, { threads: 1 }))} ns`,
      `runSync of nothing, 2 threads awake: ${leastNs(2000, () => runner.runSync(empty))} ns`,
      `step, 1 thread: ${leastNs(100, () => runner.runSync(free, { threads: 1 })) / 1001} ns`,
      `barrier, 2 threads: ${(leastNs(100, () => runner.runSync(barriers)) - leastNs(100, () => runner.runSync(free))) / 1000} ns`,
      `address of a typed array: ${leastNs(20, () => repeat(1000, () => host.addressOf(step1))) / 1000} ns`,
    ];
    let asleepNs = Infinity;
    for (let i = 0; i < 20; i++) {
      await new Promise((resolve) => setTimeout(resolve, 2));
      asleepNs = Math.min(
        asleepNs,
        leastNs(1, () => runner.runSync(empty)),
      );
    }
    let asyncNs = Infinity;
    for (let i = 0; i < 200; i++) {
      const start = process.hrtime.bigint();
      await runner.run(empty, { threads: 1 });
      asyncNs = Math.min(asyncNs, Number(process.hrtime.bigint() - start));
    }
    lines.push(`runSync of nothing, 2 threads, one asleep: ${asleepNs} ns`, `run of nothing, 1 thread: ${asyncNs} ns`);
    console.log(lines.join("\n"));
    expect(asleepNs).toBeLessThan(Infinity);
    for (const table of [empty, barriers, free]) table.free();
  });
});

const step1 = new Float32Array(16);

function repeat(times: number, body: () => void): void {
  for (let i = 0; i < times; i++) body();
}

function leastNs(rounds: number, body: () => void): number {
  let least = Infinity;
  for (let i = 0; i < rounds; i++) {
    const start = process.hrtime.bigint();
    body();
    least = Math.min(least, Number(process.hrtime.bigint() - start));
  }
  return least;
}

/** A kernel whose body handles one task, its number in rsi. */
function perTask(prepare: (a: Assembler) => void, body: (a: Assembler) => void): Uint8Array {
  const a = new Assembler();
  const [again, end] = [label(), label()];
  prepare(a);
  a.bind(again).emit("cmp", rsi, rdx).emit("jae", end);
  body(a);
  a.emit("add", rsi, 1).emit("jmp", again);
  a.bind(end).emit("ret");
  return a.assemble().bytes;
}

/** Slots: words. words[task] += task. */
function addIndexCode(): Uint8Array {
  return perTask(
    (a) => a.emit("mov", r8, mem({ base: rdi })),
    (a) => a.emit("add", mem({ base: r8, index: rsi, scale: 8 }), rsi),
  );
}

/** Slots: words. words[task] = thread index + 1. */
function noteThreadCode(): Uint8Array {
  return perTask(
    (a) => a.emit("mov", r8, mem({ base: rdi })).emit("add", rcx, 1),
    (a) => a.emit("mov", mem({ base: r8, index: rsi, scale: 8 }), rcx),
  );
}

/**
 * Slots: out, count. out[task] = thread + 1; the second thread first waits until the last task is done, which lies in
 * nobody's share.
 */
function waitForLastCode(): Uint8Array {
  const [again, first] = [label(), label()];
  return perTask(
    (a) => {
      a.emit("mov", r8, mem({ base: rdi }))
        .emit("mov", r9, mem({ base: rdi, disp: 8 }))
        .emit("add", rcx, 1);
      a.emit("cmp", rcx, 1).emit("je", first).bind(again).emit("pause");
      a.emit("cmp", mem({ base: r8, index: r9, scale: 8, disp: -8, size: 8 }), 0)
        .emit("je", again)
        .bind(first);
    },
    (a) => a.emit("mov", mem({ base: r8, index: rsi, scale: 8 }), rcx),
  );
}

/** Slots: from, to, count. to[task] = from[task] + from[(task + 1) mod count]. */
function addNeighbourCode(): Uint8Array {
  return perTask(
    (a) =>
      a
        .emit("mov", r8, mem({ base: rdi }))
        .emit("mov", r9, mem({ base: rdi, disp: 8 }))
        .emit("mov", rcx, mem({ base: rdi, disp: 16 })),
    (a) => {
      const inside = label();
      a.emit("lea", rax, mem({ base: rsi, disp: 1 }))
        .emit("cmp", rax, rcx)
        .emit("jb", inside);
      a.emit("xor", rax, rax).bind(inside);
      a.emit("mov", rax, mem({ base: r8, index: rax, scale: 8 }));
      a.emit("add", rax, mem({ base: r8, index: rsi, scale: 8 }));
      a.emit("mov", mem({ base: r9, index: rsi, scale: 8 }), rax);
    },
  );
}

/** Slots: count. Counts down, whatever the tasks. */
function spinCode(): Uint8Array {
  const a = new Assembler();
  const again = label();
  a.emit("mov", rax, mem({ base: rdi }))
    .bind(again)
    .emit("sub", rax, 1)
    .emit("jne", again)
    .emit("ret");
  return a.assemble().bytes;
}
