/**
 * WordPiece, `tokenizer.ggml.model` "bert": text is cleaned, lower-cased and stripped of accents, split into words and
 * punctuation, and each word is covered by the longest tokens from its start. In GGUF a token that begins a word has U+2581
 * before it, where BERT's own vocabulary marks the others with `##`.
 * Reference: Devlin et al., BERT (2018); the normaliser of `BertTokenizer`.
 */
import { UserError } from "@quern/core";
import type { Detokenizer } from "../text-stream.ts";
import { cleanUpWordPiece } from "../word-piece-clean-up.ts";
import type { TokenizerModel } from "./model.ts";
import type { Vocabulary } from "./vocabulary.ts";

const WORD = "\u2581";
const utf8 = new TextEncoder();
const MARK_BYTES = utf8.encode(WORD).length;

/** Control, format and private-use characters are left out; those that Unicode has not assigned are not. */
const IGNORED = /[\0\uFFFD]|(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}]/gu;
/** CJK ideographs are words of their own. The seventh range begins where the reference implementation has it. */
const IDEOGRAPH =
  /[\u4E00-\u9FFF\u3400-\u4DBF\u{20000}-\u{2A6DF}\u{2A700}-\u{2B73F}\u{2B740}-\u{2B81F}\u{2B920}-\u{2CEAF}\uF900-\uFAFF\u{2F800}-\u{2FA1F}]/gu;
const PUNCTUATION = /[!-/:-@[-`{-~\p{P}]/gu;

/** The words of a text, normalised. */
export function bertWords(text: string): string[] {
  return text
    .replaceAll(IGNORED, "")
    .replaceAll(IDEOGRAPH, " $& ")
    .normalize("NFD")
    .replaceAll(/\p{Mn}/gu, "")
    .toLowerCase()
    .replaceAll(PUNCTUATION, " $& ")
    .split(/\p{White_Space}+/u)
    .filter((word) => word !== "");
}

export const wpm: TokenizerModel = {
  name: "bert",
  special: { unk: 100, cls: 101, sep: 102, mask: 103, pad: 0 },
  flags: () => ({ add_bos_token: true, add_eos_token: false, add_sep_token: true }),

  prepare(_metadata, vocabulary) {
    const { longest } = vocabulary;
    const { unk } = vocabulary.special;
    if (unk === undefined) {
      throw new UserError("tokenizer.ggml.unknown_token_id is missing", {
        hint: 'The tokenizer model "bert" needs a token for words that it cannot write.',
      });
    }

    const encodeWord = (word: string): number[] => {
      const ids: number[] = [];
      const bytes = utf8.encode(WORD + word);
      for (let at = 0; at < bytes.length;) {
        // The mark alone is no part of a word.
        const least = at === 0 ? MARK_BYTES : at;
        let end = Math.min(bytes.length, at + longest);
        let id: number | undefined;
        while (end > least && (id = vocabulary.findOrdinary(bytes, at, end)) === undefined) end -= 1;
        // A word that cannot be covered is unknown as a whole.
        if (id === undefined) return [unk];
        ids.push(id);
        at = end;
      }
      return ids;
    };

    return {
      encode(text, _afterToken, ids) {
        for (const word of bertWords(text)) for (const id of encodeWord(word)) ids.push(id);
      },
      detokenizer: () => new WordPieceDetokenizer(vocabulary),
    };
  },
};

class WordPieceDetokenizer implements Detokenizer {
  readonly #vocabulary: Vocabulary;
  #first = true;

  constructor(vocabulary: Vocabulary) {
    this.#vocabulary = vocabulary;
  }

  push(id: number): Uint8Array {
    const token = this.#vocabulary.nameOf(id)!;
    const beginsWord = token.startsWith(WORD);
    const name = beginsWord ? token.slice(WORD.length) : token;
    const space = !this.#first && (beginsWord || this.#vocabulary.isSpecial(id));
    this.#first = false;
    return utf8.encode(cleanUpWordPiece(space ? ` ${name}` : name));
  }
}
