/**
 * Shape propagation and folding: `Shape → Gather → Concat → Reshape` chains become static attributes.
 *
 * In: any graph. Out: every small integer value whose elements are known as dimensions is a `constant` or a
 * `dimTensor`, and ops with run-time shape arguments become their static forms where these arguments are known.
 * Data-dependent symbols that turn out to be known are replaced everywhere downstream by re-inference.
 */

import { type Dim, isStatic } from "../dim.ts";
import type { GraphBuilder } from "../graph/builder.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import { rewriteGraph } from "../graph/rewrite.ts";
import { findOp } from "../ops/registry.ts";
import { Tensor } from "../runtime/tensor.ts";

export function foldShapes(graph: Graph): Graph {
  return rewriteGraph(graph, (node, inputs, builder) => {
    if (node.op === "constant" || node.op === "dimTensor") return undefined;
    const op = findOp(node.op);
    if (op.dims !== undefined && node.outputs.length === 1) {
      const folded = foldToDims(node, inputs, builder);
      if (folded !== undefined) return [folded];
    }
    // Ops with run-time shape arguments decompose into their static forms as soon as the arguments are known.
    if (node.op.endsWith("Dynamic")) return op.decompose?.(builder, inputs, node.attrs);
    return undefined;
  });
}

function foldToDims(node: Node, inputs: readonly (Value | undefined)[], builder: GraphBuilder): Value | undefined {
  const { dtype } = (node.outputs[0] as Value).type;
  if (dtype !== "i64" && dtype !== "i32" && dtype !== "bool") return undefined;
  const op = findOp(node.op);
  const dims = op.dims?.(
    inputs.map((input) => input && builder.dims(input)),
    node.attrs,
    inputs.map((input) => input?.type),
  );
  if (dims === undefined) return undefined;
  const types = op.infer(
    inputs.map((input) => input?.type),
    node.attrs,
    { dims: (v) => builder.dims(v), freshDim: (h) => builder.freshDim(h) },
    inputs,
  );
  const shape = types[0]?.shape;
  if (shape === undefined || !isStatic(shape)) return undefined;
  if (dims.every((dim): dim is number => typeof dim === "number")) {
    return builder.constant({ dtype, shape, bytes: Tensor.from(dtype, dims, shape).bytes() });
  }
  return dtype === "i64"
    ? (builder.apply("dimTensor", [], { dims: [...dims] as Dim[], shape, dtype })[0] as Value)
    : undefined;
}
