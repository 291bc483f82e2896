/** Qwen3: queries and keys of every head are normed before they are rotated. Reference: Yang et al., Qwen3 (2025). */

import type { Var } from "@quern/core";
import type { Architecture, Model } from "./architecture.ts";
import { experts, gated, silu } from "./feed-forward.ts";
import { readDecoder, readFeedForward } from "./hyperparameters.ts";
import { embedding, linear, project, rmsNorm } from "./layers.ts";
import { readRope } from "./rope-parameters.ts";
import { rotation } from "./rope.ts";

export const qwen3: Architecture = {
  name: "qwen3",

  read(keys) {
    const decoder = readDecoder(keys);
    return { ...decoder, feedForward: readFeedForward(keys), rope: readRope(keys, "halves", decoder.headDim) };
  },

  build: buildQwen3,
};

/** With mixtures of experts where the hyperparameters have them. */
export function buildQwen3({ hyper, weights, step }: Model): Var {
  const rotate = rotation(step.positions, hyper.rope!);
  let x = embedding(weights, step, hyper);
  for (let layer = 0; layer < hyper.layers; layer++) {
    const block = weights.block(layer);
    const { q, k, v } = project(block, rmsNorm(block, "attn_norm", x, hyper), hyper);
    const query = rotate(rmsNorm(block, "attn_q_norm", q, hyper));
    const key = rotate(rmsNorm(block, "attn_k_norm", k, hyper));
    const mixed = step.attend(layer, query, key, v);
    x = step.kept(layer, x).add(linear(block, "attn_output", mixed, hyper.width));
    const normed = rmsNorm(block, "ffn_norm", x, hyper);
    x = x.add(
      hyper.experts === undefined
        ? gated(block, normed, hyper, silu)
        : experts(block, normed, hyper.experts, hyper.width, silu),
    );
  }
  return rmsNorm(weights, "output_norm", x, hyper);
}
