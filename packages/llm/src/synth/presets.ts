/**
 * Shapes of well-known models, from their published configurations, and one small shape per architecture for tests.
 */

import { UserError } from "@quern/core";
import type { ModelShape } from "./shape.ts";
import type { VocabularyStyle } from "./vocabulary.ts";

export interface SynthPreset extends ModelShape {
  /** Where it is another one than the architecture's. */
  readonly style?: VocabularyStyle;
}

const small = (architecture: string, more: Partial<SynthPreset> = {}): SynthPreset => ({
  architecture,
  name: `tiny-${architecture}`,
  layers: 2,
  width: 256,
  heads: 4,
  kvHeads: 2,
  headSize: 64,
  feedForward: 512,
  vocabulary: 1024,
  context: 2048,
  tied: false,
  epsilon: 1e-6,
  ropeBase: 10_000,
  ...more,
});

const LLAMA3 = { architecture: "llama", vocabulary: 128_256, epsilon: 1e-5, ropeBase: 500_000 } as const;
const QWEN = { vocabulary: 151_936, epsilon: 1e-6, ropeBase: 1e6, tied: true } as const;

export const synthPresets: Readonly<Record<string, SynthPreset>> = {
  "tiny-llama": small("llama"),
  "tiny-qwen2": small("qwen2", { ropeBase: 1e6 }),
  "tiny-qwen3": small("qwen3", { ropeBase: 1e6 }),
  "tiny-qwen3moe": small("qwen3moe", { ropeBase: 1e6, experts: { count: 4, used: 2, feedForward: 256 } }),
  "tiny-gemma2": small("gemma2", { layers: 4, tied: true, window: 64 }),
  // Every sixth layer has no window.
  "tiny-gemma3": small("gemma3", { layers: 6, tied: true, window: 64, ropeBase: 1e6 }),
  "tiny-phi3": small("phi3", { kvHeads: 4 }),
  "tiny-gpt2": small("gpt2", { kvHeads: 4, feedForward: 1024, context: 512, tied: true, epsilon: 1e-5 }),

  "llama-3.2-1b": {
    ...LLAMA3,
    name: "llama-3.2-1b",
    layers: 16,
    width: 2048,
    heads: 32,
    kvHeads: 8,
    headSize: 64,
    feedForward: 8192,
    context: 131_072,
    tied: true,
    ropeScaling: { factor: 32, context: 8192 },
  },
  "llama-3-8b": {
    ...LLAMA3,
    name: "llama-3-8b",
    layers: 32,
    width: 4096,
    heads: 32,
    kvHeads: 8,
    headSize: 128,
    feedForward: 14_336,
    context: 8192,
    tied: false,
  },
  "tinyllama-1.1b": {
    architecture: "llama",
    style: "zephyr",
    name: "tinyllama-1.1b",
    layers: 22,
    width: 2048,
    heads: 32,
    kvHeads: 4,
    headSize: 64,
    feedForward: 5632,
    vocabulary: 32_000,
    context: 2048,
    tied: false,
    epsilon: 1e-5,
    ropeBase: 10_000,
  },
  "smollm2-135m": {
    architecture: "llama",
    style: "smollm",
    name: "smollm2-135m",
    layers: 30,
    width: 576,
    heads: 9,
    kvHeads: 3,
    headSize: 64,
    feedForward: 1536,
    vocabulary: 49_152,
    context: 8192,
    tied: true,
    epsilon: 1e-5,
    ropeBase: 100_000,
  },
  "qwen2.5-0.5b": {
    ...QWEN,
    architecture: "qwen2",
    name: "qwen2.5-0.5b",
    layers: 24,
    width: 896,
    heads: 14,
    kvHeads: 2,
    headSize: 64,
    feedForward: 4864,
    context: 32_768,
  },
  "qwen3-0.6b": {
    ...QWEN,
    architecture: "qwen3",
    name: "qwen3-0.6b",
    layers: 28,
    width: 1024,
    heads: 16,
    kvHeads: 8,
    headSize: 128,
    feedForward: 3072,
    context: 40_960,
  },
  "qwen3-4b": {
    ...QWEN,
    architecture: "qwen3",
    name: "qwen3-4b",
    layers: 36,
    width: 2560,
    heads: 32,
    kvHeads: 8,
    headSize: 128,
    feedForward: 9728,
    context: 40_960,
  },
  "qwen3-30b-a3b": {
    ...QWEN,
    architecture: "qwen3moe",
    name: "qwen3-30b-a3b",
    layers: 48,
    width: 2048,
    heads: 32,
    kvHeads: 4,
    headSize: 128,
    feedForward: 6144,
    context: 40_960,
    tied: false,
    experts: { count: 128, used: 8, feedForward: 768 },
  },
  "gemma-2-2b": {
    architecture: "gemma2",
    name: "gemma-2-2b",
    layers: 26,
    width: 2304,
    heads: 8,
    kvHeads: 4,
    headSize: 256,
    feedForward: 9216,
    vocabulary: 256_000,
    context: 8192,
    tied: true,
    epsilon: 1e-6,
    ropeBase: 10_000,
    window: 4096,
  },
  "gemma-3-1b": {
    architecture: "gemma3",
    name: "gemma-3-1b",
    layers: 26,
    width: 1152,
    heads: 4,
    kvHeads: 1,
    headSize: 256,
    feedForward: 6912,
    vocabulary: 262_144,
    context: 32_768,
    tied: true,
    epsilon: 1e-6,
    ropeBase: 1e6,
    window: 512,
  },
  "phi-3-mini": {
    architecture: "phi3",
    name: "phi-3-mini",
    layers: 32,
    width: 3072,
    heads: 32,
    kvHeads: 32,
    headSize: 96,
    feedForward: 8192,
    vocabulary: 32_064,
    context: 4096,
    tied: false,
    epsilon: 1e-5,
    ropeBase: 10_000,
    window: 2047,
  },
  gpt2: {
    architecture: "gpt2",
    name: "gpt2",
    layers: 12,
    width: 768,
    heads: 12,
    kvHeads: 12,
    headSize: 64,
    feedForward: 3072,
    vocabulary: 50_257,
    context: 1024,
    tied: true,
    epsilon: 1e-5,
  },
};

/**
 * The preset of this name; the name of an architecture stands for its small shape. Throws a `UserError` that lists the
 * names.
 */
export function synthPresetNamed(name: string): SynthPreset {
  for (const key of [name, `tiny-${name}`]) if (Object.hasOwn(synthPresets, key)) return synthPresets[key]!;
  throw new UserError(`there is no synthetic model "${name}"`, {
    hint: `Choose from: ${Object.keys(synthPresets).join(", ")}.`,
  });
}
