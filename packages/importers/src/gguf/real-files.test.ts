/**
 * Real files. One model in eight precisions: each file's weights lie within the rounding of its types of the f32 file's.
 * Vocabularies: files of metadata alone.
 */

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { readGgufFile } from "./file.ts";
import { tensorData } from "./tensor-data.ts";

const FOLDER = resolve(import.meta.dirname, "../../../../../shared/data/gguf");
const VOCABULARIES = resolve(FOLDER, "../tokenizers/ggml");

/**
 * Largest error of each weight of a block, by type. A float has half a unit in its last place. Q4_0 and Q5_0 spread
 * the largest value over 8 or 16 steps to one side; one step is missing on the other. Q4_1 and Q5_1 spread the range
 * over 15 or 31 steps. To each an f16 rounding of scale and minimum is added.
 */
const BOUNDS: Readonly<Record<string, (block: Float32Array) => (weight: number) => number>> = {
  F32: () => () => 0,
  F16: () => (weight) => Math.abs(weight) * 2 ** -11 + 2 ** -25,
  BF16: () => (weight) => Math.abs(weight) * 2 ** -8,
  Q8_0: (block) => always(largest(block) * (0.5 / 127 + 2 ** -11) + 2 ** -17),
  Q5_0: (block) => always(largest(block) * (1 / 16 + 2 ** -11) + 2 ** -19),
  Q4_0: (block) => always(largest(block) * (1 / 8 + 2 ** -11) + 2 ** -20),
  Q5_1: (block) => always(spread(block) * (0.5 / 31 + 2 ** -11) + largest(block) * 2 ** -11 + 2 ** -19),
  Q4_1: (block) => always(spread(block) * (0.5 / 15 + 2 ** -11) + largest(block) * 2 ** -11 + 2 ** -20),
};

const always = (bound: number) => (): number => bound;
const largest = (block: Float32Array): number => block.reduce((most, weight) => Math.max(most, Math.abs(weight)), 0);
const spread = (block: Float32Array): number => Math.max(...block) - Math.min(...block);

beforeEach((context) => {
  for (const folder of [FOLDER, VOCABULARIES]) if (!existsSync(folder)) context.skip(`${folder} is not there`);
});

describe("stories260K", () => {
  it.each(["f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"])("%s", (precision) => {
    const exact = readGgufFile(join(FOLDER, "stories260K.gguf"));
    const file = readGgufFile(join(FOLDER, `stories260K-${precision}.gguf`));
    expect([...file.tensors.keys()].toSorted()).toEqual([...exact.tensors.keys()].toSorted());
    let compared = 0;
    let furthest = 0;
    for (const [name, { type, shape }] of file.tensors) {
      expect(shape).toEqual(exact.tensors.get(name)!.shape);
      const weights = tensorData(file, name);
      const expected = tensorData(exact, name);
      expect(weights).toHaveLength(shape.reduce((product, dim) => product * dim, 1));
      const blockBound = BOUNDS[type.name]!;
      for (let first = 0; first < weights.length; first += type.blockWeights) {
        const bound = blockBound(expected.subarray(first, first + type.blockWeights));
        for (let i = first; i < first + type.blockWeights; i++) {
          const allowed = bound(expected[i]!);
          const error = Math.abs(weights[i]! - expected[i]!);
          if (error > allowed) expect.fail(`${name}[${i}] is ${weights[i]}, ${expected[i]} ± ${allowed} is expected`);
          if (allowed > 0) furthest = Math.max(furthest, error / allowed);
        }
        if (type.name.toLowerCase() === precision) compared += type.blockWeights;
      }
    }
    // The bounds are no looser than the types: most of each is used up somewhere.
    expect(compared).toBeGreaterThan(100_000);
    expect(furthest).toBeGreaterThan(0.7);
  });

  it("holds the metadata of a llama", () => {
    const { metadata, tensors, alignment } = readGgufFile(join(FOLDER, "stories260K.gguf"));
    expect(metadata.string("general.architecture")).toBe("llama");
    expect(metadata.integer("llama.block_count")).toBe(5);
    expect(metadata.number("llama.attention.layer_norm_rms_epsilon")).toBe(Math.fround(1e-5));
    expect(metadata.strings("tokenizer.ggml.tokens")).toHaveLength(512);
    expect(metadata.numbers("tokenizer.ggml.scores")).toHaveLength(512);
    expect(tensors.size).toBe(48);
    expect(tensors.get("blk.0.ffn_up.weight")!.shape).toEqual([172, 64]);
    expect(alignment).toBe(32);
  });
});

describe("vocabularies", () => {
  it.each([
    ["gpt-2", "gpt2", 50257],
    ["falcon", "falcon", 65024],
    ["bert-bge", "bert", 30522],
    ["llama-spm", "llama", 32000],
  ])("%s", (name, architecture, tokens) => {
    const { metadata, tensors } = readGgufFile(join(VOCABULARIES, `${name}.gguf`));
    expect(tensors.size).toBe(0);
    expect(metadata.string("general.architecture")).toBe(architecture);
    expect(metadata.strings("tokenizer.ggml.tokens")).toHaveLength(tokens);
    expect(metadata.numbers("tokenizer.ggml.token_type")).toHaveLength(tokens);
  });
});
