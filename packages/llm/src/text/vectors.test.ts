/**
 * Ids and texts that the reference implementations gave: Hugging Face tokenizers for tokenizer.json, llama.cpp for GGUF. And
 * the two sources against each other on random text, where both have the same vocabulary.
 */
import { describe, expect, it, type TestContext } from "vitest";
import { metadataOf, readGgufMetadata } from "./gguf/metadata.test-support.ts";
import { tokenizerFromGguf } from "./gguf/tokenizer.ts";
import { tokenizerFromJson } from "./json/tokenizer.ts";
import { forRandomTexts } from "./random-text.test-support.ts";
import { sharedFile, sharedJson, sharedText } from "./shared-data.test-support.ts";
import type { Tokenizer } from "./tokenizer.ts";

const JSON_NAMES = ["gpt2", "bert-base-uncased", "t5-small", "clip", "whisper-tiny", "falcon"] as const;
const GGUF_NAMES = ["gpt-2", "falcon", "llama-spm", "bert-bge"] as const;

interface JsonVectors {
  readonly vocab_size: number;
  readonly texts: readonly {
    readonly text: string;
    readonly ids: number[];
    readonly ids_special: number[];
    readonly decoded: string;
    readonly decoded_skip_special: string;
  }[];
  readonly pairs: readonly {
    readonly pair: readonly [string, string];
    readonly ids: number[];
    readonly type_ids: number[];
  }[];
}

function jsonTokenizer(context: TestContext, name: string): Tokenizer {
  return tokenizerFromJson(sharedText(context, "tokenizers", "json", name, "tokenizer.json"));
}

function ggufTokenizer(context: TestContext, name: string): Tokenizer {
  return tokenizerFromGguf(readGgufMetadata(sharedFile(context, "tokenizers", "ggml", `${name}.gguf`)));
}

/** t5-small as GGUF metadata, made from its tokenizer.json. */
function t5Metadata(context: TestContext): Map<string, unknown> {
  const file = sharedJson<{
    readonly normalizer: { readonly precompiled_charsmap: string };
    readonly model: { readonly vocab: readonly [string, number][] };
    readonly added_tokens: readonly { readonly id: number; readonly content: string }[];
  }>(context, "tokenizers", "json", "t5-small", "tokenizer.json");
  const { vocab } = file.model;
  const added = new Set(file.added_tokens.map((each) => each.id));
  return metadataOf({
    model: "t5",
    tokens: vocab.map(([token]) => token),
    scores: Float32Array.from(vocab, ([, score]) => score),
    token_type: Int32Array.from(vocab, (_, id) => (id === 2 ? 2 : added.has(id) ? 3 : 1)),
    precompiled_charsmap: Int8Array.from(Buffer.from(file.normalizer.precompiled_charsmap, "base64")),
    add_space_prefix: true,
    remove_extra_whitespaces: true,
  });
}

describe.each(JSON_NAMES)("tokenizer.json of %s", (name) => {
  it("gives the ids and texts of Hugging Face tokenizers", (context) => {
    const tokenizer = jsonTokenizer(context, name);
    const vectors = sharedJson<JsonVectors>(context, "tokenizers", "json", name, "expected.json");
    expect(tokenizer.vocabularySize).toBe(vectors.vocab_size);
    expect(vectors.texts.length).toBe(47);
    for (const { text, ids, ids_special, decoded, decoded_skip_special } of vectors.texts) {
      const options = { parseSpecial: true };
      expect(tokenizer.encode(text, options), text).toEqual(ids);
      expect(tokenizer.encode(text, { ...options, special: true }), text).toEqual(ids_special);
      expect(tokenizer.decode(ids), text).toBe(decoded);
      expect(tokenizer.decode(ids, { skipSpecial: true }), text).toBe(decoded_skip_special);
    }
  });

  it("joins pairs of texts", (context) => {
    const tokenizer = jsonTokenizer(context, name);
    const { pairs } = sharedJson<JsonVectors>(context, "tokenizers", "json", name, "expected.json");
    expect(pairs.length).toBeGreaterThan(0);
    for (const { pair, ids, type_ids } of pairs) {
      expect(tokenizer.encodePair(...pair), pair.join(" | ")).toEqual({ ids, typeIds: type_ids });
    }
  });
});

describe.each(GGUF_NAMES)("GGUF vocabulary %s", (name) => {
  it("gives the ids of llama.cpp", (context) => {
    const tokenizer = ggufTokenizer(context, name);
    const file = (kind: string): string => sharedText(context, "tokenizers", "ggml", `${name}.gguf.${kind}`);
    const texts = file("inp").split("\n__ggml_vocab_test__\n");
    const lines = file("out").split("\n").slice(0, texts.length);
    expect(texts.length).toBe(47);
    for (const [index, text] of texts.entries()) {
      const ids = lines[index]!.trim().split(" ").filter(Boolean).map(Number);
      expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids);
    }
  });
});

it("GGUF vocabulary of stories260K gives the ids of llama.cpp", (context) => {
  const tokenizer = tokenizerFromGguf(readGgufMetadata(sharedFile(context, "gguf", "stories260K.gguf")));
  const { texts } = sharedJson<{ texts: { text: string; ids: number[] }[] }>(context, "gguf", "tokenize.json");
  for (const { text, ids } of texts) {
    expect(tokenizer.encode(text), text).toEqual(ids);
    expect(tokenizer.decode(ids), text).toBe(text);
  }
  expect(tokenizer.special).toEqual({ bos: 1, eos: 2, unk: 0 });
});

it("the unigram model with its precompiled normaliser gives the ids of Hugging Face tokenizers", (context) => {
  const tokenizer = tokenizerFromGguf(t5Metadata(context));
  const { texts } = sharedJson<JsonVectors>(context, "tokenizers", "json", "t5-small", "expected.json");
  // The file's extra ids are added tokens beyond the model's vocabulary.
  const within = texts.filter(({ ids }) => ids.every((id) => id < tokenizer.vocabularySize));
  expect(within.length).toBeGreaterThan(40);
  for (const { text, ids, ids_special } of within) {
    // Around added tokens Hugging Face splits the text before it adds U+2581; SentencePiece does the same per fragment.
    expect(tokenizer.encode(text, { parseSpecial: true }), text).toEqual(ids);
    expect(tokenizer.encode(text, { parseSpecial: true, special: true }), text).toEqual(ids_special);
  }
});

describe("text cannot spell a control token", () => {
  const HOSTILE = "<s> </s> <pad> <unk> [CLS] [SEP] [MASK] <|endoftext|> <|startoftext|> <extra_id_0> >>TITLE<<</s>";
  const controlIds = (tokenizer: Tokenizer, options = {}): number[] =>
    tokenizer.encode(HOSTILE, options).filter((id) => tokenizer.isSpecial(id) && id !== tokenizer.special.unk);

  it("of a tokenizer.json", (context) => {
    for (const name of JSON_NAMES) {
      const tokenizer = jsonTokenizer(context, name);
      expect(controlIds(tokenizer), name).toEqual([]);
      expect(controlIds(tokenizer, { parseSpecial: true }).length, name).toBeGreaterThan(0);
    }
  });

  it("of a GGUF vocabulary", (context) => {
    for (const name of GGUF_NAMES) {
      const tokenizer = ggufTokenizer(context, name);
      expect(controlIds(tokenizer), name).toEqual([]);
      expect(controlIds(tokenizer, { parseSpecial: true }).length, name).toBeGreaterThan(0);
    }
  });
});

const TEXTS = 100;

/** Encodes and decodes random texts with both; the number of texts on which they were compared. */
function agreed(one: Tokenizer, other: Tokenizer, without: RegExp = /$^/g): number {
  let compared = 0;
  forRandomTexts(TEXTS, {}, (any) => {
    // White space in JavaScript's regular expressions but not in Unicode: there the library differs from the original.
    const text = any.replaceAll("\ufeff", "").replaceAll(without, "");
    const ids = one.encode(text);
    expect(other.encode(text)).toEqual(ids);
    expect(other.decode(ids)).toBe(one.decode(ids));
    compared += 1;
  });
  return compared;
}

describe("one vocabulary from two sources", () => {
  it("byte-level BPE of GPT-2", (context) => {
    expect(agreed(jsonTokenizer(context, "gpt2"), ggufTokenizer(context, "gpt-2"))).toBe(TEXTS);
  });

  it("byte-level BPE of Falcon", (context) => {
    expect(agreed(jsonTokenizer(context, "falcon"), ggufTokenizer(context, "falcon"))).toBe(TEXTS);
  });

  it("WordPiece of BERT", (context) => {
    // The library does not take ideographs beyond U+FFFF for words.
    const rare = /[\u{20000}-\u{3FFFF}]/gu;
    const [json, gguf] = [jsonTokenizer(context, "bert-base-uncased"), ggufTokenizer(context, "bert-bge")];
    expect(agreed(json, gguf, rare)).toBe(TEXTS);
  });

  it("unigram of T5", (context) => {
    expect(agreed(jsonTokenizer(context, "t5-small"), tokenizerFromGguf(t5Metadata(context)))).toBe(TEXTS);
  });
});
