/** Small vocabularies of each kind, written by hand, so that the tests need no files. */
import { byteCharacters } from "../byte-alphabet.ts";
import { metadataOf } from "./metadata.test-support.ts";

/** Tokens as `[name, score, kind]`. */
type Row = readonly [string, number, number];

function columns(rows: readonly Row[]): Record<string, unknown> {
  return {
    tokens: rows.map(([name]) => name),
    scores: Float32Array.from(rows, ([, score]) => score),
    token_type: Int32Array.from(rows, ([, , kind]) => kind),
  };
}

const bytes: readonly Row[] = byteCharacters.map((_, byte) => {
  return [`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`, 0, 6];
});

/** SentencePiece BPE: "hello world" is ▁hello ▁world; <0x00> has id 3; the first piece has id 259. */
export function spmSample(values: Readonly<Record<string, unknown>> = {}): Map<string, unknown> {
  const pieces = [
    "▁",
    "h",
    "e",
    "l",
    "o",
    "w",
    "r",
    "d",
    "ll",
    "he",
    "▁he",
    "llo",
    "▁hello",
    "▁w",
    "or",
    "ld",
    "orld",
    "▁world",
  ];
  return metadataOf({
    model: "llama",
    ...columns([
      ["<unk>", 0, 2],
      ["<s>", 0, 3],
      ["</s>", 0, 3],
      ...bytes,
      // Longer pieces have the higher scores here.
      ...pieces.map((piece): Row => [piece, piece.length - 20, 1]),
      ["<tool>", 0, 4],
      ["<|im_end|>", 0, 3],
    ]),
    bos_token_id: 1,
    eos_token_id: 2,
    unknown_token_id: 0,
    ...values,
  });
}

/** Byte-level BPE: ids 0 to 255 are the bytes, then the merges in order, then added tokens. */
export function bpeSample(values: Readonly<Record<string, unknown>> = {}): Map<string, unknown> {
  const merges = ["h e", "l l", "he ll", "hell o", "Ġ w", "o r", "l d", "Ġw or", "Ġwor ld", "Ã ©"];
  const merged = merges.map((merge) => merge.replace(" ", ""));
  const rows: Row[] = [
    ...byteCharacters.map((character): Row => [character, 0, 1]),
    ...merged.map((token): Row => [token, 0, 1]),
    ["<|endoftext|>", 0, 3],
    ["<｜user｜>", 0, 4],
  ];
  const { tokens, token_type } = columns(rows);
  const end = rows.length - 2;
  return metadataOf({
    model: "gpt2",
    pre: "gpt-2",
    tokens,
    token_type,
    merges,
    bos_token_id: end,
    eos_token_id: end,
    ...values,
  });
}

/** WordPiece. */
export function wpmSample(values: Readonly<Record<string, unknown>> = {}): Map<string, unknown> {
  const control: readonly Row[] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map((name) => [name, 0, 3]);
  const words = ["▁hello", "▁world", "▁un", "aff", "able", "▁!", "▁,", "▁'", "s", "▁s", "▁cafe", "▁世", "▁界"];
  const { tokens, token_type } = columns([...control, ...words.map((word): Row => [word, 0, 1])]);
  return metadataOf({
    model: "bert",
    tokens,
    token_type,
    padding_token_id: 0,
    unknown_token_id: 1,
    cls_token_id: 2,
    seperator_token_id: 3,
    mask_token_id: 4,
    ...values,
  });
}

/** Unigram: `ab` + `c` is likelier than `a` + `bc`. */
export function ugmSample(values: Readonly<Record<string, unknown>> = {}): Map<string, unknown> {
  return metadataOf({
    model: "t5",
    ...columns([
      ["<pad>", 0, 3],
      ["</s>", 0, 3],
      ["<unk>", 0, 2],
      ["▁", -2, 1],
      ["a", -4, 1],
      ["b", -4, 1],
      ["c", -4, 1],
      ["ab", -3, 1],
      ["bc", -5, 1],
      ["▁abc", -12, 1],
      ["🙂", -6, 1],
      ["<extra_id_0>", 0, 4],
    ]),
    eos_token_id: 1,
    unknown_token_id: 2,
    padding_token_id: 0,
    add_space_prefix: true,
    remove_extra_whitespaces: true,
    ...values,
  });
}
