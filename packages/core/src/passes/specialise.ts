/**
 * Replaces dimension symbols that the user fixed by their values, in types and attributes.
 */

import { type Dim, substituteDim } from "../dim.ts";
import { GraphBuilder } from "../graph/builder.ts";
import { type Attr, type Attrs, type Graph, type Value, isConstantData, isGraph } from "../graph/graph.ts";
import type { PassContext } from "./pass.ts";

export function specialise(graph: Graph, context: PassContext): Graph {
  if (Object.keys(context.bindings).length === 0) return graph;
  const replace = (dim: Dim): Dim => substituteDim(dim, (name) => context.bindings[name]);
  return specialiseGraph(graph, replace);
}

function specialiseGraph(graph: Graph, replace: (dim: Dim) => Dim): Graph {
  const builder = new GraphBuilder();
  const replaced = new Map<Value, Value>();
  for (const { name, value } of graph.inputs) {
    replaced.set(value, builder.input(name, value.type.dtype, value.type.shape.map(replace)));
  }
  for (const node of graph.nodes) {
    if (node.op === "input") continue;
    builder.sourceName = node.name;
    const attrs = replaceAttrs(node.attrs, replace);
    const known = node.outputs.map(({ type }) => ({ dtype: type.dtype, shape: type.shape.map(replace) }));
    const outputs = builder.apply(
      node.op,
      node.inputs.map((input) => input && (replaced.get(input) as Value)),
      attrs,
      known,
    );
    node.outputs.forEach((output, i) => replaced.set(output, outputs[i] as Value));
  }
  for (const { name, value } of graph.outputs) builder.output(name, replaced.get(value) as Value);
  return builder.build(graph.name);
}

function replaceAttrs(attrs: Attrs, replace: (dim: Dim) => Dim): Attrs {
  return Object.fromEntries(Object.entries(attrs).map(([key, attr]) => [key, replaceAttr(attr, replace)]));
}

function replaceAttr(attr: Attr, replace: (dim: Dim) => Dim): Attr {
  if (typeof attr !== "object") return attr;
  if (Array.isArray(attr)) return attr.map((item: Attr) => replaceAttr(item, replace));
  if (isGraph(attr as Attr)) return specialiseGraph(attr as Graph, replace);
  if (isConstantData(attr as Attr)) return attr;
  return replace(attr as Dim);
}
