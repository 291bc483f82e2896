/**
 * Recovers normalisations that exporters take apart, and folds those with constant statistics into convolutions.
 *
 * - (x - mean(x)) / sqrt(mean((x - mean(x))²) + ε)  =>  layerNorm(x); scale and bias stay as its epilogue.
 * - batchNorm(conv(x, w, b), γ, β, μ, σ²)  =>  conv(x, w·s, (b - μ)·s + β) with s = γ / sqrt(σ² + ε), for constants.
 */

import type { GraphBuilder } from "../graph/builder.ts";
import { type Graph, type Node, type Value, usesOf } from "../graph/graph.ts";
import { rewriteGraph } from "../graph/rewrite.ts";
import { Tensor } from "../runtime/tensor.ts";
import { constantOf } from "./fold-constants.ts";
import { splatOf } from "./simplify.ts";

export function foldNormalisation(graph: Graph): Graph {
  const uses = usesOf(graph);
  return rewriteGraph(graph, (node, inputs, builder) => {
    if (inputs.some((input) => input === undefined)) return undefined;
    if (node.op === "div") return recoverLayerNorm(inputs as Value[], builder);
    if (node.op !== "batchNorm") return undefined;
    const conv = node.inputs[0] as Value;
    const read = uses.get(conv);
    if (read === undefined || read.readers.length + read.outputs > 1) return undefined;
    return foldBatchNorm(node, inputs as Value[], builder);
  });
}

function recoverLayerNorm([centred, deviation]: readonly Value[], builder: GraphBuilder): readonly Value[] | undefined {
  if (centred?.node.op !== "sub" || deviation?.node.op !== "sqrt") return undefined;
  const [x, mean] = centred.node.inputs as Value[];
  const axis = trailingAxis(mean?.node, x);
  const shifted = (deviation.node.inputs[0] as Value).node;
  if (x === undefined || axis === undefined || shifted.op !== "add") return undefined;
  const [first, second] = shifted.inputs as Value[];
  const constantFirst = first !== undefined && constantOf(first) !== undefined;
  const variance = constantFirst ? second : first;
  const epsilon = splatOf((constantFirst ? first : second) as Value);
  const square = (variance?.node.inputs[0] as Value | undefined)?.node;
  if (epsilon === undefined || variance?.node.op !== "reduceMean" || square?.op !== "mul") return undefined;
  if (square.inputs[0] !== centred || square.inputs[1] !== centred) return undefined;
  if (trailingAxis(variance.node, centred) !== axis) return undefined;
  return builder.apply("layerNorm", [x], { axis, epsilon });
}

/** The first reduced axis, when `mean` is the mean of `x` over all axes from there to the end, kept. */
function trailingAxis(mean: Node | undefined, x: Value | undefined): number | undefined {
  if (mean?.op !== "reduceMean" || mean.inputs[0] !== x || x === undefined || mean.attrs["keepDims"] !== true) return undefined;
  const axes = [...(mean.attrs["axes"] as readonly number[])].sort((a, b) => a - b);
  const rank = x.type.shape.length;
  return axes.length > 0 && axes.every((axis, i) => axis === rank - axes.length + i) ? axes[0] : undefined;
}

function foldBatchNorm(node: Node, inputs: readonly Value[], builder: GraphBuilder): readonly Value[] | undefined {
  const [y, gamma, beta, mean, variance] = inputs as [Value, Value, Value, Value, Value];
  const conv = y.node;
  if (conv.op !== "conv" || y.type.dtype !== "f32") return undefined;
  const [x, weight, bias] = conv.inputs as [Value, Value, Value | undefined];
  const parameters = [weight, gamma, beta, mean, variance, ...(bias === undefined ? [] : [bias])];
  if (parameters.some((value) => constantOf(value) === undefined)) return undefined;
  const apply = (op: string, ...operands: Value[]): Value => builder.apply(op, operands)[0] as Value;
  const epsilon = builder.constant({ dtype: "f32", shape: [], bytes: Tensor.from("f32", [node.attrs["epsilon"] as number], []).bytes() });
  const scale = apply("div", gamma, apply("sqrt", apply("add", variance, epsilon)));
  const channels = weight.type.shape[0] as number;
  const column = builder.apply("reshape", [scale], { shape: [channels, ...weight.type.shape.slice(1).map(() => 1)] })[0] as Value;
  const centred = bias === undefined ? apply("neg", mean) : apply("sub", bias, mean);
  const folded = [x, apply("mul", weight, column), apply("add", apply("mul", centred, scale), beta)];
  return builder.apply("conv", folded, conv.attrs);
}
