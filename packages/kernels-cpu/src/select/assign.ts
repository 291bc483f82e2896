/** Sets the registers of a local to a literal. */
import type { KType } from "@quern/core/kernel";
import type { Reg } from "../asm/index.ts";
import { GENERAL, TILE, VECTOR } from "./code.ts";
import type { Literal } from "./constants.ts";
import { constantRegs, integerInstr, literalBytes, literalInteger, splatInstr } from "./constants.ts";
import type { Selector } from "./selector.ts";

export function assignConstant(s: Selector, regs: readonly Reg[], type: KType, value: Literal): void {
  const shape = s.shape(type);
  if (shape.file === GENERAL) s.code.push(integerInstr(regs[0] as Reg, literalInteger(type.dtype, value)));
  else if (shape.file === TILE) {
    if (value !== 0) s.unsupported("const", type.dtype, "a matrix tile can only be set to zero");
    s.code.emit("tilezero", regs[0] as Reg);
  } else if (shape.file === VECTOR && type.dtype !== "bool") {
    const element = literalBytes(type.dtype, value);
    // Zero is an idiom; other literals come from a register that holds them for all parts.
    if (element.every((byte) => byte === 0))
      for (const reg of regs) s.code.push(splatInstr(s, reg, element, shape.bytes));
    else s.moveAll(regs, constantRegs(s, type, value));
  } else s.moveAll(regs, constantRegs(s, type, value));
}
