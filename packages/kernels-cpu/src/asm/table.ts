/**
 * The instruction table: every family file's rows, indexed by mnemonic and parsed on first use.
 */
import { AssemblerError } from "./error.ts";
import type { Form } from "./form.ts";
import { KIND } from "./kind.ts";
import { parseRow } from "./row.ts";
import type { Row } from "./row.ts";
import { conditionalRows } from "./instructions/conditional.ts";
import { integerRows } from "./instructions/integer.ts";
import { systemRows } from "./instructions/system.ts";
import { floatArithmeticRows } from "./instructions/float-arithmetic.ts";
import { fmaRows } from "./instructions/fma.ts";
import { moveRows } from "./instructions/move.ts";
import { vectorIntegerRows } from "./instructions/vector-integer.ts";
import { vectorShiftRows } from "./instructions/vector-shift.ts";
import { permuteRows } from "./instructions/permute.ts";
import { convertRows } from "./instructions/convert.ts";
import { gatherRows } from "./instructions/gather.ts";
import { opmaskRows } from "./instructions/opmask.ts";
import { amxRows } from "./instructions/amx.ts";

/** Every row of the table, family by family. */
export const families: Readonly<Record<string, readonly Row[]>> = {
  integer: integerRows,
  conditional: conditionalRows,
  system: systemRows,
  move: moveRows,
  "float arithmetic": floatArithmeticRows,
  fma: fmaRows,
  "vector integer": vectorIntegerRows,
  "vector shift": vectorShiftRows,
  permute: permuteRows,
  convert: convertRows,
  "gather and scatter": gatherRows,
  opmask: opmaskRows,
  amx: amxRows,
};

/** A mnemonic as Intel syntax writes it, prefixes such as `lock` and `{vex}` included. */
export type Mnemonic = (
  | typeof integerRows
  | typeof conditionalRows
  | typeof systemRows
  | typeof moveRows
  | typeof floatArithmeticRows
  | typeof fmaRows
  | typeof vectorIntegerRows
  | typeof vectorShiftRows
  | typeof permuteRows
  | typeof convertRows
  | typeof gatherRows
  | typeof opmaskRows
  | typeof amxRows
)[number][0];

const rowsByMnemonic = new Map<string, Row[]>();
for (const rows of Object.values(families)) {
  for (const row of rows) {
    const list = rowsByMnemonic.get(row[0]);
    if (list === undefined) rowsByMnemonic.set(row[0], [row]);
    else list.push(row);
  }
}

const parsed = new Map<string, readonly Form[]>();

/** The forms of a mnemonic in order of preference. */
export function formsOf(mnemonic: string): readonly Form[] {
  return parsed.get(mnemonic) ?? parseForms(mnemonic);
}

function parseForms(mnemonic: string): readonly Form[] {
  const rows = rowsByMnemonic.get(mnemonic);
  if (rows === undefined) throw new AssemblerError(`no instruction is called "${mnemonic}"`);
  const drafts = rows.flatMap(parseRow);
  const forms = drafts.map((form) =>
    drafts.some((other) => clash(form, other)) ? { ...form, needsMemSize: true } : form,
  );
  parsed.set(mnemonic, forms);
  return forms;
}

/** True when the two forms take the same operands but for the size of memory. */
function clash(a: Form, b: Form): boolean {
  if (a.memSize === b.memSize || a.operands.length !== b.operands.length) return false;
  return a.operands.every((o, i) => {
    const other = b.operands[i]?.accepts ?? 0;
    if (o.immBytes > 0) return (b.operands[i]?.immBytes ?? 0) > 0;
    return (o.accepts & KIND.mem) !== 0 ? (other & KIND.mem) !== 0 : (o.accepts & other) !== 0;
  });
}

/** All mnemonics, in table order. */
export function mnemonics(): readonly Mnemonic[] {
  return [...rowsByMnemonic.keys()] as Mnemonic[];
}
