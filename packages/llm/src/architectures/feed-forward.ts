/** Feed-forward layers `[T, width]` to `[T, width]`: gated ones, plain ones, and mixtures of experts. */

import type { Var } from "@quern/core";
import type { Experts, Hyperparameters } from "./hyperparameters.ts";
import { type Bias, linear } from "./layers.ts";
import type { Weights } from "./weights.ts";

export type Activation = (x: Var) => Var;

export const silu: Activation = (x) => x.silu();

/** The tanh approximation, with which the models that GGUF calls "gelu" were trained. */
export const geluTanh: Activation = (x) => x.gelu({ approximate: "tanh" });

/** down(activation(gate · x) ⊙ up · x), Shazeer, GLU variants (2020): SwiGLU with silu, GeGLU with gelu. */
export function gated(weights: Weights, x: Var, { feedForward, width }: Hyperparameters, activation: Activation): Var {
  const gate = linear(weights, "ffn_gate", x, feedForward);
  const up = linear(weights, "ffn_up", x, feedForward);
  return linear(weights, "ffn_down", activation(gate).mul(up), width);
}

/** The same with the rows of the gate on top of those of `up` in one matrix. */
export function gatedFused(
  weights: Weights,
  x: Var,
  { feedForward, width }: Hyperparameters,
  activation: Activation,
): Var {
  const [gate, up] = weights.named("ffn_up", () =>
    weights
      .stacked("ffn_up.weight", [feedForward, feedForward], width)
      .map((part) => x.matmul(part, { transposeB: true })),
  ) as [Var, Var];
  return linear(weights, "ffn_down", activation(gate).mul(up), width);
}

/** down(activation(up · x)). */
export function plain(
  weights: Weights,
  x: Var,
  { feedForward, width }: Hyperparameters,
  activation: Activation,
  bias: Bias,
): Var {
  return linear(weights, "ffn_down", activation(linear(weights, "ffn_up", x, feedForward, bias)), width, bias);
}

/**
 * A mixture of gated experts: a router scores them by softmax, the best `used` take part, weighted by their scores over
 * the sum of those. Only they are computed.
 */
export function experts(weights: Weights, x: Var, experts: Experts, width: number, activation: Activation): Var {
  const { count, feedForward } = experts;
  const { share, ids } = weights.named("ffn_gate_inp", () => routed(weights, x, experts));
  const each = (name: string, input: Var, out: number): Var =>
    weights.named(name, () =>
      input.expertMatmul(ids, weights.get(`${name}.weight`, [count, out, input.shape.at(-1) as number])),
    );
  const inner = activation(each("ffn_gate_exps", x, feedForward)).mul(each("ffn_up_exps", x, feedForward));
  return each("ffn_down_exps", inner, width).mul(share.unsqueeze(2)).sum({ axes: 1 });
}

/** The experts of every token and their weights, `[T, used]`. */
function routed(weights: Weights, x: Var, { count, used }: Experts): { readonly ids: Var; readonly share: Var } {
  const { scope } = weights;
  const scores = linear(weights, "ffn_gate_inp", x, count).softmax();
  const [best, ids] = scope.apply("topK", [scores, scope.constant("i64", [used])], {
    axis: 1,
    largest: true,
    sorted: true,
  }) as [Var, Var];
  return { ids, share: best.div(best.sum({ axes: 1, keepDims: true })) };
}
