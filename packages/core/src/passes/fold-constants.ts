/**
 * Constant folding: nodes whose inputs are all constants are evaluated by the reference interpreter.
 *
 * Results larger than both the limit and the inputs together stay in the graph: folding an `expand` or a `range` would
 * trade a cheap kernel for memory traffic and file size.
 */

import { isStatic, shapeSize } from "../dim.ts";
import type { ConstantData, Graph, Node, Value } from "../graph/graph.ts";
import { isConstantData, isGraph, someNode } from "../graph/graph.ts";
import { rewriteGraph } from "../graph/rewrite.ts";
import { findOp } from "../ops/registry.ts";
import { transposeConstant } from "./move-constant.ts";
import { evaluateConstantNode } from "../runtime/reference.ts";

const MAX_FOLDED_ELEMENTS = 1 << 16;

export function foldConstants(graph: Graph): Graph {
  if (!someNode(graph, mayFold)) return graph;
  return rewriteGraph(graph, (node, inputs, builder) => {
    const op = findOp(node.op);
    if (node.op === "constant" || node.op === "dimTensor" || op.impure === true || op.reference === undefined)
      return undefined;
    if (Object.values(node.attrs).some(isGraph)) return undefined;
    const constants = inputs.map((input) => (input === undefined ? undefined : constantOf(input)));
    if (inputs.some((input, i) => input !== undefined && constants[i] === undefined)) return undefined;
    if (!foldable(node, constants)) return undefined;
    const [first] = constants;
    if (node.op === "reshape" && first !== undefined) {
      // The same bytes, whatever their size; a weight stays a view on its file.
      return [
        builder.constant({
          dtype: first.dtype,
          shape: (node.outputs[0] as Value).type.shape as number[],
          bytes: first.bytes,
        }),
      ];
    }
    if (node.op === "transpose" && first !== undefined)
      return [builder.constant(transposeConstant(first, node.attrs["perm"] as readonly number[]))];
    return evaluateConstantNode(node, constants).map((data) => builder.constant(data));
  });
}

/** True when nothing but constants goes in. */
function mayFold({ op, inputs }: Node): boolean {
  if (op === "constant" || op === "input" || op === "dimTensor") return false;
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i];
    if (input !== undefined && input.node.op !== "constant") return false;
  }
  return true;
}

/** The data of a constant value. */
export function constantOf(value: Value): ConstantData | undefined {
  const { node } = value;
  return node.op === "constant" && isConstantData(node.attrs["value"]) ? node.attrs["value"] : undefined;
}

function foldable(node: Node, constants: readonly (ConstantData | undefined)[]): boolean {
  let inputElements = 0;
  for (const data of constants) if (data !== undefined) inputElements += data.shape.reduce((n, dim) => n * dim, 1);
  for (const { type } of node.outputs) {
    if (!isStatic(type.shape)) return false;
    if ((shapeSize(type.shape) as number) > Math.max(MAX_FOLDED_ELEMENTS, inputElements)) return false;
  }
  return true;
}
