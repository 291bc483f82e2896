/**
 * Recovers normalisations that exporters take apart, and folds those with constant statistics into convolutions.
 *
 * - (x - mean(x)) / sqrt(mean((x - mean(x))²) + ε)  =>  layerNorm(x); scale and bias stay as its epilogue.
 * - batchNorm(conv(x, w, b), γ, β, μ, σ²)  =>  conv(x, w·s, (b - μ)·s + β) with s = γ / sqrt(σ² + ε), for constants.
 */

import type { GraphBuilder } from "../graph/builder.ts";
import { type Graph, type Node, type Value, someNode, usesOf } from "../graph/graph.ts";
import { rewriteGraph } from "../graph/rewrite.ts";
import { constantOf } from "./fold-constants.ts";
import { splatOf } from "./simplify.ts";

export function foldNormalisation(graph: Graph): Graph {
  if (!someNode(graph, ({ op }) => op === "div" || op === "batchNorm")) return graph;
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
  if (epsilon === undefined || variance?.node.op !== "reduceMean") return undefined;
  if ((square?.op !== "mul" && square?.op !== "square") || square.inputs.some((input) => input !== centred))
    return undefined;
  if (trailingAxis(variance.node, variance.node.inputs[0]) !== axis) return undefined;
  return builder.apply("layerNorm", [x], { axis, epsilon });
}

/** The first reduced axis, when `mean` is the mean of `x` over all axes from there to the end, kept. */
function trailingAxis(mean: Node | undefined, x: Value | undefined): number | undefined {
  if (mean?.op !== "reduceMean" || mean.inputs[0] !== x || x === undefined || mean.attrs["keepDims"] !== true)
    return undefined;
  const axes = [...(mean.attrs["axes"] as readonly number[])].sort((a, b) => a - b);
  const rank = x.type.shape.length;
  return axes.length > 0 && axes.every((axis, i) => axis === rank - axes.length + i) ? axes[0] : undefined;
}

function foldBatchNorm(node: Node, inputs: readonly Value[], builder: GraphBuilder): readonly Value[] | undefined {
  const [y, ...statistics] = inputs as [Value, Value, Value, Value, Value];
  const conv = y.node;
  if (conv.op !== "conv" || y.type.dtype !== "f32") return undefined;
  const [x, weight, bias] = conv.inputs as [Value, Value, Value | undefined];
  const [w, b] = [elementsOf(weight), bias === undefined ? new Float32Array(0) : elementsOf(bias)];
  const [gamma, beta, mean, variance] = statistics.map(elementsOf);
  if (!w || !b || !gamma || !beta || !mean || !variance) return undefined;
  const epsilon = node.attrs["epsilon"] as number;
  const perChannel = w.length / gamma.length;
  const foldedWeight = new Float32Array(w.length);
  const foldedBias = new Float32Array(gamma.length);
  for (let channel = 0; channel < gamma.length; channel++) {
    const scale = (gamma[channel] as number) / Math.sqrt((variance[channel] as number) + epsilon);
    foldedBias[channel] = ((b[channel] ?? 0) - (mean[channel] as number)) * scale + (beta[channel] as number);
    for (let i = channel * perChannel; i < (channel + 1) * perChannel; i++) foldedWeight[i] = (w[i] as number) * scale;
  }
  const constant = (data: Float32Array, shape: readonly number[]): Value =>
    builder.constant({ dtype: "f32", shape, bytes: new Uint8Array(data.buffer) });
  return builder.apply(
    "conv",
    [x, constant(foldedWeight, weight.type.shape as number[]), constant(foldedBias, [gamma.length])],
    conv.attrs,
  );
}

/** The elements of an f32 constant. */
function elementsOf(value: Value): Float32Array | undefined {
  const data = constantOf(value);
  if (data?.dtype !== "f32") return undefined;
  const aligned = data.bytes.byteOffset % 4 === 0 ? data.bytes : new Uint8Array(data.bytes);
  return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
}
