/**
 * One encodable form of an instruction: what the matcher, the encoder and the printer know about it.
 *
 * Forms are parsed from the rows of the instruction table, see row.ts.
 */
import type { Reg } from "./operand.ts";
import type { Row } from "./row.ts";

/** Where an operand goes in the encoded bytes. */
export type Field = "reg" | "rm" | "vvvv" | "is4" | "opcode" | "imm" | "rel" | "none";

export interface FormOperand {
  /** The notation it was parsed from, with lengths filled in: `zmm/m512/b32`. */
  readonly text: string;
  readonly accepts: number;
  readonly reads: boolean;
  readonly writes: boolean;
  /** Memory is addressed but neither read nor written. */
  readonly addressOnly: boolean;
  readonly field: Field;
  /** Immediates: bytes written, and bits of the value that the instruction sees. */
  readonly immBytes: number;
  readonly immBits: number;
}

export interface ImplicitOperand {
  /** `undefined` is memory. */
  readonly reg: Reg | undefined;
  readonly reads: boolean;
  readonly writes: boolean;
}

/** One encodable form of an instruction. */
export interface Form {
  readonly row: Row;
  readonly mnemonic: string;
  readonly scheme: "legacy" | "vex" | "evex";
  readonly operands: readonly FormOperand[];
  readonly implicit: readonly ImplicitOperand[];
  /** Bytes before REX: lock, rep, operand size, mandatory prefix. */
  readonly prefixes: readonly number[];
  /** Legacy: the whole opcode; VEX and EVEX: one byte. */
  readonly opcode: readonly number[];
  readonly w: 0 | 1;
  /** VEX and EVEX: 0 none, 1 66, 2 F3, 3 F2. */
  readonly pp: number;
  readonly map: number;
  /** L or L'L. */
  readonly length: number;
  /** ModR/M: -2 none, -1 register field from an operand, 0..7 a digit, 0xC0.. a fixed byte. */
  readonly modrm: number;
  /** Memory operand: bytes (0 any), disp8 scale, and for broadcast the element bytes and count. */
  readonly memSize: number;
  readonly disp8Scale: number;
  readonly broadcastSize: number;
  readonly broadcastCount: number;
  /** Memory size is not implied by the other operands, so the operand must state it. */
  readonly needsMemSize: boolean;
  readonly mustSib: boolean;
  readonly mask: "none" | "merge" | "zero" | "required";
  readonly rounding: "none" | "er" | "sae";
  /** Byte-register operands exist: 4..7 need a REX prefix. */
  readonly hasByteReg: boolean;
  readonly readsFlags: boolean;
  readonly writesFlags: boolean;
  readonly idiom: boolean;
  readonly select: boolean;
  readonly ternary: boolean;
  readonly feature: string;
}
