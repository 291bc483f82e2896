/** Metadata as nobody should write it: one clear `UserError`, or a tokenizer that works. */
import { describe, expect, it } from "vitest";
import { UserError } from "@quern/core";
import { GgufStrings } from "@quern/importers/gguf";
import { randomNumbers, SEED } from "../random-text.test-support.ts";
import { bpeSample, spmSample, ugmSample, wpmSample } from "./sample-vocabularies.test-support.ts";
import { tokenizerFromGguf } from "./tokenizer.ts";

function problemOf(metadata: unknown): string {
  try {
    tokenizerFromGguf(metadata as Map<string, unknown>);
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return (error as Error).message;
  }
  return "no error";
}

const samples = { spmSample, bpeSample, wpmSample, ugmSample };

describe("wrong metadata is named", () => {
  it.each([
    [
      {},
      /^the tokenizer metadata is not valid:\n {2}tokenizer\.ggml\.model is missing\n {2}tokenizer\.ggml\.tokens is missing$/,
    ],
    [null, "tokenizer metadata: expected a map of keys to values, not null"],
    [spmSample({ tokens: "abc" }), "tokenizer.ggml.tokens is a string, not an array"],
    [spmSample({ tokens: [] }), "tokenizer.ggml.tokens is empty"],
    [spmSample({ tokens: ["a", 7] }), "tokenizer.ggml.tokens has number 7 at index 1, not a string"],
    [spmSample({ scores: [1, 2] }), "tokenizer.ggml.scores has 2 elements for 279 tokens"],
    [spmSample({ scores: [Number.NaN] }), "tokenizer.ggml.scores has number NaN at index 0, not a finite number"],
    [spmSample({ scores: undefined }), "tokenizer.ggml.scores is missing"],
    [spmSample({ token_type: [1n] }), "tokenizer.ggml.token_type has 1 elements for 279 tokens"],
    [spmSample({ token_type: [1.5] }), "tokenizer.ggml.token_type has number 1.5 at index 0, not a token type"],
    [spmSample({ bos_token_id: 279 }), "tokenizer.ggml.bos_token_id is 279, but there are 279 tokens"],
    [spmSample({ eos_token_id: -7n }), "tokenizer.ggml.eos_token_id is -7, but there are 279 tokens"],
    [spmSample({ bos_token_id: "1" }), "tokenizer.ggml.bos_token_id is a string, not a token id"],
    [spmSample({ add_bos_token: 1 }), "tokenizer.ggml.add_bos_token is number 1, not a boolean"],
    [spmSample({ model: 5 }), "tokenizer.ggml.model is number 5, not a string"],
    [bpeSample({ merges: undefined }), "tokenizer.ggml.merges is missing"],
    [bpeSample({ merges: ["h e", "nospace"] }), 'tokenizer.ggml.merges has no pair at index 1: "nospace"'],
    [bpeSample({ merges: ["he zz"] }), 'tokenizer.ggml.merges names "zz" at index 0, which is not among the tokens'],
    [bpeSample({ merges: ["h z"] }), 'tokenizer.ggml.merges names "hz" at index 0, which is not among the tokens'],
    [bpeSample({ merges: [1] }), "tokenizer.ggml.merges has number 1 at index 0, not a string"],
    [bpeSample({ merges: GgufStrings.from(["h e", ""]) }), 'tokenizer.ggml.merges has no pair at index 1: ""'],
    [bpeSample({ merges: ["h e l"] }), 'merges names "e l" at index 0, which is not among the tokens'],
    [bpeSample({ pre: GgufStrings.from(["a"]) }), "tokenizer.ggml.pre is an array, not a string"],
    [spmSample({ scores: GgufStrings.from(["a"]) }), "scores has a string at index 0, not a finite number"],
    [ugmSample({ scores: undefined }), "tokenizer.ggml.scores is missing"],
    [ugmSample({ precompiled_charsmap: [1, 2] }), "the precompiled normaliser is damaged: 2 bytes, trie of 0"],
    [ugmSample({ precompiled_charsmap: [4, 0, 0, 0, 9, 9, 9, 9] }), "is damaged: 8 bytes, trie of 4"],
    [
      ugmSample({ precompiled_charsmap: [300] }),
      "tokenizer.ggml.precompiled_charsmap has number 300 at index 0, not a byte",
    ],
    [wpmSample({ unknown_token_id: undefined }), "tokenizer.ggml.unknown_token_id is missing"],
  ])("%#", (metadata, problem) => {
    expect(problemOf(metadata)).toMatch(problem);
  });

  it("all problems come in one error, the first of them in full", () => {
    const message = problemOf(spmSample({ tokens: 1, scores: "x", bos_token_id: true, pre: [], add_eos_token: "no" }));
    for (const key of ["tokens", "scores", "bos_token_id", "pre", "add_eos_token"])
      expect(message).toContain(`ggml.${key} `);
    const many = problemOf(bpeSample({ merges: Array.from({ length: 1000 }, (_, index) => `q${index} x`) }));
    expect(many.split("\n")).toHaveLength(10);
    expect(many).toContain("and 992 more problems");
  });

  it("keys of an object's prototype are not metadata", () => {
    expect(problemOf(Object.create({ "tokenizer.ggml.model": "llama" }))).toContain("tokenizer.ggml.model is missing");
  });
});

describe("metadata in other forms", () => {
  it("may be a record, with bigints and typed arrays", () => {
    const record = Object.fromEntries(bpeSample({ bos_token_id: 266n }));
    expect(tokenizerFromGguf(record).special.bos).toBe(266);
  });

  it("may be lists of strings as they are in a file", () => {
    const sample = bpeSample();
    for (const key of ["tokenizer.ggml.tokens", "tokenizer.ggml.merges"])
      sample.set(key, GgufStrings.from(sample.get(key) as string[]));
    const tokenizer = tokenizerFromGguf(sample);
    expect(tokenizer.encode("hello world é")).toEqual(tokenizerFromGguf(bpeSample()).encode("hello world é"));
    expect(tokenizer.tokenOf(tokenizer.idOf("hello")!)).toBe("hello");
  });

  it("may carry the types of its values", () => {
    const typed = new Map([...bpeSample()].map(([key, value]) => [key, { type: "any", value }]));
    const tokenizer = tokenizerFromGguf(typed);
    expect(tokenizer.encode("hello world")).toEqual(tokenizerFromGguf(bpeSample()).encode("hello world"));
  });
});

describe("random damage", () => {
  const values: readonly unknown[] = [
    undefined,
    null,
    true,
    -1,
    2n ** 63n,
    Number.NaN,
    "x",
    {},
    [],
    [[]],
    [null],
    new Float32Array(3),
    new Uint8Array(600),
    ["", "a", "a b"],
    Symbol.iterator,
  ];

  it.each(Object.entries(samples))("%s gives a UserError or works", (_name, sample) => {
    const random = randomNumbers(SEED);
    const outcomes = { refused: 0, worked: 0 };
    for (let round = 0; round < 300; round++) {
      const metadata = sample();
      const keys = [...metadata.keys(), "tokenizer.ggml.precompiled_charsmap", "tokenizer.ggml.add_sep_token"];
      // Several changes at once rarely leave anything that works.
      const changes = round % 2 === 0 ? 1 : 1 + random() * 3;
      for (let change = 0; change < changes; change++) {
        const value = values[Math.floor(random() * values.length)];
        metadata.set(keys[Math.floor(random() * keys.length)]!, value);
      }
      try {
        const tokenizer = tokenizerFromGguf(metadata);
        tokenizer.decode(tokenizer.encode("hello <s> wörld 🙂", { special: true, parseSpecial: true }));
        outcomes.worked += 1;
      } catch (error) {
        if (!(error instanceof UserError)) throw new Error(`QUERN_SEED=${SEED}, round ${round}`, { cause: error });
        outcomes.refused += 1;
      }
    }
    expect(Math.min(outcomes.refused, outcomes.worked), JSON.stringify(outcomes)).toBeGreaterThan(0);
  });

  it("a precompiled normaliser of random bytes gives a UserError or works", () => {
    const random = randomNumbers(SEED);
    let refused = 0;
    for (let round = 0; round < 500; round++) {
      const bytes = Uint8Array.from({ length: 4 + 64 * 4 + 40 }, () => random() * (round % 2 === 0 ? 256 : 3));
      bytes.set([0, 1, 0, 0]);
      try {
        tokenizerFromGguf(ugmSample({ precompiled_charsmap: bytes })).encode("abc \u0001\u0002 🙂é");
      } catch (error) {
        if (!(error instanceof UserError)) throw new Error(`QUERN_SEED=${SEED}, round ${round}`, { cause: error });
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(0);
  });
});
