/**
 * A stand-alone x86-64 assembler: instructions as data in, position-independent machine code out.
 *
 * It covers the integer, AVX, AVX2, FMA, AVX-512 and AMX instructions that kernels use. One row of
 * the table in `instructions/` describes one instruction; encoding, operand checks, printing and the
 * read and write sets all follow from it. Nothing here depends on the rest of the project.
 */
export { AssemblerError } from "./error.ts";
export * from "./operand.ts";
export { isInstr } from "./instr.ts";
export type { Align, Bind, Data, Decorations, Instr, Item, Rounding } from "./instr.ts";
export { families, mnemonics } from "./table.ts";
export type { Mnemonic } from "./table.ts";
export { allowsHighRegisters } from "./match.ts";
export { format } from "./format.ts";
export { effects } from "./effects.ts";
export type { Effects } from "./effects.ts";
export { features } from "./features.ts";
export { coveredInstructions, renderCoverage } from "./coverage.ts";
export type { CoveredInstruction } from "./coverage.ts";
export { assemble, Assembler } from "./assembler.ts";
export type { AssembledCode } from "./assembler.ts";
