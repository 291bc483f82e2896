/**
 * Combining one value of every invocation of a workgroup, with the result the same (and provably uniform) in all.
 *
 * With subgroups: one subgroup operation, then the first invocation combines the results of the subgroups; nothing is
 * assumed about the size of a subgroup. Without: two steps of about √n values each over workgroup memory, since a binary
 * tree has more barriers, which cost more than the additions. Both orders are fixed.
 */

import type { Combiner } from "@quern/core";
import type { Helpers } from "./helpers.ts";
import type { Register } from "./types.ts";

export interface ReductionTarget {
  readonly subgroups: boolean;
  readonly workgroupSize: number;
}

/** `a` combined with `b`; floats follow the IR: the second operand when either is NaN. */
export function combineText(helpers: Helpers, combiner: Combiner, register: Register, a: string, b: string): string {
  switch (combiner) {
    case "sum":
      return `${a} + ${b}`;
    case "prod":
      return `${a} * ${b}`;
    case "and":
      return `${a} & ${b}`;
    case "or":
      return `${a} | ${b}`;
    case "max":
    case "min":
      if (register !== "f32") return `${combiner}(${a}, ${b})`;
      return `${helpers.use(combiner === "max" ? "maxFloat" : "minFloat")}(${a}, ${b})`;
  }
}

const SUBGROUP: Readonly<Record<Combiner, string>> = {
  sum: "subgroupAdd",
  prod: "subgroupMul",
  max: "subgroupMax",
  min: "subgroupMin",
  and: "subgroupAnd",
  or: "subgroupOr",
};

/** The name of a function `(value, invocation) -> combined value`; its workgroup memory is declared with it. */
export function workgroupReduction(
  helpers: Helpers,
  combiner: Combiner,
  register: Register,
  target: ReductionTarget,
): string {
  const name = `workgroup_${combiner}_${register}`;
  const memory = `partial_${register}`;
  helpers.add(memory, () => `var<workgroup> ${memory}: array<${register}, ${target.workgroupSize}>;`);
  const combine = (a: string, b: string): string => combineText(helpers, combiner, register, a, b);
  return helpers.add(name, () =>
    target.subgroups && register !== "bool"
      ? withSubgroups(name, memory, combiner, register, combine)
      : twoSteps(name, memory, register, target, combine),
  );
}

function withSubgroups(
  name: string,
  memory: string,
  combiner: Combiner,
  register: Register,
  combine: (a: string, b: string) => string,
): string {
  return `fn ${name}(value: ${register}, at: Invocation) -> ${register} {
  let part = ${SUBGROUP[combiner]}(value);
  if (at.lane == 0u) {
    ${memory}[at.subgroup] = part;
  }
  workgroupBarrier();
  if (at.local == 0u) {
    var total = ${memory}[0];
    for (var i = 1u; i < at.subgroups; i++) {
      total = ${combine("total", `${memory}[i]`)};
    }
    ${memory}[0] = total;
  }
  return workgroupUniformLoad(&${memory}[0]);
}`;
}

function twoSteps(
  name: string,
  memory: string,
  register: Register,
  { workgroupSize }: ReductionTarget,
  combine: (a: string, b: string) => string,
): string {
  const columns = 2 ** Math.floor(Math.log2(workgroupSize) / 2);
  return `fn ${name}(value: ${register}, at: Invocation) -> ${register} {
  ${memory}[at.local] = value;
  workgroupBarrier();
  if (at.local < ${columns}u) {
    var column = value;
    for (var i = at.local + ${columns}u; i < ${workgroupSize}u; i += ${columns}u) {
      column = ${combine("column", `${memory}[i]`)};
    }
    ${memory}[at.local] = column;
  }
  workgroupBarrier();
  if (at.local == 0u) {
    var total = ${memory}[0];
    for (var i = 1u; i < ${columns}u; i++) {
      total = ${combine("total", `${memory}[i]`)};
    }
    ${memory}[0] = total;
  }
  return workgroupUniformLoad(&${memory}[0]);
}`;
}
