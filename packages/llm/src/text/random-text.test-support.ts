/** Random text from a seed: words, spaces of all kinds, emoji with joiners, combining marks, unpaired surrogates. */

export const SEED: number = Number(process.env["QUERN_SEED"] ?? Date.now() % 2 ** 31);

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const WORDS = [
  "the",
  "Hello",
  "WORLD",
  "don't",
  "We'Ve",
  "naïve",
  "Größe",
  "привет",
  "ក",
  "世界",
  "こんにちは",
  "안녕",
  "x86",
  "<s>",
];
const MARKS = [
  " ",
  "  ",
  "\n",
  "\r\n",
  "\t",
  "\u00a0",
  "\u3000",
  ".",
  "...",
  ",",
  "!?",
  "'",
  '"',
  "(",
  "_",
  "$",
  "--",
  "==",
];
const EMOJI = ["🙂", "👩‍👩‍👧", "🇳🇴", "👍🏽", "é", "ñ̃", "\u200d", "\ufeff", "½", "ﬁ"];
const DIGITS = ["3", "42", "1234567", "٣", "Ⅷ"];
const LONE = ["\ud800", "\udfff"];

export interface TextKinds {
  /** Unpaired surrogates too. */
  readonly lone?: boolean;
}

export function randomText(random: () => number, pieces: number, kinds: TextKinds = {}): string {
  const pick = (list: readonly string[]): string => list[Math.floor(random() * list.length)]!;
  const anywhere = (): string => {
    const code = Math.floor(random() * 0x11_0000);
    return code >= 0xd800 && code < 0xe000 ? "" : String.fromCodePoint(code);
  };
  let text = "";
  for (let piece = 0; piece < pieces; piece++) {
    const kind = random();
    if (kind < 0.35) text += pick(WORDS);
    else if (kind < 0.65) text += pick(MARKS);
    else if (kind < 0.8) text += pick(EMOJI);
    else if (kind < 0.9) text += pick(DIGITS);
    else if (kind < 0.97 || kinds.lone !== true) text += anywhere();
    else text += pick(LONE);
  }
  return text;
}

/** Runs `check` with many texts; a failure names the seed and the text. */
export function forRandomTexts(
  count: number,
  kinds: TextKinds,
  check: (text: string, random: () => number) => void,
): void {
  const random = randomNumbers(SEED);
  for (let index = 0; index < count; index++) {
    const text = randomText(random, 1 + Math.floor(random() * 40), kinds);
    try {
      check(text, random);
    } catch (error) {
      throw new Error(`QUERN_SEED=${SEED}, text ${index}: ${JSON.stringify(text)}`, { cause: error });
    }
  }
}
