/**
 * Generated vocabularies: a byte-level BPE tokenizer of any size, in the metadata keys of GGUF. The first 256 tokens are
 * the bytes, then comes one token per merge, and the tokens with a meaning of their own are the last.
 *
 * The first merges build frequent English words, so that ordinary text has a plausible number of tokens; the others join
 * random tokens of letters.
 */

import { UserError } from "@quern/core";
import type { GgufValue } from "@quern/importers/gguf";
import { byteCharacters } from "../text/byte-alphabet.ts";
import { KIND } from "../text/gguf/metadata.ts";
import { RandomBits } from "./random.ts";

export type VocabularyStyle = "llama3" | "qwen" | "gemma" | "phi3" | "gpt2" | "zephyr" | "smollm";

interface Style {
  /** `tokenizer.ggml.pre`. */
  readonly pre: string;
  readonly special: readonly string[];
  readonly bos: string;
  readonly eos: string;
  readonly addBos: boolean;
  /** `tokenizer.chat_template`. */
  readonly chat: string;
}

const eachMessage = (body: string): string => `{% for message in messages %}${body}{% endfor %}`;
const generation = (text: string): string => `{% if add_generation_prompt %}{{ ${JSON.stringify(text)} }}{% endif %}`;

const CHATML =
  eachMessage(`{{ "<|im_start|>" + message["role"] + "\\n" + message["content"] + "<|im_end|>\\n" }}`) +
  generation("<|im_start|>assistant\n");

/** Headed turns: `<|role|>`, a line break, the text, an end token. */
const headed = (end: string): string =>
  eachMessage(`{{ "<|" + message["role"] + "|>\\n" + message["content"] + "${end}\\n" }}`) +
  generation("<|assistant|>\n");

const STYLES: Readonly<Record<VocabularyStyle, Style>> = {
  llama3: {
    pre: "llama-bpe",
    special: [
      "<|begin_of_text|>",
      "<|end_of_text|>",
      "<|start_header_id|>",
      "<|end_header_id|>",
      "<|eom_id|>",
      "<|eot_id|>",
    ],
    bos: "<|begin_of_text|>",
    eos: "<|eot_id|>",
    addBos: true,
    chat:
      "{{ bos_token }}" +
      eachMessage(
        `{{ "<|start_header_id|>" + message["role"] + "<|end_header_id|>\\n\\n" + message["content"] + "<|eot_id|>" }}`,
      ) +
      generation("<|start_header_id|>assistant<|end_header_id|>\n\n"),
  },
  qwen: {
    pre: "qwen2",
    special: ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    bos: "<|endoftext|>",
    eos: "<|im_end|>",
    addBos: false,
    chat: CHATML,
  },
  gemma: {
    pre: "gpt-2",
    special: ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"],
    bos: "<bos>",
    eos: "<eos>",
    addBos: true,
    chat:
      "{{ bos_token }}" +
      eachMessage(
        `{{ "<start_of_turn>" + ("model" if message["role"] == "assistant" else message["role"]) + "\\n" + message["content"] + "<end_of_turn>\\n" }}`,
      ) +
      generation("<start_of_turn>model\n"),
  },
  phi3: {
    pre: "gpt-2",
    special: ["<unk>", "<s>", "</s>", "<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>"],
    bos: "<s>",
    eos: "<|endoftext|>",
    addBos: true,
    chat: headed("<|end|>"),
  },
  gpt2: {
    pre: "gpt-2",
    special: ["<|endoftext|>"],
    bos: "<|endoftext|>",
    eos: "<|endoftext|>",
    addBos: false,
    chat: eachMessage(`{{ message["role"] + ": " + message["content"] + "\\n" }}`) + generation("assistant:"),
  },
  zephyr: {
    pre: "gpt-2",
    special: ["<unk>", "<s>", "</s>"],
    bos: "<s>",
    eos: "</s>",
    addBos: true,
    chat: headed("</s>"),
  },
  smollm: {
    pre: "smollm",
    special: ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    bos: "<|im_start|>",
    eos: "<|im_end|>",
    addBos: false,
    chat: CHATML,
  },
};

/** Frequent words, in rough order of frequency; each stands for itself behind a space. */
const WORDS =
  "the of and to in is that it for was on are as with be this have from or had by not but what all were we when your can " +
  "said there use an each which she do how their if will up other about out many then them these so some her would make " +
  "like him into time has look two more write go see number no way could people my than first water been call who oil its " +
  "now find long down day did get come made may part over new sound take only little work know place year live me back " +
  "give most very after thing our just name good sentence man think say great where help through much before line right " +
  "too mean old any same tell boy follow came want show also around form three small set put end does another well large " +
  "must big even such because turn here why ask went men read need land different home us move try kind hand picture again " +
  "change off play spell air away animal house point page letter mother answer found study still learn should world";

/** Letters by frequency in English text. */
const LETTERS =
  "eeeeeeeeeeeettttttttaaaaaaaooooooooiiiiiiinnnnnnnsssssshhhhhhrrrrrrddddlllluuucccmmmwwfffggyyppbbvkjxqz";
const SPACE = byteCharacters[0x20]!;
const LONGEST = 14;

/** Keys of `tokenizer.*` for a vocabulary of `size` tokens. Throws a `UserError` where that is too few. */
export function synthVocabulary(
  style: VocabularyStyle,
  size: number,
  seed: number,
): readonly (readonly [string, GgufValue])[] {
  const { pre, special, bos, eos, addBos, chat } = STYLES[style];
  const ordinary = size - special.length;
  if (ordinary < byteCharacters.length) {
    throw new UserError(`a vocabulary of ${size} tokens is too small`, {
      hint: `${byteCharacters.length} bytes and ${special.length} special tokens are in every one`,
    });
  }
  const { tokens, merges } = growTokens(ordinary, seed);
  const kinds = new Int32Array(size).fill(KIND.normal).fill(KIND.control, ordinary);
  const idOf = (token: string): GgufValue => ({ type: "u32", value: ordinary + special.indexOf(token) });
  return [
    ["tokenizer.ggml.model", { type: "string", value: "gpt2" }],
    ["tokenizer.ggml.pre", { type: "string", value: pre }],
    ["tokenizer.ggml.tokens", { type: "array", element: "string", value: [...tokens, ...special] }],
    ["tokenizer.ggml.token_type", { type: "array", element: "i32", value: kinds }],
    ["tokenizer.ggml.merges", { type: "array", element: "string", value: merges }],
    ["tokenizer.ggml.bos_token_id", idOf(bos)],
    ["tokenizer.ggml.eos_token_id", idOf(eos)],
    ["tokenizer.ggml.padding_token_id", idOf(eos)],
    ["tokenizer.ggml.add_bos_token", { type: "bool", value: addBos }],
    ["tokenizer.chat_template", { type: "string", value: chat }],
  ];
}

/** `count` tokens: the bytes and what merges make of them, each from two that stand before it. */
function growTokens(count: number, seed: number): { tokens: string[]; merges: string[] } {
  const tokens = [...byteCharacters];
  const known = new Set(tokens);
  const merges: string[] = [];
  const add = (left: string, right: string): void => {
    const token = left + right;
    if (tokens.length === count || known.has(token)) return;
    known.add(token);
    tokens.push(token);
    merges.push(`${left} ${right}`);
  };
  for (let length = 1; length <= 8; length *= 2) add(SPACE.repeat(length), SPACE.repeat(length));
  for (const word of WORDS.split(" ")) {
    const spaced = SPACE + word;
    for (let end = 1; end < spaced.length; end++) add(spaced.slice(0, end), spaced[end]!);
  }
  const random = new RandomBits(seed, "vocabulary");
  const letter = (): string => LETTERS[random.below(LETTERS.length)]!;
  const starts = [SPACE, ...tokens.slice(byteCharacters.length).filter((token) => /[a-z]/.test(token))];
  while (tokens.length < count) {
    const before = tokens.length;
    const left = random.below(8) === 0 ? letter() : starts[random.below(starts.length)]!;
    add(left, letter());
    const token = tokens.at(-1)!;
    if (tokens.length > before && token.length < LONGEST) starts.push(token);
  }
  return { tokens, merges };
}
