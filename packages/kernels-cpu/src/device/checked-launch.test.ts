/** Kernels that go wrong on purpose: their machine code is replaced before it is published. */
import { type Graph, GraphBuilder, InternalError, Tensor, type Value, referenceDevice, symbol } from "@quern/core";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import { Assembler, label, r32, rax, rdi, xmm, ymm } from "../asm/index.ts";
import { at } from "../host/kernel-call.ts";
import type * as Select from "../select/index.ts";
import { type CpuDevice, cpu } from "./cpu.ts";

const broken = vi.hoisted(() => ({ emit: undefined as ((code: unknown) => void) | undefined }));

vi.mock("../select/index.ts", async (original) => {
  const select = await original<typeof Select>();
  return {
    ...select,
    compileKernel: (...given: Parameters<typeof select.compileKernel>) => {
      const compiled = select.compileKernel(...given);
      if (broken.emit === undefined) return compiled;
      const assembler = new Assembler();
      broken.emit(assembler);
      const { bytes, listing } = assembler.assemble();
      return { ...compiled, bytes, listing };
    },
  };
});

const devices: CpuDevice[] = [];
afterEach(() => (broken.emit = undefined));
afterAll(() => devices.forEach((device) => device.dispose()));

/** x f32[3, 5], which is 60 bytes, through "neg" to y. */
function graph(): Graph {
  const b = new GraphBuilder();
  const x = b.input("x", "f32", [3, 5]);
  b.sourceName = "layer/neg";
  b.output("y", b.apply("neg", [x])[0] as Value);
  return b.build("checked");
}

const x = Tensor.from(
  "f32",
  Float32Array.from({ length: 15 }, (_, i) => i - 7),
  [3, 5],
);

function runBroken(device: CpuDevice, emit: (a: Assembler) => void): string {
  broken.emit = emit as (code: unknown) => void;
  using executable = device.compile(graph());
  broken.emit = undefined;
  try {
    executable.runSync({ x });
  } catch (error) {
    expect(error).toBeInstanceOf(InternalError);
    return (error as Error).message;
  }
  return "nothing";
}

function expectUsable(device: CpuDevice): void {
  using executable = device.compile(graph());
  expect((executable.runSync({ x })["y"] as Tensor).toArray()).toEqual(x.toArray().map((value) => -value));
}

function open(threads = 2): CpuDevice {
  const device = cpu({ threads, check: true });
  devices.push(device);
  return device;
}

/** Loads the address of a buffer of the kernel: 0 is its operand, 1 its result. */
const load = (a: Assembler, buffer: 0 | 1): Assembler => a.emit("mov", rax, at(rdi, 8 * buffer));

const linux = process.platform === "linux";

describe("checked launches", () => {
  test.skipIf(!linux)(
    "a write to the guard page names kernel, node, storage and instruction; everything goes on",
    () => {
      const device = open();
      for (let round = 0; round < 3; round++) {
        const message = runBroken(device, (a) => load(a, 1).emit("vmovups", at(rax, 128), ymm(1)).emit("ret"));
        expect(message).toMatch(/^check: neg\S*, computing neg\(f32\[3, 5\]\) "layer\/neg", stopped with SIGSEGV /);
        expect(message).toMatch(
          /writing 0x[0-9a-f]+, 68 bytes past the end of output y f32\[3, 5\], at \+0x4: vmovups ymmword ptr \[rax\+0x80\], ymm1$/,
        );
        expectUsable(device);
      }
    },
  );

  test.skipIf(!linux)("a read in front of an input", () => {
    const message = runBroken(open(), (a) => load(a, 0).emit("vmovups", xmm(0), at(rax, -4096)).emit("ret"));
    expect(message).toMatch(
      /SIGSEGV reading 0x[0-9a-f]+, 4096 bytes in front of input x f32\[3, 5\], at \+0x3: vmovups/,
    );
  });

  test.skipIf(!linux)("an illegal instruction, in asynchronous runs too", async () => {
    const device = open();
    const message = runBroken(device, (a) => a.emit("nop").emit("ud2"));
    expect(message).toMatch(/^check: neg\S*, computing neg\(.*\) "layer\/neg", stopped with SIGILL at \+0x1: ud2$/);
    broken.emit = (a) => (a as Assembler).emit("ud2");
    using executable = device.compile(graph());
    broken.emit = undefined;
    await expect(executable.run({ x })).rejects.toThrow("stopped with SIGILL at +0x0: ud2");
    expectUsable(device);
  });

  test("writes that stay on the pages of a storage are found by the canary", () => {
    const device = open();
    const write = (offset: number, buffer: 0 | 1): string =>
      runBroken(device, (a) =>
        load(a, buffer)
          .emit("mov", at(rax, offset, 4), 7)
          .emit("ret"),
      );
    expect(write(60, 1)).toMatch(/computing neg.*, wrote directly past the end of output y f32\[3, 5\]$/);
    expect(write(-8, 0)).toMatch(/computing neg.*, wrote 8 bytes in front of input x f32\[3, 5\]$/);
    // Inside of the result: only the values are wrong.
    expect(write(56, 1)).toMatch(/computed .* for element 0 of neg/);
    expectUsable(device);
  });

  test("damage of one run is not reported again by the next", () => {
    broken.emit = (a) => {
      // Writes past the end for a first element of 1, the right results otherwise.
      const done = label();
      load(a as Assembler, 0)
        .emit("mov", r32(1), at(rax, 0))
        .emit("mov", rax, at(rdi, 8))
        .emit("mov", at(rax, 0), r32(1))
        .emit("cmp", r32(1), 0x3f800000)
        .emit("jne", done)
        .emit("mov", at(rax, 4, 4), 0)
        .bind(done)
        .emit("ret");
    };
    const b = new GraphBuilder();
    b.output("y", b.apply("abs", [b.input("x", "f32", [1])])[0] as Value);
    using executable = open().compile(b.build("sometimes"));
    broken.emit = undefined;
    const run = (value: number): unknown => executable.runSync({ x: Tensor.from("f32", [value], [1]) })["y"]?.toArray();
    expect(() => run(1)).toThrow("wrote directly past the end of output y f32[1]");
    expect(run(2)).toEqual([2]);
  });

  test("a program with several storages, constants, sizes of the run and scratch memory passes", () => {
    const b = new GraphBuilder();
    const rows = symbol("n");
    const values = b.input("x", "f32", [rows, 64]);
    const data = Tensor.from(
      "f32",
      Float32Array.from({ length: 64 * 48 }, (_, i) => Math.sin(i)),
      [64, 48],
    );
    const weights = b.constant({ dtype: "f32", shape: [64, 48], bytes: data.bytes() });
    const product = b.apply("matmul", [values, weights])[0] as Value;
    const chances = b.apply("softmax", [product], { axis: 1 })[0] as Value;
    b.output("chances", chances);
    const three = b.constant({ dtype: "i64", shape: [1], bytes: Tensor.from("i64", [3], [1]).bytes() });
    b.output("order", b.apply("topK", [chances, three], { axis: 1 })[1] as Value);
    b.output("same", values);
    const checked = b.build("several");
    using executable = open().compile(checked);
    const reference = referenceDevice().compile(checked);
    for (const n of [1, 5, 33, 5]) {
      const given = Tensor.from(
        "f32",
        Float32Array.from({ length: n * 64 }, (_, i) => Math.cos(i)),
        [n, 64],
      );
      const [actual, expected] = [executable.runSync({ x: given }), reference.runSync({ x: given })];
      expect(actual["order"]?.toArray()).toEqual(expected["order"]?.toArray());
      expect(actual["same"]?.toArray()).toEqual(given.toArray());
      expect(actual["chances"]?.shape).toEqual([n, 48]);
      // Results outlive the guarded memory of their run.
      executable.runSync({ x: Tensor.zeros("f32", [n, 64]) });
      expect(actual["order"]?.toArray()).toEqual(expected["order"]?.toArray());
    }
  });
});
