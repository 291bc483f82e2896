/**
 * When the matrix unit may compute f32 products, and what that costs.
 */

import type { MatmulPrecision } from "@quern/core";
import type { KernelEnvironment } from "../kernel.ts";
import { productsOf, termsOf } from "./split.ts";

/** Multiply-adds of bf16 per nanosecond and core that a blocked product reaches; the unit's peak is 1660. */
const REACHED = 1100;

/** `true`, or why the products must be f32 multiply-adds. */
export function matrixUnit({ target, precision }: KernelEnvironment): true | string {
  if (precision === "highest") return `precision "highest" wants f32 products`;
  if (!target.features.has("amx-bf16")) return `no matrix unit for precision "${precision}": computed at "highest"`;
  return true;
}

/** Nanoseconds on one thread of an m × n × k product, padded to whole tiles. */
export function unitNanoseconds(precision: MatmulPrecision, m: number, n: number, k: number): number {
  const up = (size: number, multiple: number): number => Math.ceil(size / multiple) * multiple;
  return (up(m, 16) * up(n, 32) * up(k, 32) * productsOf(termsOf(precision))) / REACHED;
}
