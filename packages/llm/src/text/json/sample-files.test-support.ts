/** Small tokenizer.json files, written by hand. */
import { byteCharacters } from "../byte-alphabet.ts";

function added(names: readonly string[], from: number): object[] {
  return names.map((content, index) => ({
    id: from + index,
    content,
    special: true,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  }));
}

function vocabulary(tokens: readonly string[]): Record<string, number> {
  return Object.fromEntries(tokens.map((token, id) => [token, id]));
}

/** Byte-level BPE with one special token, 261. */
export function gpt2LikeJson(changes: Readonly<Record<string, unknown>> = {}): object {
  const merges = ["h e", "l l", "he ll", "hell o", "Ġ w"];
  const tokens = [...byteCharacters, ...merges.map((merge) => merge.replace(" ", ""))];
  return {
    version: "1.0",
    added_tokens: added(["<|endoftext|>"], tokens.length),
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: { type: "ByteLevel", add_prefix_space: true, trim_offsets: false },
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true },
    model: { type: "BPE", vocab: vocabulary(tokens), merges: merges.map((merge) => merge.split(" ")) },
    ...changes,
  };
}

/** BPE with byte fallback as Llama 2 has it. */
export function llamaLikeJson(changes: Readonly<Record<string, unknown>> = {}): object {
  const bytes = byteCharacters.map((_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  const merges = ["▁ h", "e l"];
  const letters = ["▁", "h", "e", "l", "o", ...merges.map((merge) => merge.replace(" ", ""))];
  const bos = { SpecialToken: { id: "<s>", type_id: 0 } };
  return {
    version: "1.0",
    added_tokens: added(["<unk>", "<s>", "</s>"], 0),
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: "▁" },
        { type: "Replace", pattern: { String: " " }, content: "▁" },
      ],
    },
    pre_tokenizer: null,
    post_processor: {
      type: "TemplateProcessing",
      single: [bos, { Sequence: { id: "A", type_id: 0 } }],
      pair: [bos, { Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
      special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
    },
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
    model: {
      type: "BPE",
      unk_token: "<unk>",
      fuse_unk: true,
      byte_fallback: true,
      vocab: vocabulary(["<unk>", "<s>", "</s>", ...bytes, ...letters]),
      merges: merges.map((merge) => merge.split(" ")),
    },
    ...changes,
  };
}

/** Unigram with U+2581 for spaces, as T5 has it. The special tokens have the best scores. */
export function metaspaceJson(changes: Readonly<Record<string, unknown>> = {}): object {
  const end = { SpecialToken: { id: "</s>", type_id: 0 } };
  const pieces: [string, number][] = ["▁", "▁hello", "▁world", "h", "e", "l", "o", "<", "/", "s", ">"].map(
    (name, index) => {
      return [name, -1 - index];
    },
  );
  return {
    version: "1.0",
    added_tokens: added(["<pad>", "</s>", "<unk>"], 0),
    normalizer: null,
    pre_tokenizer: { type: "Metaspace", replacement: "▁", add_prefix_space: true, prepend_scheme: "always" },
    post_processor: {
      type: "TemplateProcessing",
      single: [{ Sequence: { id: "A", type_id: 0 } }, end],
      pair: [{ Sequence: { id: "A", type_id: 0 } }, end, { Sequence: { id: "B", type_id: 0 } }, end],
      special_tokens: { "</s>": { id: "</s>", ids: [1], tokens: ["</s>"] } },
    },
    decoder: { type: "Metaspace", replacement: "▁", add_prefix_space: true, prepend_scheme: "always" },
    model: { type: "Unigram", unk_id: 2, vocab: [["<pad>", 0], ["</s>", 0], ["<unk>", 0], ...pieces] },
    ...changes,
  };
}
