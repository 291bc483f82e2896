/**
 * Phi-3, Phi-3.5 and Phi-4: one matrix for queries, keys and values, one for gate and up. Longer contexts come with
 * two sets of divisors for the pairs of the rope: one for sequences within the original context, one beyond it.
 * References: Abdin et al., Phi-3 (2024); Ding et al., LongRoPE (2024).
 */

import type { Architecture, Model } from "./architecture.ts";
import { gatedFused, silu } from "./feed-forward.ts";
import { readDecoder, readFeedForward } from "./hyperparameters.ts";
import { LIMITS } from "./keys.ts";
import { embedding, linear, project, rmsNorm } from "./layers.ts";
import { readRope } from "./rope-parameters.ts";
import { rotation } from "./rope.ts";

export const phi3: Architecture = {
  name: "phi3",

  read(keys) {
    const decoder = readDecoder(keys);
    // Models without a window have a window of 0.
    const window = keys.count("attention.sliding_window", LIMITS.context, 0);
    return {
      ...decoder,
      feedForward: readFeedForward(keys),
      windows: decoder.windows.map(() => window),
      rope: readRope(keys, "halves", decoder.headDim),
    };
  },

  build(model) {
    const { hyper, weights, step } = model;
    const rotate = rotation(step.positions, hyper.rope!, divisors(model));
    let x = embedding(weights, step, hyper);
    for (let layer = 0; layer < hyper.layers; layer++) {
      const block = weights.block(layer);
      const { q, k, v } = project(block, rmsNorm(block, "attn_norm", x, hyper), hyper);
      const mixed = step.attend(layer, rotate(q), rotate(k), v);
      x = step.kept(layer, x).add(linear(block, "attn_output", mixed, hyper.width));
      x = x.add(gatedFused(block, rmsNorm(block, "ffn_norm", x, hyper), hyper, silu));
    }
    return rmsNorm(weights, "output_norm", x, hyper);
  },
};

/** Keys in the cache are rotated for good, so one set must serve the whole sequence: the graph's longest decides. */
function divisors({ hyper, weights, contextLength }: Model): Float32Array | undefined {
  const { dims, originalContext } = hyper.rope!;
  const [long, short] = ["long", "short"].map((name) => weights.numbers(`rope_factors_${name}.weight`, [dims / 2]));
  return contextLength > originalContext ? long : short;
}
