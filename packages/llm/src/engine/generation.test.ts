/** Generations: what they stream, why they end, what they refuse. The logits come from a fake model. */
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { tokenizerFromGguf } from "../text/index.ts";
import { Engine } from "./engine.ts";
import { FakeRunner, fakeContinuation, fakeLogits } from "./fake-runner.test-support.ts";
import { type GenerateOptions, generateSettings } from "./generate-options.ts";
import { Generation, type GenerationChunk } from "./generation.ts";
import { Candidates } from "./sampling/candidates.ts";
import type { StepBatch, StepRunner } from "./step.ts";

/** Special tokens, the 256 bytes, then letters. */
const names = [
  "<unk>",
  "<s>",
  "</s>",
  ...Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`),
  ..."▁ a b c d e f g h".split(" "),
];
const VOCABULARY = names.length;
const END = 2;
const tokenizer = tokenizerFromGguf({
  "tokenizer.ggml.model": "llama",
  "tokenizer.ggml.tokens": names,
  "tokenizer.ggml.scores": names.map((_, id) => -id),
  "tokenizer.ggml.token_type": names.map((_, id) => (id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1)),
  "tokenizer.ggml.bos_token_id": 1,
  "tokenizer.ggml.eos_token_id": END,
});
const CONTEXT = 64;

/** Gives the tokens of a script, whatever the prompt. */
class Script implements StepRunner {
  readonly rowSize = VOCABULARY;
  readonly cacheBytes = 0;
  readonly #prompt: number;
  readonly #tokens: readonly number[];

  constructor(prompt: number, tokens: readonly number[]) {
    this.#prompt = prompt;
    this.#tokens = tokens;
  }

  async run({ outputs, positions }: StepBatch): Promise<Float32Array> {
    const rows = new Float32Array(outputs.length * VOCABULARY);
    outputs.forEach((token, row) => {
      rows[row * VOCABULARY + (this.#tokens[(positions[token] as number) - this.#prompt + 1] ?? 0)] = 20;
    });
    return rows;
  }

  dispose(): void {}
}

const engines: Engine[] = [];
afterEach(async () => {
  for (const engine of engines.splice(0)) await engine.dispose();
});

function newEngine(runner: StepRunner): Engine {
  const engine = new Engine(runner, {
    pages: 32,
    pageSize: 16,
    contextLength: CONTEXT,
    maxSequences: 4,
    stepTokens: 64,
    sharePrefixes: true,
  });
  engines.push(engine);
  return engine;
}

const fakeEngine = (): Engine => newEngine(new FakeRunner({ pages: 32, pageSize: 16, vocabularySize: VOCABULARY }));

function generate(engine: Engine, prompt: readonly number[], options: GenerateOptions = {}): Generation {
  return new Generation({
    prompt,
    settings: generateSettings(options, VOCABULARY),
    tokenizer,
    endTokens: [END],
    contextLength: CONTEXT,
    candidates: new Candidates(VOCABULARY),
    start: (work) => engine.add(work),
  });
}

const PROMPT = [1, 260, 261];

/** The tokens of a text, byte by byte where it has no token. */
const spell = (text: string): number[] => tokenizer.encode(`a${text}`).slice(2);

const scripted = (text: string, options: GenerateOptions = {}, end: number[] = [END]): Generation =>
  generate(newEngine(new Script(PROMPT.length, [...spell(text), ...end])), PROMPT, { temperature: 0, ...options });

async function chunksOf(generation: Generation): Promise<GenerationChunk[]> {
  const chunks: GenerationChunk[] = [];
  for await (const chunk of generation) chunks.push(chunk);
  return chunks;
}

describe("a stream", () => {
  it("gives every token and ends with a summary", async () => {
    const generation = scripted("abc");
    const chunks = await chunksOf(generation);
    expect(chunks.map(({ text, token }) => [text, token])).toEqual([
      ["a", 260],
      ["b", 261],
      ["c", 262],
      ["", undefined],
    ]);
    const result = await generation.result();
    expect(chunks.at(-1)?.summary).toMatchObject({
      finishReason: "end",
      usage: { promptTokens: 3, cachedTokens: 0, generatedTokens: 4 },
    });
    expect(result).toMatchObject({ text: "abc", tokens: [260, 261, 262], finishReason: "end" });
    for (const ms of Object.values(result.timings)) expect(ms).toBeGreaterThanOrEqual(0);
  });

  it("holds back the bytes of a character", async () => {
    const chunks = await chunksOf(scripted("a€b"));
    expect(chunks.map(({ text }) => text)).toEqual(["a", "", "", "€", "b", ""]);
  });

  it("gives what a character that never ends has become", async () => {
    const chunks = await chunksOf(scripted("a€", { maxTokens: 3 }));
    expect(chunks.map(({ text }) => text)).toEqual(["a", "", "", "\ufffd"]);
    expect(chunks.at(-1)?.summary?.finishReason).toBe("length");
  });

  it("can be read once", async () => {
    const generation = scripted("a");
    await chunksOf(generation);
    await expect(chunksOf(generation)).rejects.toThrow("a generation can be read once");
  });

  it("waits for its reader, and for other things of the event loop", async () => {
    const generation = generate(fakeEngine(), PROMPT, { ignoreEnd: true });
    let timers = 0;
    const timer = setInterval(() => timers++, 0);
    let text = "";
    for await (const chunk of generation) {
      text += chunk.text;
      await delay(0);
    }
    clearInterval(timer);
    expect(timers).toBeGreaterThan(5);
    expect(text).toBe((await generation.result()).text);
    expect((await generation.result()).finishReason).toBe("context");
  });
});

describe("the end", () => {
  it("at a stop string, which is not part of the text", async () => {
    const generation = scripted("abcdefgh", { stop: ["xx", "de"] });
    const chunks = await chunksOf(generation);
    expect(chunks.map(({ text }) => text)).toEqual(["a", "b", "c", "", "", ""]);
    expect(await generation.result()).toMatchObject({ text: "abc", finishReason: "stop", stopString: "de" });
  });

  it("at what looked like the beginning of one", async () => {
    const chunks = await chunksOf(scripted("abcd", { stop: "dea" }));
    expect(chunks.map(({ text }) => text)).toEqual(["a", "b", "c", "", "d"]);
    expect(chunks.at(-1)?.summary?.finishReason).toBe("end");
  });

  it("at a stop token, or after the end when it is ignored", async () => {
    expect(await scripted("abc", { stopTokens: [261] }).result()).toMatchObject({ text: "a", finishReason: "stop" });
    const beyond = await scripted("ab", { ignoreEnd: true, maxTokens: 4 }, [END, 263]).result();
    expect(beyond).toMatchObject({ text: "abd", tokens: [260, 261, END, 263], finishReason: "length" });
    const shown = await scripted("ab", { ignoreEnd: true, maxTokens: 3, specialText: true }, [END]).result();
    expect(shown.text).toBe("ab</s>");
  });

  it("when the context is full: the last token needs no place in it", async () => {
    const result = await generate(fakeEngine(), PROMPT, { temperature: 0, ignoreEnd: true }).result();
    expect(result.finishReason).toBe("context");
    expect(result.tokens).toEqual(fakeContinuation(PROMPT, CONTEXT - PROMPT.length + 1, VOCABULARY));
    const full = Array.from({ length: CONTEXT }, (_, i) => 3 + i);
    expect((await generate(fakeEngine(), full, { ignoreEnd: true }).result()).tokens).toHaveLength(1);
  });
});

describe("aborting", () => {
  it("keeps what was generated; others go on", async () => {
    const engine = fakeEngine();
    const controller = new AbortController();
    const aborted = generate(engine, PROMPT, { temperature: 0, ignoreEnd: true, signal: controller.signal });
    const other = generate(engine, [1, 262], { temperature: 0, ignoreEnd: true, maxTokens: 30 }).result();
    const chunks: GenerationChunk[] = [];
    for await (const chunk of aborted) if (chunks.push(chunk) === 5) controller.abort();
    const result = await aborted.result();
    expect(result.finishReason).toBe("abort");
    expect(result.tokens.length).toBeGreaterThanOrEqual(5);
    expect(result.tokens.length).toBeLessThan(30);
    expect(result.tokens).toEqual(fakeContinuation(PROMPT, result.tokens.length, VOCABULARY));
    expect((await other).tokens).toEqual(fakeContinuation([1, 262], 30, VOCABULARY));
  });

  it("by leaving the loop", async () => {
    const generation = generate(fakeEngine(), PROMPT, { ignoreEnd: true });
    for await (const chunk of generation) if (chunk.token !== undefined) break;
    expect((await generation.result()).finishReason).toBe("abort");
  });

  it("before anything was computed", async () => {
    const generation = generate(fakeEngine(), PROMPT);
    generation.abort();
    expect(await generation.result()).toMatchObject({ finishReason: "abort", text: "", tokens: [] });
  });
});

describe("an error of the device", () => {
  it("reaches the reader and the result; the next generation works", async () => {
    const runner = new FakeRunner({ pages: 32, pageSize: 16, vocabularySize: VOCABULARY, failAt: 1 });
    const engine = newEngine(runner);
    const generation = generate(engine, PROMPT, { temperature: 0 });
    await expect(chunksOf(generation)).rejects.toThrow("the device is on fire");
    await expect(generation.result()).rejects.toThrow("the device is on fire");
    const next = await generate(engine, PROMPT, { temperature: 0, maxTokens: 5, ignoreEnd: true }).result();
    expect(next.tokens).toEqual(fakeContinuation(PROMPT, 5, VOCABULARY));
  });

  it("ends one sequence when its logits cannot be sampled", async () => {
    const engine = fakeEngine();
    const none = new Map(names.map((_, id) => [id, Number.NEGATIVE_INFINITY]));
    const bad = generate(engine, PROMPT, { logitBias: none }).result();
    const good = generate(engine, PROMPT, { temperature: 0, maxTokens: 9, ignoreEnd: true }).result();
    await expect(bad).rejects.toThrow("no token can come next");
    expect((await good).tokens).toEqual(fakeContinuation(PROMPT, 9, VOCABULARY));
  });
});

describe("choices", () => {
  it("are the same for a seed, whatever is computed beside them", async () => {
    const options = { temperature: 1.5, topK: 0, seed: 42, maxTokens: 25, ignoreEnd: true };
    const alone = await generate(fakeEngine(), PROMPT, options).result();
    const engine = fakeEngine();
    const others = [7, 8, 9, 10].map((seed) => generate(engine, [1, 260 + (seed % 4)], { ...options, seed }).result());
    await delay(3);
    const among = await generate(engine, PROMPT, options).result();
    expect(among.tokens).toEqual(alone.tokens);
    expect(new Set((await Promise.all(others)).map(({ tokens }) => tokens.join())).size).toBe(4);
  });

  it("without a seed can be repeated with that of the summary", async () => {
    const options = { temperature: 2, topK: 0, maxTokens: 12, ignoreEnd: true };
    const [first, second] = await Promise.all([1, 2].map(() => generate(fakeEngine(), PROMPT, options).result()));
    expect(first?.tokens).not.toEqual(second?.tokens);
    const again = await generate(fakeEngine(), PROMPT, { ...options, seed: first?.seed }).result();
    expect(again.tokens).toEqual(first?.tokens);
  });

  it("come with log-probabilities of the model", async () => {
    const [chunk] = await chunksOf(
      generate(fakeEngine(), PROMPT, { temperature: 0, logProbabilities: 3, maxTokens: 1 }),
    );
    const logits = fakeLogits(PROMPT, VOCABULARY);
    const normaliser = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
    expect(chunk?.logProbability).toBeCloseTo((logits[chunk?.token as number] as number) - normaliser, 5);
    expect(chunk?.alternatives).toHaveLength(3);
    expect(chunk?.alternatives?.[0]).toEqual({ token: chunk?.token, logProbability: chunk?.logProbability });
  });
});

describe("options", () => {
  const refused: readonly (readonly [Record<string, unknown>, string])[] = [
    [{ temperature: -1 }, "temperature must be 0 or a positive number, not -1"],
    [{ temperature: Number.NaN }, "temperature must be"],
    [{ topK: 1.5 }, "topK must be 0 or a positive integer, not 1.5"],
    [{ topP: 0 }, "topP must be above 0 and at most 1, not 0"],
    [{ topP: 1.1 }, "topP must be"],
    [{ minP: 2 }, "minP must be between 0 and 1, not 2"],
    [{ typicalP: -1 }, "typicalP must be"],
    [{ repetitionPenalty: 0 }, "repetitionPenalty must be a positive number"],
    [{ penaltyWindow: -1 }, "penaltyWindow must be"],
    [{ logitBias: { 99999: 1 } }, "logitBias must be a map from token ids"],
    [{ logitBias: { 5: Number.NaN } }, "logitBias must be"],
    [{ seed: 0.5 }, "seed must be an integer within"],
    [{ maxTokens: 0 }, "maxTokens must be a positive integer, not 0"],
    [{ stop: ["a", ""] }, "stop must be a text, or a list of texts, none of them empty"],
    [{ stopTokens: [-1] }, "stopTokens must be"],
    [{ logProbabilities: -1 }, "logProbabilities must be"],
    [{ signal: {} }, "signal must be an AbortSignal"],
    [{ template: 3 }, "template must be a record"],
    [{ temprature: 1 }, 'there is no option "temprature"'],
  ];

  it.each(refused)("%o is refused", (options, message) => {
    expect(() => generateSettings(options, VOCABULARY)).toThrow(message);
  });

  it("are all looked at, and the known ones named", () => {
    expect(() => generateSettings({ topK: -1, top_p: 2 } as GenerateOptions, VOCABULARY)).toThrow(
      /options of generate: topK must be 0 or a positive integer, not -1; there is no option "top_p"\n {2}the options are temperature, topK/,
    );
  });

  it("undefined is the default", () => {
    expect(generateSettings({ topK: undefined, seed: 3 }, VOCABULARY)).toMatchObject({ topK: 40, seed: 3, stop: [] });
  });
});
