/**
 * Gemma 3, its language model: as Gemma 2, but queries and keys are normed in place of the caps; five layers with a window
 * and a rope of their own to one that sees everything. Reference: Gemma Team, Gemma 3 (2025).
 */

import type { Architecture } from "./architecture.ts";
import { geluTanh, gated } from "./feed-forward.ts";
import { readDecoder, readFeedForward } from "./hyperparameters.ts";
import { LIMITS } from "./keys.ts";
import { embedding, linear, project, rmsNorm } from "./layers.ts";
import { readRope } from "./rope-parameters.ts";
import { rotation } from "./rope.ts";
import { readWindows } from "./windows.ts";

/** Gemma 3 27B divides scores by the root of width / heads, which no key says. */
const LAYERS_27B = 62;

export const gemma3: Architecture = {
  name: "gemma3",

  read(keys) {
    const decoder = readDecoder(keys);
    const { layers, width, heads, headDim, attentionScale } = decoder;
    const scaledByWidth = layers === LAYERS_27B && !keys.has("attention.scale");
    const rope = readRope(keys, "halves", headDim);
    const { dims, pairs, originalContext } = rope;
    return {
      ...decoder,
      feedForward: readFeedForward(keys),
      attentionScale: scaledByWidth ? 1 / Math.sqrt(width / heads) : attentionScale,
      logitSoftcap: keys.atLeastZero("final_logit_softcapping", 0),
      windows: readWindows(keys, layers, keys.count("attention.sliding_window", LIMITS.context, 0), 6),
      rope,
      // Layers with a window were not scaled when the context was extended.
      windowRope: {
        pairs,
        dims,
        base: keys.positive("rope.freq_base_swa", 10000),
        factor: 1,
        magnitude: 1,
        originalContext,
      },
    };
  },

  build({ hyper, weights, step }) {
    const { layers, width } = hyper;
    const far = rotation(step.positions, hyper.rope!);
    const near = rotation(step.positions, hyper.windowRope!);
    let x = embedding(weights, step, hyper).mul(Math.sqrt(width));
    for (let layer = 0; layer < layers; layer++) {
      const block = weights.block(layer);
      const rotate = hyper.windows[layer] === 0 ? far : near;
      const { q, k, v } = project(block, rmsNorm(block, "attn_norm", x, hyper), hyper);
      const query = rotate(rmsNorm(block, "attn_q_norm", q, hyper));
      const key = rotate(rmsNorm(block, "attn_k_norm", k, hyper));
      const mixed = linear(block, "attn_output", step.attend(layer, query, key, v), width);
      x = step.kept(layer, x).add(rmsNorm(block, "post_attention_norm", mixed, hyper));
      const deep = gated(block, rmsNorm(block, "ffn_norm", x, hyper), hyper, geluTanh);
      x = x.add(rmsNorm(block, "post_ffw_norm", deep, hyper));
    }
    return rmsNorm(weights, "output_norm", x, hyper);
  },
};
