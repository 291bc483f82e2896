/**
 * Lowering that needs no kernel of a device: pointwise and view groups, reductions, softmax and norms.
 */

import type { Launch } from "./launch.ts";
import type { Kernel } from "../kernel/ir.ts";
import { isPointwise, isView, REDUCTIONS, ROW_OPS } from "../passes/fuse.ts";
import { bodyBytes, lowerPointwise } from "./pointwise.ts";
import { type OperandRecipe, launchFor } from "./recipe.ts";
import { lowerReduction } from "./reduction.ts";
import { lowerRows } from "./rows.ts";
import type { KernelSite } from "./site.ts";

/** The launch of a site that the generic lowering can serve, `undefined` for others. */
export function lowerGeneric(site: KernelSite, name: string): Launch | undefined {
  const { anchor, body } = site;
  let kernel: Kernel;
  if (isPointwise(anchor) || isView(anchor)) kernel = lowerPointwise(name, body);
  else if (REDUCTIONS.has(anchor.op) && anchor.attrs["keepDims"] === true) kernel = lowerReduction(name, body);
  else if (ROW_OPS.has(anchor.op)) kernel = lowerRows(name, body);
  else return undefined;
  const bytes = bodyBytes(body);
  const recipes: OperandRecipe[] = site.operands.map((_, at) => ({ kind: "operand", at }));
  recipes.push({ kind: "output", at: 0 });
  return launchFor({ kernel, recipes, decision: "generic", ...(bytes === undefined ? {} : { bytes }) }, site);
}
