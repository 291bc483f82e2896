/**
 * GPT-2: learned positions, layer norms, biases everywhere. Reference: Radford et al., Language Models are Unsupervised
 * Multitask Learners (2019).
 */

import type { Architecture } from "./architecture.ts";
import { geluTanh, plain } from "./feed-forward.ts";
import { readDecoder, readFeedForward } from "./hyperparameters.ts";
import { embedding, layerNorm, linear, project } from "./layers.ts";

export const gpt2: Architecture = {
  name: "gpt2",

  read: (keys) => ({
    ...readDecoder(keys, "attention.layer_norm_epsilon"),
    feedForward: readFeedForward(keys),
  }),

  build({ hyper, weights, step }) {
    const { layers, width, contextLength } = hyper;
    const places = weights.get("position_embd.weight", [contextLength, width]);
    let x = embedding(weights, step, hyper).add(places.gather(step.positions));
    for (let layer = 0; layer < layers; layer++) {
      const block = weights.block(layer);
      const { q, k, v } = project(block, layerNorm(block, "attn_norm", x, hyper), hyper, "required");
      const mixed = step.attend(layer, q, k, v);
      x = step.kept(layer, x).add(linear(block, "attn_output", mixed, width, "required"));
      x = x.add(plain(block, layerNorm(block, "ffn_norm", x, hyper), hyper, geluTanh, "required"));
    }
    return layerNorm(weights, "output_norm", x, hyper);
  },
};
