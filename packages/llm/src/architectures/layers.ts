/**
 * Pieces that decoders are made of. Each takes the weights of its block and the names that GGUF gives its tensors.
 */

import type { Var } from "@quern/core";
import type { Hyperparameters } from "./hyperparameters.ts";
import type { Step } from "./step.ts";
import type { Weights } from "./weights.ts";

/** Whether a layer has biases: those that a file has are added, or it must have them. */
export type Bias = "where given" | "required";

/** Queries `[T, heads, headDim]`, keys and values `[T, kvHeads, headDim]`. */
export interface Projections {
  readonly q: Var;
  readonly k: Var;
  readonly v: Var;
}

/** x · weightᵀ + bias: `[T, in]` to `[T, out]`. */
export function linear(weights: Weights, name: string, x: Var, out: number, bias: Bias = "where given"): Var {
  return weights.named(name, () => {
    const y = x.matmul(weights.get(`${name}.weight`, [out, x.shape.at(-1) as number]), { transposeB: true });
    return addBias(weights, name, y, out, bias);
  });
}

function addBias(weights: Weights, name: string, y: Var, size: number, bias: Bias): Var {
  const given = bias === "required" ? weights.get(`${name}.bias`, [size]) : weights.find(`${name}.bias`, [size]);
  return given === undefined ? y : y.add(given);
}

/** Scale by the root of the mean square of the last axis, then by the weight. */
export function rmsNorm(weights: Weights, name: string, x: Var, { epsilon }: Hyperparameters): Var {
  return weights.named(name, () =>
    x.rmsNorm({ scale: weights.get(`${name}.weight`, [x.shape.at(-1) as number]), epsilon }),
  );
}

/** To mean 0 and variance 1 along the last axis, then weight and bias. */
export function layerNorm(weights: Weights, name: string, x: Var, { epsilon }: Hyperparameters): Var {
  const size = [x.shape.at(-1) as number];
  return weights.named(name, () =>
    x.layerNorm({ scale: weights.get(`${name}.weight`, size), bias: weights.get(`${name}.bias`, size), epsilon }),
  );
}

/** The rows of the tokens of the step: `[T, width]`. */
export function embedding(weights: Weights, step: Step, { vocabulary, width }: Hyperparameters): Var {
  return weights.named("token_embd", () => weights.get("token_embd.weight", [vocabulary, width]).gather(step.tokens));
}

/** Logits `[O, vocabulary]` of a normed state: by the output matrix, or by the embedding where the file has none. */
export function logits(weights: Weights, hidden: Var, { vocabulary, logitSoftcap }: Hyperparameters): Var {
  const name = weights.has("output.weight") ? "output" : "token_embd";
  return softcap(linear(weights, name, hidden, vocabulary), logitSoftcap);
}

/** cap · tanh(x / cap); x for a cap of 0. */
function softcap(x: Var, cap: number): Var {
  return cap === 0 ? x : x.div(cap).tanh().mul(cap);
}

/** Queries, keys and values by a matrix each, or by one that holds the three on top of each other. */
export function project(weights: Weights, x: Var, hyper: Hyperparameters, bias: Bias = "where given"): Projections {
  const { heads, kvHeads, headDim } = hyper;
  const [q, k, v] = (weights.has("attn_qkv.weight") ? fused : separate)(
    weights,
    x,
    [heads * headDim, kvHeads * headDim, kvHeads * headDim],
    bias,
  );
  return { q: split(q, heads, headDim), k: split(k, kvHeads, headDim), v: split(v, kvHeads, headDim) };
}

type Sizes = readonly [q: number, k: number, v: number];

function separate(weights: Weights, x: Var, [q, k, v]: Sizes, bias: Bias): [Var, Var, Var] {
  return [
    linear(weights, "attn_q", x, q, bias),
    linear(weights, "attn_k", x, k, bias),
    linear(weights, "attn_v", x, v, bias),
  ];
}

/** Three products with rows of the one matrix: results come out apart, and the weights are not copied. */
function fused(weights: Weights, x: Var, sizes: Sizes, bias: Bias): [Var, Var, Var] {
  const total = sizes[0] + sizes[1] + sizes[2];
  return weights.named("attn_qkv", () => {
    const parts = weights.stacked("attn_qkv.weight", sizes, x.shape.at(-1) as number);
    const whole = bias === "required" ? weights.get("attn_qkv.bias", [total]) : weights.find("attn_qkv.bias", [total]);
    let first = 0;
    const results = parts.map((part, index) => {
      const y = x.matmul(part, { transposeB: true });
      const [from, to] = [first, (first += sizes[index] as number)];
      return whole === undefined ? y : y.add(whole.slice(0, from, to));
    });
    return results as [Var, Var, Var];
  });
}

function split(x: Var, heads: number, headDim: number): Var {
  return x.reshape([x.shape[0]!, heads, headDim]);
}
