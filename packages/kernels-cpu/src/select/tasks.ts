/**
 * How many tasks a kernel has: the product of the counts of its `parallel` axes, for given dimensions.
 */
import { UserError } from "@quern/core";
import type { DimBindings } from "@quern/core";
import { primEvaluator, toElement } from "@quern/core/kernel";
import type { Kernel, KValue, Scalar } from "@quern/core/kernel";
import { parallelNest } from "./control.ts";

export interface Bindings {
  readonly symbols: DimBindings;
  readonly scalars?: Readonly<Record<string, Scalar>>;
}

/** The number of tasks; 1 for a kernel without `parallel`. */
export function taskCount(kernel: Kernel, { symbols, scalars = {} }: Bindings): number {
  const evaluate = (value: KValue): Scalar => {
    const { def, type } = value;
    if (def.kind === "const") return toElement(type.dtype, def.value);
    if (def.kind === "param") {
      const bound = symbols[def.name] ?? scalars[def.name];
      if (bound === undefined) throw new UserError(`kernel ${kernel.name}: parameter "${def.name}" has no value`);
      return toElement(type.dtype, bound);
    }
    if (def.kind !== "prim")
      throw new UserError(`kernel ${kernel.name}: the number of tasks depends on memory (${def.kind})`);
    const operand = def.args.at(-1) as KValue;
    const apply = primEvaluator(def.prim, operand.type.dtype, type.dtype) as (...args: Scalar[]) => Scalar;
    return apply(...def.args.map(evaluate));
  };
  return parallelNest(kernel.body).axes.reduce((product, { count }) => product * Number(evaluate(count)), 1);
}
