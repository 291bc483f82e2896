/** A language model and a test of it that are nowhere but in tests of what is made of measurements. */

import type { ModelFacts } from "./model-facts.ts";
import type { LlmTest } from "./tests.ts";

const GIB = 2 ** 30;

export const step: LlmTest = { kind: "generate", tokens: 8, depth: 0, sequences: 1 };

/** A model of 1 GiB, all of which every token reads. */
export const facts: ModelFacts = {
  name: "m",
  path: "m.gguf",
  files: ["m.gguf"],
  quant: "Q8_0",
  parameters: GIB,
  tensorBytes: GIB,
  floats: false,
  hyper: { layers: 1, kvHeads: 1, heads: 1, headDim: 64, windows: [], vocabulary: 10 },
  weights: [{ elements: GIB, bytes: GIB, use: "token" }],
} as unknown as ModelFacts;
