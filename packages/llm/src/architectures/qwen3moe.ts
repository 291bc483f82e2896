/** Qwen3 with a mixture of experts in every layer, such as Qwen3-30B-A3B. */

import type { Architecture } from "./architecture.ts";
import { readDecoder, readExperts } from "./hyperparameters.ts";
import { buildQwen3 } from "./qwen3.ts";
import { readRope } from "./rope-parameters.ts";

export const qwen3moe: Architecture = {
  name: "qwen3moe",

  read(keys) {
    const decoder = readDecoder(keys);
    const experts = readExperts(keys);
    if (experts === undefined) return keys.refuse("expert_count", "is missing or 0, this architecture has experts");
    return {
      ...decoder,
      feedForward: experts.feedForward,
      rope: readRope(keys, "halves", decoder.headDim),
      experts,
    };
  },

  build: buildQwen3,
};
