/** Synthetic models: sizes of the real ones, files that are read back, weights of the planned spread. */

import { describe, expect, it } from "vitest";
import { UserError } from "@quern/core";
import { MemorySink, parseGguf, tensorData, type GgufFile } from "@quern/importers/gguf";
import { quantMixes } from "../quantise/mix.ts";
import { renderChat } from "../text/chat/render.ts";
import { tokenizerFromGguf } from "../text/gguf/tokenizer.ts";
import { planSynth, synthGguf, writeSynth, writeSynthInTurns, type SynthOptions } from "./model.ts";
import { synthPresets } from "./presets.ts";

const tiny = Object.keys(synthPresets).filter((name) => name.startsWith("tiny-"));

/** Numbers of parameters as published, or as the sum over the published files. */
const PARAMETERS: Readonly<Record<string, number>> = {
  "llama-3.2-1b": 1_235_814_400 + 32,
  "llama-3-8b": 8_030_261_248,
  "tinyllama-1.1b": 1_100_048_384,
  "smollm2-135m": 134_515_008,
  "qwen2.5-0.5b": 494_032_768,
  "qwen3-0.6b": 596_049_920,
  "qwen3-4b": 4_022_468_096,
  "qwen3-30b-a3b": 30_532_122_624,
  "gemma-2-2b": 2_614_341_888,
  "gemma-3-1b": 999_885_952,
  "phi-3-mini": 3_821_079_552,
  gpt2: 124_439_808,
};

function open(options: SynthOptions): GgufFile {
  return parseGguf(synthGguf(options));
}

function moments(values: Float32Array): { mean: number; spread: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { mean, spread: Math.sqrt(squares) };
}

describe("presets have the size of the real models", () => {
  it("all of them", () => {
    expect(
      Object.keys(synthPresets)
        .filter((name) => !name.startsWith("tiny-"))
        .sort(),
    ).toEqual(Object.keys(PARAMETERS).sort());
  });

  // The vocabulary is not of interest here, and takes most of the time.
  it.each(Object.entries(PARAMETERS))("%s: %i", (name, expected) => {
    const { shape, parameters } = planSynth({ model: name, changes: { vocabulary: 512 } });
    const embeddings = (shape.tied ? 1 : 2) * shape.width * (synthPresets[name]!.vocabulary - 512);
    expect(parameters + embeddings).toBe(expected);
  });
});

describe.each(tiny)("%s", (model) => {
  it("is read back, with a vocabulary and a chat template", () => {
    const file = open({ model });
    const { shape, tensors } = planSynth({ model });
    const architecture = file.metadata.string("general.architecture");
    expect(architecture).toBe(shape.architecture);
    expect(file.metadata.integer(`${architecture}.block_count`)).toBe(shape.layers);
    expect([...file.tensors.values()].map(({ name, shape: dims, type }) => ({ name, dims, type }))).toEqual(
      tensors.map(({ name, shape: dims, type }) => ({ name, dims, type })),
    );
    const tokenizer = tokenizerFromGguf(file.metadata.values);
    expect(tokenizer.vocabularySize).toBe(shape.vocabulary);
    const text = "the people think of (größer) things\n\n  12 🙂";
    const ids = tokenizer.encode(text);
    expect(tokenizer.decode(ids)).toBe(text);
    expect(tokenizer.encode("the people think of").length).toBeLessThan(10);
    const template = file.metadata.string("tokenizer.chat_template");
    const prompt = renderChat(template, [{ role: "user", content: "Good day" }], {
      addGenerationPrompt: true,
      bosToken: "<bos>",
    });
    expect(prompt).toContain("Good day");
    // What the template writes around texts are single tokens.
    const special = tokenizer.encode(prompt, { parseSpecial: true }).filter((id) => tokenizer.isSpecial(id));
    expect(special.length).toBeGreaterThanOrEqual(architecture === "gpt2" ? 0 : 2);
  });

  it("has finite weights of the planned spread", () => {
    const file = open({ model });
    for (const { name, shape, mean, spread, values } of planSynth({ model }).tensors) {
      const data = tensorData(file, name);
      expect(data.every(Number.isFinite), name).toBe(true);
      if (values !== undefined) {
        expect(data).toEqual(values);
        continue;
      }
      if (shape.length === 1) {
        expect(Math.abs(moments(data).mean - mean), name).toBeLessThan((5 * spread) / Math.sqrt(data.length));
        continue;
      }
      const found = moments(data);
      const tolerance = 0.02 + 3 / Math.sqrt(data.length);
      expect(Math.abs(found.mean) / spread, name).toBeLessThan(tolerance);
      expect(Math.abs(found.spread / spread - 1), name).toBeLessThan(tolerance);
    }
  });
});

it.each(quantMixes.map(({ name }) => name))("%s stores weights of the planned spread", (quant) => {
  const file = open({ model: "llama", quant, changes: { layers: 1 } });
  for (const name of ["token_embd", "output", "blk.0.attn_v", "blk.0.ffn_up", "blk.0.ffn_down"]) {
    const { mean, spread } = moments(tensorData(file, `${name}.weight`));
    const wanted = name === "blk.0.ffn_down" ? 512 ** -0.5 : 1 / 16;
    expect(Math.abs(mean) / wanted, name).toBeLessThan(0.03);
    expect(Math.abs(spread / wanted - 1), name).toBeLessThan(0.02);
  }
});

it("Q8_0 has no quant of -128", () => {
  const { bytes } = open({ model: "llama", quant: "Q8_0" }).tensors.get("output.weight")!;
  const least = bytes.reduce((most, byte, i) => (i % 34 < 2 ? most : Math.min(most, (byte << 24) >> 24)), 0);
  expect(least).toBe(-127);
});

describe("seeds", () => {
  it("equal options give equal files, another seed another one", () => {
    const bytes = synthGguf({ model: "qwen3" });
    expect(synthGguf({ model: "qwen3" })).toEqual(bytes);
    expect(synthGguf({ model: "qwen3", seed: 2 })).not.toEqual(bytes);
  });

  it("layers differ, and weights do not repeat", () => {
    const file = open({ model: "llama" });
    const rows = new Set<string>();
    for (const layer of [0, 1]) {
      const { bytes } = file.tensors.get(`blk.${layer}.ffn_up.weight`)!;
      for (let at = 0; at < bytes.length; at += 144) rows.add(bytes.subarray(at + 16, at + 144).join());
    }
    expect(rows.size).toBe(1024);
  });
});

it("Llama 3's frequency factors: 1 for fast ones, 32 for slow ones", () => {
  const { tensors } = planSynth({ model: "llama-3.2-1b", changes: { layers: 1, vocabulary: 512 } });
  const { values } = tensors.find(({ name }) => name === "rope_freqs.weight")!;
  expect(values).toHaveLength(32);
  expect([values![0], values![31]]).toEqual([1, 32]);
  expect(values!.every((value, i) => i === 0 || value >= values![i - 1]!)).toBe(true);
});

describe("changes of the shape", () => {
  it("what is not given follows", () => {
    const { shape } = planSynth({ model: "llama-3-8b", changes: { width: 1024, layers: 3, vocabulary: 300 } });
    expect(shape).toMatchObject({ heads: 8, kvHeads: 2, headSize: 128, feedForward: 3584, layers: 3, vocabulary: 300 });
    expect(planSynth({ model: "qwen3-4b", changes: { heads: 4, vocabulary: 300 } }).shape).toMatchObject({
      heads: 4,
      kvHeads: 1,
      headSize: 128,
      width: 2560,
    });
  });

  it.each<[SynthOptions, string]>([
    [{ model: "llama", changes: { width: 100 } }, "the width 100 is no multiple of 32"],
    [{ model: "llama", changes: { heads: 3, kvHeads: 3 } }, "3 heads do not divide the width 256"],
    [{ model: "qwen3", changes: { heads: 4, kvHeads: 3 } }, "4 heads cannot share 3 key/value heads"],
    [{ model: "qwen3", changes: { headSize: 33 } }, "an even number is needed"],
    [{ model: "llama", changes: { vocabulary: 200 } }, "a vocabulary of 200 tokens is too small"],
    [{ model: "bloom" }, 'there is no synthetic model "bloom"'],
    [{ model: "constructor" }, 'there is no synthetic model "constructor"'],
    [{ model: "llama", quant: "Q4_K_X" }, 'there is no quantisation "Q4_K_X"'],
  ])("%j is refused", (options, message) => {
    expect(() => planSynth(options)).toThrow(UserError);
    expect(() => planSynth(options)).toThrow(message);
  });
});

it("a sink that fails is left empty", () => {
  const sink = new MemorySink();
  let pieces = 0;
  const failing = {
    name: "full",
    write: (bytes: Uint8Array) => {
      pieces += 1;
      if (pieces > 5) throw new UserError("no space left");
      sink.write(bytes);
    },
    finish: () => sink.finish(),
    abandon: () => sink.abandon(),
  };
  expect(() => writeSynth(planSynth({ model: "llama" }), failing)).toThrow("no space left");
  expect(sink.bytes()).toHaveLength(0);
});

describe("writing in turns", () => {
  it("gives the same bytes", async () => {
    const sink = new MemorySink();
    await writeSynthInTurns(planSynth({ model: "llama" }), sink);
    expect(sink.bytes()).toEqual(synthGguf({ model: "llama" }));
  });

  it("a timer has its turn, and nothing is left after an abort", async () => {
    const sink = new MemorySink();
    const controller = new AbortController();
    const reason = new Error("enough");
    let last = 0;
    const attempt = writeSynthInTurns(planSynth({ model: "llama" }), sink, {
      signal: controller.signal,
      onProgress: (written) => {
        if (last === 0) setImmediate(() => controller.abort(reason));
        last = written;
      },
    });
    await expect(attempt).rejects.toBe(reason);
    expect(last).toBeLessThan(synthGguf({ model: "llama" }).length / 2);
    expect(sink.bytes()).toHaveLength(0);
  });
});
