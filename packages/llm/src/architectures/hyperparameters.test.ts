/** What the metadata of a file becomes: defaults, special cases of model sizes, the tokens that end a text. */

import { describe, expect, it } from "vitest";
import type { GgufValue } from "@quern/importers/gguf";
import { readHyperparameters } from "./index.ts";
import { ropeFrequencies } from "./rope-parameters.ts";
import { writeTiny } from "./tiny-files.test-support.ts";
import { type Metadata, tinyModel } from "./tiny-models.test-support.ts";
import { byteVocabulary } from "./vocabulary.test-support.ts";

const u32 = (value: number): GgufValue => ({ type: "u32", value });
const f32 = (value: number): GgufValue => ({ type: "f32", value });
const text = (value: string): GgufValue => ({ type: "string", value });

function read(architecture: string, metadata: Metadata = {}): ReturnType<typeof readHyperparameters> {
  return readHyperparameters(writeTiny(tinyModel(architecture), 1, { metadata }).file);
}

describe("hyperparameters", () => {
  it("are those of the file", () => {
    expect(read("llama")).toMatchObject({
      architecture: "llama",
      layers: 2,
      width: 32,
      heads: 4,
      kvHeads: 2,
      headDim: 8,
      feedForward: 40,
      contextLength: 128,
      vocabulary: 48,
      attentionScale: 1 / Math.sqrt(8),
      windows: [0, 0],
      rope: { pairs: "neighbours", dims: 8, base: 500, factor: 1, magnitude: 1 },
      endTokens: [],
    });
  });

  it("one value for each layer may stand for the number of heads", () => {
    const metadata: Metadata = {
      "attention.head_count_kv": { type: "array", element: "i32", value: Int32Array.of(2, 2) },
    };
    expect(read("llama", metadata).kvHeads).toBe(2);
  });

  it("a scale of scores in the file counts", () => {
    expect(read("llama", { "attention.scale": f32(0.5) }).attentionScale).toBe(0.5);
    expect(read("gemma2", { "attention.scale": f32(0.25) }).attentionScale).toBe(0.25);
  });

  it.each([
    ["gemma2", 46],
    ["gemma3", 62],
  ])("%s of %i layers divides scores by the root of width / heads", (architecture, layers) => {
    const model = tinyModel(architecture);
    const shapes = Object.fromEntries(Array.from({ length: layers }, (_, i) => [`blk.${i}.attn_norm.weight`, [32]]));
    const { file } = writeTiny(model, 1, { metadata: { block_count: u32(layers) }, shapes });
    expect(readHyperparameters(file).attentionScale).toBe(1 / Math.sqrt(8));
    expect(read(architecture).attentionScale).toBe(1 / Math.sqrt(12));
  });

  it("gemma2 has its caps and window where the file says nothing", () => {
    const { file } = writeTiny(tinyModel("gemma2"), 1, {
      metadata: {
        attn_logit_softcapping: undefined,
        final_logit_softcapping: undefined,
        "attention.sliding_window": undefined,
      },
    });
    expect(readHyperparameters(file)).toMatchObject({
      attentionSoftcap: 50,
      logitSoftcap: 30,
      windows: [4096, 0, 4096],
    });
  });

  it("gemma3 takes another pattern of windows, as a period or layer by layer", () => {
    const key = "attention.sliding_window_pattern";
    expect(read("gemma3").windows).toEqual([5, 5, 5, 5, 5, 0, 5]);
    expect(read("gemma3", { [key]: u32(3) }).windows).toEqual([5, 5, 0, 5, 5, 0, 5]);
    const each = [false, true, true, false, true, true, false];
    expect(read("gemma3", { [key]: { type: "array", element: "bool", value: each } }).windows).toEqual(
      each.map((windowed) => (windowed ? 5 : 0)),
    );
  });

  it("texts end with the tokens that the file names, and with markers of turns", () => {
    const model = tinyModel("llama");
    const { metadata, shapes } = byteVocabulary(model);
    expect(readHyperparameters(writeTiny(model, 1, { metadata, shapes }).file)).toMatchObject({
      endTokens: [2],
      vocabulary: 300,
    });
    const tokens = (metadata["tokenizer.ggml.tokens"] as unknown as { value: string[] }).value.with(280, "<|im_end|>");
    const types = (metadata["tokenizer.ggml.token_type"] as unknown as { value: Int32Array }).value.with(280, 3);
    const marked: Metadata = {
      ...(metadata as Metadata),
      "tokenizer.ggml.tokens": { type: "array", element: "string", value: tokens },
      "tokenizer.ggml.token_type": { type: "array", element: "i32", value: types },
      "tokenizer.ggml.eos_token_id": u32(0xffff_ffff),
      "tokenizer.ggml.eot_token_id": u32(7),
    };
    expect(readHyperparameters(writeTiny(model, 1, { metadata: marked, shapes }).file).endTokens).toEqual([7, 280]);
  });
});

describe("rope", () => {
  const yarn: Metadata = {
    "rope.scaling.type": text("yarn"),
    "rope.scaling.factor": f32(4),
    "rope.scaling.original_context_length": u32(32),
  };

  it("without scaling divides the circle by powers of the base", () => {
    const { rope } = read("llama", { "rope.freq_base": f32(16) });
    expect([...ropeFrequencies(rope!)]).toEqual([1, 1 / 2, 1 / 4, 1 / 8]);
    expect([...ropeFrequencies(rope!, [1, 2, 1, 4])]).toEqual([1, 1 / 4, 1 / 4, 1 / 32]);
  });

  it("of type none is not scaled", () => {
    const { rope } = read("llama", { "rope.scaling.type": text("none"), "rope.scaling.factor": f32(4) });
    expect(rope!.factor).toBe(1);
  });

  it("the older key of a factor counts where the newer one is absent", () => {
    expect(read("llama", { "rope.scale_linear": f32(2) }).rope!.factor).toBe(2);
    expect(read("llama", { "rope.scale_linear": f32(2), "rope.scaling.factor": f32(8) }).rope!.factor).toBe(8);
  });

  it("YaRN keeps fast pairs, divides slow ones, and sharpens", () => {
    const { rope } = read("llama", { ...yarn, "rope.freq_base": f32(10000) });
    expect(rope!.magnitude).toBeCloseTo(1 + 0.1 * Math.log(4), 12);
    // 32 turns in 32 tokens: none; one turn: between the first and the second pair.
    const [first, second, third, fourth] = ropeFrequencies(rope!);
    expect([first, second]).toEqual([1, 0.1 / 4]);
    expect(third).toBeCloseTo(0.01 / 4, 12);
    expect(fourth).toBeCloseTo(0.001 / 4, 12);
    const half = read("llama", { ...yarn, "rope.scaling.yarn_ext_factor": f32(0.5) }).rope!;
    expect(ropeFrequencies(half)[0]).toBeCloseTo(0.5 + 0.5 / 4, 12);
  });
});
