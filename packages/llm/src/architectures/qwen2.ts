/** Qwen2 and Qwen2.5: llama with biases on queries, keys and values. Reference: Yang et al., Qwen2 (2024). */

import type { Architecture } from "./architecture.ts";
import { gated, silu } from "./feed-forward.ts";
import { readDecoder, readFeedForward } from "./hyperparameters.ts";
import { embedding, linear, project, rmsNorm } from "./layers.ts";
import { readRope } from "./rope-parameters.ts";
import { rotation } from "./rope.ts";

export const qwen2: Architecture = {
  name: "qwen2",

  read(keys) {
    const decoder = readDecoder(keys);
    return { ...decoder, feedForward: readFeedForward(keys), rope: readRope(keys, "halves", decoder.headDim) };
  },

  build({ hyper, weights, step }) {
    const rotate = rotation(step.positions, hyper.rope!);
    let x = embedding(weights, step, hyper);
    for (let layer = 0; layer < hyper.layers; layer++) {
      const block = weights.block(layer);
      const { q, k, v } = project(block, rmsNorm(block, "attn_norm", x, hyper), hyper, "required");
      const mixed = step.attend(layer, rotate(q), rotate(k), v);
      x = step.kept(layer, x).add(linear(block, "attn_output", mixed, hyper.width));
      x = x.add(gated(block, rmsNorm(block, "ffn_norm", x, hyper), hyper, silu));
    }
    return rmsNorm(weights, "output_norm", x, hyper);
  },
};
