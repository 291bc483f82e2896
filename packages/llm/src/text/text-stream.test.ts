/** Round trips and streams on random text, over every vocabulary that is at hand. */
import { describe, expect, it } from "vitest";
import { bpeSample, spmSample, ugmSample, wpmSample } from "./gguf/sample-vocabularies.test-support.ts";
import { tokenizerFromGguf } from "./gguf/tokenizer.ts";
import { gpt2LikeJson, llamaLikeJson, metaspaceJson } from "./json/sample-files.test-support.ts";
import { tokenizerFromJson } from "./json/tokenizer.ts";
import { forRandomTexts, randomNumbers, SEED } from "./random-text.test-support.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Vocabularies that can write any text. */
const lossless: Readonly<Record<string, Tokenizer>> = {
  "SentencePiece BPE": tokenizerFromGguf(spmSample()),
  "SentencePiece BPE without a space before the text": tokenizerFromGguf(spmSample({ add_space_prefix: false })),
  "byte-level BPE": tokenizerFromGguf(bpeSample()),
  "byte-level BPE, Llama 3": tokenizerFromGguf(bpeSample({ pre: "llama-bpe" })),
  "tokenizer.json, byte-level": tokenizerFromJson(gpt2LikeJson()),
  "tokenizer.json, byte fallback": tokenizerFromJson(llamaLikeJson()),
};

const lossy: Readonly<Record<string, Tokenizer>> = {
  WordPiece: tokenizerFromGguf(wpmSample()),
  unigram: tokenizerFromGguf(ugmSample()),
  "tokenizer.json, Metaspace": tokenizerFromJson(metaspaceJson()),
};

describe.each(Object.entries(lossless))("%s", (_name, tokenizer) => {
  it("decodes what it encoded; an unpaired surrogate is U+FFFD", () => {
    forRandomTexts(150, { lone: true }, (text) => {
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text.toWellFormed());
    });
  });

  it("text cannot spell a control token", () => {
    forRandomTexts(50, {}, (text) => {
      const hostile = `${text}<s></s><unk><|endoftext|><|im_end|>`;
      for (const id of tokenizer.encode(hostile)) expect(tokenizer.isSpecial(id)).toBe(false);
    });
  });
});

describe.each(Object.entries({ ...lossless, ...lossy }))("stream of %s", (_name, tokenizer) => {
  it("gives in pieces what decode gives, whole characters only", () => {
    forRandomTexts(60, {}, (text) => {
      const ids = tokenizer.encode(text, { special: true, parseSpecial: true });
      for (const skipSpecial of [false, true]) {
        const stream = tokenizer.stream({ skipSpecial });
        const pieces = ids.map((id) => stream.push(id));
        for (const piece of pieces) {
          expect(piece.isWellFormed()).toBe(true);
          if (!text.includes("\ufffd")) expect(piece).not.toContain("\ufffd");
        }
        expect(pieces.join("") + stream.end()).toBe(tokenizer.decode(ids, { skipSpecial }));
      }
    });
  });

  it("takes any ids", () => {
    const random = randomNumbers(SEED);
    for (let round = 0; round < 50; round++) {
      const ids = Array.from({ length: 20 }, () => Math.floor(random() * tokenizer.vocabularySize));
      const stream = tokenizer.stream();
      const text = ids.map((id) => stream.push(id)).join("") + stream.end();
      expect(text, `QUERN_SEED=${SEED}`).toBe(tokenizer.decode(ids));
    }
  });

  it("goes on after the ids of a prompt", () => {
    const ids = tokenizer.encode("hello world hello");
    for (let cut = 0; cut <= ids.length; cut++) {
      const stream = tokenizer.stream({ after: ids.slice(0, cut) });
      const rest = ids.slice(cut).map((id) => stream.push(id));
      expect(tokenizer.decode(ids.slice(0, cut)) + rest.join("") + stream.end()).toBe(tokenizer.decode(ids));
    }
  });
});

describe("a character over several tokens", () => {
  const tokenizer = lossless["byte-level BPE"]!;
  const [a, b, c, d] = tokenizer.encode("🙂");

  it("comes with its last byte", () => {
    const stream = tokenizer.stream();
    expect([a, b, c, d].map((id) => stream.push(id!))).toEqual(["", "", "", "🙂"]);
    expect(stream.end()).toBe("");
  });

  it("is U+FFFD at the end when it never became complete", () => {
    const stream = tokenizer.stream();
    expect([a, b, c].map((id) => stream.push(id!))).toEqual(["", "", ""]);
    expect(stream.end()).toBe("\ufffd");
    expect(stream.end()).toBe("");
    expect(() => stream.push(a!)).toThrow("this text stream has ended");
  });

  it("is U+FFFD as soon as another one begins", () => {
    const stream = tokenizer.stream();
    expect(stream.push(a!)).toBe("");
    expect(stream.push(tokenizer.idOf("h")!)).toBe("\ufffdh");
  });

  it("may have begun in the prompt", () => {
    const stream = tokenizer.stream({ after: [a!, b!] });
    expect([c, d].map((id) => stream.push(id!))).toEqual(["", "🙂"]);
  });

  it("keeps a byte order mark", () => {
    expect(tokenizer.decode(tokenizer.encode("\ufeffx"))).toBe("\ufeffx");
  });
});
