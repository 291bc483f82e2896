/**
 * The one traversal that rebuilds graphs. A pass gives a function that maps a node, with its inputs already rewritten,
 * to replacement values, or `undefined` to keep it. Equal nodes are shared and unused nodes vanish on the way.
 */

import { type Dim, collectSymbols, sameShape } from "../dim.ts";
import { GraphBuilder } from "./builder.ts";
import { type Attr, type Attrs, type Graph, type Node, type Value, isGraph } from "./graph.ts";

/** Replaces one node; returns its new outputs, or `undefined` to keep the node with the new inputs. */
export type NodeRewrite = (
  node: Node,
  inputs: readonly (Value | undefined)[],
  builder: GraphBuilder,
) => readonly Value[] | undefined;

export interface RewriteOptions {
  /** Also rewrite the sub-graphs of control-flow nodes and groups (default true). */
  readonly subgraphs?: boolean;
}

/** The rewritten graph; inputs and outputs keep names and order. */
export function rewriteGraph(graph: Graph, rewrite: NodeRewrite, options: RewriteOptions = {}): Graph {
  const builder = new GraphBuilder(nextFreshDim(graph));
  const replaced = new Map<Value, Value>();
  for (const { name, value } of graph.inputs)
    replaced.set(value, builder.input(name, value.type.dtype, value.type.shape));
  for (const node of graph.nodes) {
    if (node.op === "input") continue;
    builder.sourceName = node.name;
    const inputs = node.inputs.map((input) => (input === undefined ? undefined : replaced.get(input)));
    const attrs = options.subgraphs === false ? node.attrs : rewriteSubgraphs(node.attrs, rewrite, options);
    const outputs = rewrite(node, inputs, builder) ?? copyNode(builder, node, inputs, attrs);
    node.outputs.forEach((output, i) => replaced.set(output, outputs[i] as Value));
  }
  for (const { name, value } of graph.outputs) builder.output(name, replaced.get(value) as Value);
  return builder.build(graph.name);
}

/** Applies a node's op to other inputs. Types are inferred again only where those of the inputs changed. */
export function copyNode(
  builder: GraphBuilder,
  node: Node,
  inputs: readonly (Value | undefined)[],
  attrs: Attrs = node.attrs,
): readonly Value[] {
  const unchanged = node.inputs.every((old, i) => {
    const now = inputs[i];
    if (old === undefined || now === undefined) return old === now;
    return old.type.dtype === now.type.dtype && sameShape(old.type.shape, now.type.shape);
  });
  return builder.apply(node.op, inputs, attrs, unchanged ? node.outputs.map((output) => output.type) : undefined);
}

/** First number not used by a data-dependent symbol (`name$number`) in the types of `graph`. */
function nextFreshDim(graph: Graph): number {
  let names: Set<string> | undefined;
  for (const { outputs } of graph.nodes) {
    for (let i = 0; i < outputs.length; i++) {
      const { shape } = (outputs[i] as Value).type;
      for (let axis = 0; axis < shape.length; axis++) {
        const dim = shape[axis] as Dim;
        if (typeof dim !== "number") collectSymbols(dim, (names ??= new Set()));
      }
    }
  }
  if (names === undefined) return 0;
  return Math.max(-1, ...[...names].map((name) => Number(/\$(\d+)$/.exec(name)?.[1] ?? -1))) + 1;
}

function rewriteSubgraphs(attrs: Attrs, rewrite: NodeRewrite, options: RewriteOptions): Attrs {
  let hasGraph = false;
  for (const key in attrs) if (isGraph(attrs[key])) hasGraph = true;
  if (!hasGraph) return attrs;
  const entries = Object.entries(attrs).map(([key, attr]): [string, Attr] =>
    isGraph(attr) ? [key, rewriteGraph(attr, rewrite, options)] : [key, attr],
  );
  return Object.fromEntries(entries);
}

/** Copies the nodes of `graph` into `builder` with the given values for its inputs; returns its outputs. */
export function inlineGraph(builder: GraphBuilder, graph: Graph, inputs: readonly Value[]): Value[] {
  const replaced = new Map<Value, Value>();
  graph.inputs.forEach((input, i) => replaced.set(input.value, inputs[i] as Value));
  for (const node of graph.nodes) {
    if (node.op === "input") continue;
    builder.sourceName = node.name;
    const outputs = copyNode(
      builder,
      node,
      node.inputs.map((input) => input && replaced.get(input)),
    );
    node.outputs.forEach((output, i) => replaced.set(output, outputs[i] as Value));
  }
  return graph.outputs.map((output) => replaced.get(output.value) as Value);
}
