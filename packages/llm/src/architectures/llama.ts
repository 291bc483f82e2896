/**
 * Llama and what is built like it: Mistral, TinyLlama, SmolLM; with experts, Mixtral.
 * References: Touvron et al., LLaMA (2023); Jiang et al., Mistral 7B (2023), for the window; Mixtral of Experts (2024).
 */

import type { Architecture } from "./architecture.ts";
import { experts, gated, silu } from "./feed-forward.ts";
import { readDecoder, readExperts, readFeedForward } from "./hyperparameters.ts";
import { LIMITS } from "./keys.ts";
import { embedding, linear, project, rmsNorm } from "./layers.ts";
import { readRope } from "./rope-parameters.ts";
import { rotation } from "./rope.ts";

export const llama: Architecture = {
  name: "llama",

  read(keys) {
    const decoder = readDecoder(keys);
    const window = keys.count("attention.sliding_window", LIMITS.context, 0);
    const mixture = readExperts(keys);
    return {
      ...decoder,
      feedForward: readFeedForward(keys),
      windows: decoder.windows.map(() => window),
      // Converters reorder the rows of queries and keys so that pairs are neighbours.
      rope: readRope(keys, "neighbours", decoder.headDim),
      ...(mixture === undefined ? {} : { experts: mixture }),
    };
  },

  build({ hyper, weights, step }) {
    const { layers, width, rope } = hyper;
    // Llama 3 stretches slow pairs by divisors in a tensor.
    const rotate = rotation(step.positions, rope!, weights.numbers("rope_freqs.weight", [rope!.dims / 2]));
    let x = embedding(weights, step, hyper);
    for (let layer = 0; layer < layers; layer++) {
      const block = weights.block(layer);
      const { q, k, v } = project(block, rmsNorm(block, "attn_norm", x, hyper), hyper);
      const mixed = step.attend(layer, rotate(q), rotate(k), v);
      x = step.kept(layer, x).add(linear(block, "attn_output", mixed, width));
      const normed = rmsNorm(block, "ffn_norm", x, hyper);
      x = x.add(
        hyper.experts === undefined
          ? gated(block, normed, hyper, silu)
          : experts(block, normed, hyper.experts, width, silu),
      );
    }
    return rmsNorm(weights, "output_norm", x, hyper);
  },
};
