/**
 * Prints one instruction in Intel syntax, lower case, with every memory size spelled out.
 *
 * The text is what `objdump -M intel` shows for the encoded bytes, up to spelling conventions that the
 * round-trip test lists (comparison predicates stay immediates, segment prefixes are left out, ...).
 */
import type { Instr } from "./instr.ts";
import { selectForm } from "./match.ts";
import { operandsText } from "./operand-text.ts";

/** The instruction as text; throws like the encoder when no form takes the operands. */
export function format(instr: Instr): string {
  return `${instr.op} ${operandsText(instr.operands, instr, selectForm(instr))}`.trimEnd();
}
