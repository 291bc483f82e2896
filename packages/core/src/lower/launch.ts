/**
 * What lowering gives to a device: kernels with the operands to bind to their buffers.
 *
 * Kernels are at the upper IR level (axes without a target) or the lower one; the device legalises, compiles and plans
 * memory. Operand i belongs to `kernel.buffers[i]`; symbols of the kernel are bound by name at run time.
 */

import type { Dim } from "../dim.ts";
import type { DType } from "../dtype.ts";
import type { ConstantData, Node, Value } from "../graph/graph.ts";
import type { Kernel } from "../kernel/ir.ts";
import type { MatmulPrecision } from "../runtime/device.ts";
import type { OperandRecipe, PackedConstant } from "./recipe.ts";

/** Memory that lives from the first to the last launch of one node, or weights in a kernel's own layout. */
export interface Temporary {
  readonly name: string;
  readonly dtype: DType;
  readonly size: Dim;
}

export type Operand =
  | { readonly kind: "value"; readonly value: Value }
  | { readonly kind: "constant"; readonly data: ConstantData }
  | { readonly kind: "packed"; readonly packed: PackedConstant }
  | { readonly kind: "temporary"; readonly temporary: Temporary };

/** A launch without the text of its kernel: what a program needs to bind and report it. */
export interface LaunchPlan {
  readonly operands: readonly Operand[];
  /** Values of the kernel's scalar parameters, by name. */
  readonly scalars?: Readonly<Record<string, number>>;
  /** Graph nodes computed here, for reports. */
  readonly nodes: readonly Node[];
  /** Which kernel was chosen and why, for humans. */
  readonly decision: string;
  /** Multiplications and additions, and bytes read and written at least, where known. */
  readonly flops?: Dim;
  readonly bytes?: Dim;
  /** Precision of the matrix products inside where it is below "highest". */
  readonly precision?: MatmulPrecision;
  /** How to find the operands in any site of the same signature (`siteSignature`), see `launchFor`. */
  readonly recipes: readonly OperandRecipe[];
}

export interface Launch extends LaunchPlan {
  readonly kernel: Kernel;
}

export function valueOperand(value: Value): Operand {
  return { kind: "value", value };
}
