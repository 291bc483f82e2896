/**
 * Replaces ops that the device does not keep by simpler ones, through the `decompose` of their records.
 *
 * Repeats until nothing changes, since a decomposition may use ops that decompose again.
 */

import { type Graph, someNode } from "../graph/graph.ts";
import { inlineGraph, rewriteGraph } from "../graph/rewrite.ts";
import { findOp } from "../ops/registry.ts";
import { constantOf } from "./fold-constants.ts";
import type { PassContext } from "./pass.ts";

const MAX_ROUNDS = 8;

export function decompose(graph: Graph, context: PassContext): Graph {
  let current = graph;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    let changed = false;
    if (!someNode(current, ({ op }) => !context.target.keeps(op) && findOp(op).decompose !== undefined)) return current;
    current = rewriteGraph(current, (node, inputs, builder) => {
      if (context.target.keeps(node.op)) return undefined;
      const outputs = findOp(node.op).decompose?.(builder, inputs, node.attrs);
      if (outputs !== undefined) changed = true;
      return outputs;
    });
    if (!changed) return current;
  }
  return current;
}

/** `if` with a constant condition becomes the branch which runs. */
export function foldBranches(graph: Graph): Graph {
  if (!someNode(graph, (node) => node.op === "if")) return graph;
  return rewriteGraph(graph, (node, inputs, builder) => {
    if (node.op !== "if") return undefined;
    const [condition, ...captured] = inputs;
    const data = condition === undefined ? undefined : constantOf(condition);
    if (data === undefined) return undefined;
    const branch = node.attrs[data.bytes[0] === 0 ? "else" : "then"] as Graph;
    return inlineGraph(
      builder,
      branch,
      captured.map((value) => value ?? never()),
    );
  });
}

function never(): never {
  throw new TypeError("an `if` has no optional inputs");
}
