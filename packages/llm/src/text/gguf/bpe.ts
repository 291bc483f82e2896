/**
 * Byte-level BPE, `tokenizer.ggml.model` "gpt2": text is split by the regular expressions of a pre-tokenizer, each piece is
 * written in the byte alphabet, and neighbours are merged in the order of the merge list. What a merge names are tokens, so
 * merging goes on ids.
 * Reference: Radford et al., Language Models are Unsupervised Multitask Learners (2019), section 2.2.
 */
import { UnsupportedError, UserError } from "@quern/core";
import type { GgufStrings } from "@quern/importers/gguf";
import { byteCharacters, fromByteAlphabet, toByteAlphabet } from "../byte-alphabet.ts";
import { mergeSymbols } from "../merge.ts";
import { MergeTable } from "./merge-table.ts";
import type { PreparedModel, TokenizerModel } from "./model.ts";
import { KIND, throwIfAny, type TokenizerMetadata } from "./metadata.ts";
import { findPreTokenizer, preTokenizerNames, splitText, type PreTokenizer } from "./pre-tokenizers.ts";
import type { Vocabulary } from "./vocabulary.ts";

const utf8 = new TextEncoder();
const SPACE = 0x20;
/** In place of the id of a byte that the vocabulary leaves out: no merge has it. */
const NO_TOKEN = -1;

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

/** The merges, `left right` in the file. A byte-level token has no space in it. */
function readMerges(merges: GgufStrings | undefined, vocabulary: Vocabulary): MergeTable {
  if (merges === undefined) {
    throw new UserError("tokenizer.ggml.merges is missing", {
      hint: 'The tokenizer model "gpt2" needs the merge list.',
    });
  }
  const table = new MergeTable(merges.length);
  const problems: string[] = [];
  const { bytes } = merges;
  // Hundreds of thousands: nothing is made for a merge that is as it should be.
  for (let rank = 0; rank < merges.length; rank++) {
    const start = merges.start(rank);
    const end = merges.end(rank);
    let space = start + 1;
    while (space < end && bytes[space] !== SPACE) space += 1;
    if (space >= end) {
      problems.push(`tokenizer.ggml.merges has no pair at index ${rank}: ${quote(merges.at(rank)!)}`);
      continue;
    }
    const left = vocabulary.find(bytes, start, space);
    const right = vocabulary.find(bytes, space + 1, end);
    const merged = vocabulary.findJoined(bytes, start, space, space + 1, end);
    if (left === undefined || right === undefined || merged === undefined) {
      const [one, other] = divide(merges.at(rank)!);
      const unknown = left === undefined ? one : right === undefined ? other : one + other;
      problems.push(`tokenizer.ggml.merges names ${quote(unknown)} at index ${rank}, which is not among the tokens`);
      // A merge that makes a control token is left out: text must not spell one.
    } else if (vocabulary.ordinaryOf(merged) !== undefined) table.add(rank, left, right, merged);
  }
  throwIfAny(problems);
  return table;
}

/** The two sides of a merge, which has a space behind its first character. */
function divide(merge: string): [left: string, right: string] {
  const space = merge.indexOf(" ", 1);
  return [merge.slice(0, space), merge.slice(space + 1)];
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
    const merges = readMerges(metadata.merges, vocabulary);
    const isAdded = (id: number): boolean => vocabulary.isSpecial(id) || vocabulary.kinds[id] === KIND.userDefined;
    const byteIds = byteCharacters.map((character) => vocabulary.idOf(character) ?? NO_TOKEN);

    const encodeWord = (word: string): number[] => {
      const whole = wholeWords === true ? vocabulary.idOf(toByteAlphabet(word)) : undefined;
      const ordinary = whole === undefined ? undefined : vocabulary.ordinaryOf(whole);
      if (ordinary !== undefined) return [ordinary];
      // At the start of each symbol, its token.
      const symbols = Int32Array.from(utf8.encode(word), (byte) => byteIds[byte]!);
      const starts = mergeSymbols(
        Array.from(symbols, (_, index) => index),
        symbols.length,
        (start, middle) => merges.rankOf(symbols[start]!, symbols[middle]!),
        (start, rank) => (symbols[start] = merges.mergedBy(rank)),
      );
      return starts.flatMap((start) => {
        const symbol = symbols[start]!;
        // Only a byte that the vocabulary leaves out has no token: there is nothing to write it in.
        const id = (symbol === NO_TOKEN ? undefined : vocabulary.ordinaryOf(symbol)) ?? vocabulary.special.unk;
        return id === undefined ? [] : [id];
      });
    };

    // The same words come again and again; long ones do not and would fill memory.
    const known = new Map<string, readonly number[]>();
    const encodePiece = (piece: string): readonly number[] => {
      const found = known.get(piece);
      if (found !== undefined) return found;
      const ids = encodeWord(piece);
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
        push: (id) => (isAdded(id) ? utf8.encode(vocabulary.nameOf(id)!) : fromByteAlphabet(vocabulary.nameOf(id)!)),
      }),
    };
  },
};
