/**
 * Byte-level BPE, `tokenizer.ggml.model` "gpt2": text is split by the regular expressions of a pre-tokenizer, each piece is
 * written in the byte alphabet, and neighbours are merged in the order of the merge list.
 * Reference: Radford et al., Language Models are Unsupervised Multitask Learners (2019), section 2.2.
 */
import { UnsupportedError, UserError } from "@quern/core";
import { fromByteAlphabet, toByteAlphabet } from "../byte-alphabet.ts";
import { codePointStarts, mergeSymbols } from "../merge.ts";
import type { PreparedModel, TokenizerModel } from "./model.ts";
import { KIND, throwIfAny, type TokenizerMetadata } from "./metadata.ts";
import { findPreTokenizer, preTokenizerNames, splitText, type PreTokenizer } from "./pre-tokenizers.ts";
import type { Vocabulary } from "./vocabulary.ts";

const utf8 = new TextEncoder();

/** How many pieces of a text a tokenizer remembers, and up to which length. */
const MOST_KNOWN = 10_000;
const LONGEST_KNOWN = 32;

function preTokenizerOf(metadata: TokenizerMetadata): PreTokenizer {
  const name = metadata.pre ?? "default";
  const found = findPreTokenizer(name);
  if (found !== undefined) return found;
  throw new UnsupportedError({
    op: `pre-tokenizer "${name}"`,
    where: "tokenizer.ggml.pre",
    reason: `the known ones are ${preTokenizerNames().join(", ")}`,
  });
}

/** The rank of each pair, `left right` as in the file. A byte-level token has no space in it. */
function readMerges(merges: readonly string[] | undefined, vocabulary: Vocabulary): Map<string, number> {
  if (merges === undefined) {
    throw new UserError("tokenizer.ggml.merges is missing", {
      hint: 'The tokenizer model "gpt2" needs the merge list.',
    });
  }
  const ranks = new Map<string, number>();
  const problems: string[] = [];
  const { ids, ordinary } = vocabulary;
  // Hundreds of thousands: nothing is made for a merge that is as it should be.
  for (let rank = 0; rank < merges.length; rank++) {
    const merge = merges[rank] as string;
    const space = merge.indexOf(" ", 1);
    if (space === -1) {
      problems.push(`tokenizer.ggml.merges has no pair at index ${rank}: ${quote(merge)}`);
      continue;
    }
    const [left, right] = [merge.slice(0, space), merge.slice(space + 1)];
    const merged = left + right;
    const unknown = !ids.has(left) ? left : !ids.has(right) ? right : !ids.has(merged) ? merged : undefined;
    if (unknown !== undefined) {
      problems.push(`tokenizer.ggml.merges names ${quote(unknown)} at index ${rank}, which is not among the tokens`);
      // A merge that makes a control token is left out: text must not spell one.
    } else if (ordinary.has(merged) && !ranks.has(merge)) ranks.set(merge, rank);
  }
  throwIfAny(problems);
  return ranks;
}

function quote(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}

export const bpe: TokenizerModel = {
  name: "gpt2",
  special: {},
  flags: (metadata) => preTokenizerOf(metadata).flags ?? {},

  prepare(metadata, vocabulary): PreparedModel {
    const { patterns, wholeWords } = preTokenizerOf(metadata);
    const ranks = readMerges(metadata.merges, vocabulary);
    const { ordinary, tokens, kinds } = vocabulary;
    const isAdded = (id: number): boolean => vocabulary.isSpecial(id) || kinds[id] === KIND.userDefined;

    const encodeWord = (word: string): number[] => {
      const whole = wholeWords === true ? ordinary.get(word) : undefined;
      if (whole !== undefined) return [whole];
      const starts = mergeSymbols(codePointStarts(word), word.length, (start, middle, end) =>
        ranks.get(`${word.slice(start, middle)} ${word.slice(middle, end)}`),
      );
      return starts.flatMap((start, index) => {
        // Only a byte that the vocabulary leaves out has no token: there is nothing to write it in.
        const id = ordinary.get(word.slice(start, starts[index + 1] ?? word.length)) ?? vocabulary.special.unk;
        return id === undefined ? [] : [id];
      });
    };

    // The same words come again and again; long ones do not and would fill memory.
    const known = new Map<string, readonly number[]>();
    const encodePiece = (piece: string): readonly number[] => {
      const found = known.get(piece);
      if (found !== undefined) return found;
      const ids = encodeWord(toByteAlphabet(piece));
      if (piece.length > LONGEST_KNOWN) return ids;
      if (known.size >= MOST_KNOWN) known.clear();
      known.set(piece, ids);
      return ids;
    };

    return {
      encode(text, _afterToken, ids) {
        for (const piece of splitText(text, patterns)) for (const id of encodePiece(piece)) ids.push(id);
      },
      detokenizer: () => ({
        // Added tokens are stored as they are, all others in the byte alphabet.
        push: (id) => (isAdded(id) ? utf8.encode(tokens[id]!) : fromByteAlphabet(tokens[id]!)),
      }),
    };
  },
};
