/**
 * How byte-level BPE vocabularies split text before merging: one record per way, named as `tokenizer.ggml.pre` names it. The
 * patterns come from the models' own tokenizers. They are applied in turn: each cuts what the ones before left into its matches
 * and the stretches between them, and never joins anything.
 */
import type { Flags } from "./metadata.ts";

export interface PreTokenizer {
  readonly names: readonly string[];
  readonly patterns: readonly RegExp[];
  /** A piece that is a token as it stands is not merged. */
  readonly wholeWords?: true;
  readonly flags?: Flags;
}

// JavaScript's \s has U+FEFF and lacks U+0085, so white space is spelled out.
const S = String.raw`\p{White_Space}`;
const NOT_S = String.raw`\P{White_Space}`;

function pattern(...alternatives: readonly string[]): RegExp {
  return new RegExp(alternatives.join("|"), "gu");
}

const CONTRACTIONS = "'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])";
const GPT2 = pattern(
  "'(?:s|t|re|ve|m|ll|d)",
  String.raw` ?\p{L}+`,
  String.raw` ?\p{N}+`,
  String.raw` ?[^${S}\p{L}\p{N}]+`,
  `${S}+(?!${NOT_S})`,
);
const DIGIT = /\p{N}/gu;
const DIGITS = /\p{N}+/gu;
const THREE_ASCII_DIGITS = /[0-9]{3}/g;
/** Runs of blank lines and spaces, as most later patterns end. */
const BLANKS = [String.raw`${S}*[\r\n]+`, `${S}+(?!${NOT_S})`, `${S}+`] as const;

/** The shape that Llama 3, Qwen 2 and their kin share; they differ in how digits are grouped. */
function words(digits: string): RegExp {
  return pattern(
    CONTRACTIONS,
    String.raw`[^\r\n\p{L}\p{N}]?\p{L}+`,
    digits,
    String.raw` ?[^${S}\p{L}\p{N}]+[\r\n]*`,
    ...BLANKS,
  );
}

/** The shape of GPT-4o and Tekken: words also end where lower case meets upper case. */
function casedWords(contractions: string, digits: string): RegExp {
  const upper = String.raw`[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`;
  const lower = String.raw`[\p{Ll}\p{Lm}\p{Lo}\p{M}]`;
  return pattern(
    String.raw`[^\r\n\p{L}\p{N}]?${upper}*${lower}+${contractions}`,
    String.raw`[^\r\n\p{L}\p{N}]?${upper}+${lower}*${contractions}`,
    digits,
    String.raw` ?[^${S}\p{L}\p{N}]+[\r\n/]*`,
    ...BLANKS,
  );
}

/** The letters that DeepSeek LLM lists, as ranges of code points: Latin, Greek, Cyrillic and others with case. */
const DEEPSEEK_LETTERS: string = (
  "41-5A 61-7A B5 C0-D6 D8-F6 F8-1BA 1BC-1BF 1C4-293 295-2AF 370-373 376-377 37B-37D 37F 386 388-38A 38C 38E-3A1 3A3-3F5 " +
  "3F7-481 48A-52F 531-556 10A0-10C5 13A0-13F5 13F8-13FD 1C90-1CBA 1CBD-1CBF 1D00-1D2B 1D6B-1D77 1D79-1D9A 1E00-1F15 " +
  "1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57 1F59 1F5B 1F5D 1F5F-1F7D 1F80-1FB4 1FB6-1FBC 1FBE 1FC2-1FC4 1FC6-1FCC " +
  "1FD0-1FD3 1FD6-1FDB 1FE0-1FEC 1FF2-1FF4 1FF6-1FFC 2102 2107 210A-2113 2115 2119-211D 2124 2126 2128 212A-212D " +
  "212F-2134 2139 213C-213F 2145-2149 214E 2183-2184 2C00-2C7B 2C7E-2CE4 2CEB-2CEE 2CF2-2CF3 A640-A66D A680-A69B " +
  "A722-A76F A771-A787 A78B-A78E AB70-ABBF FB00-FB06 FB13-FB17 FF21-FF3A FF41-FF5A 10400-1044F 104B0-104D3 104D8-104FB " +
  "10C80-10CB2 10CC0-10CF2 118A0-118DF 1E900-1E943"
)
  .replaceAll(/[0-9A-F]+/g, String.raw`\u{$&}`)
  .replaceAll(" ", "");
const LINE_END = /[\r\n]/g;
const CJK = /[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+/gu;
const FINNISH = /[ ]?[^\p{White_Space}().,!?|…。，、।۔،]+/gu;
const DEEPSEEK_3_WORDS = pattern(
  "[!-/:-@\\[-`{-~][A-Za-z]+",
  String.raw`[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+`,
  String.raw` ?[\p{P}\p{S}]+[\r\n]*`,
  ...BLANKS,
);

const withBos: Flags = { add_bos_token: true };

export const preTokenizers: readonly PreTokenizer[] = [
  {
    names: ["default"],
    patterns: [/[\p{P}$+<=>^~|]+/gu, GPT2, DIGITS, THREE_ASCII_DIGITS],
  },
  {
    names: [
      "gpt-2",
      "phi-2",
      "jina-es",
      "jina-de",
      "jina-v2-es",
      "jina-v2-de",
      "gigachat",
      "a.x-4.0",
      "mellum",
      "modern-bert",
      "exaone4",
      "mpt",
      "olmo",
      "jais",
      "trillion",
      "granite-docling",
    ],
    patterns: [GPT2],
  },
  { names: ["jina-v1-en", "jina-v2-code", "roberta-bpe"], patterns: [GPT2], flags: { add_sep_token: true } },
  {
    names: ["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"],
    patterns: [words(String.raw`\p{N}{1,3}`)],
    wholeWords: true,
    flags: withBos,
  },
  { names: ["dbrx", "smaug-bpe", "glm4", "chatglm-bpe"], patterns: [words(String.raw`\p{N}{1,3}`)] },
  {
    names: ["qwen2", "deepseek-r1-qwen", "kormo", "megrez", "stablelm2", "hunyuan", "solar-open", "grok-2"],
    patterns: [words(String.raw`\p{N}`)],
  },
  {
    names: ["seed-coder"],
    patterns: [
      pattern(
        CONTRACTIONS,
        String.raw`[^\r\n\p{L}\p{N}]?\p{L}+`,
        String.raw`\p{N}`,
        String.raw` ?[^${S}\p{L}\p{N}\r\n]+`,
        ...BLANKS,
      ),
    ],
  },
  {
    names: ["falcon"],
    patterns: [/[\p{P}$+<=>^~|`]+/gu, GPT2, THREE_ASCII_DIGITS],
  },
  {
    names: ["starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b"],
    patterns: [DIGIT, GPT2],
  },
  {
    names: ["deepseek-llm"],
    patterns: [
      LINE_END,
      new RegExp(`${S}?[${DEEPSEEK_LETTERS}]+`, "gu"),
      new RegExp(`${S}?[!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3000-\u3002]+`, "gu"),
      // Looking back keeps a long run of spaces that does not end the piece from being tried from each of its places.
      new RegExp(`(?<!${S})${S}+$`, "gu"),
      CJK,
      DIGITS,
    ],
  },
  {
    names: ["deepseek-coder"],
    patterns: [
      LINE_END,
      new RegExp(String.raw`${S}?\p{L}+`, "gu"),
      new RegExp(String.raw`${S}?\p{P}+`, "gu"),
      CJK,
      DIGIT,
    ],
  },
  {
    names: ["deepseek-v3", "hunyuan-dense"],
    patterns: [/\p{N}{1,3}/gu, /[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+/gu, DEEPSEEK_3_WORDS],
  },
  { names: ["poro-chat", "bloom", "gpt3-finnish"], patterns: [FINNISH] },
  { names: ["viking"], patterns: [FINNISH, DIGIT] },
  {
    names: ["tekken"],
    patterns: [casedWords("", String.raw`\p{N}`)],
    wholeWords: true,
    flags: withBos,
  },
  {
    names: ["gpt-4o", "llama4", "minimax-m2"],
    patterns: [casedWords(`(?:${CONTRACTIONS})?`, String.raw`\p{N}{1,3}`)],
  },
];

const byName: ReadonlyMap<string, PreTokenizer> = new Map(
  preTokenizers.flatMap((each) => each.names.map((name) => [name, each] as const)),
);

export function findPreTokenizer(name: string): PreTokenizer | undefined {
  return byName.get(name);
}

/** All values of `tokenizer.ggml.pre` that are known. */
export function preTokenizerNames(): readonly string[] {
  return [...byName.keys()];
}

/** Cuts a text by the patterns in turn. The pieces joined are the text. */
export function splitText(text: string, patterns: readonly RegExp[]): string[] {
  let pieces = text === "" ? [] : [text];
  for (const each of patterns) {
    pieces = pieces.flatMap((piece) => cut(piece, each));
  }
  return pieces;
}

function cut(text: string, pattern: RegExp): string[] {
  const pieces: string[] = [];
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    if (match[0] === "") continue;
    if (match.index > end) pieces.push(text.slice(end, match.index));
    pieces.push(match[0]);
    end = match.index + match[0].length;
  }
  if (end < text.length) pieces.push(text.slice(end));
  return pieces;
}
