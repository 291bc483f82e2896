/**
 * Arithmetic that no implementation of a graph can do without: two operations for each multiply-add of its float products,
 * convolutions and recurrent layers. Elementwise work is not counted, so that the number is a lower bound.
 *
 * In: a graph as it was imported, and values for the symbols of its shapes. Out: the number, or null where a size depends on
 * data, or where a product lies in a branch or a loop, of which nobody knows whether it runs.
 */

import {
  UserError,
  evaluateShape,
  isFloat,
  isGraph,
  type Attr,
  type DimBindings,
  type Graph,
  type Node,
  type TensorType,
} from "@quern/core";

type Sizes = readonly number[];

/** Multiply-adds from the sizes of inputs and of the first output. */
type Count = (inputs: readonly Sizes[], output: Sizes, node: Node) => number;

function product(sizes: Sizes): number {
  return sizes.reduce((all, size) => all * size, 1);
}

/** Inputs x, w, r: every entry of every step meets all weights once. */
const recurrent: Count = ([x = [], w = [], r = []]) => product(x.slice(0, 2)) * (product(w) + product(r));

/** Ops with products; null: their number is not known here. */
const COUNTS: Readonly<Record<string, Count | null>> = {
  matmul: ([a = []], output, { attrs }) =>
    product(output) * (a.at(attrs["transposeA"] === true && a.length > 1 ? -2 : -1) ?? 1),
  // Weights are [outputs, inputs / groups, kernel…]
  conv: ([, w = []], output) => product(output) * product(w.slice(1)),
  // Weights are [inputs, outputs / groups, kernel…]
  convTranspose: ([x = [], w = []]) => product(x) * product(w.slice(1)),
  lstm: recurrent,
  gru: recurrent,
  rnn: recurrent,
  attention: null,
  convInteger: null,
  einsum: null,
  matmulInteger: null,
};

export function graphFlops(graph: Graph, bindings: DimBindings): number | null {
  let multiplyAdds = 0;
  for (const node of graph.nodes) {
    const found = Object.values(node.attrs).some(holdsProducts) ? null : countOf(node, bindings);
    if (found === null) return null;
    multiplyAdds += found;
  }
  return multiplyAdds === 0 ? null : 2 * multiplyAdds;
}

/**
 * Whether a product has an operand that follows from dequantised integers, with no other product between: there an engine may
 * multiply the integers, at a higher rate than floats.
 */
export function multipliesDequantised(graph: Graph): boolean {
  const following = new Set<Node>();
  for (const node of graph.nodes) {
    const follows = node.inputs.some((input) => input !== undefined && following.has(input.node));
    if (Object.hasOwn(COUNTS, node.op)) {
      if (follows) return true;
    } else if (follows || node.op === "dequantizeLinear") following.add(node);
  }
  return false;
}

function countOf(node: Node, bindings: DimBindings): number | null {
  if (!Object.hasOwn(COUNTS, node.op)) return 0;
  // Products of constants are computed once, when the graph is compiled.
  if (node.inputs.every((input) => input === undefined || input.node.op === "constant")) return 0;
  const count = COUNTS[node.op] ?? null;
  const output = node.outputs[0]?.type as TensorType;
  if (count === null || !isFloat(output.dtype)) return null;
  try {
    const inputs = node.inputs.map((input) => evaluateShape(input?.type.shape ?? [], bindings));
    return count(inputs, evaluateShape(output.shape, bindings), node);
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}

function holdsProducts(attr: Attr): boolean {
  if (Array.isArray(attr)) return (attr as readonly Attr[]).some(holdsProducts);
  if (!isGraph(attr)) return false;
  return attr.nodes.some(({ op, attrs }) => Object.hasOwn(COUNTS, op) || Object.values(attrs).some(holdsProducts));
}
