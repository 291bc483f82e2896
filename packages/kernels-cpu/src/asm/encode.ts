/**
 * Writes the bytes of one instruction whose form is known.
 *
 * Layouts (Intel SDM volume 2, chapter 2):
 *
 *   legacy  prefixes  [REX 0100WRXB]  opcode  ModR/M [SIB] [disp] [imm]
 *   VEX     C5 [R vvvv L pp]  or  C4 [RXB mmmmm] [W vvvv L pp],  opcode ...
 *   EVEX    62 [RXBR' 0mmm] [W vvvv 1 pp] [z L'L b V' aaa],  opcode ...      disp8 scaled by N
 *
 * R, X, B, R', V' and vvvv are stored inverted in VEX and EVEX. References to labels are left as
 * zero and recorded as fixups.
 */
import { AssemblerError } from "./error.ts";
import type { Form } from "./form.ts";
import { format } from "./format.ts";
import type { Instr } from "./instr.ts";
import { FIRST_VIRTUAL } from "./operand.ts";
import type { Mem, Operand, Reg } from "./operand.ts";

/** A signed 32-bit field at `at` that will hold `label + addend - end`. */
export interface Fixup {
  readonly at: number;
  readonly end: number;
  readonly label: string;
  readonly addend: number;
}

/** Growing byte buffer with the label references found on the way. */
export class CodeSink {
  bytes: Uint8Array = new Uint8Array(1024);
  length = 0;
  readonly fixups: Fixup[] = [];

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    if (this.length + count <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(this.bytes.length * 2, this.length + count));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }

  byte(value: number): void {
    this.bytes[this.length++] = value;
  }

  int32(value: number): void {
    const { bytes } = this;
    bytes[this.length++] = value;
    bytes[this.length++] = value >> 8;
    bytes[this.length++] = value >> 16;
    bytes[this.length++] = value >> 24;
  }

  append(data: Uint8Array): void {
    this.reserve(data.length);
    this.bytes.set(data, this.length);
    this.length += data.length;
  }
}

const LONGEST = 32;
const roundingBits = { rn: 0, rd: 1, ru: 2, rz: 3, sae: 0 } as const;

/** Appends the instruction. Relative branches are not encoded here: their length depends on the layout. */
export function encodeForm(instr: Instr, form: Form, sink: CodeSink): void {
  const { operands } = instr;
  const expected = form.operands;
  let reg = 0;
  let vvvv = 0;
  let rm: Reg | Mem | undefined;
  let opcodeReg = 0;
  let is4 = -1;
  let byteRegRex = false;
  for (let i = 0; i < operands.length; i++) {
    const operand = operands[i] as Operand;
    if (operand.kind === "reg") {
      if (operand.id >= FIRST_VIRTUAL) rejectVirtual(instr);
      if (form.hasByteReg && operand.cls === "r8" && operand.id >= 4 && operand.id < 8) byteRegRex = true;
    }
    switch ((expected[i] as Form["operands"][number]).field) {
      case "reg":
        reg = (operand as Reg).id;
        break;
      case "vvvv":
        vvvv = (operand as Reg).id;
        break;
      case "rm":
        rm = operand as Reg | Mem;
        break;
      case "opcode":
        opcodeReg = (operand as Reg).id;
        break;
      case "is4":
        is4 = (operand as Reg).id;
        break;
      default:
    }
  }
  if (form.modrm >= 0 && form.modrm < 8) reg = form.modrm;

  // Extension bits: R, X, B are bit 3 of the register fields; bit 4 exists in EVEX only.
  let x = 0;
  let b = 0;
  let vHigh = vvvv >> 4;
  let broadcast = 0;
  if (rm !== undefined) {
    if (rm.kind === "reg") {
      b = (rm.id >> 3) & 1;
      x = (rm.id >> 4) & 1;
    } else {
      const { base, index } = rm;
      if (base !== undefined) {
        if (base.id >= FIRST_VIRTUAL) rejectVirtual(instr);
        b = base.id >> 3;
      }
      if (index !== undefined) {
        if (index.id >= FIRST_VIRTUAL) rejectVirtual(instr);
        x = (index.id >> 3) & 1;
        if (index.cls !== "r64") vHigh = index.id >> 4;
      }
      if (rm.broadcast !== undefined) broadcast = 1;
    }
  } else b = opcodeReg >> 3;
  const r = (reg >> 3) & 1;

  sink.reserve(LONGEST);
  const fixupsBefore = sink.fixups.length;
  const opcode = form.opcode;
  if (form.scheme === "legacy") {
    for (let i = 0; i < form.prefixes.length; i++) sink.byte(form.prefixes[i] as number);
    const rex = (form.w << 3) | (r << 2) | (x << 1) | b;
    if (rex !== 0 || byteRegRex) sink.byte(0x40 | rex);
    const last = opcode.length - 1;
    for (let i = 0; i < last; i++) sink.byte(opcode[i] as number);
    sink.byte((opcode[last] as number) + (opcodeReg & 7));
  } else if (form.scheme === "vex") {
    const tail = ((~vvvv & 15) << 3) | (form.length << 2) | form.pp;
    if (x === 0 && b === 0 && form.w === 0 && form.map === 1) {
      sink.byte(0xc5);
      sink.byte(((r ^ 1) << 7) | tail);
    } else {
      sink.byte(0xc4);
      sink.byte(((r ^ 1) << 7) | ((x ^ 1) << 6) | ((b ^ 1) << 5) | form.map);
      sink.byte((form.w << 7) | tail);
    }
    sink.byte(opcode[0] as number);
  } else {
    const { mask, zeroing, rounding } = instr;
    let length = form.length;
    if (rounding !== undefined) {
      broadcast = 1;
      length = roundingBits[rounding];
    }
    const maskId = mask === undefined ? 0 : mask.id;
    if (maskId >= FIRST_VIRTUAL) rejectVirtual(instr);
    sink.byte(0x62);
    sink.byte(((r ^ 1) << 7) | ((x ^ 1) << 6) | ((b ^ 1) << 5) | ((~(reg >> 4) & 1) << 4) | form.map);
    sink.byte((form.w << 7) | ((~vvvv & 15) << 3) | 4 | form.pp);
    sink.byte((zeroing === true ? 0x80 : 0) | (length << 5) | (broadcast << 4) | ((~vHigh & 1) << 3) | maskId);
    sink.byte(opcode[0] as number);
  }

  if (form.modrm >= 0xc0) sink.byte(form.modrm);
  else if (form.modrm !== -2) {
    if (rm === undefined) sink.byte(0xc0 | ((reg & 7) << 3));
    else if (rm.kind === "reg") sink.byte(0xc0 | ((reg & 7) << 3) | (rm.id & 7));
    else encodeMemory(rm, reg & 7, broadcast === 1 ? form.broadcastSize : form.disp8Scale, form.mustSib, sink);
  }
  if (is4 >= 0) sink.byte(is4 << 4);
  for (let i = 0; i < operands.length; i++) {
    const { immBytes } = expected[i] as Form["operands"][number];
    if (immBytes !== 0) encodeImmediate((operands[i] as Operand & { kind: "imm" }).value, immBytes, sink);
  }
  // A displacement from rip counts from the end of the instruction, which is known only now.
  if (sink.fixups.length !== fixupsBefore) {
    const open = sink.fixups[fixupsBefore] as Fixup;
    sink.fixups[fixupsBefore] = { ...open, end: sink.length };
  }
}

function encodeMemory(rm: Mem, reg: number, scale: number, mustSib: boolean, sink: CodeSink): void {
  const { base, index, disp } = rm;
  if (rm.label !== undefined) {
    sink.byte((reg << 3) | 5);
    sink.fixups.push({ at: sink.length, end: 0, label: rm.label.name, addend: disp });
    sink.int32(0);
    return;
  }
  // Without an index the scale bits are ignored; they are kept zero.
  const scaleBits = index === undefined || rm.scale === 1 ? 0 : rm.scale === 2 ? 1 : rm.scale === 4 ? 2 : 3;
  const indexBits = index === undefined ? 4 : index.id & 7;
  if (base === undefined) {
    sink.byte((reg << 3) | 4);
    sink.byte((scaleBits << 6) | (indexBits << 3) | 5);
    sink.int32(disp);
    return;
  }
  const baseBits = base.id & 7;
  // rm 101 without displacement means rip-relative (or no base in a SIB), so rbp and r13 always carry one.
  let mod = 2;
  let short = disp;
  if (disp === 0 && baseBits !== 5) mod = 0;
  else {
    if (scale !== 1) short = disp / scale;
    if (short >= -128 && short <= 127 && Number.isInteger(short)) mod = 1;
  }
  if (index !== undefined || baseBits === 4 || mustSib) {
    sink.byte((mod << 6) | (reg << 3) | 4);
    sink.byte((scaleBits << 6) | (indexBits << 3) | baseBits);
  } else sink.byte((mod << 6) | (reg << 3) | baseBits);
  if (mod === 1) sink.byte(short & 0xff);
  else if (mod === 2) sink.int32(disp);
}

function encodeImmediate(value: number | bigint, bytes: number, sink: CodeSink): void {
  if (bytes === 1) sink.byte(Number(value) & 0xff);
  else if (bytes === 4) sink.int32(Number(value) | 0);
  else {
    let rest = BigInt.asUintN(64, BigInt(value));
    for (let i = 0; i < bytes; i++) {
      sink.byte(Number(rest & 0xffn));
      rest >>= 8n;
    }
  }
}

function rejectVirtual(instr: Instr): never {
  throw new AssemblerError(`${instr.op}: a virtual register cannot be encoded: ${format(instr)}`);
}
