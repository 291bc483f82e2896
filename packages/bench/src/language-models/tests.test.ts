import { describe, expect, it } from "vitest";
import { TokenSource, contextOf, parseTests, testName, testShape, type LlmTest } from "./tests.ts";

const prompt: LlmTest = { kind: "prompt", tokens: 512, depth: 0, sequences: 1 };
const generate: LlmTest = { kind: "generate", tokens: 128, depth: 4096, sequences: 8 };

describe("tests of language models", () => {
  it("are named as llama-bench names them", () => {
    expect(testName(prompt)).toBe("pp512");
    expect(testName({ ...prompt, depth: 4096 })).toBe("pp512@d4096");
    expect(testName(generate)).toBe("tg128x8@d4096");
    expect(testShape(prompt)).toBe("512 tokens at 0");
    expect(testShape(generate)).toBe("8 tokens at 4096…4223");
  });

  it("are read by their names, each once", () => {
    expect(parseTests("pp512, pp512@d4096,tg128x8@d4096,pp512")).toEqual([
      prompt,
      { ...prompt, depth: 4096 },
      generate,
    ]);
    expect(parseTests("tg64")).toEqual([{ kind: "generate", tokens: 64, depth: 0, sequences: 1 }]);
  });

  it.each(["", "pp", "pp0", "tg64,", "pp512x2", "tg64x0", "tg64@4096", "pp9999999", "-pp512"])(
    "%j names none",
    (text) => {
      expect(() => parseTests(text)).toThrow(`"${text}" is no list of tests`);
    },
  );

  it("need a context for the longest of them", () => {
    expect(contextOf([])).toBe(256);
    expect(contextOf([prompt])).toBe(768);
    expect(contextOf([prompt, generate])).toBe(4352);
  });
});

describe("TokenSource", () => {
  const all = (source: TokenSource, sequence: number, text: number): number[] => [
    ...source.part(sequence, text, 0, 1000).tokens,
  ];

  it("gives the same ids wherever it is asked, all of them in the vocabulary", () => {
    const source = new TokenSource(7, 50, 1000);
    const ids = all(source, 0, 0);
    expect(all(new TokenSource(7, 50, 1000), 0, 0)).toEqual(ids);
    expect([...source.part(0, 0, 100, 5).tokens]).toEqual(ids.slice(100, 105));
    expect(new Set(ids).size).toBe(50);
    expect(Math.min(...ids)).toBe(0);
    expect(Math.max(...ids)).toBe(49);
  });

  it("gives other ids for other seeds, sequences and texts", () => {
    const source = new TokenSource(7, 50, 1000);
    const texts = [all(source, 0, 0), all(source, 1, 0), all(source, 0, 1), all(new TokenSource(8, 50, 1000), 0, 0)];
    expect(new Set(texts.map((ids) => ids.join())).size).toBe(4);
  });
});
