/**
 * Chooses the form of an instruction: by mnemonic to a short list, then by the kinds of the operands.
 *
 * The first form in table order that accepts everything wins, so rows stand in order of preference
 * (VEX before EVEX, short immediates before long ones). Virtual registers count as registers 0..15.
 */
import { AssemblerError } from "./error.ts";
import type { Form } from "./form.ts";
import type { Instr } from "./instr.ts";
import { ANY_MEMORY, operandKind } from "./kind.ts";
import { operandsText } from "./operand-text.ts";
import { formsOf } from "./table.ts";

const kinds: number[] = [0, 0, 0, 0, 0, 0];

/** What the last plain instruction of a mnemonic was: code repeats itself. */
interface Recent {
  readonly count: number;
  readonly first: number;
  readonly second: number;
  readonly third: number;
  readonly memSize: number;
  readonly broadcast: number;
  readonly form: Form;
}

const recent = new Map<string, Recent>();

/** The form that encodes the instruction, or undefined. */
export function findForm(instr: Instr): Form | undefined {
  const { operands, mask, zeroing, rounding } = instr;
  const count = operands.length;
  let memSize = 0;
  let broadcast = 0;
  let memFirst = false;
  for (let i = 0; i < count; i++) {
    const operand = operands[i];
    if (operand === undefined) return undefined;
    kinds[i] = operandKind(operand);
    if (operand.kind === "mem") {
      memSize = operand.size ?? 0;
      broadcast = operand.broadcast ?? 0;
      memFirst = i === 0;
    }
  }
  // Up to three operands without a mask or rounding: most instructions.
  const plain = count <= 3 && mask === undefined && zeroing !== true && rounding === undefined;
  const first = count > 0 ? (kinds[0] as number) : 0;
  const second = count > 1 ? (kinds[1] as number) : 0;
  const third = count > 2 ? (kinds[2] as number) : 0;
  const last = plain ? recent.get(instr.op) : undefined;
  if (
    last !== undefined &&
    last.first === first &&
    last.second === second &&
    last.third === third &&
    last.count === count &&
    last.memSize === memSize &&
    last.broadcast === broadcast
  )
    return last.form;
  const form = search(instr, count, memSize, broadcast, memFirst);
  if (plain && form !== undefined) recent.set(instr.op, { count, first, second, third, memSize, broadcast, form });
  return form;
}

/** The first form in table order that takes the operands, whose kinds are in `kinds`. */
function search(
  { op, mask, zeroing, rounding }: Instr,
  count: number,
  memSize: number,
  broadcast: number,
  memFirst: boolean,
): Form | undefined {
  const forms = formsOf(op);
  candidates: for (let f = 0; f < forms.length; f++) {
    const form = forms[f] as Form;
    const expected = form.operands;
    if (expected.length !== count) continue;
    let hasMem = false;
    for (let i = 0; i < count; i++) {
      const kind = kinds[i] as number;
      if (((expected[i] as Form["operands"][number]).accepts & kind) === 0) continue candidates;
      if ((kind & ANY_MEMORY) !== 0) hasMem = true;
    }
    if (hasMem) {
      if (broadcast !== 0) {
        if (form.broadcastCount !== broadcast) continue;
        if (memSize !== 0 && memSize !== form.broadcastSize) continue;
      } else if (memSize !== 0 ? form.memSize !== 0 && form.memSize !== memSize : form.needsMemSize) continue;
      if (rounding !== undefined) continue;
    }
    if (mask !== undefined ? form.mask === "none" : form.mask === "required") continue;
    if (zeroing === true && (form.mask !== "zero" || memFirst)) continue;
    if (rounding !== undefined && form.rounding !== (rounding === "sae" ? "sae" : "er")) continue;
    return form;
  }
  return undefined;
}

/** The form that encodes the instruction; throws an {@link AssemblerError} that lists the forms when none does. */
export function selectForm(instr: Instr): Form {
  const { mask, zeroing } = instr;
  if (mask !== undefined && (mask.cls !== "k" || mask.id === 0)) {
    throw new AssemblerError(`${instr.op}: the write mask must be k1..k7, not ${operandsText([mask])}`);
  }
  if (zeroing === true && mask === undefined) throw new AssemblerError(`${instr.op}: zeroing needs a write mask`);
  return findForm(instr) ?? reject(instr);
}

/** True when the vector operands may be registers 16..31, that is when an EVEX form accepts the instruction. */
export function allowsHighRegisters(instr: Instr): boolean {
  const raised: Instr = {
    ...instr,
    operands: instr.operands.map((o) =>
      o.kind === "reg" && (o.cls === "xmm" || o.cls === "ymm" || o.cls === "zmm") ? { ...o, id: 16 } : o,
    ),
  };
  return findForm(raised) !== undefined;
}

function reject(instr: Instr): never {
  const forms = formsOf(instr.op);
  const given = operandsText(instr.operands, instr) || "no operands";
  const expected = forms.map((form) => `  ${instr.op} ${formNotation(form)}`.trimEnd());
  const unsized = instr.operands.find((o) => o.kind === "mem" && o.size === undefined && o.broadcast === undefined);
  const hint =
    unsized !== undefined && forms.some((form) => form.needsMemSize)
      ? "; the memory operand may need a size (mem({ ..., size: 4 }))"
      : "";
  throw new AssemblerError(`${instr.op}: no form takes ${given}${hint}; forms:\n${[...new Set(expected)].join("\n")}`);
}

/** The operands of a form in the manual's notation, such as `zmm{k}{z}, zmm, zmm/m512/b32{er}`. */
export function formNotation(form: Form): string {
  const last = form.operands.findLastIndex((o) => o.immBytes === 0);
  return form.operands
    .map((operand, i) => {
      const masks = i > 0 || form.mask === "none" ? "" : form.mask === "zero" ? "{k}{z}" : "{k}";
      return `${operand.text}${masks}${i === last && form.rounding !== "none" ? `{${form.rounding}}` : ""}`;
    })
    .join(", ");
}
