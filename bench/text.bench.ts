/** Text to tokens and back, with a vocabulary of the size of small models. */

import { defineBench, type Random } from "@quern/bench/define";
import { parseGguf } from "@quern/importers/gguf";
import { synthGguf } from "@quern/llm/synth";
import { tokenizerFromGguf, type Tokenizer } from "@quern/llm/text";

const VOCABULARY = 8192;
const WORDS = 400;
const PARTS = "the of and to in is that it for was on are as with be this have from or had by not but what all were";

/** The smallest model with it: what counts is its vocabulary. */
function tokenizer(): Tokenizer {
  const changes = { layers: 1, width: 64, heads: 2, feedForward: 64, vocabulary: VOCABULARY };
  return tokenizerFromGguf(parseGguf(synthGguf({ model: "tiny-llama", quant: "Q8_0", changes })).metadata.values);
}

/** Words that are known, words that are pieced together, numbers, punctuation, and letters of several bytes. */
function prose(random: Random): string {
  const parts = PARTS.split(" ");
  const part = (): string => parts[random.below(parts.length)] ?? "";
  const word = (): string => {
    const kind = random.below(10);
    if (kind < 5) return part();
    if (kind < 8) return part() + part() + part();
    return kind === 8 ? String(random.below(100_000)) : `${part()}é—„${part()}”,`;
  };
  return Array.from({ length: WORDS }, word).join(" ");
}

const encode = defineBench<Tokenizer, string, number[]>({
  id: "text/encode",
  params: { words: WORDS, vocabulary: VOCABULARY },
  setup: tokenizer,
  inputs: prose,
  run: (state, text) => state.encode(text),
  check: (text, ids, state) => (state.decode(ids) === text ? 0 : 1),
});

const stream = defineBench<Tokenizer, readonly number[], string>({
  id: "text/stream",
  params: { words: WORDS, vocabulary: VOCABULARY },
  setup: tokenizer,
  inputs: (random, state) => state.encode(prose(random)),
  run(state, ids) {
    const pieces = state.stream();
    let text = "";
    for (const id of ids) text += pieces.push(id);
    return text + pieces.end();
  },
  outputs: (text) => text.length,
  check: (ids, text, state) => (state.encode(text).join() === ids.join() ? 0 : 1),
});

export default [encode, stream];
