/**
 * The architectures of synthetic models: which metadata keys and which tensors a model file has, with the names and
 * shapes that GGUF readers expect. One record each.
 *
 * Weights are normal with standard deviation 1 / sqrt(inputs), norms are close to 1: states keep their size from layer to
 * layer, attention scores and logits are of the order of 1.
 */

import { UserError } from "@quern/core";
import type { GgufValue } from "@quern/importers/gguf";
import type { ModelShape } from "./shape.ts";
import type { VocabularyStyle } from "./vocabulary.ts";

/** A tensor and what is in it: normal values, or those given. */
export interface SynthTensor {
  readonly name: string;
  /** Outermost dimension first. */
  readonly shape: readonly number[];
  readonly mean: number;
  readonly spread: number;
  /** In place of random ones. */
  readonly values?: Float32Array;
}

export interface SynthArchitecture {
  readonly name: string;
  readonly vocabulary: VocabularyStyle;
  /** The size of heads is a number of its own; otherwise width / heads. */
  readonly freeHeads: boolean;
  /** Keys behind the architecture's name, besides those that all have. */
  readonly metadata: (shape: ModelShape) => Readonly<Record<string, GgufValue>>;
  /** Parts of a layer; names without `blk.<layer>.`. */
  readonly layer: (shape: ModelShape) => readonly SynthTensor[];
  /** Embedding, output and what else is there once. */
  readonly once: (shape: ModelShape) => readonly SynthTensor[];
}

export const u32 = (value: number): GgufValue => ({ type: "u32", value });
export const f32 = (value: number): GgufValue => ({ type: "f32", value });

const NORM_SPREAD = 0.1;
const BIAS_SPREAD = 0.1;

/** `[outputs, inputs]`, or `[experts, outputs, inputs]`. */
const matrix = (name: string, ...shape: readonly number[]): SynthTensor => ({
  name: `${name}.weight`,
  shape,
  mean: 0,
  spread: 1 / Math.sqrt(shape.at(-1)!),
});
const norm = (name: string, size: number): SynthTensor => ({
  name: `${name}.weight`,
  shape: [size],
  mean: 1,
  spread: NORM_SPREAD,
});
const bias = (name: string, size: number): SynthTensor => ({
  name: `${name}.bias`,
  shape: [size],
  mean: 0,
  spread: BIAS_SPREAD,
});

const rmsKeys = ({ epsilon, ropeBase = 10_000, kvHeads }: ModelShape): Record<string, GgufValue> => ({
  "attention.head_count_kv": u32(kvHeads),
  "attention.layer_norm_rms_epsilon": f32(epsilon),
  "rope.freq_base": f32(ropeBase),
});

const headKeys = ({ headSize }: ModelShape): Record<string, GgufValue> => ({
  "attention.key_length": u32(headSize),
  "attention.value_length": u32(headSize),
});

const attention = ({ width, heads, kvHeads, headSize }: ModelShape): SynthTensor[] => [
  norm("attn_norm", width),
  matrix("attn_q", heads * headSize, width),
  matrix("attn_k", kvHeads * headSize, width),
  matrix("attn_v", kvHeads * headSize, width),
  matrix("attn_output", width, heads * headSize),
];

const headNorms = ({ headSize }: ModelShape): SynthTensor[] => [
  norm("attn_q_norm", headSize),
  norm("attn_k_norm", headSize),
];

const gatedFeedForward = ({ width, feedForward }: ModelShape): SynthTensor[] => [
  norm("ffn_norm", width),
  matrix("ffn_gate", feedForward, width),
  matrix("ffn_up", feedForward, width),
  matrix("ffn_down", width, feedForward),
];

const ends = ({ width, vocabulary, tied }: ModelShape): SynthTensor[] => [
  matrix("token_embd", vocabulary, width),
  norm("output_norm", width),
  ...(tied ? [] : [matrix("output", vocabulary, width)]),
];

/**
 * Gemma multiplies embeddings by sqrt(width) and its head is the embedding. Smaller embeddings, and larger norms behind
 * the parts of a layer, keep the logit of the token that was just read from outgrowing all others.
 */
const GEMMA_EMBEDDING = 0.25;

const gemmaEnds = ({ width, vocabulary }: ModelShape): SynthTensor[] => [
  { ...matrix("token_embd", vocabulary, width), spread: GEMMA_EMBEDDING / Math.sqrt(width) },
  { ...norm("output_norm", width), mean: 1 / GEMMA_EMBEDDING },
];

const gemmaKeys = (shape: ModelShape): Record<string, GgufValue> => ({
  ...rmsKeys(shape),
  ...headKeys(shape),
  "attention.sliding_window": u32(shape.window ?? 4096),
});

const gemmaNorms = ({ width }: ModelShape): SynthTensor[] => [
  { ...norm("post_attention_norm", width), mean: 1 / GEMMA_EMBEDDING },
  { ...norm("post_ffw_norm", width), mean: 1 / GEMMA_EMBEDDING },
];

/** Divisors of the rotary frequencies. Reference: Llama 3.1's `rope_scaling` of type "llama3". */
function ropeFactors({ headSize, ropeBase = 10_000, ropeScaling }: ModelShape): SynthTensor[] {
  if (ropeScaling === undefined) return [];
  const { factor, context } = ropeScaling;
  const [low, high] = [1, 4];
  const values = Float32Array.from({ length: headSize / 2 }, (_, i) => {
    const turns = context / (2 * Math.PI * ropeBase ** ((2 * i) / headSize));
    if (turns > high) return 1;
    if (turns < low) return factor;
    const smooth = (turns - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
  return [{ name: "rope_freqs.weight", shape: [values.length], mean: 0, spread: 1, values }];
}

const llama: SynthArchitecture = {
  name: "llama",
  vocabulary: "llama3",
  freeHeads: false,
  metadata: (shape) => ({ ...rmsKeys(shape), ...headKeys(shape), "rope.dimension_count": u32(shape.headSize) }),
  layer: (shape) => [...attention(shape), ...gatedFeedForward(shape)],
  once: (shape) => [...ends(shape), ...ropeFactors(shape)],
};

const qwen2: SynthArchitecture = {
  name: "qwen2",
  vocabulary: "qwen",
  freeHeads: false,
  metadata: rmsKeys,
  layer: (shape) => [
    ...attention(shape),
    bias("attn_q", shape.heads * shape.headSize),
    bias("attn_k", shape.kvHeads * shape.headSize),
    bias("attn_v", shape.kvHeads * shape.headSize),
    ...gatedFeedForward(shape),
  ],
  once: ends,
};

const qwen3: SynthArchitecture = {
  name: "qwen3",
  vocabulary: "qwen",
  freeHeads: true,
  metadata: (shape) => ({ ...rmsKeys(shape), ...headKeys(shape) }),
  layer: (shape) => [...attention(shape), ...headNorms(shape), ...gatedFeedForward(shape)],
  once: ends,
};

const qwen3moe: SynthArchitecture = {
  name: "qwen3moe",
  vocabulary: "qwen",
  freeHeads: true,
  metadata(shape) {
    const { count, used, feedForward } = expertsOf(shape);
    return {
      ...qwen3.metadata(shape),
      expert_count: u32(count),
      expert_used_count: u32(used),
      expert_feed_forward_length: u32(feedForward),
    };
  },
  layer(shape) {
    const { width } = shape;
    const { count, feedForward } = expertsOf(shape);
    return [
      ...attention(shape),
      ...headNorms(shape),
      norm("ffn_norm", width),
      matrix("ffn_gate_inp", count, width),
      matrix("ffn_gate_exps", count, feedForward, width),
      matrix("ffn_up_exps", count, feedForward, width),
      matrix("ffn_down_exps", count, width, feedForward),
    ];
  },
  once: ends,
};

function expertsOf({ experts, architecture }: ModelShape): NonNullable<ModelShape["experts"]> {
  if (experts === undefined) throw new UserError(`${architecture}: the shape says nothing about experts`);
  return experts;
}

const gemma2: SynthArchitecture = {
  name: "gemma2",
  vocabulary: "gemma",
  freeHeads: true,
  metadata: (shape) => ({
    ...gemmaKeys(shape),
    attn_logit_softcapping: f32(50),
    final_logit_softcapping: f32(30),
  }),
  layer: (shape) => [...attention(shape), ...gatedFeedForward(shape), ...gemmaNorms(shape)],
  once: gemmaEnds,
};

const gemma3: SynthArchitecture = {
  name: "gemma3",
  vocabulary: "gemma",
  freeHeads: true,
  metadata: gemmaKeys,
  layer: (shape) => [...attention(shape), ...headNorms(shape), ...gatedFeedForward(shape), ...gemmaNorms(shape)],
  once: gemmaEnds,
};

/** Queries, keys and values are one matrix, gate and up another. */
const phi3: SynthArchitecture = {
  name: "phi3",
  vocabulary: "phi3",
  freeHeads: false,
  metadata: (shape) => ({
    ...rmsKeys(shape),
    "rope.dimension_count": u32(shape.headSize),
    "rope.scaling.original_context_length": u32(shape.context),
    "attention.sliding_window": u32(shape.window ?? shape.context),
  }),
  layer: ({ width, heads, kvHeads, headSize, feedForward }) => [
    norm("attn_norm", width),
    matrix("attn_qkv", (heads + 2 * kvHeads) * headSize, width),
    matrix("attn_output", width, heads * headSize),
    norm("ffn_norm", width),
    matrix("ffn_up", 2 * feedForward, width),
    matrix("ffn_down", width, feedForward),
  ],
  once: ends,
};

/** Learned positions, layer norms with biases, no gate. */
const gpt2: SynthArchitecture = {
  name: "gpt2",
  vocabulary: "gpt2",
  freeHeads: false,
  metadata: ({ epsilon }) => ({ "attention.layer_norm_epsilon": f32(epsilon) }),
  layer: ({ width, feedForward }) => [
    norm("attn_norm", width),
    bias("attn_norm", width),
    matrix("attn_qkv", 3 * width, width),
    bias("attn_qkv", 3 * width),
    matrix("attn_output", width, width),
    bias("attn_output", width),
    norm("ffn_norm", width),
    bias("ffn_norm", width),
    matrix("ffn_up", feedForward, width),
    bias("ffn_up", feedForward),
    matrix("ffn_down", width, feedForward),
    bias("ffn_down", width),
  ],
  once: (shape) => [
    ...ends(shape),
    bias("output_norm", shape.width),
    { ...matrix("position_embd", shape.context, shape.width) },
  ],
};

export const synthArchitectures: readonly SynthArchitecture[] = [
  llama,
  qwen2,
  qwen3,
  qwen3moe,
  gemma2,
  gemma3,
  phi3,
  gpt2,
];
