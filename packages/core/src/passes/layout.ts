/**
 * Layout: convolutions and pooling move to channels-last, and the transposes this needs sink towards the outputs.
 *
 * In: ops with attribute `layout: "nchw"`. Out: the same ops with `layout: "nhwc"` between transposes; a transpose sinks
 * through pointwise ops, concatenation, padding, slices, resizing and reductions, so that between two convolutions it
 * meets its inverse and both vanish. What remains stands at the edges of the convolutional part.
 */

import type { Dim } from "../dim.ts";
import type { GraphBuilder } from "../graph/builder.ts";
import type { Attr, Attrs, Graph, Node, Value } from "../graph/graph.ts";
import { copyNode, rewriteGraph } from "../graph/rewrite.ts";
import { findOp } from "../ops/registry.ts";
import type { PassContext } from "./pass.ts";

export function layout(graph: Graph, context: PassContext): Graph {
  if (context.target.convLayout === "nchw") return graph;
  return rewriteGraph(graph, (node, inputs, builder) => {
    // Positions of maxima (a second output) count in the order of the original layout.
    if (node.attrs["layout"] === "nchw" && node.outputs.length === 1) return channelsLast(builder, node, inputs);
    return sinkTransposes(builder, node, inputs);
  });
}

/** Order that moves axis 1 to the end, and back. */
function toLast(rank: number): number[] {
  return [0, ...Array.from({ length: rank - 2 }, (_, i) => i + 2), 1];
}

function toSecond(rank: number): number[] {
  return [0, rank - 1, ...Array.from({ length: rank - 2 }, (_, i) => i + 1)];
}

/** A transposed value; transposes of transposes are composed at once, so that inverses cancel here. */
export function transposed(builder: GraphBuilder, value: Value, perm: readonly number[]): Value {
  let source = value;
  let order = perm;
  if (value.node.op === "transpose") {
    const inner = value.node.attrs["perm"] as readonly number[];
    source = value.node.inputs[0] as Value;
    order = perm.map((axis) => inner[axis] as number);
  }
  return order.every((axis, i) => axis === i)
    ? source
    : (builder.apply("transpose", [source], { perm: [...order] })[0] as Value);
}

function channelsLast(builder: GraphBuilder, node: Node, inputs: readonly (Value | undefined)[]): readonly Value[] {
  const x = inputs[0] as Value;
  const rank = x.type.shape.length;
  const moved = [transposed(builder, x, toLast(rank)), ...inputs.slice(1)];
  const outputs = builder.apply(node.op, moved, { ...node.attrs, layout: "nhwc" });
  return outputs.map((output) => transposed(builder, output, toSecond(rank)));
}

function sinkTransposes(
  builder: GraphBuilder,
  node: Node,
  inputs: readonly (Value | undefined)[],
): readonly Value[] | undefined {
  const perm = commonPerm(inputs);
  if (perm === undefined || node.outputs.length !== 1) return undefined;
  const op = findOp(node.op);
  if (node.op === "transpose") {
    return [transposed(builder, inputs[0] as Value, node.attrs["perm"] as readonly number[])];
  }
  if (op.pointwise !== undefined) {
    const sources = inputs.map((input) => (input === undefined ? undefined : untransposed(builder, input, perm)));
    if (inputs.some((input, i) => input !== undefined && sources[i] === undefined)) return undefined;
    return [transposed(builder, copyNode(builder, node, sources)[0] as Value, perm)];
  }
  const attrs = permutedAttrs(node, perm);
  if (attrs === undefined) return undefined;
  const [first, ...rest] = inputs;
  const movable = node.op === "concat" ? inputs : [first];
  const sources = movable.map((input) => untransposed(builder, input as Value, perm));
  if (sources.some((source) => source === undefined)) return undefined;
  const output = builder.apply(node.op, node.op === "concat" ? sources : [sources[0], ...rest], attrs)[0] as Value;
  return [transposed(builder, output, perm)];
}

/** The order of the transposes among the inputs, when all that are transposed agree. */
function commonPerm(inputs: readonly (Value | undefined)[]): readonly number[] | undefined {
  let perm: readonly number[] | undefined;
  for (const input of inputs) {
    if (input?.node.op !== "transpose") continue;
    const own = input.node.attrs["perm"] as readonly number[];
    if (perm !== undefined && perm.join() !== own.join()) return undefined;
    perm = own;
  }
  return perm;
}

/** The value whose transpose is `value`: its source, a moved constant, or a value of few axes which broadcasts. */
function untransposed(builder: GraphBuilder, value: Value, perm: readonly number[]): Value | undefined {
  const { node, type } = value;
  if (node.op === "transpose") return node.inputs[0];
  if (type.shape.every((dim) => dim === 1)) return builder.apply("reshape", [value], { shape: [] })[0];
  const rank = perm.length;
  // Values with at most one axis of size > 1 (biases, per-channel scales) are moved by a free reshape.
  const wide = [...Array.from({ length: rank - type.shape.length }, () => 1 as Dim), ...type.shape];
  const target: Dim[] = [];
  perm.forEach((from, to) => (target[from] = wide[to] as Dim));
  const free = wide.filter((dim) => dim !== 1).length <= 1;
  if (free) return builder.apply("reshape", [value], { shape: target })[0];
  if (node.op !== "constant") return undefined;
  const inverse: number[] = [];
  perm.forEach((from, to) => (inverse[from] = to));
  const full = builder.apply("reshape", [value], { shape: wide })[0] as Value;
  return transposed(builder, full, inverse);
}

/**
 * Attributes of an op applied before instead of after `perm`; `undefined` where the op does not commute.
 * Axis a after the transpose is axis perm[a] before it.
 */
function permutedAttrs(node: Node, perm: readonly number[]): Attrs | undefined {
  const { attrs } = node;
  const spread = (key: string): Attr => {
    const moved: Attr[] = [];
    (attrs[key] as readonly Attr[]).forEach((item, axis) => (moved[perm[axis] as number] = item));
    return moved;
  };
  switch (node.op) {
    case "concat":
      return { ...attrs, axis: perm[attrs["axis"] as number] as number };
    case "pad":
      return { ...attrs, before: spread("before"), after: spread("after") };
    case "slice":
      return { ...attrs, starts: spread("starts"), sizes: spread("sizes"), steps: spread("steps") };
    case "resize":
      return attrs["roi"] === undefined ? { ...attrs, sizes: spread("sizes"), scales: spread("scales") } : undefined;
    case "reduceSum":
    case "reduceMean":
    case "reduceMax":
    case "reduceMin":
    case "reduceProd":
      if (attrs["keepDims"] !== true) return undefined;
      return {
        ...attrs,
        axes: (attrs["axes"] as readonly number[]).map((axis) => perm[axis] as number).sort((a, b) => a - b),
      };
    default:
      return undefined;
  }
}
