/** Work grows with the text, not with its square, even where nothing splits it: counted operations and bounded sizes. */
import { describe, expect, it } from "vitest";
import { bpeSample, spmSample, ugmSample, wpmSample } from "./gguf/sample-vocabularies.test-support.ts";
import { preTokenizers, splitText } from "./gguf/pre-tokenizers.ts";
import { tokenizerFromGguf } from "./gguf/tokenizer.ts";
import { gpt2LikeJson } from "./json/sample-files.test-support.ts";
import { tokenizerFromJson } from "./json/tokenizer.ts";
import { characterStarts, mergeSymbols } from "./merge.ts";
import { PrefixTable } from "./prefix-table.ts";
import { TokenSplitter } from "./token-splitter.ts";

const HUNDRED_KB = 100_000;

/** Look-ups for a text of one letter, in which every pair of equal length joins. */
function lookups(length: number): number {
  let count = 0;
  const text = Buffer.from("a".repeat(length));
  const starts = mergeSymbols(characterStarts(text), length, (start, middle, end) => {
    count += 1;
    return middle - start === end - middle && end - start <= 1024 ? end - start : undefined;
  });
  expect(starts.length).toBeGreaterThan(0);
  return count;
}

describe("merging", () => {
  it("looks up a number of pairs proportional to the text", () => {
    expect(lookups(10_000)).toBeGreaterThan(10_000);
    expect(lookups(HUNDRED_KB)).toBeLessThan(4 * HUNDRED_KB);
    expect(lookups(HUNDRED_KB) / lookups(HUNDRED_KB / 10)).toBeLessThan(11);
  });

  it("joins the lowest rank first and the leftmost of equals", () => {
    const merge = (text: string, ranks: Readonly<Record<string, number>>): string[] => {
      const bytes = Buffer.from(text);
      const slice = (start: number, end: number): string => bytes.toString("utf8", start, end);
      const rank = (start: number, middle: number, end: number): number | undefined =>
        ranks[`${slice(start, middle)} ${slice(middle, end)}`];
      const starts = mergeSymbols(characterStarts(bytes), bytes.length, rank);
      return starts.map((start, index) => slice(start, starts[index + 1] ?? bytes.length));
    };
    expect(merge("aaa", { "a a": 0 })).toEqual(["aa", "a"]);
    expect(merge("abc", { "a b": 1, "b c": 0 })).toEqual(["a", "bc"]);
    expect(merge("abcd", { "a b": 1, "b c": 2, "c d": 0, "ab cd": 3 })).toEqual(["abcd"]);
    expect(merge("aaaa", { "a a": 0, "aa aa": 1 })).toEqual(["aaaa"]);
    expect(merge("", {})).toEqual([]);
    expect(merge("🙂🙂", { "🙂 🙂": 0 })).toEqual(["🙂🙂"]);
  });
});

it("what was joined is told before its neighbours are looked at", () => {
  const log: string[] = [];
  const rank = (start: number, middle: number, end: number): number | undefined => {
    log.push(`${start} ${middle} ${end}`);
    return middle - start === 1 && end - middle === 1 && start === 1 ? 7 : undefined;
  };
  expect(mergeSymbols([0, 1, 2, 3], 4, rank, (start, by) => log.push(`${start} by ${by}`))).toEqual([0, 1, 3]);
  expect(log).toEqual(["0 1 2", "1 2 3", "2 3 4", "1 by 7", "0 1 3", "1 3 4"]);
});

describe("a prefix table", () => {
  it("finds all words that begin at a place", () => {
    const table = new PrefixTable(new Map(["", "a", "ab", "abc", "b", "🙂", "ac"].map((word, id) => [word, id])));
    const found = (text: string, at: number): [number, number][] => {
      const result: [number, number][] = [];
      table.visit(text, at, (end, id) => result.push([end, id]));
      return result;
    };
    expect(found("abd", 0)).toEqual([
      [1, 1],
      [2, 2],
    ]);
    expect(found("xabc", 1)).toEqual([
      [2, 1],
      [3, 2],
      [4, 3],
    ]);
    expect(found("🙂", 0)).toEqual([[2, 5]]);
    expect(found("z", 0)).toEqual([]);
  });
});

describe("names in a text", () => {
  it("are found leftmost and longest", () => {
    const splitter = new TokenSplitter(new Map(["<a>", "<a><b>", "b>", ""].map((name, id) => [name, id])));
    expect(splitter.split("x<a><b>y<a>b>")).toEqual(["x", 1, "y", 0, 2]);
    expect(splitter.split("")).toEqual([]);
    expect(new TokenSplitter(new Map()).split("<a>")).toEqual(["<a>"]);
  });

  it("cost no more when there are many of them", () => {
    const names = new Map(Array.from({ length: 5000 }, (_, id) => [`<|${id}|>`, id]));
    expect(new TokenSplitter(names).split("<|".repeat(HUNDRED_KB / 2))).toHaveLength(1);
  });
});

/** Texts without a good place to split, each of the size given. */
const monotonous: Readonly<Record<string, (size: number) => string>> = {
  letters: (size) => "a".repeat(size),
  "capital letters": (size) => "A".repeat(size),
  spaces: (size) => " ".repeat(size),
  "spaces before a letter": (size) => `${" ".repeat(size - 1)}世`,
  "line ends": (size) => "\n".repeat(size - 1) + " x",
  digits: (size) => "7".repeat(size),
  punctuation: (size) => "!".repeat(size),
  apostrophes: (size) => "'".repeat(size),
  "combining marks": (size) => "\u0301".repeat(size),
  ideographs: (size) => "世".repeat(size),
};

describe.each(preTokenizers.map((each) => [each.names[0]!, each] as const))(
  "pre-tokenizer %s",
  (_name, { patterns }) => {
    it.each(Object.entries(monotonous))("cuts 100 kB of %s", (_kind, make) => {
      const text = make(HUNDRED_KB);
      const pieces = splitText(text, patterns);
      expect(pieces.join("")).toBe(text);
      expect(pieces).not.toContain("");
    });
  },
);

it("more different words than a tokenizer remembers change nothing", () => {
  const tokenizer = tokenizerFromGguf(bpeSample());
  const words = Array.from({ length: 25_000 }, (_, index) => ` hello${index.toString(26).replaceAll(/\d/g, "h")}`);
  const first = tokenizer.encode(words.join(""));
  expect(tokenizer.encode(words.join(""))).toEqual(first);
  expect(tokenizer.decode(first)).toBe(words.join(""));
});

describe("100 kB of text", () => {
  const tokenizers = {
    "SentencePiece BPE": tokenizerFromGguf(spmSample()),
    "byte-level BPE": tokenizerFromGguf(bpeSample()),
    WordPiece: tokenizerFromGguf(wpmSample()),
    unigram: tokenizerFromGguf(ugmSample()),
    "tokenizer.json": tokenizerFromJson(gpt2LikeJson()),
  };

  it.each(Object.entries(tokenizers))("%s", (_name, tokenizer) => {
    for (const text of ["hello world, ".repeat(HUNDRED_KB / 13), "he".repeat(HUNDRED_KB / 2), " ".repeat(HUNDRED_KB)]) {
      const ids = tokenizer.encode(text);
      expect(ids.length).toBeLessThanOrEqual(text.length + 1);
      expect(tokenizer.decode(ids).length).toBeLessThanOrEqual(3 * text.length);
    }
  });
});
