/**
 * Layout: branch relaxation, alignment, labels, the constant pool and the listing.
 */
import { describe, expect, test } from "vitest";
import { assemble, Assembler } from "./assembler.ts";
import type { Item } from "./instr.ts";
import { imm, label, mem, r32, rax, rcx, rdi, xmm, zmm } from "./operand.ts";

const hex = (bytes: Uint8Array): string => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join(" ");
const nops = (count: number): Item[] => Array.from({ length: count }, () => ({ op: "nop", operands: [] }));

describe("branches", () => {
  test.each([
    [126, "eb 7e"],
    [127, "eb 7f"],
    [128, "e9 80 00 00 00"],
  ])("forward over %i bytes", (distance, expected) => {
    const end = label("end");
    const { bytes } = assemble([{ op: "jmp", operands: [end] }, ...nops(distance), { label: end }]);
    expect(hex(bytes.subarray(0, bytes.length - distance))).toBe(expected);
  });

  test.each([
    [126, "75 80"],
    [127, "0f 85 7b ff ff ff"],
  ])("backward over %i bytes", (distance, expected) => {
    const start = label("start");
    const { bytes } = assemble([{ label: start }, ...nops(distance), { op: "jne", operands: [start] }]);
    expect(hex(bytes.subarray(distance))).toBe(expected);
  });

  test("one that grows pushes another out of reach", () => {
    const a = label("a");
    const b = label("b");
    // The first jump reaches `a` only while the second is short, and the second must be near.
    const { bytes, labels } = assemble([
      { op: "jmp", operands: [a] },
      { op: "jmp", operands: [b] },
      ...nops(125),
      { label: a },
      ...nops(10),
      { label: b },
    ]);
    expect(hex(bytes.subarray(0, 10))).toBe("e9 82 00 00 00 e9 87 00 00 00");
    expect(labels.get("a")).toBe(135);
  });

  test("calls are always near, jumps through registers and memory are ordinary instructions", () => {
    const f = label("f");
    const { bytes } = assemble([
      { label: f },
      { op: "call", operands: [f] },
      { op: "call", operands: [rax] },
      { op: "jmp", operands: [mem({ base: rax })] },
    ]);
    expect(hex(bytes)).toBe("e8 fb ff ff ff ff d0 ff 20");
  });

  test("random programs: every branch lands on its label", () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    let state = seed || 1;
    const below = (n: number): number => {
      state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9;
      return ((state ^ (state >>> 13)) >>> 0) % n;
    };
    for (let round = 0; round < 50; round++) {
      const targets = Array.from({ length: 12 }, (_, i) => label(`t${i}`));
      const items: Item[] = [];
      const jumps: { item: number; to: string }[] = [];
      for (const target of targets) {
        items.push({ align: 1 << below(6) }, { label: target }, ...nops(below(90)));
        const to = targets[below(targets.length)] ?? target;
        jumps.push({ item: items.length, to: to.name });
        items.push({ op: below(2) === 0 ? "jmp" : "je", operands: [to] });
      }
      // A label before and behind each jump tells where it lies.
      const marked = items.flatMap((item, i): Item[] =>
        "op" in item && item.op !== "nop"
          ? [{ label: label(`from${i}`) }, item, { label: label(`behind${i}`) }]
          : [item],
      );
      const { bytes, labels } = assemble(marked);
      const view = new DataView(bytes.buffer);
      for (const { item, to } of jumps) {
        const from = labels.get(`from${item}`) ?? -1;
        const behind = labels.get(`behind${item}`) ?? -1;
        const isShort = behind - from === 2;
        const distance = isShort ? view.getInt8(behind - 1) : view.getInt32(behind - 4, true);
        expect(behind + distance, `seed ${seed}`).toBe(labels.get(to));
        expect([0xeb, 0x74, 0xe9, 0x0f]).toContain(bytes[from]);
      }
    }
  });

  test("unbound and doubly bound labels", () => {
    const l = label("nowhere");
    expect(() => assemble([{ op: "jmp", operands: [l] }])).toThrow("label nowhere is used but never bound");
    expect(() => assemble([{ op: "lea", operands: [rax, mem({ label: l })] }])).toThrow(
      "label nowhere is used but never bound",
    );
    expect(() => assemble([{ label: l }, { label: l }])).toThrow("label nowhere is bound twice");
  });
});

describe("alignment", () => {
  test("pads code with the recommended long no-operations", () => {
    const { bytes, alignment } = assemble([{ op: "ret", operands: [] }, { align: 16 }, { op: "ret", operands: [] }]);
    expect(hex(bytes)).toBe("c3 66 0f 1f 84 00 00 00 00 00 66 0f 1f 44 00 00 c3");
    expect(alignment).toBe(16);
  });

  test("adds nothing where the position is right already", () => {
    expect(assemble([...nops(32), { align: 32 }, ...nops(1)]).bytes.length).toBe(33);
  });

  test("takes powers of two only", () => {
    expect(() => assemble([{ align: 24 }])).toThrow("align: 24 is not a power of two");
  });
});

describe("constants", () => {
  test("lie behind the code at their alignment, each content once", () => {
    const a = new Assembler();
    const one = a.constant(new Float32Array([1]));
    const wide = a.constant(new Float32Array(16).fill(2));
    const again = a.constant(new Float32Array([1]));
    const half = a.constant(new BigUint64Array([3n]), 32);
    a.emit("vaddss", xmm(1), xmm(2), mem({ label: one }))
      .emit("vmovups", zmm(3), mem({ label: wide }))
      .emit("ret");
    const code = a.assemble();
    expect(again).toBe(one);
    expect(code.codeSize).toBe(19);
    expect(code.labels.get(wide.name)).toBe(64);
    expect(code.labels.get(half.name)).toBe(128);
    expect(code.labels.get(one.name)).toBe(136);
    expect(code.alignment).toBe(64);
    const view = new DataView(code.bytes.buffer);
    expect(view.getFloat32(64, true)).toBe(2);
    expect(view.getFloat32(136, true)).toBe(1);
    // The first instruction is 8 bytes long with its displacement last.
    expect(8 + view.getInt32(4, true)).toBe(136);
  });

  test("equal contents under two labels share bytes at the stricter alignment", () => {
    const a = label("a");
    const b = label("b");
    const data = Uint8Array.of(1, 2, 3, 4);
    const { labels, bytes } = assemble([
      { op: "ret", operands: [] },
      { data, alignment: 4, at: a },
      { data, alignment: 32, at: b },
    ]);
    expect([labels.get("a"), labels.get("b"), bytes.length]).toEqual([32, 32, 36]);
  });

  test("later changes of the array do not reach the pool", () => {
    const a = new Assembler();
    const values = new Uint8Array([7]);
    a.constant(values);
    values[0] = 9;
    expect(a.emit("ret").assemble().bytes.at(-1)).toBe(7);
  });
});

test("listing shows offsets, bytes, labels, padding and constants", () => {
  const a = new Assembler();
  const loop = label("loop");
  a.emit("mov", r32(0), 5)
    .align(8)
    .bind(loop)
    .emit("vaddps", zmm(1), zmm(2), mem({ base: rdi, index: rcx, scale: 4, disp: 64 }))
    .emit("sub", rcx, imm(1))
    .emit("jne", loop)
    .emit("ret")
    .append({ data: Uint8Array.of(1, 2), alignment: 2, at: label("table") });
  expect(a.assemble().listing()).toBe(
    [
      "     0:  b8 05 00 00 00                    mov eax, 0x5",
      "        .align 8",
      "loop:",
      "     8:  62 f1 6c 48 58 4c 8f 01           vaddps zmm1, zmm2, zmmword ptr [rdi+rcx*4+0x40]",
      "    10:  48 83 e9 01                       sub rcx, 0x1",
      "    14:  75 f2                             jne loop",
      "    16:  c3                                ret",
      "table:",
      "    18:  01 02",
    ].join("\n"),
  );
});

test("assembling twice gives the same, and goes on from there", () => {
  const a = new Assembler().emit("ret");
  expect(hex(a.assemble().bytes)).toBe("c3");
  expect(hex(a.assemble().bytes)).toBe("c3");
  expect(hex(a.emit("nop").assemble().bytes)).toBe("c3 90");
});
