/** The four tokenizer models on small vocabularies whose results can be followed by hand. */
import { describe, expect, it } from "vitest";
import { UnsupportedError } from "@quern/core";
import { bpeSample, spmSample, ugmSample, wpmSample } from "./sample-vocabularies.test-support.ts";
import { tokenizerFromGguf } from "./tokenizer.ts";
import type { Tokenizer } from "../tokenizer.ts";

function names(tokenizer: Tokenizer, ids: readonly number[]): string[] {
  return ids.map((id) => tokenizer.tokenOf(id)!);
}

describe("SentencePiece BPE", () => {
  const tokenizer = tokenizerFromGguf(spmSample());
  const encoded = (text: string, options = {}): string[] => names(tokenizer, tokenizer.encode(text, options));

  it("merges by score and puts a space before the text", () => {
    expect(encoded("hello world")).toEqual(["▁hello", "▁world"]);
    expect(encoded("hell")).toEqual(["▁he", "ll"]);
    expect(encoded("")).toEqual([]);
  });

  it("writes what is no token in bytes", () => {
    expect(encoded("hé")).toEqual(["▁", "h", "<0xC3>", "<0xA9>"]);
    expect(tokenizer.decode(tokenizer.encode("hé🙂"))).toBe("hé🙂");
  });

  it("adds BOS, and EOS only when the file asks for it", () => {
    expect(encoded("h", { special: true })).toEqual(["<s>", "▁", "h"]);
    const both = tokenizerFromGguf(spmSample({ add_bos_token: false, add_eos_token: true }));
    expect(names(both, both.encode("h", { special: true }))).toEqual(["▁", "h", "</s>"]);
  });

  it("does not put a space before the text where the file says so", () => {
    const bare = tokenizerFromGguf(spmSample({ add_space_prefix: false }));
    expect(names(bare, bare.encode("hello"))).toEqual(["he", "llo"]);
    expect(bare.decode(bare.encode(" hello"))).toBe(" hello");
  });

  it("takes control tokens from text only when asked, user-defined ones always", () => {
    expect(encoded("he</s>", { parseSpecial: true })).toEqual(["▁he", "</s>"]);
    expect(tokenizer.encode("he</s>")).not.toContain(tokenizer.special.eos);
    expect(encoded("he<tool>he")).toEqual(["▁he", "<tool>", "▁he"]);
  });

  it("knows roles from ids and from names", () => {
    expect(tokenizer.special).toEqual({ bos: 1, eos: 2, unk: 0, eot: tokenizer.idOf("<|im_end|>") });
    expect(tokenizerFromGguf(spmSample({ padding_token_id: 0xffff_ffff })).special.pad).toBeUndefined();
  });

  it("leaves special tokens out of the text when asked", () => {
    const ids = tokenizer.encode("hello", { special: true });
    expect(tokenizer.decode(ids)).toBe("<s>hello");
    expect(tokenizer.decode(ids, { skipSpecial: true })).toBe("hello");
  });

  it("uses the unknown token where there are no byte tokens", () => {
    const tokens = (spmSample().get("tokenizer.ggml.tokens") as string[]).map((name) => name.replace("<0x", "<byte"));
    const bare = tokenizerFromGguf(spmSample({ tokens }));
    expect(names(bare, bare.encode("hé"))).toEqual(["▁", "h", "<unk>"]);
  });
});

describe("byte-level BPE", () => {
  const tokenizer = tokenizerFromGguf(bpeSample());
  const encoded = (text: string, options = {}): string[] => names(tokenizer, tokenizer.encode(text, options));

  it("merges within pieces in the order of the merge list", () => {
    expect(encoded("hello world")).toEqual(["hello", "Ġworld"]);
    expect(encoded("helloworld")).toEqual(["hello", "w", "or", "ld"]);
    expect(encoded("é")).toEqual(["Ã©"]);
    expect(encoded("ì")).toEqual(["Ã", "¬"]);
  });

  it("takes control tokens from text only when asked, user-defined ones always", () => {
    expect(encoded("o<|endoftext|>", { parseSpecial: true })).toEqual(["o", "<|endoftext|>"]);
    expect(tokenizer.encode("o<|endoftext|>")).not.toContain(tokenizer.special.eos);
    expect(encoded("o<｜user｜>o")).toEqual(["o", "<｜user｜>", "o"]);
    expect(tokenizer.decode(tokenizer.encode("o<｜user｜>o"))).toBe("o<｜user｜>o");
  });

  it("adds BOS for pre-tokenizers whose models expect it, and where the file says so", () => {
    expect(encoded("o", { special: true })).toEqual(["o"]);
    const llama = tokenizerFromGguf(bpeSample({ pre: "llama-bpe" }));
    expect(names(llama, llama.encode("o", { special: true }))).toEqual(["<|endoftext|>", "o"]);
    const told = tokenizerFromGguf(bpeSample({ add_bos_token: true, add_eos_token: true }));
    expect(told.encode("o", { special: true })).toHaveLength(3);
  });

  it("takes a whole piece that is a token, where the pre-tokenizer says so", () => {
    const merges = ["h e", "l l"];
    const plain = tokenizerFromGguf(bpeSample({ merges }));
    expect(names(plain, plain.encode("hello"))).toEqual(["he", "ll", "o"]);
    const whole = tokenizerFromGguf(bpeSample({ merges, pre: "llama-bpe" }));
    expect(names(whole, whole.encode("hello"))).toEqual(["hello"]);
  });

  it.each(["gpt-2", "llama-bpe"])("does not merge text to a control token: %s", (pre) => {
    const kinds = [...(bpeSample().get("tokenizer.ggml.token_type") as Int32Array)];
    kinds[tokenizer.idOf("hello")!] = 3;
    const guarded = tokenizerFromGguf(bpeSample({ pre, token_type: kinds }));
    expect(names(guarded, guarded.encode("hello"))).toEqual(["hell", "o"]);
  });

  it("takes the ordinary one of two tokens of one name, whichever comes first", () => {
    const tokens = bpeSample().get("tokenizer.ggml.tokens") as string[];
    const kinds = [...(bpeSample().get("tokenizer.ggml.token_type") as Int32Array)];
    for (const pre of ["gpt-2", "llama-bpe"]) {
      const values = { pre, tokens: ["hello", "l", ...tokens, "hello"], token_type: [3, 3, ...kinds, 1] };
      const twins = tokenizerFromGguf(bpeSample(values));
      expect(twins.encode("hello")).toEqual([2 + tokens.indexOf("hello")]);
      expect(twins.encode("l")).toEqual([2 + tokens.indexOf("l")]);
      expect(twins.encode("hello", { parseSpecial: true })).toEqual([0]);
      expect([twins.idOf("hello"), twins.idOf("l")]).toEqual([0, 1]);
    }
  });

  it("leaves out bytes that the vocabulary leaves out, or takes the unknown token for them", () => {
    const tokens = (bpeSample().get("tokenizer.ggml.tokens") as string[]).map((name) => (name === "w" ? "<w>" : name));
    const values = { tokens, merges: ["h e", "l l"] };
    const silent = tokenizerFromGguf(bpeSample(values));
    expect(names(silent, silent.encode("whewwll"))).toEqual(["he", "ll"]);
    const told = tokenizerFromGguf(bpeSample({ ...values, unknown_token_id: tokens.indexOf("<w>") }));
    expect(names(told, told.encode("whewwll"))).toEqual(["<w>", "he", "<w>", "<w>", "ll"]);
  });

  it("names a pre-tokenizer that is not known", () => {
    const make = (): Tokenizer => tokenizerFromGguf(bpeSample({ pre: "superbpe" }));
    expect(make).toThrow(UnsupportedError);
    expect(make).toThrow(
      /^pre-tokenizer "superbpe" is not supported at tokenizer\.ggml\.pre: the known ones are default, gpt-2/,
    );
  });
});

describe("WordPiece", () => {
  const tokenizer = tokenizerFromGguf(wpmSample());
  const encoded = (text: string, options = {}): string[] => names(tokenizer, tokenizer.encode(text, options));

  it("covers words from the start by the longest tokens", () => {
    expect(encoded("Hello unaffable WORLD!")).toEqual(["▁hello", "▁un", "aff", "able", "▁world", "▁!"]);
  });

  it("drops accents and control characters, and cuts ideographs apart", () => {
    expect(encoded("CAFÉ\u0000 世界")).toEqual(["▁cafe", "▁世", "▁界"]);
  });

  it("gives one unknown token for a word that cannot be covered", () => {
    expect(encoded("unaffordable hello")).toEqual(["[UNK]", "▁hello"]);
  });

  it("puts CLS and SEP around one text and between two", () => {
    expect(encoded("hello", { special: true })).toEqual(["[CLS]", "▁hello", "[SEP]"]);
    const { ids, typeIds } = tokenizer.encodePair("hello", "world");
    expect(names(tokenizer, ids)).toEqual(["[CLS]", "▁hello", "[SEP]", "▁world", "[SEP]"]);
    expect(typeIds).toEqual([0, 0, 0, 1, 1]);
    expect(() => tokenizerFromGguf(spmSample()).encodePair("a", "b")).toThrow(
      'encodePair is not supported at tokenizer model "llama": GGUF metadata says how two texts are joined only for BERT',
    );
  });

  it("puts spaces between words but not before punctuation", () => {
    expect(tokenizer.decode(tokenizer.encode("hello, unaffable world!"))).toBe("hello, unaffable world!");
    expect(tokenizer.decode(tokenizer.encode("[CLS] hello", { parseSpecial: true }))).toBe("[CLS] hello");
  });
});

describe("unigram", () => {
  const tokenizer = tokenizerFromGguf(ugmSample());
  const encoded = (text: string, options = {}): string[] => names(tokenizer, tokenizer.encode(text, options));

  it("takes the way of the highest sum of scores", () => {
    // ▁ + ab + c: -9; ▁ + a + bc: -11; ▁abc: -12.
    expect(encoded("abc")).toEqual(["▁", "ab", "c"]);
  });

  it("joins unknown characters into one unknown token", () => {
    expect(encoded("a🙃🙃b")).toEqual(["▁", "a", "<unk>", "b"]);
    expect(encoded("🙂")).toEqual(["▁", "🙂"]);
  });

  it("joins runs of spaces and drops those at the ends", () => {
    expect(encoded("  a   b  ")).toEqual(["▁", "a", "▁", "b"]);
    const verbatim = tokenizerFromGguf(ugmSample({ remove_extra_whitespaces: false }));
    expect(names(verbatim, verbatim.encode("a  b"))).toEqual(["▁", "a", "▁", "▁", "b"]);
    const bare = tokenizerFromGguf(ugmSample({ add_space_prefix: false }));
    expect(names(bare, bare.encode(" a b"))).toEqual(["a", "▁", "b"]);
  });

  it("adds EOS and knows added tokens", () => {
    expect(encoded("a", { special: true })).toEqual(["▁", "a", "</s>"]);
    expect(encoded("<extra_id_0>")).toEqual(["<extra_id_0>"]);
  });
});

it("names a tokenizer model that is not known", () => {
  expect(() => tokenizerFromGguf(bpeSample({ model: "rwkv" }))).toThrow(
    'tokenizer model "rwkv" is not supported at tokenizer.ggml.model: the known ones are llama, gpt2, bert, t5',
  );
});

it("refuses ids outside the vocabulary", () => {
  const tokenizer = tokenizerFromGguf(bpeSample());
  for (const id of [-1, 268, 1.5, Number.NaN]) {
    expect(() => tokenizer.decode([id])).toThrow(`token id ${id} is not in the vocabulary of 268 tokens`);
  }
  for (const id of [-1, 268, 0.5, Number.NaN]) expect(tokenizer.tokenOf(id)).toBeUndefined();
  for (const name of ["no such token", ""]) expect(tokenizer.idOf(name)).toBeUndefined();
});
