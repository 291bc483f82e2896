/**
 * Parses a row of the instruction table into forms, the records that the matcher and the encoder use.
 *
 * A row is `[mnemonic, operands, encoding, feature, notes?]` in the notation of the manual
 * (Intel SDM volume 2, section 3.1.1). Operands are `access type{decorations}`, separated by commas:
 *
 *   access   r read, w written, rw both, a address only (lea, prefetch); immediates have none
 *   types    r64 m64 r/m64 xmm ymm zmm k tmm imm8 simm8 rel8 cl 1, alternatives separated by `/`;
 *            `simm` is sign-extended to the operand size, `m` is memory of any size, `sibmem` a tile in memory;
 *            `b32` is a broadcast element; `vm32x` a vector of 32-bit indices in an xmm register;
 *            `v vh vq vo` and `mv mh mq mo` are a vector of the row's length, half, a quarter, an eighth of it;
 *            `<rax>` is implied: not written in the instruction but read or written by it
 *   {k} {kz} a write mask is allowed, with zeroing too; {K} a mask is required and is itself changed
 *   {er} {sae}  static rounding or suppressed exceptions are allowed in the register form
 *
 * The length `VL` stands for 128 and 256 in a VEX row and for 128, 256 and 512 in an EVEX row.
 * Notes: `RVM`-like operand order where it cannot be derived, `N=4` for a disp8 scale other than the
 * memory size, `rf` `wf` for flags read and written, `idiom` where equal sources make the result independent of
 * them, `select` where the mask chooses between the sources, so that the destination is never read, `ternary`
 * where the immediate is a truth table.
 */
import type { Field, Form, ImplicitOperand } from "./form.ts";
import { KIND } from "./kind.ts";
import { gpr16, gpr8, k, r32, r64, registerName, tmm, xmm } from "./operand.ts";
import type { Reg } from "./operand.ts";

/** A row of the table: mnemonic, operands, encoding, CPU feature, notes. */
export type Row = readonly [mnemonic: string, operands: string, encoding: string, feature: string, notes?: string];

const imm8 = KIND.int8 | KIND.uint8;
const imm16 = imm8 | KIND.int16 | KIND.uint16;
const imm32 = imm16 | KIND.int32 | KIND.uint32;

const vectorClass = (bits: number): "xmm" | "ymm" | "zmm" => (bits <= 128 ? "xmm" : bits === 256 ? "ymm" : "zmm");
const fractions: Record<string, number> = { v: 1, h: 2, q: 4, o: 8 };
const registerKinds: Record<string, number> = {
  r8: KIND.r8,
  r16: KIND.r16,
  r32: KIND.r32,
  r64: KIND.r64,
  xmm: KIND.xmmLow,
  ymm: KIND.ymmLow,
  zmm: KIND.zmm,
  k: KIND.k,
  tmm: KIND.tmm,
};
const highKinds: Record<string, number> = { xmm: KIND.xmmHigh, ymm: KIND.ymmHigh };
const immediateKinds: Record<string, [accepts: number, bytes: number, sign: boolean]> = {
  imm8: [imm8, 1, false],
  simm8: [KIND.int8, 1, true],
  imm16: [imm16, 2, false],
  imm32: [imm32, 4, false],
  simm32: [imm32 & ~KIND.uint32, 4, true],
  imm64: [imm32 | KIND.int64, 8, false],
};
const implicitRegisters: Record<string, Reg> = Object.fromEntries(
  [
    ...[r64, r32, gpr16, gpr8].flatMap((make) => Array.from({ length: 16 }, (_, i) => make(i))),
    ...Array.from({ length: 8 }, (_, i) => tmm(i)),
    xmm(0),
    k(0),
  ].map((reg) => [registerName(reg), reg]),
);

/** Parses one row; a `VL` row gives one form per vector length. */
export function parseRow(row: Row): Form[] {
  const [head = ""] = row[2].split(" ");
  if (!head.includes(".VL.")) return [parseForm(row, 0)];
  const lengths = head.startsWith("VEX") ? [128, 256] : [128, 256, 512];
  return lengths.map((bits) => parseForm(row, bits));
}

interface Parsed {
  prefixes: number[];
  opcode: number[];
  scheme: Form["scheme"];
  w: 0 | 1;
  pp: number;
  map: number;
  bits: number;
  modrm: number;
  plusReg: boolean;
  is4: boolean;
  immBytes: number;
}

const ppOf: Record<string, number> = { NP: 0, "66": 1, F3: 2, F2: 3 };
const mapOf: Record<string, number> = { "0F": 1, "0F38": 2, "0F3A": 3, MAP5: 5, MAP6: 6 };
const immediateLetters: Record<string, number> = { ib: 1, iw: 2, id: 4, io: 8, cb: 1, cd: 4 };

function parseEncoding(text: string, vectorBits: number): Parsed {
  const parsed: Parsed = {
    prefixes: [],
    opcode: [],
    scheme: "legacy",
    w: 0,
    pp: 0,
    map: 0,
    bits: vectorBits,
    modrm: -2,
    plusReg: false,
    is4: false,
    immBytes: 0,
  };
  for (const word of text.split(" ")) {
    const vector = /^(VEX|EVEX)\.(\w+)\.(NP|66|F3|F2)\.(\w+)\.W(0|1|IG)$/.exec(word);
    if (vector !== null) {
      const [, scheme, length, pp, map, w] = vector as unknown as [string, string, string, string, string, string];
      parsed.scheme = scheme === "VEX" ? "vex" : "evex";
      if (/^\d+$/.test(length)) parsed.bits = Number(length);
      else if (length === "L1") parsed.bits = 256;
      else if (length !== "VL") parsed.bits = 128;
      parsed.pp = ppOf[pp] ?? bad(text, pp);
      parsed.map = mapOf[map] ?? bad(text, map);
      parsed.w = w === "1" ? 1 : 0;
    } else if (word === "REX.W") parsed.w = 1;
    else if (word === "/r") parsed.modrm = -1;
    else if (word === "/is4") parsed.is4 = true;
    else if (/^\/[0-7]$/.test(word)) parsed.modrm = Number(word[1]);
    else if (immediateLetters[word] !== undefined) parsed.immBytes += immediateLetters[word];
    else if (/^[0-9A-F]{2}\+r$/.test(word)) {
      parsed.opcode.push(parseInt(word, 16));
      parsed.plusReg = true;
    } else if (/^[0-9A-F]{2}$/.test(word)) {
      const byte = parseInt(word, 16);
      const isPrefix = parsed.opcode.length === 0 && [0x66, 0xf2, 0xf3, 0xf0].includes(byte);
      if (parsed.scheme !== "legacy" && parsed.opcode.length === 1) parsed.modrm = byte;
      else if (parsed.scheme === "legacy" && isPrefix && parsed.w === 0) parsed.prefixes.push(byte);
      else parsed.opcode.push(byte);
    } else bad(text, word);
  }
  return parsed;
}

function bad(where: string, what: string): never {
  throw new Error(`instruction table: cannot parse "${what}" in "${where}"`);
}

function parseForm(row: Row, vectorBits: number): Form {
  const [mnemonic, operandText, encodingText, featureText, notes = ""] = row;
  const encoding = parseEncoding(encodingText, vectorBits);
  const implicit: ImplicitOperand[] = [];
  const drafts: Draft[] = [];
  for (const text of operandText === "" ? [] : operandText.split(", ")) {
    const match = /^(?:(r|w|rw|a) )?([^{]+)((?:\{\w+\})*)$/.exec(text) ?? bad(operandText, text);
    const [, access = "", spec = "", decorations = ""] = match;
    if (spec.startsWith("<")) {
      const name = spec.slice(1, -1);
      const reg = name === "mem" ? undefined : (implicitRegisters[name] ?? bad(operandText, name));
      implicit.push({ reg, reads: access.includes("r"), writes: access.includes("w") });
    } else drafts.push(parseOperand(spec, access, decorations, encoding));
  }
  const immBytes = drafts.reduce(
    (sum, d) => sum + (d.text.startsWith("rel") ? Number(d.text.slice(3)) / 8 : d.immBytes),
    0,
  );
  if (immBytes !== encoding.immBytes) bad(`${operandText} | ${encodingText}`, "immediate bytes");
  const decorations = drafts.map((d) => d.decorations).join("");
  const memory = drafts.find((d) => d.memSize !== undefined);
  const broadcastSize = drafts.reduce((size, d) => Math.max(size, d.broadcastSize), 0);
  const fields = assignFields(drafts, encoding, notes);
  const memSize = memory?.memSize ?? 0;
  const scale = /N=(\d+)/.exec(notes);
  return {
    row,
    mnemonic,
    scheme: encoding.scheme,
    operands: drafts.map((d, i) => ({
      text: d.text,
      accepts: d.accepts,
      reads: d.access.includes("r"),
      writes: d.access.includes("w"),
      addressOnly: d.access === "a",
      field: fields[i] ?? "none",
      immBytes: d.immBytes,
      immBits: d.immBytes === 0 ? 0 : d.signExtended ? operandBits(drafts) : d.immBytes * 8,
    })),
    implicit,
    prefixes: encoding.prefixes,
    opcode: encoding.opcode,
    w: encoding.w,
    pp: encoding.pp,
    map: encoding.map,
    length: encoding.bits === 512 ? 2 : encoding.bits === 256 ? 1 : 0,
    modrm: encoding.modrm,
    memSize,
    disp8Scale: encoding.scheme !== "evex" ? 1 : scale !== null ? Number(scale[1]) : memSize || 1,
    broadcastSize,
    broadcastCount: broadcastSize === 0 ? 0 : memSize / broadcastSize,
    needsMemSize: false,
    mustSib: drafts.some((d) => d.text === "sibmem"),
    mask: decorations.includes("{K}")
      ? "required"
      : decorations.includes("{kz}")
        ? "zero"
        : decorations.includes("{k}")
          ? "merge"
          : "none",
    rounding:
      encoding.scheme === "evex" && (vectorBits === 0 || vectorBits === 512)
        ? decorations.includes("{er}")
          ? "er"
          : decorations.includes("{sae}")
            ? "sae"
            : "none"
        : "none",
    hasByteReg: drafts.some((d) => (d.accepts & KIND.r8) !== 0),
    readsFlags: /\brf\b/.test(notes),
    writesFlags: /\bwf\b/.test(notes),
    idiom: /\bidiom\b/.test(notes),
    select: /\bselect\b/.test(notes),
    ternary: /\bternary\b/.test(notes),
    feature:
      encoding.scheme === "evex" && vectorBits !== 0 && vectorBits < 512 && !featureText.includes("avx512vl")
        ? `${featureText} avx512vl`
        : featureText,
  };
}

interface Draft {
  text: string;
  access: string;
  decorations: string;
  accepts: number;
  memSize: number | undefined;
  broadcastSize: number;
  immBytes: number;
  signExtended: boolean;
}

function parseOperand(spec: string, access: string, decorations: string, encoding: Parsed): Draft {
  const draft: Draft = {
    text: "",
    access,
    decorations,
    accepts: 0,
    memSize: undefined,
    broadcastSize: 0,
    immBytes: 0,
    signExtended: false,
  };
  const parts: string[] = [];
  for (const alternative of spec.replace(/^r\/m(\d+)$/, "r$1/m$1").split("/")) {
    let word = alternative;
    const fraction = /^([vm])([vhqo]?)$/.exec(word);
    const indices = /^vm(?:32|64)([xyzvh])$/.exec(word);
    if (indices !== null) {
      const letter = indices[1] ?? "";
      const cls =
        letter === "v" ? vectorClass(encoding.bits) : letter === "h" ? vectorClass(encoding.bits / 2) : `${letter}mm`;
      draft.accepts |= { xmm: KIND.memX, ymm: KIND.memY, zmm: KIND.memZ }[cls as "xmm" | "ymm" | "zmm"];
      draft.memSize = 0;
      word = word.slice(0, 4) + cls[0];
    } else if (fraction !== null && word !== "m") {
      const [, kind, letter = "v"] = fraction;
      const bits = encoding.bits / (fractions[letter || "v"] ?? 1);
      word = kind === "v" ? vectorClass(bits) : `m${bits}`;
    }
    const registers = registerKinds[word];
    const immediate = immediateKinds[word];
    if (registers !== undefined) {
      draft.accepts |= registers | (encoding.scheme === "evex" ? (highKinds[word] ?? 0) : 0);
    } else if (immediate !== undefined) {
      draft.accepts |= immediate[0];
      draft.immBytes = immediate[1];
      draft.signExtended = immediate[2];
    } else if (/^b\d+$/.test(word)) {
      draft.accepts |= KIND.memBroadcast;
      draft.broadcastSize = Number(word.slice(1)) / 8;
    } else if (/^m\d*$/.test(word) || word === "sibmem") {
      draft.accepts |= KIND.mem;
      draft.memSize = word === "m" || word === "sibmem" ? 0 : Number(word.slice(1)) / 8;
    } else if (word === "cl") draft.accepts |= KIND.cl;
    else if (word === "1") draft.accepts |= KIND.one;
    else if (word === "rel8" || word === "rel32") draft.accepts |= KIND.label;
    else if (indices === null) bad(spec, word);
    parts.push(word);
  }
  draft.text = parts.join("/");
  return draft;
}

/** Bits of the value a sign-extended immediate ends up as: the width of the first sized operand (64 for push). */
function operandBits(drafts: readonly Draft[]): number {
  const first = drafts[0];
  const width = /^[rm](\d+)/.exec(first?.text ?? "");
  return width === null ? 64 : Number(width[1]);
}

/**
 * Which field each operand is encoded in. The operand that may be memory is ModR/M.rm; of the other
 * registers the first is ModR/M.reg (unless a digit sits there), then VEX.vvvv, then imm8[7:4].
 * Without a memory alternative the last register is rm. Notes such as `RMV` override this.
 */
function assignFields(drafts: readonly Draft[], encoding: Parsed, notes: string): Field[] {
  const letters: Record<string, Field> = { R: "reg", M: "rm", V: "vvvv" };
  const order = /\b([RMV]{1,3})\b/.exec(notes)?.[1];
  const fields: Field[] = drafts.map((d) => {
    if (d.immBytes > 0) return "imm";
    if (d.accepts === KIND.label) return "rel";
    return "none";
  });
  const open = drafts
    .map((d, i) => ({ d, i }))
    .filter(({ d, i }) => fields[i] === "none" && d.text !== "cl" && d.text !== "1");
  if (order !== undefined) {
    open.forEach(({ i }, n) => (fields[i] = letters[order[n] ?? ""] ?? bad(notes, order)));
    return fields;
  }
  if (encoding.plusReg) {
    const first = open[0];
    if (first !== undefined) fields[first.i] = "opcode";
    return fields;
  }
  const memoryBits = KIND.mem | KIND.memX | KIND.memY | KIND.memZ;
  const memory = open.find(({ d }) => (d.accepts & memoryBits) !== 0);
  const free: Field[] = encoding.modrm === -1 ? ["reg", "vvvv", "is4"] : ["vvvv", "is4"];
  const rm = memory ?? open.at(-1);
  if (rm !== undefined) fields[rm.i] = "rm";
  for (const { i } of open) if (i !== rm?.i) fields[i] = free.shift() ?? bad(notes, "too many operands");
  return fields;
}
