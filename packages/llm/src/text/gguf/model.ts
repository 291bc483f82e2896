/** What one `tokenizer.ggml.model` is: defaults and how text becomes ids and ids become text. One record per file. */
import type { Detokenizer } from "../text-stream.ts";
import type { SpecialTokens } from "../tokenizer.ts";
import type { Flags, TokenizerMetadata } from "./metadata.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** A tokenizer model with a vocabulary in it. */
export interface PreparedModel {
  /**
   * Appends the ids of a stretch of ordinary text. `afterToken`: the text is the first, or a token found by name stands
   * before it.
   */
  encode(text: string, afterToken: boolean, ids: number[]): void;
  detokenizer(): Detokenizer;
}

export interface TokenizerModel {
  /** The value of `tokenizer.ggml.model`. */
  readonly name: string;
  /** What holds where the file is silent. Ids beyond the vocabulary are left out. */
  readonly special: SpecialTokens;
  /** May depend on the pre-tokenizer. Throws `UnsupportedError` for one that is not known. */
  flags(metadata: TokenizerMetadata): Flags;
  /** Throws `UserError` when the metadata lacks something or contradicts itself. */
  prepare(metadata: TokenizerMetadata, vocabulary: Vocabulary, flags: Flags): PreparedModel;
}
