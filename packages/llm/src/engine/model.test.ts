/** The whole way from a file to text, on the reference device and a small synthetic model. */
import { referenceDevice, type Tensor } from "@quern/core";
import { type GgufFile, GgufMetadata, parseGguf } from "@quern/importers/gguf";
import { afterAll, describe, expect, it } from "vitest";
import { synthGguf } from "../synth/index.ts";
import { type LanguageModel, type LoadOptions, loadModel } from "./index.ts";

const changes = { layers: 1, width: 64, heads: 2, feedForward: 64, vocabulary: 300, context: 48 };
const bytes = synthGguf({ model: "tiny-llama", quant: "F32", changes });
const file = parseGguf(bytes);
const models: LanguageModel[] = [];

async function load(options: Partial<LoadOptions> = {}, from: GgufFile = file): Promise<LanguageModel> {
  const loaded = await loadModel(from, { device: referenceDevice(), kv: "f32", pageSize: 16, ...options });
  models.push(loaded);
  return loaded;
}

const model = await load();
afterAll(async () => {
  for (const each of models) await each.dispose();
});

/** Row of the most probable token. */
function greedyOf(logits: Tensor, row: number): number {
  const size = logits.shape[1] as number;
  const values = (logits.data as Float32Array).subarray(row * size, (row + 1) * size);
  return values.indexOf(Math.max(...values));
}

describe("generation", () => {
  it("takes the most probable token of the logits, step after step", async () => {
    const prompt = [1, 20, 30, 40];
    const { tokens } = await model.generate(prompt, { temperature: 0, maxTokens: 24, ignoreEnd: true }).result();
    const logits = await model.logits([...prompt, ...tokens]);
    expect(logits.shape).toEqual([28, 300]);
    expect(tokens).toEqual(tokens.map((_, i) => greedyOf(logits, prompt.length - 1 + i)));
  });

  it("is the same in company, in pieces, and with pages found in the cache", async () => {
    const options = { temperature: 0, maxTokens: 12, ignoreEnd: true };
    const prompts = [1, 2, 3].map((seed) => Array.from({ length: 21 }, (_, i) => (i < 17 ? i + 3 : i * seed)));
    const alone = await load({ maxSequences: 1, sharePrefixes: false });
    const together = await load({ stepTokens: 5, cacheTokens: 96 });
    const expected: (readonly number[])[] = [];
    for (const prompt of prompts) expected.push((await alone.generate(prompt, options).result()).tokens);
    const run = () => Promise.all(prompts.map((prompt) => together.generate(prompt, options).result()));
    const first = await run();
    const second = await run();
    expect(first.map(({ tokens }) => tokens)).toEqual(expected);
    expect(second.map(({ tokens }) => tokens)).toEqual(expected);
    expect(second.map(({ usage }) => usage.cachedTokens)).toEqual([16, 16, 16]);
  });

  it.each(["f32", "q8_0"] as const)("copies a page of a cache of %s that two sequences go on from", async (kv) => {
    const options = { temperature: 0, maxTokens: 6, ignoreEnd: true };
    const prompt = Array.from({ length: 32 }, (_, i) => 3 + 7 * i);
    const alone = await load({ kv, maxSequences: 1, sharePrefixes: false });
    const sharing = await load({ kv, cacheTokens: 96 });
    const expected = await alone.generate(prompt, options).result();
    const results = await Promise.all([1, 2].map(() => sharing.generate(prompt, options).result()));
    expect(results.map(({ usage }) => usage.cachedTokens)).toEqual([0, 31]);
    expect(results.map(({ tokens }) => tokens)).toEqual([expected.tokens, expected.tokens]);
  });

  it.each(["f16", "bf16", "q8_0"] as const)("works with a cache of %s", async (kv) => {
    const other = await load({ kv });
    expect(other.cacheBytes).toBeLessThan(model.cacheBytes);
    const prompt = [1, 20, 30, 40];
    const [exact, rounded] = [await model.logits(prompt), await other.logits(prompt)];
    const difference = (exact.data as Float32Array).map(
      (value, i) => value - ((rounded.data as Float32Array)[i] as number),
    );
    expect(Math.max(...difference.map(Math.abs))).toBeLessThan(0.05);
  });

  it("takes text, and messages through the template of the file or another", async () => {
    const options = { temperature: 0, maxTokens: 3, ignoreEnd: true };
    const text = await model.generate("hello", options).result();
    expect(text.usage.promptTokens).toBe(model.tokenizer.encode("hello", { special: true }).length);
    const template =
      "{% for m in messages %}{{ m.role }}:{{ m.content }}{{ extra }} {% endfor %}{{ raise_exception(bad) if bad }}";
    const values = new Map(file.metadata.values).set("tokenizer.chat_template", { type: "string", value: template });
    const chatFile = { ...file, metadata: new GgufMetadata(values, file.name) };
    const chat = await load({}, chatFile);
    expect(chat.chatTemplate).toBe(template);
    const messages = [{ role: "user", content: "hi" }];
    const answer = await chat.generate(messages, { ...options, template: { extra: "!" } }).result();
    expect(answer.usage.promptTokens).toBe(chat.tokenizer.encode("user:hi! ", { parseSpecial: true }).length);
    const other = { ...options, chatTemplate: "{{ messages[0].content }}?" };
    const question = await chat.generate(messages, other).result();
    expect(question.usage.promptTokens).toBe(chat.tokenizer.encode("hi?", { parseSpecial: true }).length);
    expect(() => chat.generate(messages, { template: { bad: "never" } })).toThrow(
      "the chat template refuses this conversation: never",
    );
  });
});

describe("scores", () => {
  it("logits of the last position, or of all", async () => {
    const prompt = [1, 50, 60];
    const [all, last] = [await model.logits(prompt), await model.logits(prompt, { positions: "last" })];
    expect(last.shape).toEqual([1, 300]);
    expect(last.data).toEqual((all.data as Float32Array).subarray(600));
  });

  it("log-probabilities are those of the logits", async () => {
    const { tokens, logProbabilities } = await model.logProbabilities("hello you");
    const logits = await model.logits(tokens);
    expect(logProbabilities).toHaveLength(tokens.length - 1);
    logProbabilities.forEach((value, i) => {
      const row = (logits.data as Float32Array).subarray(300 * i, 300 * (i + 1));
      const sum = row.reduce((total, logit) => total + Math.exp(logit), 0);
      expect(value).toBeCloseTo(Math.log(Math.exp(row[tokens[i + 1] as number] as number) / sum), 5);
    });
    expect((await model.logProbabilities([1])).logProbabilities).toHaveLength(0);
  });
});

describe("embeddings", () => {
  it("are of length 1, one per text, by the pooling asked for", async () => {
    const [first, second] = (await model.embed(["hello", "other"])) as [Float32Array, Float32Array];
    expect(first).toHaveLength(64);
    expect(Math.hypot(...first)).toBeCloseTo(1, 5);
    expect(second).not.toEqual(first);
    expect(await model.embed("hello")).toEqual(first);
  });

  it("mean, cls and last are what they say", async () => {
    const options = { normalise: false };
    const one = model.tokenizer.encode("a", { special: true });
    // A text and its beginning have the same first state; causal models do not look ahead.
    expect(await model.embed("ab", { ...options, pooling: "cls" })).toEqual(
      await model.embed("abc", { ...options, pooling: "cls" }),
    );
    const [last, mean] = [
      await model.embed("a", { ...options, pooling: "last" }),
      await model.embed("a", { ...options, pooling: "mean" }),
    ];
    const first = await model.embed("a", { ...options, pooling: "cls" });
    expect(one.length).toBeGreaterThan(1);
    if (one.length === 2) mean.forEach((value, i) => expect(value).toBeCloseTo((first[i]! + last[i]!) / 2, 5));
    expect(last).not.toEqual(first);
  });
});

describe("refuses", () => {
  it("prompts that are none, or too long", () => {
    expect(() => model.generate([])).toThrow("the prompt is empty");
    expect(() => model.generate(Array.from({ length: 49 }, () => 5))).toThrow(
      "the prompt has 49 tokens, the context has room for 48\n  shorten it, or load the model with a longer context",
    );
    expect(() => model.generate([300])).toThrow("token id 300 is not in the vocabulary of 300 tokens");
    expect(() => model.generate([1, 0.5])).toThrow("token id 0.5 is not in");
    expect(() => model.generate(7 as unknown as string)).toThrow(
      "a prompt is a text, a list of token ids, or a list of messages",
    );
    expect(() => model.generate([{ content: "x" }] as unknown as string)).toThrow("a prompt is a text");
  });

  it("a signal that was aborted, and a model that is gone", async () => {
    expect(() => model.generate([1], { signal: AbortSignal.abort() })).toThrow(
      "the generation was aborted before it began",
    );
    const gone = await load();
    const generation = gone.generate([1], { ignoreEnd: true });
    const reason = generation.result().catch(String);
    await gone.dispose();
    await gone.dispose();
    expect(await reason).toContain("the model was disposed while it was in use");
    expect(() => gone.generate([1])).toThrow("the model was used after dispose");
    await expect(gone.logits([1])).rejects.toThrow("the model was used after dispose");
  });

  it("options that are none", async () => {
    await expect(load({ contextLength: 0 })).rejects.toThrow("contextLength must be an integer of at least 1, not 0");
    await expect(load({ contextLength: 49 })).rejects.toThrow(
      "contextLength must be at most 48, which the model was made for, not 49",
    );
    await expect(load({ cacheTokens: 10 })).rejects.toThrow("cacheTokens must be an integer of at least 48, not 10");
    await expect(load({ pageSize: 20 })).rejects.toThrow("pageSize must be a multiple of 16, not 20");
    await expect(load({ kv: "q4" as "f16" })).rejects.toThrow('kv must be one of f32, f16, bf16, q8_0, not "q4"');
    await expect(load({ threads: 2 } as Partial<LoadOptions>)).rejects.toThrow('there is no option "threads"');
    await expect(loadModel(file, {} as LoadOptions)).rejects.toThrow("device must be given");
    await expect(loadModel("/nowhere.gguf", { device: referenceDevice() })).rejects.toThrow(
      'model file "/nowhere.gguf" cannot be read',
    );
    await expect(model.embed("x", { pooling: "max" as "mean" })).rejects.toThrow(
      "pooling must be one of mean, cls, last",
    );
  });
});
