/**
 * Hyperparameters of a decoder: what the metadata says about the sizes and constants of a model, checked against each other.
 *
 * In: the keys of one architecture. Out: plain numbers from which the graph is built, and which tell the engine what its
 * cache must hold. The shapes of the tensors are checked against them later (`weights.ts`).
 */

import { UserError } from "@quern/core";
import { endTokensOf } from "./end-tokens.ts";
import { type ArchitectureKeys, LIMITS } from "./keys.ts";
import type { Rope } from "./rope-parameters.ts";

/** Feed-forward layers of several experts, of which a router picks some for each token. */
export interface Experts {
  readonly count: number;
  /** Experts per token. */
  readonly used: number;
  readonly feedForward: number;
}

export interface Hyperparameters {
  readonly architecture: string;
  readonly layers: number;
  /** Elements of the state of a token. */
  readonly width: number;
  readonly heads: number;
  /** Heads of keys and values; divides `heads`. */
  readonly kvHeads: number;
  readonly headDim: number;
  /** Inner width of the feed-forward layers. */
  readonly feedForward: number;
  /** Longest sequence the model was made for, in tokens. */
  readonly contextLength: number;
  /** Number of token ids, the columns of the logits. */
  readonly vocabulary: number;
  /** Added to the variance, or the mean square, by norms. */
  readonly epsilon: number;
  /** Scores of queries and keys are multiplied by it. */
  readonly attentionScale: number;
  /** Scores s become cap · tanh(s / cap); 0 for none. */
  readonly attentionSoftcap: number;
  /** The same for logits. */
  readonly logitSoftcap: number;
  /** Per layer: tokens that attention sees, the token itself included; 0 for all. */
  readonly windows: readonly number[];
  /** Absent where positions are learned. */
  readonly rope?: Rope;
  /** For layers with a window, where they differ. */
  readonly windowRope?: Rope;
  readonly experts?: Experts;
  /** Ids after which a text has ended. */
  readonly endTokens: readonly number[];
}

/** Reads what all decoders have; without windows, caps and rope. Norms are RMS norms unless `epsilonKey` says otherwise. */
export function readDecoder(
  keys: ArchitectureKeys,
  epsilonKey = "attention.layer_norm_rms_epsilon",
): Omit<Hyperparameters, "feedForward"> {
  const layers = readLayers(keys);
  const width = keys.size("embedding_length", LIMITS.width);
  const heads = keys.size("attention.head_count", LIMITS.heads);
  const kvHeads = keys.size("attention.head_count_kv", LIMITS.heads, heads);
  if (heads % kvHeads !== 0)
    keys.refuse("attention.head_count_kv", `is ${kvHeads}, which does not divide the ${heads} heads of queries`);
  const headDim = readHeadDim(keys, width, heads);
  const vocabulary = readVocabulary(keys);
  return {
    architecture: keys.architecture,
    layers,
    width,
    heads,
    kvHeads,
    headDim,
    contextLength: keys.size("context_length", LIMITS.context),
    vocabulary,
    epsilon: keys.atLeastZero(epsilonKey),
    attentionScale: keys.atLeastZero("attention.scale", 0) || 1 / Math.sqrt(headDim),
    attentionSoftcap: 0,
    logitSoftcap: 0,
    windows: new Array<number>(layers).fill(0),
    endTokens: endTokensOf(keys.file, vocabulary),
  };
}

/** Inner width of the feed-forward layers. */
export function readFeedForward(keys: ArchitectureKeys): number {
  return keys.size("feed_forward_length", LIMITS.feedForward);
}

/** The mixture of experts, or undefined where the model has none. */
export function readExperts(keys: ArchitectureKeys): Experts | undefined {
  const count = keys.count("expert_count", LIMITS.experts, 0);
  if (count === 0) return undefined;
  const used = keys.size("expert_used_count", LIMITS.experts);
  if (used > count) keys.refuse("expert_used_count", `is ${used}, but there are ${count} experts`);
  const feedForward = keys.has("expert_feed_forward_length")
    ? keys.size("expert_feed_forward_length", LIMITS.feedForward)
    : readFeedForward(keys);
  return { count, used, feedForward };
}

/** The layers, which must be those that have tensors: a number from a damaged file would take memory and time. */
function readLayers(keys: ArchitectureKeys): number {
  const layers = keys.size("block_count", LIMITS.layers);
  const found = new Set<string>();
  for (const name of keys.file.tensors.keys()) {
    const index = /^blk\.(\d{1,6})\./.exec(name)?.[1];
    if (index !== undefined) found.add(index);
  }
  if (keys.file.tensors.size === 0) {
    throw new UserError("the file has no tensors", {
      where: keys.file.name,
      hint: "it holds a vocabulary only; take the file of the model",
    });
  }
  if (found.size !== layers) keys.refuse("block_count", `is ${layers}, the file has tensors of ${found.size} blocks`);
  return layers;
}

function readHeadDim(keys: ArchitectureKeys, width: number, heads: number): number {
  if (!keys.has("attention.key_length") && width % heads !== 0)
    keys.refuse("attention.head_count", `is ${heads}, which does not divide the width of ${width}`);
  const headDim = keys.size("attention.key_length", LIMITS.headDim, width / heads);
  const valueDim = keys.size("attention.value_length", LIMITS.headDim, headDim);
  if (valueDim !== headDim)
    keys.refuse("attention.value_length", `is ${valueDim}, keys have ${headDim}; only equal lengths are supported`);
  return headDim;
}

/** The number of tokens: of the tokenizer in the file, else the rows of the embedding. */
function readVocabulary(keys: ArchitectureKeys): number {
  const { metadata, tensors } = keys.file;
  if (metadata.has("tokenizer.ggml.tokens")) {
    const tokens = metadata.strings("tokenizer.ggml.tokens").length;
    if (tokens > 0) return tokens;
  }
  return keys.size("vocab_size", LIMITS.vocabulary, tensors.get("token_embd.weight")?.shape[0] ?? 1);
}
