/**
 * Sizes of kernels before they run: devices evaluate the counts of parallel axes on the host, from the values of symbols.
 */

import type { DimBindings } from "../dim.ts";
import { InternalError } from "../errors.ts";
import type { KValue } from "../kernel/ir.ts";

/** Evaluates an index expression over dimension symbols, as generated code does. */
export function evaluateIndex(value: KValue, symbols: DimBindings): number {
  const { def } = value;
  if (def.kind === "const") return Number(def.value);
  if (def.kind === "param") return symbolValue(def.name, symbols);
  if (def.kind !== "prim") throw new InternalError(`a task count depends on a ${def.kind}`);
  const [a = 0, b = 0] = def.args.map((arg) => evaluateIndex(arg, symbols));
  switch (def.prim) {
    case "add":
      return a + b;
    case "sub":
      return a - b;
    case "mul":
      return a * b;
    case "div":
      return Math.trunc(a / b);
    case "rem":
      return a % b;
    case "min":
      return Math.min(a, b);
    case "max":
      return Math.max(a, b);
    case "shl":
      return a * 2 ** b;
    case "shr":
      return Math.floor(a / 2 ** b);
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
