/**
 * Constants stored in blocks stay so where the device has a kernel that reads the blocks; elsewhere they become plain f32.
 *
 * Runs before everything that looks at the elements of constants. In: any graph. Out: encoded constants are operands of
 * nodes for which `target.readsBlocks` says yes, and of nothing else.
 */

import { decodeConstant } from "../encoding/encoded.ts";
import { type ConstantData, type Graph, type Value, someNode } from "../graph/graph.ts";
import { rewriteGraph } from "../graph/rewrite.ts";
import { constantOf } from "./fold-constants.ts";
import type { PassContext } from "./pass.ts";

export function encodings(graph: Graph, { target }: PassContext): Graph {
  if (
    !someNode(graph, (node) => node.inputs.some((input) => encodedData(input) !== undefined)) &&
    !outputsEncoded(graph)
  )
    return graph;
  const rewritten = rewriteGraph(graph, (node, inputs, builder) => {
    if (!inputs.some((input) => encodedData(input) !== undefined)) return undefined;
    const plain = inputs.map((input, at) => {
      const data = encodedData(input);
      if (data === undefined || target.readsBlocks?.(node, at, data) === true) return input;
      return builder.constant(decodeConstant(data));
    });
    return builder.apply(
      node.op,
      plain,
      node.attrs,
      node.outputs.map(({ type }) => type),
    );
  });
  if (!outputsEncoded(rewritten)) return rewritten;
  return rewriteGraph(rewritten, (node, _inputs, builder) => {
    const value = node.outputs[0] as Value;
    const data = encodedData(value);
    const shown = rewritten.outputs.some((output) => output.value === value);
    return data === undefined || !shown ? undefined : [builder.constant(decodeConstant(data))];
  });
}

function encodedData(value: Value | undefined): ConstantData | undefined {
  const data = value === undefined ? undefined : constantOf(value);
  return data?.encoding === undefined ? undefined : data;
}

function outputsEncoded({ outputs }: Graph): boolean {
  return outputs.some(({ value }) => encodedData(value) !== undefined);
}
