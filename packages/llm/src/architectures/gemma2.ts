/**
 * Gemma 2: norms before and after attention and feed-forward, caps on scores and logits, and a window in every other
 * layer, the first one included. Norm weights in GGUF files have the 1 added that Gemma's norms multiply with.
 * Reference: Gemma Team, Gemma 2 (2024).
 */

import type { Architecture } from "./architecture.ts";
import { geluTanh, gated } from "./feed-forward.ts";
import { readDecoder, readFeedForward } from "./hyperparameters.ts";
import { LIMITS } from "./keys.ts";
import { embedding, linear, project, rmsNorm } from "./layers.ts";
import { readRope } from "./rope-parameters.ts";
import { rotation } from "./rope.ts";
import { readWindows } from "./windows.ts";

/** Gemma 2 27B divides scores by the root of width / heads instead of the head's size. No key says so, only its depth. */
const LAYERS_27B = 46;

export const gemma2: Architecture = {
  name: "gemma2",

  read(keys) {
    const decoder = readDecoder(keys);
    const { layers, width, heads, headDim, attentionScale } = decoder;
    const scaledByWidth = layers === LAYERS_27B && !keys.has("attention.scale");
    return {
      ...decoder,
      feedForward: readFeedForward(keys),
      attentionScale: scaledByWidth ? 1 / Math.sqrt(width / heads) : attentionScale,
      attentionSoftcap: keys.atLeastZero("attn_logit_softcapping", 50),
      logitSoftcap: keys.atLeastZero("final_logit_softcapping", 30),
      windows: readWindows(keys, layers, keys.count("attention.sliding_window", LIMITS.context, 4096), 2),
      rope: readRope(keys, "halves", headDim),
    };
  },

  build({ hyper, weights, step }) {
    const { layers, width } = hyper;
    const rotate = rotation(step.positions, hyper.rope!);
    let x = embedding(weights, step, hyper).mul(Math.sqrt(width));
    for (let layer = 0; layer < layers; layer++) {
      const block = weights.block(layer);
      const { q, k, v } = project(block, rmsNorm(block, "attn_norm", x, hyper), hyper);
      const mixed = linear(block, "attn_output", step.attend(layer, rotate(q), rotate(k), v), width);
      x = step.kept(layer, x).add(rmsNorm(block, "post_attention_norm", mixed, hyper));
      const deep = gated(block, rmsNorm(block, "ffn_norm", x, hyper), hyper, geluTanh);
      x = x.add(rmsNorm(block, "post_ffw_norm", deep, hyper));
    }
    return rmsNorm(weights, "output_norm", x, hyper);
  },
};
