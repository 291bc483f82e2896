/**
 * Language models on the CPU device, from file to text: what is computed beside a sequence, in pieces, or found in the cache
 * changes its logits by rounding alone. (`@quern/llm` knows no device, so these tests are here.)
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { parseGguf } from "@quern/importers/gguf";
import { cpu } from "@quern/kernels-cpu";
import { type LanguageModel, type LoadOptions, loadModel, synthGguf } from "@quern/llm";
import { afterAll, describe, expect, it } from "vitest";

const STORIES = resolve(import.meta.dirname, "../../../../shared/data/gguf/stories260K.gguf");
const device = cpu({ threads: 2 });
const models: LanguageModel[] = [];
afterAll(async () => {
  for (const model of models) await model.dispose();
  device.dispose();
});

const changes = { layers: 2, width: 64, heads: 2, feedForward: 128, vocabulary: 300, context: 256 };
const file = parseGguf(synthGguf({ model: "tiny-llama", quant: "F16", changes }));

async function load(
  options: Partial<LoadOptions> = {},
  source: Parameters<typeof loadModel>[0] = file,
): Promise<LanguageModel> {
  const model = await loadModel(source, { device, matmulPrecision: "highest", kv: "f32", ...options });
  models.push(model);
  return model;
}

const tokensFrom = (seed: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => 3 + ((i * i * 7 + i * seed) % 290));

/** Largest difference, over the largest element. */
function difference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [worst, most] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    worst = Math.max(worst, Math.abs((actual[i] as number) - (expected[i] as number)));
    most = Math.max(most, Math.abs(expected[i] as number));
  }
  expect(actual).toHaveLength(expected.length);
  return worst / most;
}

describe("a synthetic model", () => {
  const prompts = [1, 2, 3, 4, 5].map((seed) => tokensFrom(seed, 90 + seed));

  it("has the same logits in pieces, in company, and from the cache", async () => {
    const whole = await load({ maxSequences: 1, sharePrefixes: false });
    const pieces = await load({ stepTokens: 24, pageSize: 16, cacheTokens: 512 });
    const expected = [];
    for (const prompt of prompts) expected.push((await whole.logits(prompt)).data as Float32Array);
    const together = await Promise.all(prompts.map((prompt) => pieces.logits(prompt)));
    for (const [i, logits] of together.entries())
      expect(difference(logits.data as Float32Array, expected[i] as Float32Array)).toBeLessThan(1e-5);
    const { usage } = await pieces.generate(prompts[0] as number[], { maxTokens: 1 }).result();
    expect(usage.cachedTokens).toBe(80);
    const last = await pieces.logits(prompts[0] as number[], { positions: "last" });
    expect(difference(last.data as Float32Array, (expected[0] as Float32Array).subarray(-300))).toBeLessThan(1e-5);
  });

  it("generates the same alone and among others, when pages run out too", async () => {
    const options = { temperature: 0.7, seed: 5, maxTokens: 60, ignoreEnd: true };
    const alone = await load({ maxSequences: 1, sharePrefixes: false });
    const crowded = await load({ pageSize: 16, cacheTokens: 256, stepTokens: 40 });
    const expected = [];
    for (const prompt of prompts) expected.push((await alone.generate(prompt, options).result()).tokens);
    const results = await Promise.all(prompts.map((prompt) => crowded.generate(prompt, options).result()));
    expect(results.map(({ tokens }) => tokens)).toEqual(expected);
  });
});

it("stories260K tells a story, the same with every cache", async (context) => {
  if (!existsSync(STORIES)) context.skip("shared/data/gguf is not there");
  const texts: string[] = [];
  for (const kv of ["f32", "f16", "bf16"] as const) {
    const model = await load({ kv, contextLength: 256 }, STORIES);
    let text = "";
    for await (const chunk of model.generate("Once upon a time", { temperature: 0, maxTokens: 60 })) text += chunk.text;
    texts.push(text);
  }
  expect(texts[0]).toMatch(/^, there was a little girl named Lily\. She loved to play outside in the park\./);
  expect(texts[1]).toBe(texts[0]);
  expect(texts[2]?.slice(0, 60)).toBe(texts[0]?.slice(0, 60));
});
