/** Tokens that end a text: those which the metadata names, and markers of turns that chat models are known to end with. */

import type { GgufFile } from "@quern/importers/gguf";

const KEYS = ["eos_token_id", "eot_token_id", "eom_token_id"];

/** Control tokens with which models end a turn, where files name only the end of a document. */
const MARKERS: ReadonlySet<string> = new Set([
  "<|eot_id|>",
  "<|eom_id|>",
  "<|im_end|>",
  "<|end|>",
  "<end_of_turn>",
  "<|endoftext|>",
  "<|end_of_text|>",
]);

/** Token types whose text no prompt can spell: control and user-defined. */
const MARKER_TYPES: ReadonlySet<number> = new Set([3, 4]);

/** Ids in ascending order, each below `vocabulary`. Ids that no token has are left out: files say "none" with -1. */
export function endTokensOf({ metadata }: GgufFile, vocabulary: number): number[] {
  const ids = new Set<number>();
  for (const key of KEYS) {
    const id = metadata.integer(`tokenizer.ggml.${key}`, -1);
    if (id >= 0 && id < vocabulary) ids.add(id);
  }
  if (metadata.has("tokenizer.ggml.tokens") && metadata.has("tokenizer.ggml.token_type")) {
    const types = metadata.numbers("tokenizer.ggml.token_type");
    const tokens = metadata.strings("tokenizer.ggml.tokens");
    for (let id = 0; id < Math.min(tokens.length, types.length); id++)
      if (MARKER_TYPES.has(types[id]!) && MARKERS.has(tokens.at(id)!)) ids.add(id);
  }
  return [...ids].sort((a, b) => a - b);
}
