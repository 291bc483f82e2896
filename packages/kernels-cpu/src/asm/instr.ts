/**
 * An instruction and the other items of a code sequence, as plain data.
 *
 * The mnemonic decides which rows of the instruction table apply, the operands decide which one of
 * them is used; nothing here knows about encodings.
 */
import type { Mnemonic } from "./table.ts";
import type { Label, Operand, Reg } from "./operand.ts";

/** Static rounding (`{rn-sae}` ...) or suppressed exceptions (`{sae}`) of a 512-bit or scalar EVEX instruction. */
export type Rounding = "rn" | "rd" | "ru" | "rz" | "sae";

/** What an EVEX instruction carries beside its operands. */
export interface Decorations {
  /** Write mask, k1..k7. */
  readonly mask?: Reg | undefined;
  /** Masked-off elements become zero instead of keeping the destination's value. */
  readonly zeroing?: boolean | undefined;
  readonly rounding?: Rounding | undefined;
}

/** One instruction; destination first, as in Intel syntax. */
export interface Instr extends Decorations {
  readonly op: Mnemonic;
  readonly operands: readonly Operand[];
}

/** Binds a label to the position of the next item. */
export interface Bind {
  readonly label: Label;
}

/** Pads with no-operations up to a multiple of `align` bytes (a power of two, counted from the start of the code). */
export interface Align {
  readonly align: number;
}

/** Bytes for the constant pool behind the code; equal contents share storage. */
export interface Data {
  readonly data: Uint8Array;
  readonly alignment: number;
  readonly at: Label;
}

export type Item = Instr | Bind | Align | Data;

export function isInstr(item: Item): item is Instr {
  return "op" in item;
}
