/**
 * Bytes worked out by hand from the manual or checked against GNU as, independent of our own table.
 */
import { describe, expect, test } from "vitest";
import { Assembler } from "./assembler.ts";
import type { Decorations } from "./instr.ts";
import { gpr8, imm, k, label, mem, r13, r32, r8, rax, rbp, rbx, rcx, rdx, rsp, tmm, xmm, ymm, zmm } from "./operand.ts";
import type { Operand } from "./operand.ts";
import type { Mnemonic } from "./table.ts";

const hex = (bytes: Uint8Array): string => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join(" ");

function bytesOf(op: Mnemonic, operands: readonly Operand[], decorations: Decorations = {}): string {
  return hex(new Assembler().emitWith(decorations, op, ...operands).assemble().bytes);
}

type Vector = readonly [bytes: string, op: Mnemonic, operands: readonly Operand[], decorations?: Decorations];

const at = (disp = 0): Operand => mem({ base: rax, disp });

const vectors: Record<string, readonly Vector[]> = {
  integer: [
    ["48 89 d8", "mov", [rax, rbx]],
    ["49 c7 c0 ff ff ff ff", "mov", [r8, imm(-1)]],
    ["48 b8 88 77 66 55 44 33 22 11", "mov", [rax, imm(0x1122334455667788n)]],
    ["40 0f 94 c6", "sete", [gpr8(6)]],
    ["48 8b 04 24", "mov", [rax, mem({ base: rsp })]],
    ["48 8b 45 00", "mov", [rax, mem({ base: rbp })]],
    ["49 8b 45 00", "mov", [rax, mem({ base: r13 })]],
    ["48 8b 04 25 34 12 00 00", "mov", [rax, mem({ disp: 0x1234 })]],
    ["48 8d 04 8d 00 00 00 00", "lea", [rax, mem({ index: rcx, scale: 4 })]],
    ["f0 48 0f c1 18", "lock xadd", [at(), rbx]],
    ["c4 e2 e8 f5 c1", "bzhi", [rax, rcx, rdx]],
    ["0f 01 d0", "xgetbv", []],
    ["f3 90", "pause", []],
    ["c5 f8 77", "vzeroupper", []],
  ],
  VEX: [
    ["c5 f4 58 c2", "vaddps", [ymm(0), ymm(1), ymm(2)]],
    ["c4 c1 74 58 c0", "vaddps", [ymm(0), ymm(1), ymm(8)]],
    ["c4 e3 6d 4a cb 40", "vblendvps", [ymm(1), ymm(2), ymm(3), ymm(4)]],
    ["c4 e1 f9 6e c8", "vmovq", [xmm(1), rax]],
    ["c5 fb 92 c8", "kmovd", [k(1), r32(0)]],
    ["c4 e2 75 50 c2", "{vex} vpdpbusd", [ymm(0), ymm(1), ymm(2)]],
  ],
  EVEX: [
    ["62 f2 75 48 50 c2", "vpdpbusd", [zmm(0), zmm(1), zmm(2)]],
    ["62 f2 75 58 50 40 10", "vpdpbusd", [zmm(0), zmm(1), mem({ base: rax, disp: 0x40, broadcast: 16 })]],
    ["62 f1 7c 48 10 40 01", "vmovups", [zmm(0), at(0x40)]],
    ["62 f1 7c 48 10 80 41 00 00 00", "vmovups", [zmm(0), at(0x41)]],
    ["62 f1 7c 48 10 40 7f", "vmovups", [zmm(0), at(127 * 64)]],
    ["62 f1 7c 48 10 80 00 20 00 00", "vmovups", [zmm(0), at(128 * 64)]],
    ["62 f1 7c 48 10 40 80", "vmovups", [zmm(0), at(-128 * 64)]],
    ["62 f2 7d 49 8b 48 01", "vpcompressd", [at(4), zmm(1)], { mask: k(1) }],
    ["62 01 14 93 58 f4", "vaddps", [zmm(30), zmm(29), zmm(28)], { mask: k(3), zeroing: true, rounding: "rn" }],
    ["62 91 0c 11 c2 ed 7b", "vcmpps", [k(5), zmm(30), zmm(29), imm(0x7b)], { mask: k(1), rounding: "sae" }],
    [
      "62 f2 7d 49 92 4c 90 04",
      "vgatherdps",
      [zmm(1), mem({ base: rax, index: zmm(2), scale: 4, disp: 16 })],
      { mask: k(1) },
    ],
    ["62 f6 75 48 b8 c2", "vfmadd231ph", [zmm(0), zmm(1), zmm(2)]],
    ["62 f5 7d 08 6e c8", "vmovw", [xmm(1), r32(0)]],
    ["62 f2 76 48 52 c2", "vdpbf16ps", [zmm(0), zmm(1), zmm(2)]],
    ["62 f2 77 48 72 c2", "vcvtne2ps2bf16", [zmm(0), zmm(1), zmm(2)]],
  ],
  AMX: [
    ["c4 e2 78 49 00", "ldtilecfg", [at()]],
    ["c4 e2 79 49 00", "sttilecfg", [at()]],
    ["c4 e2 78 49 c0", "tilerelease", []],
    ["c4 e2 7b 49 d8", "tilezero", [tmm(3)]],
    ["c4 e2 7b 4b 0c 18", "tileloadd", [tmm(1), mem({ base: rax, index: rbx })]],
    ["c4 e2 7b 4b 0c 20", "tileloadd", [tmm(1), at()]],
    ["c4 e2 79 4b 0c 18", "tileloaddt1", [tmm(1), mem({ base: rax, index: rbx })]],
    ["c4 e2 7a 4b 0c 18", "tilestored", [mem({ base: rax, index: rbx }), tmm(1)]],
    ["c4 e2 4b 5e c4", "tdpbssd", [tmm(0), tmm(4), tmm(6)]],
    ["c4 e2 4a 5c c4", "tdpbf16ps", [tmm(0), tmm(4), tmm(6)]],
    ["c4 e2 63 5c ca", "tdpfp16ps", [tmm(1), tmm(2), tmm(3)]],
  ],
};

describe.each(Object.entries(vectors))("%s", (_, list) => {
  test.each(list.map(([bytes, op, operands, decorations]) => ({ bytes, op, operands, decorations })))(
    "$op $bytes",
    ({ bytes, op, operands, decorations }) => {
      expect(bytesOf(op, operands, decorations)).toBe(bytes);
    },
  );
});

test("virtual registers are refused", () => {
  expect(() => bytesOf("vaddps", [zmm(1000), zmm(1), mem({ base: rax })])).toThrow(
    "vaddps: a virtual register cannot be encoded: vaddps zmm1000, zmm1, zmmword ptr [rax]",
  );
  expect(() => bytesOf("mov", [rax, mem({ base: { kind: "reg", cls: "r64", id: 1005 } })])).toThrow("[v1005]");
});

test("a reference to a label counts from the end of the instruction, immediate included", () => {
  const a = new Assembler();
  const data = label("data");
  a.emit("vroundps", ymm(1), mem({ label: data }), imm(3));
  a.bind(data);
  a.emit("vaddps", zmm(1), zmm(2), mem({ label: data, disp: 4 }));
  expect(hex(a.assemble().bytes)).toBe("c4 e3 7d 08 0d 00 00 00 00 03 62 f1 6c 48 58 0d fa ff ff ff");
});
