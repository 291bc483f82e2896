/**
 * Sizes of kernels before they run: devices evaluate the counts of parallel axes on the host, from the values of symbols.
 */

import {
  type Dim,
  type DimBindings,
  dimAdd,
  dimFloorDiv,
  dimMax,
  dimMin,
  dimMod,
  dimMul,
  dimSub,
  symbol,
} from "../dim.ts";
import { InternalError } from "../errors.ts";
import type { KValue, Kernel } from "../kernel/ir.ts";

/** Number of tasks: the product of the counts of the nested parallel axes. */
export function taskDim(kernel: Kernel): Dim {
  let count: Dim = 1;
  let block = kernel.body;
  for (;;) {
    const parallel = block.find((statement) => statement.kind === "parallel");
    if (parallel === undefined) return count;
    count = dimMul(count, indexDim(parallel.count));
    block = parallel.body;
  }
}

/** An index expression over dimension symbols, none of whose parts is negative, as a dimension. */
export function indexDim(value: KValue): Dim {
  const { def } = value;
  if (def.kind === "const") return Number(def.value);
  if (def.kind === "param") return symbol(def.name);
  if (def.kind !== "prim") throw new InternalError(`a task count depends on a ${def.kind}`);
  const [a = 0, b = 0] = def.args.map(indexDim);
  switch (def.prim) {
    case "add":
      return dimAdd(a, b);
    case "sub":
      return dimSub(a, b);
    case "mul":
      return dimMul(a, b);
    case "div":
      return dimFloorDiv(a, b);
    case "rem":
      return dimMod(a, b);
    case "min":
      return dimMin(a, b);
    case "max":
      return dimMax(a, b);
    case "shl":
      return dimMul(a, 2 ** Number(b));
    case "shr":
      return dimFloorDiv(a, 2 ** Number(b));
    default:
      throw new InternalError(`a task count uses ${def.prim}`);
  }
}

/** The value of a dimension symbol of a kernel; a missing one is a defect of the device. */
export function symbolValue(name: string, symbols: DimBindings): number {
  const value = symbols[name];
  if (value === undefined) throw new InternalError(`no value for symbol ${name}`);
  return value;
}
