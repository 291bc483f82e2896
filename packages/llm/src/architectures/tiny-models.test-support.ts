/**
 * A small model of every architecture: metadata and shapes of its GGUF file, and the description by which `plainForward` computes it.
 * Sizes are such that a mistake shows: windows shorter than the text, caps within reach of scores and logits, heads whose
 * size is not width / heads.
 */

import type { GgufValue } from "@quern/importers/gguf";
import { type PlainModel, geluOf, siluOf } from "./plain-forward.test-support.ts";

export const WIDTH = 32;
export const VOCABULARY = 48;
const HEADS = 4;
const FEED_FORWARD = 40;
const CONTEXT = 128;

export type Shapes = Record<string, readonly number[]>;
export type Metadata = Record<string, GgufValue>;

export interface TinyModel {
  readonly architecture: string;
  /** What is special about it, in words. */
  readonly title: string;
  /** Without the architecture's prefix, except `general.*` and `tokenizer.*`. */
  readonly metadata: Metadata;
  readonly shapes: Shapes;
  /** Elements of tensors that are not drawn at random. */
  readonly fixed?: Readonly<Record<string, readonly number[]>>;
  readonly plain: Omit<PlainModel, "tensor" | "epsilon">;
}

const u32 = (value: number): GgufValue => ({ type: "u32", value });
const f32 = (value: number): GgufValue => ({ type: "f32", value: Math.fround(value) });
const string = (value: string): GgufValue => ({ type: "string", value });

/** Not a value at which f32 is exact: what is stored counts. */
export const EPSILON = Math.fround(3e-5);

interface Sizes {
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

function sizes({ layers, kvHeads, headDim }: Sizes, epsilonKey = "layer_norm_rms_epsilon"): Metadata {
  return {
    context_length: u32(CONTEXT),
    embedding_length: u32(WIDTH),
    block_count: u32(layers),
    feed_forward_length: u32(FEED_FORWARD),
    "attention.head_count": u32(HEADS),
    "attention.head_count_kv": u32(kvHeads),
    [`attention.${epsilonKey}`]: f32(EPSILON),
    ...(headDim === WIDTH / HEADS
      ? {}
      : { "attention.key_length": u32(headDim), "attention.value_length": u32(headDim) }),
  };
}

/** The tensors of all layers; names that end in .bias or _norm.weight are vectors. */
function tensors({ layers }: Sizes, block: Shapes, others: Shapes): Shapes {
  const shapes: Shapes = { "token_embd.weight": [VOCABULARY, WIDTH], "output_norm.weight": [WIDTH], ...others };
  for (let layer = 0; layer < layers; layer++)
    for (const [name, shape] of Object.entries(block)) shapes[`blk.${layer}.${name}`] = shape;
  return shapes;
}

function separateAttention({ kvHeads, headDim }: Sizes): Shapes {
  return {
    "attn_norm.weight": [WIDTH],
    "attn_q.weight": [HEADS * headDim, WIDTH],
    "attn_k.weight": [kvHeads * headDim, WIDTH],
    "attn_v.weight": [kvHeads * headDim, WIDTH],
    "attn_output.weight": [WIDTH, HEADS * headDim],
  };
}

const GATED: Shapes = {
  "ffn_norm.weight": [WIDTH],
  "ffn_gate.weight": [FEED_FORWARD, WIDTH],
  "ffn_up.weight": [FEED_FORWARD, WIDTH],
  "ffn_down.weight": [WIDTH, FEED_FORWARD],
};

const EXPERT_WIDTH = 24;
const EXPERTS: Shapes = {
  "ffn_norm.weight": [WIDTH],
  "ffn_gate_inp.weight": [6, WIDTH],
  "ffn_gate_exps.weight": [6, EXPERT_WIDTH, WIDTH],
  "ffn_up_exps.weight": [6, EXPERT_WIDTH, WIDTH],
  "ffn_down_exps.weight": [6, WIDTH, EXPERT_WIDTH],
};

const OUTPUT: Shapes = { "output.weight": [VOCABULARY, WIDTH] };

function plainSizes({
  layers,
  kvHeads,
  headDim,
}: Sizes): Pick<PlainModel, "layers" | "heads" | "kvHeads" | "headDim" | "scoreFactor"> {
  return { layers, heads: HEADS, kvHeads, headDim, scoreFactor: headDim ** -0.5 };
}

const angleOf =
  (base: number, dims: number) =>
  (pair: number, position: number): number =>
    position / base ** ((2 * pair) / dims);

const small: Sizes = { layers: 2, kvHeads: 2, headDim: 8 };
const wide: Sizes = { layers: 2, kvHeads: 2, headDim: 12 };
const qkNorms = (headDim: number): Shapes => ({ "attn_q_norm.weight": [headDim], "attn_k_norm.weight": [headDim] });
const postNorms: Shapes = { "post_attention_norm.weight": [WIDTH], "post_ffw_norm.weight": [WIDTH] };
const rope = (base: number, pairs: "neighbours" | "halves", dims: number): Partial<PlainModel> => ({
  angle: angleOf(base, dims),
  ropePairs: pairs,
  ropeDims: dims,
});

const LLAMA3_FACTORS = [1, 1.5, 4, 8];
const PHI3_DIMS = 6;
const PHI3_LONG = [1.5, 2.5, 7];
const PHI3_SHORT = [1, 1.25, 1.125];
const deep: Sizes = { layers: 7, kvHeads: 1, headDim: 12 };

const phi3: TinyModel = {
  architecture: "phi3",
  title: "fused matrices, partial rope with divisors for long contexts, window",
  metadata: {
    ...sizes(small),
    "rope.dimension_count": u32(PHI3_DIMS),
    "rope.scaling.original_context_length": u32(16),
    "rope.scaling.attn_factor": f32(1.25),
    "attention.sliding_window": u32(9),
  },
  shapes: tensors(
    small,
    {
      "attn_norm.weight": [WIDTH],
      "attn_qkv.weight": [(HEADS + 2 * small.kvHeads) * small.headDim, WIDTH],
      "attn_output.weight": [WIDTH, HEADS * small.headDim],
      "ffn_norm.weight": [WIDTH],
      "ffn_up.weight": [2 * FEED_FORWARD, WIDTH],
      "ffn_down.weight": [WIDTH, FEED_FORWARD],
    },
    { ...OUTPUT, "rope_factors_long.weight": [PHI3_DIMS / 2], "rope_factors_short.weight": [PHI3_DIMS / 2] },
  ),
  fixed: { "rope_factors_long.weight": PHI3_LONG, "rope_factors_short.weight": PHI3_SHORT },
  plain: {
    ...plainSizes(small),
    ...rope(10000, "halves", PHI3_DIMS),
    angle: (pair, position) => angleOf(10000, PHI3_DIMS)(pair, position) / PHI3_LONG[pair]!,
    ropeMagnitude: 1.25,
    window: () => 9,
    activation: siluOf,
  },
};

export const tinyModels: readonly TinyModel[] = [
  {
    architecture: "llama",
    title: "tied embeddings",
    metadata: { ...sizes(small), "rope.dimension_count": u32(8), "rope.freq_base": f32(500) },
    shapes: tensors(small, { ...separateAttention(small), ...GATED }, {}),
    plain: { ...plainSizes(small), ...rope(500, "neighbours", 8), activation: siluOf },
  },
  {
    architecture: "llama",
    title: "llama 3 divisors, window, biases",
    metadata: { ...sizes(small), "attention.sliding_window": u32(7) },
    shapes: tensors(
      small,
      {
        ...separateAttention(small),
        ...GATED,
        "attn_q.bias": [32],
        "attn_output.bias": [WIDTH],
        "ffn_up.bias": [FEED_FORWARD],
      },
      { ...OUTPUT, "rope_freqs.weight": [4] },
    ),
    fixed: { "rope_freqs.weight": LLAMA3_FACTORS },
    plain: {
      ...plainSizes(small),
      ...rope(10000, "neighbours", 8),
      angle: (pair, position) => angleOf(10000, 8)(pair, position) / LLAMA3_FACTORS[pair]!,
      window: () => 7,
      activation: siluOf,
    },
  },
  {
    architecture: "llama",
    title: "mixture of experts",
    metadata: {
      ...sizes(small),
      expert_count: u32(6),
      expert_used_count: u32(2),
      feed_forward_length: u32(EXPERT_WIDTH),
    },
    shapes: tensors(small, { ...separateAttention(small), ...EXPERTS }, OUTPUT),
    plain: { ...plainSizes(small), ...rope(10000, "neighbours", 8), activation: siluOf, expertsUsed: 2 },
  },
  {
    architecture: "qwen2",
    title: "biases, linear scaling",
    metadata: { ...sizes(small), "rope.freq_base": f32(1000), "rope.scaling.factor": f32(4) },
    shapes: tensors(
      small,
      { ...separateAttention(small), ...GATED, "attn_q.bias": [32], "attn_k.bias": [16], "attn_v.bias": [16] },
      {},
    ),
    plain: {
      ...plainSizes(small),
      ...rope(1000, "halves", 8),
      angle: (pair, position) => angleOf(1000, 8)(pair, position) / 4,
      activation: siluOf,
    },
  },
  {
    architecture: "qwen3",
    title: "norms of queries and keys",
    metadata: { ...sizes(wide), "rope.freq_base": f32(2000) },
    shapes: tensors(wide, { ...separateAttention(wide), ...qkNorms(12), ...GATED }, OUTPUT),
    plain: { ...plainSizes(wide), ...rope(2000, "halves", 12), activation: siluOf },
  },
  {
    architecture: "qwen3moe",
    title: "mixture of experts",
    metadata: {
      ...sizes(wide),
      expert_count: u32(6),
      expert_used_count: u32(3),
      expert_feed_forward_length: u32(EXPERT_WIDTH),
    },
    shapes: tensors(wide, { ...separateAttention(wide), ...qkNorms(12), ...EXPERTS }, OUTPUT),
    plain: { ...plainSizes(wide), ...rope(10000, "halves", 12), activation: siluOf, expertsUsed: 3 },
  },
  {
    architecture: "gemma2",
    title: "caps, alternating windows, norms on both sides",
    metadata: {
      ...sizes({ ...wide, layers: 3 }),
      "attention.sliding_window": u32(6),
      attn_logit_softcapping: f32(1.5),
      final_logit_softcapping: f32(2.5),
    },
    shapes: tensors({ ...wide, layers: 3 }, { ...separateAttention(wide), ...GATED, ...postNorms }, {}),
    plain: {
      ...plainSizes({ ...wide, layers: 3 }),
      ...rope(10000, "halves", 12),
      embeddingFactor: Math.sqrt(WIDTH),
      scoreCap: 1.5,
      logitCap: 2.5,
      window: (layer) => [6, Infinity, 6][layer]!,
      activation: geluOf,
    },
  },
  {
    architecture: "gemma3",
    title: "five windows to one, two ropes, norms of queries and keys",
    metadata: {
      ...sizes(deep),
      "attention.sliding_window": u32(5),
      "rope.freq_base": f32(40000),
      "rope.scaling.type": string("linear"),
      "rope.scaling.factor": f32(8),
    },
    shapes: tensors(deep, { ...separateAttention(deep), ...qkNorms(12), ...GATED, ...postNorms }, {}),
    plain: {
      ...plainSizes(deep),
      ...rope(10000, "halves", 12),
      angle: (pair, position, layer) =>
        layer === 5 ? angleOf(40000, 12)(pair, position) / 8 : angleOf(10000, 12)(pair, position),
      embeddingFactor: Math.sqrt(WIDTH),
      window: (layer) => (layer === 5 ? Infinity : 5),
      activation: geluOf,
    },
  },
  phi3,
  {
    architecture: "gpt2",
    title: "learned positions, layer norms, biases, one matrix for queries, keys and values",
    metadata: {
      ...sizes({ ...small, kvHeads: HEADS }, "layer_norm_epsilon"),
    },
    shapes: tensors(
      small,
      {
        "attn_norm.weight": [WIDTH],
        "attn_norm.bias": [WIDTH],
        "attn_qkv.weight": [3 * WIDTH, WIDTH],
        "attn_qkv.bias": [3 * WIDTH],
        "attn_output.weight": [WIDTH, WIDTH],
        "attn_output.bias": [WIDTH],
        "ffn_norm.weight": [WIDTH],
        "ffn_norm.bias": [WIDTH],
        "ffn_up.weight": [FEED_FORWARD, WIDTH],
        "ffn_up.bias": [FEED_FORWARD],
        "ffn_down.weight": [WIDTH, FEED_FORWARD],
        "ffn_down.bias": [WIDTH],
      },
      { ...OUTPUT, "position_embd.weight": [CONTEXT, WIDTH], "output_norm.bias": [WIDTH] },
    ),
    plain: { ...plainSizes({ ...small, kvHeads: HEADS }), layerNorms: true, activation: geluOf },
  },
];

/** The tiny model of an architecture, the first one where there are several. */
export function tinyModel(architecture: string): TinyModel {
  return tinyModels.find((model) => model.architecture === architecture)!;
}
