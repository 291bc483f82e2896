/**
 * Small graphs for the cases of ops that carry sub-graphs. Written as literals, since the builder depends on the records.
 */

import type { Attrs, Graph, NamedValue, Node, TensorType, Value } from "../graph/graph.ts";

/** Grows one graph node by node. */
export class CaseGraph {
  readonly #nodes: Node[] = [];
  readonly #inputs: NamedValue[] = [];

  input(name: string, type: TensorType): Value {
    const [value] = this.node("input", [], { name, dtype: type.dtype, shape: type.shape }, [type]) as [Value];
    this.#inputs.push({ name, value });
    return value;
  }

  node(op: string, inputs: readonly Value[], attrs: Attrs, types: readonly TensorType[]): Value[] {
    const outputs: Value[] = [];
    const node: Node = { id: this.#nodes.length, op, inputs, attrs, outputs, name: undefined };
    types.forEach((type, index) => outputs.push({ node, index, type }));
    this.#nodes.push(node);
    return outputs;
  }

  build(name: string, outputs: Readonly<Record<string, Value>>): Graph {
    const named = Object.entries(outputs).map(([outputName, value]): NamedValue => ({ name: outputName, value }));
    return { name, inputs: this.#inputs, outputs: named, nodes: this.#nodes };
  }
}

/** A graph that applies one op to its inputs. */
export function singleNodeGraph(
  name: string,
  op: string,
  inputs: readonly TensorType[],
  output: TensorType,
  attrs: Attrs = {},
): Graph {
  const graph = new CaseGraph();
  const args = inputs.map((type, i) => graph.input(`x${i}`, type));
  const [result] = graph.node(op, args, attrs, [output]) as [Value];
  return graph.build(name, { y: result });
}
