/**
 * Operands as Intel syntax writes them.
 *
 * Memory sizes and immediate widths belong to the form that was chosen; without one (in error
 * messages) they are printed as far as the operand itself says.
 */
import type { FormOperand, Form } from "./form.ts";
import type { Decorations } from "./instr.ts";
import { registerName } from "./operand.ts";
import type { Mem, Operand } from "./operand.ts";

const sizeNames: Record<number, string> = {
  1: "byte",
  2: "word",
  4: "dword",
  8: "qword",
  16: "xmmword",
  32: "ymmword",
  64: "zmmword",
};

/** All operands with mask, zeroing and rounding in their places: `zmm1{k1}{z}, zmm2, zmm3{rn-sae}`. */
export function operandsText(operands: readonly Operand[], decorations: Decorations = {}, form?: Form): string {
  const { mask, zeroing, rounding } = decorations;
  const lastRegister = operands.findLastIndex((o) => o.kind === "reg");
  return operands
    .map((operand, i) => {
      let text = operandText(operand, form, form?.operands[i]);
      if (i === 0 && mask !== undefined) text += `{${registerName(mask)}}${zeroing === true ? "{z}" : ""}`;
      if (i === lastRegister && rounding !== undefined) text += rounding === "sae" ? "{sae}" : `{${rounding}-sae}`;
      return text;
    })
    .join(", ");
}

function operandText(operand: Operand, form: Form | undefined, expected: FormOperand | undefined): string {
  switch (operand.kind) {
    case "reg":
      return registerName(operand);
    case "label":
      return operand.name;
    case "imm":
      return expected?.text === "1" ? "1" : immediateText(operand.value, expected?.immBits ?? 0);
    case "mem":
      return memoryText(operand, form);
  }
}

function immediateText(value: number | bigint, bits: number): string {
  if (bits === 0) return value < 0 ? `-0x${(-BigInt(value)).toString(16)}` : `0x${value.toString(16)}`;
  return `0x${BigInt.asUintN(bits, BigInt(value)).toString(16)}`;
}

function memoryText(operand: Mem, form: Form | undefined): string {
  const { base, index, scale, disp, label, broadcast, size } = operand;
  const bytes = form === undefined ? (size ?? 0) : broadcast !== undefined ? form.broadcastSize : form.memSize;
  const name = sizeNames[bytes];
  const prefix = name === undefined ? "" : `${name} ${broadcast === undefined ? "ptr" : "bcst"} `;
  const terms: string[] = [];
  if (label !== undefined) terms.push("rip", label.name);
  if (base !== undefined) terms.push(registerName(base));
  if (index !== undefined) terms.push(`${registerName(index)}*${scale}`);
  let text = terms.join("+");
  if (text === "") text = `0x${BigInt.asUintN(64, BigInt(disp)).toString(16)}`;
  else if (disp !== 0) text += disp < 0 ? `-0x${(-disp).toString(16)}` : `+0x${disp.toString(16)}`;
  return `${prefix}[${text}]${broadcast === undefined ? "" : `{1to${broadcast}}`}`;
}
