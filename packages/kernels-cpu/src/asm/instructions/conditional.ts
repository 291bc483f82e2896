/**
 * Instructions that act on a condition: jumps, conditional moves and byte sets (Intel SDM volume 2, Jcc).
 *
 * The sixteen conditions are numbered by the low four bits of the opcode, so the rows are built from
 * one list. Synonyms are left out: `jz` is `je`, `jc` is `jb`, `jnc` is `jae`.
 */
export const CONDITIONS = [
  "o",
  "no",
  "b",
  "ae",
  "e",
  "ne",
  "be",
  "a",
  "s",
  "ns",
  "p",
  "np",
  "l",
  "ge",
  "le",
  "g",
] as const;

/** A condition on the flags; `b` and `a` compare unsigned numbers, `l` and `g` signed ones. */
export type Condition = (typeof CONDITIONS)[number];

type ConditionalRow = readonly [
  mnemonic: `j${Condition}` | `cmov${Condition}` | `set${Condition}`,
  operands: string,
  encoding: string,
  feature: string,
  notes: string,
];

export const conditionalRows: readonly ConditionalRow[] = CONDITIONS.flatMap((cc, code): ConditionalRow[] => {
  const digit = code.toString(16).toUpperCase();
  return [
    [`j${cc}`, "rel8", `7${digit} cb`, "base", "rf"],
    [`j${cc}`, "rel32", `0F 8${digit} cd`, "base", "rf"],
    [`cmov${cc}`, "rw r16, r r/m16", `66 0F 4${digit} /r`, "base", "rf"],
    [`cmov${cc}`, "rw r32, r r/m32", `0F 4${digit} /r`, "base", "rf"],
    [`cmov${cc}`, "rw r64, r r/m64", `REX.W 0F 4${digit} /r`, "base", "rf"],
    [`set${cc}`, "w r/m8", `0F 9${digit} /0`, "base", "rf"],
  ];
});
