/**
 * Read and write sets, features and the printer, on cases where they are easy to get wrong.
 */
import { describe, expect, test } from "vitest";
import { effects } from "./effects.ts";
import { features } from "./features.ts";
import { format } from "./format.ts";
import type { Decorations, Instr } from "./instr.ts";
import { gpr8, imm, k, label, mem, r32, r64, rax, rcx, rdi, registerName, rsi, tmm, xmm, ymm, zmm } from "./operand.ts";
import type { Operand } from "./operand.ts";
import type { Mnemonic } from "./table.ts";

const instr = (op: Mnemonic, operands: readonly Operand[], decorations: Decorations = {}): Instr => ({
  op,
  operands,
  ...decorations,
});

/** `reads -> writes`, with F for flags and M for memory. */
function summary(i: Instr): string {
  const e = effects(i);
  const side = (
    registers: readonly { readonly cls: string; readonly id: number }[],
    flags: boolean,
    memory: boolean,
  ): string =>
    [
      ...registers.map((r) => registerName(r as Parameters<typeof registerName>[0])),
      ...(flags ? ["F"] : []),
      ...(memory ? ["M"] : []),
    ].join(" ");
  return `${side(e.reads, e.readsFlags, e.readsMemory)} -> ${side(e.writes, e.writesFlags, e.writesMemory)}`;
}

describe("effects", () => {
  const load = mem({ base: rdi, index: rcx, scale: 4 });
  test.each<[string, Instr]>([
    ["zmm1 zmm2 rdi rcx M -> zmm1", instr("vfmadd231ps", [zmm(1), zmm(2), load])],
    ["zmm2 rdi rcx M -> zmm1", instr("vaddps", [zmm(1), zmm(2), load])],
    [
      "zmm1000 zmm1001 zmm1002 k1003 -> zmm1000",
      instr("vaddps", [zmm(1000), zmm(1001), zmm(1002)], { mask: { kind: "reg", cls: "k", id: 1003 } }),
    ],
    ["zmm2 zmm3 k1 -> zmm1", instr("vaddps", [zmm(1), zmm(2), zmm(3)], { mask: k(1), zeroing: true })],
    ["zmm2 zmm3 k1 -> zmm1", instr("vpblendmd", [zmm(1), zmm(2), zmm(3)], { mask: k(1) })],
    ["zmm2 zmm3 k1 -> k2", instr("vcmpps", [k(2), zmm(2), zmm(3), imm(1)], { mask: k(1) })],
    ["rdi rcx zmm1 k1 -> M", instr("vmovups", [load, zmm(1)], { mask: k(1) })],
    [
      "zmm1 rdi zmm2 k1 M -> zmm1 k1",
      instr("vgatherdps", [zmm(1), mem({ base: rdi, index: zmm(2), scale: 4 })], { mask: k(1) }),
    ],
    [
      "rdi zmm2 zmm1 k1 -> k1 M",
      instr("vscatterdps", [mem({ base: rdi, index: zmm(2), scale: 4 }), zmm(1)], { mask: k(1) }),
    ],
    ["ymm1 rdi ymm2 ymm3 M -> ymm1 ymm3", instr("vgatherdps", [ymm(1), mem({ base: rdi, index: ymm(2) }), ymm(3)])],
    ["tmm0 tmm1 tmm2 -> tmm0", instr("tdpbf16ps", [tmm(0), tmm(1), tmm(2)])],
    ["rdi rcx M -> tmm0", instr("tileloadd", [tmm(0), mem({ base: rdi, index: rcx })])],
    ["rax rcx -> rax F", instr("add", [rax, rcx])],
    ["rax rcx F -> rax F", instr("adc", [rax, rcx])],
    ["rax rcx -> F", instr("cmp", [rax, rcx])],
    ["rax rcx F -> rax", instr("cmovl", [rax, rcx])],
    ["al F -> al", instr("setl", [gpr8(0)])],
    ["rax cl -> rax F", instr("shl", [rax, gpr8(1)])],
    ["rsi rax rdx -> rax rdx F", instr("div", [rsi])],
    ["rsi rax -> rax rdx F", instr("mul", [rsi])],
    ["rax -> rdx", instr("cqo", [])],
    ["eax ecx -> eax ecx ebx edx", instr("cpuid", [])],
    ["rdi rcx -> rax", instr("lea", [rax, load])],
    ["rdi rcx -> ", instr("prefetcht0", [load])],
    ["rdi rsi rcx M -> rdi rsi rcx M", instr("rep movsb", [])],
    [" -> rax F", instr("xor", [rax, rax])],
    ["rax rcx -> rax F", instr("xor", [rax, rcx])],
    [" -> zmm1", instr("vpxord", [zmm(1), zmm(1000), zmm(1000)])],
    ["zmm1 zmm2 zmm2 k1 -> zmm1", instr("vpxord", [zmm(1), zmm(2), zmm(2)], { mask: k(1) })],
    [" -> zmm1", instr("vpternlogd", [zmm(1), zmm(1), zmm(1), imm(0xff)])],
    ["zmm1 zmm2 zmm3 -> zmm1", instr("vpternlogd", [zmm(1), zmm(2), zmm(3), imm(0x96)])],
    ["F -> ", instr("jne", [label("l")])],
    ["rcx eax -> M", instr("mov", [mem({ base: rcx }), r32(0)])],
  ])("%s", (expected, i) => {
    expect(summary(i)).toBe(expected);
  });
});

test("features", () => {
  expect(features(instr("vaddps", [ymm(1), ymm(2), ymm(3)]))).toBe("avx");
  expect(features(instr("vaddps", [ymm(17), ymm(2), ymm(3)]))).toBe("avx512f avx512vl");
  expect(features(instr("vaddps", [zmm(1), zmm(2), zmm(3)]))).toBe("avx512f");
  expect(features(instr("vpaddd", [ymm(1), ymm(2), ymm(3)]))).toBe("avx2");
  expect(features(instr("vfmadd231ps", [ymm(1), ymm(2), ymm(3)]))).toBe("fma");
  expect(features(instr("vpdpbusd", [ymm(1), ymm(2), ymm(3)]))).toBe("avx512vnni avx512vl");
  expect(features(instr("{vex} vpdpbusd", [ymm(1), ymm(2), ymm(3)]))).toBe("avx-vnni");
  expect(features(instr("tdpbf16ps", [tmm(1), tmm(2), tmm(3)]))).toBe("amx-bf16");
  expect(features(instr("add", [rax, rcx]))).toBe("base");
});

test("format", () => {
  expect(
    format(
      instr("vaddps", [zmm(1), zmm(2), mem({ base: rax, disp: -8, broadcast: 16 })], { mask: k(2), zeroing: true }),
    ),
  ).toBe("vaddps zmm1{k2}{z}, zmm2, dword bcst [rax-0x8]{1to16}");
  expect(format(instr("vcvtps2dq", [zmm(1), zmm(2)], { rounding: "rd" }))).toBe("vcvtps2dq zmm1, zmm2{rd-sae}");
  expect(format(instr("add", [r32(1000), imm(-1)]))).toBe("add v1000d, 0xffffffff");
  expect(format(instr("mov", [r64(9), mem({ label: label("pool"), disp: 4 })]))).toBe(
    "mov r9, qword ptr [rip+pool+0x4]",
  );
  expect(format(instr("shl", [rax, imm(1)]))).toBe("shl rax, 1");
  expect(format(instr("vmovd", [xmm(1), r32(3)]))).toBe("vmovd xmm1, ebx");
});
