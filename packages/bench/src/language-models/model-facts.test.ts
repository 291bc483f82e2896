import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GgufWriter, readGgufFile } from "@quern/importers/gguf";
import { synthGguf, synthPresets, type SynthOptions } from "@quern/llm";
import { afterAll, describe, expect, it } from "vitest";
import { fileSha256, filesSha256 } from "../harness/claim-facts.ts";
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

  it("are of all files of a split model, and so is its hash", async () => {
    const path = join(directory, "whole.gguf");
    writeFileSync(path, synthGguf({ model: "tiny-llama", quant: "Q8_0" }));
    const whole = readGgufFile(path);
    const parts = [0, 1].map((no) => {
      const part = join(directory, `split-0000${no + 1}-of-00002.gguf`);
      const tensors = [...whole.tensors.values()].filter((_, i) => i % 2 === no);
      const writer = GgufWriter.toFile(part, {
        metadata: [
          ...(no === 0 ? whole.metadata.values : []),
          ["split.no", { type: "u16", value: no }],
          ["split.count", { type: "u16", value: 2 }],
        ],
        tensors,
      });
      for (const { name, bytes } of tensors) writer.tensor(name, bytes);
      writer.finish();
      return part;
    });
    const facts = await readModelFacts(parts[0]!);
    expect(facts.files).toEqual(parts);
    expect(facts.tensorBytes).toBe((await readModelFacts(path)).tensorBytes);
    const before = filesSha256(facts.files);
    const other = readFileSync(parts[1]!);
    other[other.length - 1]! ^= 1;
    writeFileSync(parts[1]!, other);
    expect(filesSha256(facts.files)).not.toBe(before);
    expect(filesSha256((await readModelFacts(path)).files)).toBe(fileSha256(path));
  });

  it("say whether all matrices are floats of 32 bits", async () => {
    const floats = ["F32", "F16", "Q4_0"].map(async (quant) => (await factsOf({ model: "tiny-llama", quant })).floats);
    expect(await Promise.all(floats)).toEqual([true, false, false]);
  });

  it("have a least that is read whichever experts are picked", async () => {
    const dense = await factsOf({ model: "tiny-llama", quant: "Q8_0" });
    const { bytes, leastBytes } = workOf(dense, generate, "f16");
    expect(leastBytes).toBeLessThanOrEqual(bytes);
    expect(leastBytes).toBeGreaterThan(0.97 * bytes);
    const floats = workOf(await factsOf({ model: "tiny-llama", quant: "F32" }), generate, "f16");
    expect(floats.leastBytes).toBeLessThan(0.6 * floats.bytes);
    const experts = await factsOf({ model: "tiny-qwen3moe", quant: "Q8_0" });
    const one = workOf(experts, { ...generate, depth: 0 }, "f16");
    const many = workOf(experts, { ...generate, depth: 0, sequences: 64 }, "f16");
    expect(one.leastBytes).toBeGreaterThan(0.9 * one.bytes);
    expect(many.bytes - one.bytes).toBeGreaterThan(2 * (many.leastBytes - one.leastBytes));
  });
});
