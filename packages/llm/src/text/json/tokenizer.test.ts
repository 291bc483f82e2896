/** tokenizer.json: what is done here and not by the library, and files that are wrong. */
import { describe, expect, it } from "vitest";
import { UnsupportedError, UserError } from "@quern/core";
import { compileDecoder, type DecoderConfig } from "./decoders.ts";
import { gpt2LikeJson, llamaLikeJson, metaspaceJson } from "./sample-files.test-support.ts";
import { tokenizerFromJson } from "./tokenizer.ts";

describe("special tokens", () => {
  it("stand around a text as the post-processor says", () => {
    const tokenizer = tokenizerFromJson(llamaLikeJson());
    const ids = tokenizer.encode("hello", { special: true });
    expect(ids.map((id) => tokenizer.tokenOf(id))).toEqual(["<s>", "▁h", "el", "l", "o"]);
    expect(tokenizer.encodePair("h", "h").typeIds).toEqual([0, 0, 1]);
    expect(tokenizerFromJson(gpt2LikeJson()).encode("h", { special: true })).toHaveLength(1);
  });

  it("are taken from text only when asked, even where the model could spell them", () => {
    const tokenizer = tokenizerFromJson(metaspaceJson());
    expect(tokenizer.encode("</s>", { parseSpecial: true })).toEqual([1]);
    const plain = tokenizer.encode("</s>");
    expect(plain).not.toContain(1);
    expect(tokenizer.decode(plain)).toBe("</s>");
  });

  it("have roles by name, or by the configuration", () => {
    expect(tokenizerFromJson(llamaLikeJson()).special).toEqual({ bos: 1, eos: 2, unk: 0 });
    const config = { bos_token: null, eos_token: { content: "<s>" }, pad_token: "</s>" };
    expect(tokenizerFromJson(llamaLikeJson(), { config }).special).toEqual({ bos: 1, eos: 1, unk: 0, pad: 2 });
  });

  it("may come from any known post-processor", () => {
    const encoded = (post_processor: object): readonly number[] => {
      return tokenizerFromJson(gpt2LikeJson({ post_processor })).encodePair("h", "e").ids;
    };
    const [cls, sep] = [
      ["[A]", 7],
      ["[B]", 8],
    ];
    expect(encoded({ type: "BertProcessing", cls, sep })).toEqual([7, 104, 8, 101, 8]);
    expect(encoded({ type: "RobertaProcessing", cls, sep })).toEqual([7, 104, 8, 8, 101, 8]);
    const processors = [{ type: "ByteLevel" }, { type: "BertProcessing", cls, sep }];
    expect(encoded({ type: "Sequence", processors })).toEqual([7, 104, 8, 101, 8]);
  });
});

describe("decoders", () => {
  const decode = (config: DecoderConfig | null, tokens: readonly string[]): string => {
    const decoder = compileDecoder(config)((id) => tokens[id]!);
    return Buffer.concat(tokens.map((_, id) => decoder.push(id))).toString();
  };

  it.each<[string, DecoderConfig | null, string[], string]>([
    ["none", null, ["a", "b"], "a b"],
    ["WordPiece", { type: "WordPiece", prefix: "##", cleanup: true }, ["do", "n", "##'t", "!", "x"], "do n't! x"],
    ["WordPiece without clean-up", { type: "WordPiece", prefix: "##", cleanup: false }, ["a", "##b", "!"], "ab !"],
    ["Metaspace", { type: "Metaspace", replacement: "▁" }, ["▁a", "▁b▁c"], "a b c"],
    ["Metaspace, never", { type: "Metaspace", replacement: "▁", prepend_scheme: "never" }, ["▁a", "▁b"], " a b"],
    ["BPEDecoder", { type: "BPEDecoder", suffix: "</w>" }, ["he", "llo</w>", "you</w>"], "hello you"],
    ["Replace by pattern", { type: "Replace", pattern: { Regex: "[0-9]+" }, content: "$&" }, ["a12b"], "a$&b"],
    ["Strip", { type: "Strip", content: "_", start: 1, stop: 2 }, ["__a___"], "_a_"],
    ["ByteLevel beyond its alphabet", { type: "ByteLevel" }, ["Ã©", "中"], "é中"],
    ["ByteFallback", { type: "ByteFallback" }, ["<0xC3>", "<0xA9>", "<0xZZ>"], "é<0xZZ>"],
  ])("%s", (_name, config, tokens, text) => {
    expect(decode(config, tokens)).toBe(text);
  });

  it("Strip after Fuse takes from the start of the whole text", () => {
    const strip = (start: number): DecoderConfig => {
      return { type: "Sequence", decoders: [{ type: "Fuse" }, { type: "Strip", content: " ", start, stop: 0 }] };
    };
    expect(decode(strip(1), ["", " a", " b"])).toBe("a b");
    expect(decode(strip(3), [" ", " ", "  x", " y"])).toBe(" x y");
    expect(decode(strip(3), [" ", "x", " y"])).toBe("x y");
  });
});

describe("wrong files", () => {
  it.each<[string | object, string]>([
    ["{", "tokenizer.json is not valid JSON"],
    ["null", "tokenizer.json has no model"],
    [{ model: 1 }, "tokenizer.json has no model"],
    [{ model: {} }, "tokenizer.json: the model has no vocab"],
    [gpt2LikeJson({ added_tokens: [{ id: -1, content: "x" }] }), "the added token at index 0 has no id and content"],
    [gpt2LikeJson({ added_tokens: [null] }), "the added token at index 0 has no id and content"],
    [gpt2LikeJson({ model: { type: "WordLevel", vocab: {} } }), 'model "WordLevel" is not supported at tokenizer.json'],
    [gpt2LikeJson({ normalizer: { type: "Nothing" } }), "tokenizer.json: it cannot be loaded: "],
    [gpt2LikeJson({ decoder: { type: "Sequence" } }), "tokenizer.json: the decoder Sequence has no decoders"],
    [gpt2LikeJson({ post_processor: { type: "BertProcessing" } }), "the post_processor BertProcessing has no cls"],
    [
      gpt2LikeJson({
        post_processor: { type: "TemplateProcessing", single: [{ SpecialToken: { id: "x" } }], pair: [] },
      }),
      "the post_processor TemplateProcessing does not define x",
    ],
  ])("%#", (source, problem) => {
    const make = (): unknown => tokenizerFromJson(source);
    expect(make).toThrow(UserError);
    expect(make).toThrow(problem);
  });

  it.each([
    [{ type: "CTC" }, "decoder CTC is not supported at tokenizer.json: it is not known"],
    [{ type: "constructor" }, "decoder constructor is not supported"],
    [{ type: "Sequence", decoders: [{ type: "Fuse" }, { type: "ByteLevel" }] }, "after Fuse only Strip"],
    [{ type: "Sequence", decoders: [{ type: "Fuse" }, { type: "Strip", start: 0, stop: 1 }] }, "cannot strip the end"],
    [{ type: "Replace", pattern: { Regex: "(?i:a" }, content: "" }, "is none in JavaScript"],
  ])("what cannot be done in a stream: %#", (decoder, problem) => {
    expect(() => compileDecoder(decoder)).toThrow(UnsupportedError);
    expect(() => compileDecoder(decoder)).toThrow(problem);
  });
});
