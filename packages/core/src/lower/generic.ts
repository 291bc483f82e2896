/**
 * Lowering that needs no kernel of a device: pointwise and view groups, reductions, softmax and norms.
 */

import type { Launch } from "./launch.ts";
import { valueOperand } from "./launch.ts";
import type { Value } from "../graph/graph.ts";
import type { Kernel } from "../kernel/ir.ts";
import { isPointwise, isView, REDUCTIONS, ROW_OPS } from "../passes/fuse.ts";
import { bodyBytes, lowerPointwise } from "./pointwise.ts";
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
  const rebind = (other: KernelSite): Launch => ({
    kernel,
    operands: [...other.operands, other.node.outputs[0] as Value].map(valueOperand),
    nodes: other.body.nodes.filter((inner) => inner.op !== "input" && inner.op !== "constant"),
    decision: "generic",
    rebind,
    ...(bytes === undefined ? {} : { bytes }),
  });
  return rebind(site);
}
