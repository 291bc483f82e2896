/** What each pre-tokenizer cuts, on texts that tell them apart. */
import { describe, expect, it } from "vitest";
import { forRandomTexts } from "../random-text.test-support.ts";
import { findPreTokenizer, preTokenizerNames, preTokenizers, splitText } from "./pre-tokenizers.ts";

function pieces(name: string, text: string): string {
  return splitText(text, findPreTokenizer(name)!.patterns).join("|");
}

const TEXT = "I'm We'VE 12345x  y\n\n z!? HelloWorld";

describe("one text in all ways", () => {
  it.each([
    ["gpt-2", "I|'m| We|'|VE| 12345|x| | y|\n\n| z|!?| HelloWorld"],
    ["default", "I|'|m| We|'|VE| |123|45|x| | y|\n\n| z|!?| HelloWorld"],
    ["llama-bpe", "I|'m| We|'VE| |123|45|x| | y|\n\n| z|!?| HelloWorld"],
    ["qwen2", "I|'m| We|'VE| |1|2|3|4|5|x| | y|\n\n| z|!?| HelloWorld"],
    ["falcon", "I|'|m| We|'|VE| |123|45|x| | y|\n\n| z|!?| HelloWorld"],
    ["starcoder", "I|'m| We|'|VE| |1|2|3|4|5|x| | y|\n\n| z|!?| HelloWorld"],
    ["deepseek-llm", "I|'|m| We|'|VE| |12345|x| | y|\n|\n| z|!?| HelloWorld"],
    ["deepseek-coder", "I|'|m| We|'|VE| |1|2|3|4|5|x| | y|\n|\n| z|!?| HelloWorld"],
    ["deepseek-v3", "I|'m| We|'VE| |123|45|x| | y|\n\n| z|!?| HelloWorld"],
    ["bloom", "I'm| We'VE| 12345x| | y|\n\n| z|!?| HelloWorld"],
    ["viking", "I'm| We'VE| |1|2|3|4|5|x| | y|\n\n| z|!?| HelloWorld"],
    ["tekken", "I|'m| We|'VE| |1|2|3|4|5|x| | y|\n\n| z|!?| Hello|World"],
    ["gpt-4o", "I'm| We'VE| |123|45|x| | y|\n\n| z|!?| Hello|World"],
    ["seed-coder", "I|'m| We|'VE| |1|2|3|4|5|x| | y|\n\n| z|!?| HelloWorld"],
  ])("%s", (name, expected) => {
    expect(pieces(name, TEXT)).toBe(expected);
  });
});

describe("where they differ", () => {
  it("white space is Unicode's, not JavaScript's", () => {
    expect(pieces("gpt-2", "\u0085\u0085a")).toBe("\u0085|\u0085|a");
    expect(pieces("gpt-2", "\ufeff!")).toBe("\ufeff!");
  });

  it("line ends stay with punctuation, except in seed-coder", () => {
    expect(pieces("llama-bpe", "x;\n\ny")).toBe("x|;\n\n|y");
    expect(pieces("seed-coder", "x;\n\ny")).toBe("x|;|\n\n|y");
    expect(pieces("gpt-4o", "x;/\ny")).toBe("x|;/\n|y");
  });

  it("ideographs and kana are runs of their own for DeepSeek", () => {
    expect(pieces("deepseek-v3", "ab世界かな")).toBe("ab|世界かな");
    expect(pieces("deepseek-llm", "ab世界 c")).toBe("ab|世界| c");
    expect(pieces("qwen2", "ab世界")).toBe("ab世界");
  });

  it("DeepSeek LLM cuts letters without case and mathematical letters from the others", () => {
    // Its class of punctuation runs from the colon to the tilde, which takes ASCII letters too.
    expect(pieces("deepseek-llm", "aéжλ")).toBe("a|éжλ");
    expect(pieces("deepseek-llm", "é𝐀ב")).toBe("é|𝐀ב");
    expect(pieces("deepseek-llm", "世  ")).toBe("世|  ");
  });

  it("all digits of Unicode are digits", () => {
    expect(pieces("qwen2", "٣Ⅷ½")).toBe("٣|Ⅷ|½");
  });
});

it("the pieces of any text are the text", () => {
  forRandomTexts(100, { lone: true }, (text) => {
    for (const { patterns } of preTokenizers) expect(splitText(text, patterns).join("")).toBe(text);
  });
});

it("names are told apart", () => {
  const names = preTokenizerNames();
  expect(new Set(names).size).toBe(preTokenizers.flatMap((each) => each.names).length);
  expect(findPreTokenizer("constructor")).toBeUndefined();
});
