/**
 * The choice of a form: every form can be reached, VEX and short immediates are preferred, and what
 * fits no form is refused with a message that says what would.
 */
import { describe, expect, test } from "vitest";
import { AssemblerError } from "./error.ts";
import type { Instr } from "./instr.ts";
import { allowsHighRegisters, selectForm } from "./match.ts";
import { imm, k, mem, r32, r64, rax, rcx, xmm, ymm, zmm } from "./operand.ts";
import type { Operand } from "./operand.ts";
import { randomInstr, seededRandom } from "./random-instr.ts";
import { formsOf, mnemonics } from "./table.ts";
import type { Mnemonic } from "./table.ts";

const instr = (op: Mnemonic, ...operands: Operand[]): Instr => ({ op, operands });
const encodingOf = (i: Instr): string => selectForm(i).row[2];

describe("form selection", () => {
  test("every form of every row is the choice for some operands", () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const random = seededRandom(seed);
    const unreachable: string[] = [];
    for (const mnemonic of mnemonics()) {
      for (const form of formsOf(mnemonic)) {
        if (form.operands.some(({ text }) => text.startsWith("rel"))) continue;
        let reached = false;
        for (let i = 0; i < 400 && !reached; i++) {
          const sample = randomInstr(form, random);
          const operands = sample.operands.map((o) =>
            o.kind === "mem" && form.needsMemSize
              ? { ...o, size: o.broadcast === undefined ? (form.memSize as 4) : undefined }
              : o,
          );
          reached = selectForm({ ...sample, operands }) === form;
        }
        if (!reached) unreachable.push(`${mnemonic} ${form.row.slice(1, 3).join(" | ")}`);
      }
    }
    expect({ seed, unreachable }).toEqual({ seed, unreachable: [] });
  });

  test("no row is given twice", () => {
    const seen: string[] = [];
    for (const mnemonic of mnemonics()) {
      for (const form of formsOf(mnemonic)) {
        seen.push(`${mnemonic} ${form.operands.map((o) => o.text).join()} ${form.row[2]} ${form.length}`);
      }
    }
    expect(seen.filter((key, i) => seen.indexOf(key) !== i)).toEqual([]);
  });

  test("VEX for registers 0..15, EVEX for the rest, for masks and for 512 bits", () => {
    expect(encodingOf(instr("vaddps", ymm(15), ymm(1), ymm(2)))).toMatch(/^VEX/);
    expect(encodingOf(instr("vaddps", ymm(16), ymm(1), ymm(2)))).toMatch(/^EVEX/);
    expect(encodingOf({ ...instr("vaddps", ymm(1), ymm(1), ymm(2)), mask: k(1) })).toMatch(/^EVEX/);
    expect(encodingOf(instr("vaddps", zmm(1), zmm(1), zmm(2)))).toMatch(/^EVEX/);
    expect(encodingOf(instr("vaddps", xmm(1), xmm(1), mem({ base: rax, broadcast: 4 })))).toMatch(/^EVEX/);
    expect(encodingOf(instr("vaddps", ymm(1000), ymm(1001), ymm(1002)))).toMatch(/^VEX/);
    expect(encodingOf(instr("{vex} vpdpbusd", ymm(1), ymm(2), ymm(3)))).toMatch(/^VEX/);
    expect(encodingOf(instr("vpdpbusd", ymm(1), ymm(2), ymm(3)))).toMatch(/^EVEX/);
  });

  test("which instructions can use registers 16..31", () => {
    expect(allowsHighRegisters(instr("vaddps", ymm(1), ymm(1), ymm(2)))).toBe(true);
    expect(allowsHighRegisters(instr("vblendvps", ymm(1), ymm(1), ymm(2), ymm(3)))).toBe(false);
    expect(allowsHighRegisters(instr("vpcmpeqd", ymm(1), ymm(1), ymm(2)))).toBe(false);
    expect(allowsHighRegisters(instr("vpcmpeqd", k(1), ymm(1), ymm(2)))).toBe(true);
  });

  test("immediates: the shortest that holds the value", () => {
    expect(encodingOf(instr("add", rax, imm(127)))).toBe("REX.W 83 /0 ib");
    expect(encodingOf(instr("add", rax, imm(128)))).toBe("REX.W 81 /0 id");
    expect(encodingOf(instr("add", r32(0), imm(0xffffffff)))).toBe("81 /0 id");
    expect(encodingOf(instr("mov", rax, imm(-1)))).toBe("REX.W C7 /0 id");
    expect(encodingOf(instr("mov", rax, imm(0xffffffff)))).toBe("REX.W B8+r io");
    expect(encodingOf(instr("mov", rax, imm(2n ** 64n - 1n)))).toBe("REX.W B8+r io");
    expect(() => selectForm(instr("add", rax, imm(0xffffffff)))).toThrow(AssemblerError);
    expect(() => selectForm(instr("mov", rax, imm(2n ** 64n)))).toThrow("mov: no form takes rax, 0x10000000000000000");
    expect(() => selectForm(instr("vpshufd", xmm(1), xmm(2), imm(256)))).toThrow(
      "vpshufd: no form takes xmm1, xmm2, 0x100",
    );
  });

  test("a memory operand must state its size only where nothing else does", () => {
    expect(encodingOf(instr("add", mem({ base: rax }), r32(1)))).toBe("01 /r");
    expect(() => selectForm(instr("add", mem({ base: rax }), imm(1)))).toThrow("the memory operand may need a size");
    expect(encodingOf(instr("add", mem({ base: rax, size: 4 }), imm(1)))).toBe("83 /0 ib");
    expect(() => selectForm(instr("movzx", r32(1), mem({ base: rax })))).toThrow("the memory operand may need a size");
    expect(encodingOf(instr("movzx", r32(1), mem({ base: rax, size: 2 })))).toBe("0F B7 /r");
    expect(selectForm(instr("vcvtpd2ps", xmm(1), mem({ base: rax, broadcast: 4 }))).length).toBe(1);
    expect(() => selectForm(instr("vaddps", zmm(1), zmm(2), mem({ base: rax, size: 32 })))).toThrow(
      "no form takes zmm1, zmm2, ymmword ptr [rax]",
    );
  });
});

describe("errors", () => {
  const message = (i: Instr): string => {
    try {
      selectForm(i);
    } catch (error) {
      expect(error).toBeInstanceOf(AssemblerError);
      return (error as Error).message;
    }
    return "";
  };

  test("name the mnemonic, the operands given and the forms expected", () => {
    expect(message(instr("vfmadd231ps", zmm(1), ymm(2), zmm(3)))).toBe(
      [
        "vfmadd231ps: no form takes zmm1, ymm2, zmm3; forms:",
        "  vfmadd231ps xmm, xmm, xmm/m128",
        "  vfmadd231ps ymm, ymm, ymm/m256",
        "  vfmadd231ps xmm{k}{z}, xmm, xmm/m128/b32",
        "  vfmadd231ps ymm{k}{z}, ymm, ymm/m256/b32",
        "  vfmadd231ps zmm{k}{z}, zmm, zmm/m512/b32{er}",
      ].join("\n"),
    );
    expect(message(instr("ret", rax))).toBe("ret: no form takes rax; forms:\n  ret");
  });

  test("masks, zeroing and rounding where they do not belong", () => {
    expect(message({ ...instr("add", rax, rcx), mask: k(1) })).toContain("no form takes rax{k1}, rcx");
    expect(message({ ...instr("vmovups", mem({ base: rax }), zmm(1)), mask: k(1), zeroing: true })).toContain(
      "[rax]{k1}{z}, zmm1",
    );
    expect(message({ ...instr("vaddps", ymm(1), ymm(2), ymm(3)), rounding: "rz" })).toContain(
      "ymm1, ymm2, ymm3{rz-sae}",
    );
    expect(message({ ...instr("vmaxps", zmm(1), zmm(2), zmm(3)), rounding: "rz" })).toContain(
      "zmm1, zmm2, zmm3{rz-sae}",
    );
    expect(message({ ...instr("vaddps", zmm(1), zmm(2), mem({ base: rax })), rounding: "rz" })).toContain(
      "no form takes",
    );
    expect(message({ ...instr("vaddps", zmm(1), zmm(2), zmm(3)), mask: k(0) })).toBe(
      "vaddps: the write mask must be k1..k7, not k0",
    );
    expect(message({ ...instr("vaddps", zmm(1), zmm(2), zmm(3)), zeroing: true })).toBe(
      "vaddps: zeroing needs a write mask",
    );
    expect(message(instr("vgatherdps", zmm(1), mem({ base: rax, index: zmm(2) })))).toContain(
      "no form takes zmm1, [rax+zmm2*1]",
    );
    expect(message(instr("vgatherdps", zmm(1), mem({ base: rax, index: ymm(2) })))).toContain("no form takes");
    expect(message(instr("vaddps", zmm(1), zmm(2), mem({ base: rax, index: zmm(2) })))).toContain("no form takes");
    expect(message(instr("vaddps", zmm(1), zmm(2), mem({ base: rax, broadcast: 8 })))).toContain("[rax]{1to8}");
  });

  test("operands that cannot be built", () => {
    expect(() => mem({ base: r32(0) })).toThrow("mem: the base must be a 64-bit register, not eax");
    expect(() => mem({ base: rax, index: r64(4) })).toThrow("mem: rsp cannot be an index");
    expect(() => mem({ disp: 2 ** 31 })).toThrow("mem: displacement 2147483648 does not fit");
    expect(() => zmm(32)).toThrow("zmm: no register number 32; expected 0..31, or 1000 and above for a virtual one");
    expect(() => imm(2 ** 53)).toThrow("imm: 9007199254740992 is not a safe integer; give a bigint");
    expect(() => formsOf("vaddqs")).toThrow('no instruction is called "vaddqs"');
  });
});
