/**
 * SentencePiece unigram, `tokenizer.ggml.model` "t5": of all ways to write the normalised text in tokens, the one with the
 * highest sum of scores.
 * Reference: Kudo, Subword Regularization (2018), section 3.2; SentencePiece `unigram_model.cc` and `normalizer.cc`.
 */
import { UserError } from "@quern/core";
import { PrefixTable } from "../prefix-table.ts";
import { Charsmap } from "./charsmap.ts";
import type { TokenizerModel } from "./model.ts";
import { type Flags, KIND } from "./metadata.ts";
import { SentencePieceDetokenizer } from "./spm.ts";

const SPACE = new TextEncoder().encode("\u2581");
/** How much worse an unknown character is than the worst token. */
const UNKNOWN_PENALTY = 10;
const utf8 = new TextEncoder();

export const ugm: TokenizerModel = {
  name: "t5",
  special: { eos: 1, unk: 2, pad: 0 },
  flags: () => ({ add_bos_token: false, add_eos_token: true }),

  prepare(metadata, vocabulary, flags) {
    const { scores, kinds } = metadata;
    const { unk } = vocabulary.special;
    if (scores === undefined || unk === undefined) {
      throw new UserError(`tokenizer.ggml.${scores === undefined ? "scores" : "unknown_token_id"} is missing`, {
        hint: 'The tokenizer model "t5" needs scores and a token for unknown characters.',
      });
    }
    const charsmap = metadata.charsmap === undefined ? undefined : new Charsmap(metadata.charsmap);
    const table = new PrefixTable(vocabulary.ordinaryByName());
    let worst = 0;
    for (let id = 0; id < scores.length; id++) if (kinds[id] === KIND.normal) worst = Math.min(worst, scores[id]!);
    const unknownScore = worst - UNKNOWN_PENALTY;
    // Added tokens win over every way to spell them.
    const scoreOf = (id: number): number => (kinds[id] === KIND.userDefined ? 0 : scores[id]!);

    return {
      encode(text, _afterToken, ids) {
        const normal = normalize(text, charsmap, flags);
        for (const id of bestPath(normal, table, scoreOf, { id: unk, score: unknownScore })) ids.push(id);
      },
      detokenizer: () => new SentencePieceDetokenizer(vocabulary, flags.add_space_prefix === true),
    };
  },
};

/** Applies the precompiled replacements, then the rules for spaces, which become U+2581. */
function normalize(text: string, charsmap: Charsmap | undefined, flags: Flags): string {
  const source = utf8.encode(text);
  const merge = flags.remove_extra_whitespaces === true;
  const result: number[] = [];
  let prefixed = flags.add_space_prefix !== true;
  let inWord = false;
  const append = (byte: number): void => {
    if (byte === 0x20) {
      inWord = false;
      if (!merge) result.push(...SPACE);
      return;
    }
    if (!inWord && (merge || !prefixed)) {
      // With merging, the one space that stands for a run is written when its word begins, and none without a prefix.
      if (!prefixed || result.length > 0) result.push(...SPACE);
      prefixed = true;
    }
    inWord = true;
    result.push(byte);
  };
  for (let at = 0; at < source.length;) {
    const replacement = charsmap?.longest(source, at);
    for (const byte of replacement?.bytes ?? source.subarray(at, at + 1)) append(byte);
    at += replacement?.length ?? 1;
  }
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(result));
}

/** Viterbi over code points. A run of unknown characters is one unknown token. */
function bestPath(
  text: string,
  table: PrefixTable,
  scoreOf: (id: number) => number,
  unknown: { readonly id: number; readonly score: number },
): number[] {
  const scores = new Float64Array(text.length + 1).fill(-Infinity);
  const ids = new Int32Array(text.length + 1);
  const starts = new Int32Array(text.length + 1);
  scores[0] = 0;
  for (let at = 0; at < text.length;) {
    const next = at + (text.codePointAt(at)! > 0xffff ? 2 : 1);
    const offer = (end: number, id: number, score: number): void => {
      if (scores[at]! + score <= scores[end]!) return;
      scores[end] = scores[at]! + score;
      ids[end] = id;
      starts[end] = at;
    };
    let whole = false;
    table.visit(text, at, (end, id) => {
      whole ||= end === next;
      offer(end, id, scoreOf(id));
    });
    if (!whole) offer(next, unknown.id, unknown.score);
    at = next;
  }
  const path: number[] = [];
  for (let end = text.length; end > 0; end = starts[end]!) {
    if (ids[end] !== unknown.id || path.at(-1) !== unknown.id) path.push(ids[end]!);
  }
  return path.reverse();
}
