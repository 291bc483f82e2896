/**
 * SentencePiece BPE, `tokenizer.ggml.model` "llama": neighbours are merged as long as their text is a token, the highest score
 * first. What is no token then is written in byte tokens. Spaces are U+2581.
 * Reference: Kudo and Richardson, SentencePiece (2018), `bpe_model.cc`; llama.cpp's `llm_tokenizer_spm`.
 */
import { UserError } from "@quern/core";
import { characterStarts, mergeSymbols } from "../merge.ts";
import type { Detokenizer } from "../text-stream.ts";
import type { TokenizerModel } from "./model.ts";
import { KIND } from "./metadata.ts";
import { byteOfToken, byteTokens, type Vocabulary } from "./vocabulary.ts";

const SPACE = "\u2581";
const utf8 = new TextEncoder();

export const spm: TokenizerModel = {
  name: "llama",
  special: { bos: 1, eos: 2, unk: 0 },
  flags: () => ({ add_bos_token: true, add_eos_token: false, add_space_prefix: true }),

  prepare(metadata, vocabulary, flags) {
    const { scores } = metadata;
    if (scores === undefined) {
      throw new UserError("tokenizer.ggml.scores is missing", { hint: 'The tokenizer model "llama" merges by score.' });
    }
    const { longest } = vocabulary;
    const bytes = byteTokens(vocabulary);

    const appendBytes = (symbol: Uint8Array, ids: number[]): void => {
      let unknown = false;
      for (const byte of symbol) {
        const id = bytes[byte];
        if (id === undefined) unknown = true;
        else ids.push(id);
      }
      if (unknown && vocabulary.special.unk !== undefined) ids.push(vocabulary.special.unk);
    };

    return {
      encode(raw, afterToken, ids) {
        const prefix = flags.add_space_prefix === true && afterToken ? SPACE : "";
        const text = utf8.encode(prefix + raw.replaceAll(" ", SPACE));
        const starts = mergeSymbols(characterStarts(text), text.length, (start, _middle, end) => {
          // Longer than any token: not worth a look.
          const id = end - start > longest ? undefined : vocabulary.findOrdinary(text, start, end);
          return id === undefined ? undefined : -scores[id]!;
        });
        for (const [index, start] of starts.entries()) {
          const end = starts[index + 1] ?? text.length;
          const id = vocabulary.findOrdinary(text, start, end);
          if (id === undefined) appendBytes(text.subarray(start, end), ids);
          else ids.push(id);
        }
      },
      detokenizer: () => new SentencePieceDetokenizer(vocabulary, flags.add_space_prefix === true),
    };
  },
};

/** Undoes what SentencePiece models do to text: U+2581 is a space, byte tokens are bytes, a prefixed space goes. */
export class SentencePieceDetokenizer implements Detokenizer {
  readonly #vocabulary: Vocabulary;
  readonly #stripSpace: boolean;
  /** Whether a space may have been put before the next token. */
  #afterToken = true;

  constructor(vocabulary: Vocabulary, stripSpace: boolean) {
    this.#vocabulary = vocabulary;
    this.#stripSpace = stripSpace;
  }

  push(id: number): Uint8Array {
    const token = this.#vocabulary.nameOf(id)!;
    const kind = this.#vocabulary.kinds[id]!;
    const strip = this.#stripSpace && this.#afterToken;
    this.#afterToken = kind === KIND.control || kind === KIND.userDefined;
    if (kind === KIND.control || kind === KIND.userDefined || kind === KIND.unknown) return utf8.encode(token);
    const byte = kind === KIND.byte ? byteOfToken(token) : undefined;
    if (byte !== undefined) return Uint8Array.of(byte);
    const text = token.replaceAll(SPACE, " ");
    return utf8.encode(strip && text.startsWith(" ") ? text.slice(1) : text);
  }
}
