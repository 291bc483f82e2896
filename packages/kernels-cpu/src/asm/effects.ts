/**
 * What an instruction reads and writes, derived from its row; a register allocator works from this.
 *
 * - A merge-masked destination is read as well as written; the mask register is read.
 * - Writing an 8- or 16-bit register keeps the rest of it, so the register counts as read too.
 * - Base and index of a memory operand are read, whatever happens to the memory.
 * - Idioms for constants (`vpxor a, b, b`, `vpternlogd a, b, c, 0xff`) do not read their sources.
 * - `call`, `syscall` and `vzeroupper` report their operands only: what they clobber beyond that
 *   depends on the ABI.
 */
import type { Operand, Reg } from "./operand.ts";
import type { Form } from "./form.ts";
import type { Instr } from "./instr.ts";
import { selectForm } from "./match.ts";

/** The registers, flags and memory that an instruction touches; a register may occur in both lists. */
export interface Effects {
  readonly form: Form;
  readonly reads: readonly Reg[];
  readonly writes: readonly Reg[];
  readonly readsFlags: boolean;
  readonly writesFlags: boolean;
  readonly readsMemory: boolean;
  readonly writesMemory: boolean;
}

/** The effects of one instruction; virtual registers are welcome. Throws when no form takes the operands. */
export function effects(instr: Instr): Effects {
  const form = selectForm(instr);
  const { operands, mask, zeroing } = instr;
  const reads: Reg[] = [];
  const writes: Reg[] = [];
  let readsMemory = false;
  let writesMemory = false;
  const independent = mask === undefined && isConstant(form, operands);
  for (let i = 0; i < operands.length; i++) {
    const operand = operands[i] as Operand;
    const expected = form.operands[i];
    if (expected === undefined) continue;
    if (operand.kind === "reg") {
      const partial = operand.cls === "r8" || operand.cls === "r16";
      const merged = mask !== undefined && i === 0 && zeroing !== true && operand.cls !== "k" && !form.select;
      if ((expected.reads && !independent) || (expected.writes && (partial || merged))) reads.push(operand);
      if (expected.writes) writes.push(operand);
    } else if (operand.kind === "mem") {
      if (operand.base !== undefined) reads.push(operand.base);
      if (operand.index !== undefined) reads.push(operand.index);
      readsMemory ||= expected.reads;
      writesMemory ||= expected.writes;
    }
  }
  const { implicit } = form;
  for (let i = 0; i < implicit.length; i++) {
    const { reg, reads: isRead, writes: isWritten } = implicit[i] as Form["implicit"][number];
    if (reg === undefined) {
      readsMemory ||= isRead;
      writesMemory ||= isWritten;
    } else {
      if (isRead) reads.push(reg);
      if (isWritten) writes.push(reg);
    }
  }
  if (mask !== undefined) {
    reads.push(mask);
    if (form.mask === "required") writes.push(mask);
  }
  return {
    form,
    reads,
    writes,
    readsFlags: form.readsFlags,
    writesFlags: form.writesFlags,
    readsMemory,
    writesMemory,
  };
}

/** The result is the same whatever the source registers hold. */
function isConstant(form: Form, operands: readonly Operand[]): boolean {
  if (form.ternary) {
    const table = operands.at(-1);
    return table?.kind === "imm" && [0, 0xff, -1].includes(Number(table.value));
  }
  if (!form.idiom) return false;
  // `xor a, a` has two operands that are both sources; `vpxor a, b, b` has three, the first not one of them.
  const destination = form.operands[0];
  const [a, b] = destination?.reads === false ? operands.slice(1) : operands;
  return a?.kind === "reg" && b?.kind === "reg" && a.cls === b.cls && a.id === b.id;
}
