import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { synthGguf, synthPresets, type SynthOptions } from "@quern/llm";
import { afterAll, describe, expect, it } from "vitest";
import { readModelFacts, workOf, type ModelFacts } from "./model-facts.ts";
import type { LlmTest } from "./tests.ts";

const directory = mkdtempSync(join(tmpdir(), "quern-facts-test-"));
afterAll(() => rmSync(directory, { recursive: true }));

function factsOf(options: SynthOptions): Promise<ModelFacts> {
  const path = join(directory, `${options.model}-${options.quant}.gguf`);
  writeFileSync(path, synthGguf(options));
  return readModelFacts(path);
}

const generate: LlmTest = { kind: "generate", tokens: 2, depth: 99, sequences: 1 };

describe("facts of a model", () => {
  it("count what a token of a dense model must read and compute", async () => {
    const facts = await factsOf({ model: "tiny-llama", quant: "F32" });
    expect(facts).toMatchObject({ name: "tiny-llama-F32", quant: "F32" });
    const { layers, width, kvHeads, heads, headSize, feedForward, vocabulary } = synthPresets["tiny-llama"]!;
    const attention = width * headSize * (2 * heads + 2 * kvHeads);
    const matrices = layers * (attention + 3 * width * feedForward) + width * vocabulary;
    const norms = width * (2 * layers + 1);
    const { flops, bytes } = workOf(facts, generate, "f16");
    // The middle of the range: position 100, which sees 101 tokens.
    expect(flops).toBe(2 * matrices + layers * 4 * heads * headSize * 101);
    expect(bytes).toBe(4 * (matrices + norms) + layers * 2 * kvHeads * headSize * 2 * 101);
  });

  it("count weights once for all sequences and prompts, and logits of a prompt for its last token", async () => {
    const facts = await factsOf({ model: "tiny-llama", quant: "Q8_0" });
    const one = workOf(facts, { ...generate, depth: 0 }, "f32");
    const eight = workOf(facts, { ...generate, depth: 0, sequences: 8 }, "f32");
    expect(eight.flops).toBe(8 * one.flops);
    expect(eight.bytes).toBeLessThan(1.2 * one.bytes);
    const prompt = workOf(facts, { kind: "prompt", tokens: 64, depth: 0, sequences: 1 }, "f32");
    expect(prompt.flops).toBeLessThan(64 * one.flops);
    expect(prompt.bytes).toBeLessThanOrEqual(one.bytes);
  });

  it("count a tied embedding as the output, and the experts that are used", async () => {
    const tied = await factsOf({ model: "tiny-gemma3", quant: "F32" });
    expect(workOf(tied, generate, "f16").bytes).toBeGreaterThan(tied.tensorBytes);
    const experts = await factsOf({ model: "tiny-qwen3moe", quant: "F32" });
    const { bytes } = workOf(experts, generate, "f16");
    expect(bytes).toBeLessThan(0.9 * experts.tensorBytes);
    const many = workOf(experts, { ...generate, sequences: 64 }, "f16");
    expect(many.bytes).toBeGreaterThan(bytes);
  });

  it("see no more of the cache than the window of a layer", async () => {
    const facts = await factsOf({ model: "tiny-gemma2", quant: "F32" });
    const at = (depth: number): number => workOf(facts, { ...generate, depth }, "f16").bytes;
    const [short, long] = [at(10) - at(9), at(1000) - at(999)];
    expect(long).toBeGreaterThan(0);
    expect(long).toBeLessThan(short);
  });
});
