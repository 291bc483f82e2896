/** Files as nobody should write them: one clear `UserError`, soon. */

import { describe, expect, it } from "vitest";
import { UserError, randomNumbers } from "@quern/core";
import type { GgufFile, GgufValue } from "@quern/importers/gguf";
import { type StepGraphOptions, buildStepGraph } from "./index.ts";
import { plainForward } from "./plain-forward.test-support.ts";
import { StepRunner, difference } from "./run-step.test-support.ts";
import { type Changes, randomIds, writeTiny } from "./tiny-files.test-support.ts";
import { WIDTH, tinyModel, tinyModels } from "./tiny-models.test-support.ts";

const SEED = Number(process.env["QUERN_SEED"] ?? 1);

const u32 = (value: number): GgufValue => ({ type: "u32", value });
const f32 = (value: number): GgufValue => ({ type: "f32", value });
const string = (value: string): GgufValue => ({ type: "string", value });

function problemOf(file: GgufFile, options: StepGraphOptions = {}): string {
  try {
    buildStepGraph(file, { cache: "f32", ...options });
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return (error as Error).message;
  }
  return "no error";
}

function changed(architecture: string, changes: Changes): string {
  return problemOf(writeTiny(tinyModel(architecture), SEED, changes).file);
}

describe("metadata that is wrong is named", () => {
  it.each<[string, Record<string, GgufValue | undefined>, string]>([
    ["llama", { "general.architecture": string("mamba") }, 'architecture "mamba" is not supported'],
    ["llama", { "general.architecture": undefined }, 'metadata key "general.architecture" is missing'],
    ["llama", { block_count: undefined }, 'metadata key "llama.block_count" is missing'],
    ["llama", { block_count: u32(0) }, '"llama.block_count" is 0, an integer of 1 to 1024 is expected'],
    ["llama", { block_count: u32(3) }, '"llama.block_count" is 3, the file has tensors of 2 blocks'],
    ["llama", { block_count: u32(4_000_000_000) }, '"llama.block_count" is 4000000000, an integer of 1 to 1024'],
    ["llama", { block_count: string("2") }, '"llama.block_count" is of type string; an integer is expected'],
    ["llama", { embedding_length: u32(0) }, '"llama.embedding_length" is 0'],
    ["llama", { embedding_length: u32(2 ** 31) }, '"llama.embedding_length" is 2147483648'],
    ["llama", { "attention.head_count": u32(0) }, '"llama.attention.head_count" is 0'],
    [
      "llama",
      { "attention.head_count": u32(6) },
      '"llama.attention.head_count" is 6, which does not divide the width of 32',
    ],
    ["llama", { "attention.head_count_kv": u32(0) }, '"llama.attention.head_count_kv" is 0'],
    ["llama", { "attention.head_count_kv": u32(3) }, "is 3, which does not divide the 4 heads of queries"],
    [
      "llama",
      { "attention.head_count_kv": { type: "array", element: "u32", value: Uint32Array.of(2, 1) } },
      "has 2 for some layers and 1 for others",
    ],
    [
      "llama",
      { "attention.head_count_kv": { type: "array", element: "u32", value: new Uint32Array() } },
      "is an empty list",
    ],
    [
      "llama",
      { "attention.key_length": u32(16), "attention.value_length": u32(8) },
      '"llama.attention.value_length" is 8, keys have 16',
    ],
    ["llama", { "attention.layer_norm_rms_epsilon": undefined }, '"llama.attention.layer_norm_rms_epsilon" is missing'],
    ["llama", { "attention.layer_norm_rms_epsilon": f32(-1) }, "is -1, a finite number of at least 0 is expected"],
    ["llama", { "rope.dimension_count": u32(10) }, '"llama.rope.dimension_count" is 10, heads have 8 elements'],
    ["llama", { "rope.dimension_count": u32(7) }, "is 7, pairs need an even number"],
    ["llama", { "rope.freq_base": f32(0) }, '"llama.rope.freq_base" is 0, a finite number above 0 is expected'],
    ["llama", { "rope.freq_base": f32(Number.NaN) }, '"llama.rope.freq_base" is NaN'],
    ["llama", { "rope.freq_base": f32(1e-38), "rope.scaling.factor": f32(1e-38) }, "the frequencies are not finite"],
    ["llama", { "rope.scaling.type": string("ntk") }, 'rope scaling "ntk" is not supported'],
    ["llama", { "rope.scaling.type": string("constructor") }, 'rope scaling "constructor" is not supported'],
    ["llama", { expert_count: u32(4), expert_used_count: u32(5) }, "is 5, but there are 4 experts"],
    ["llama", { expert_count: u32(100_000) }, '"llama.expert_count" is 100000'],
    ["llama", { context_length: u32(0) }, '"llama.context_length" is 0'],
    ["llama", { "attention.sliding_window": { type: "i32", value: -5 } }, '"llama.attention.sliding_window" is -5'],
    ["qwen3moe", { expert_count: u32(0) }, '"qwen3moe.expert_count" is missing or 0'],
    [
      "gemma3",
      { "attention.sliding_window_pattern": { type: "array", element: "bool", value: [true] } },
      "has 1 values for 7 layers",
    ],
    ["gemma3", { "attention.sliding_window_pattern": u32(0) }, '"gemma3.attention.sliding_window_pattern" is 0'],
  ])("%s %#", (architecture, metadata, problem) => {
    const message = changed(architecture, { metadata });
    expect(message).toContain(problem);
    expect(message).toContain("tiny.gguf");
  });

  it("an unknown architecture comes with the known ones", () => {
    expect(changed("llama", { metadata: { "general.architecture": string("mamba") } })).toContain(
      "supported are llama, qwen2, qwen3, qwen3moe, gemma2, gemma3, phi3, gpt2",
    );
  });

  it("a vocabulary without a model is told", () => {
    const { file } = writeTiny(tinyModel("llama"), SEED);
    expect(problemOf({ ...file, tensors: new Map() })).toContain("it holds a vocabulary only");
  });
});

describe("tensors that do not fit", () => {
  it("come in one error: missing, misshapen, left over", () => {
    const message = changed("llama", {
      shapes: {
        "blk.0.attn_q.weight": undefined,
        "blk.1.ffn_down.weight": [WIDTH, 41],
        "output_norm.weight": [1, WIDTH],
        "blk.1.attn_sinks.weight": [4],
      },
    });
    expect(message).toContain('the tensors do not fit the metadata of architecture "llama":');
    expect(message).toContain("blk.0.attn_q.weight is missing, [32, 32] is expected");
    expect(message).toContain("blk.1.ffn_down.weight is [32, 41], [32, 40] is expected");
    expect(message).toContain("output_norm.weight is [1, 32], [32] is expected");
    expect(message).toContain("blk.1.attn_sinks.weight does not belong to this architecture");
  });

  it("are counted where they are many", () => {
    const message = changed("llama", { metadata: { embedding_length: u32(64) } });
    expect(message.split("\n").length).toBeLessThan(20);
    expect(message).toMatch(/and \d+ more/);
  });

  it("are told soon where all layers lack most", () => {
    const shapes = Object.fromEntries(Array.from({ length: 1024 }, (_, i) => [`blk.${i}.attn_norm.weight`, [WIDTH]]));
    const { file } = writeTiny(tinyModel("gemma3"), SEED, { metadata: { block_count: u32(1024) }, shapes });
    const started = performance.now();
    expect(problemOf(file)).toMatch(/and \d+ more/);
    expect(performance.now() - started).toBeLessThan(5000);
  });

  it("biases that a model needs are missing", () => {
    expect(changed("qwen2", { shapes: { "blk.1.attn_k.bias": undefined } })).toContain(
      "blk.1.attn_k.bias is missing, [16] is expected",
    );
    expect(changed("gpt2", { shapes: { "blk.1.attn_qkv.bias": undefined } })).toContain(
      "blk.1.attn_qkv.bias is missing",
    );
  });

  it("tables of old converters do not matter", () => {
    expect(changed("llama", { shapes: { "blk.0.attn_rot_embd.weight": [4] } })).toBe("no error");
  });

  it("the output matrix belongs to the model whose state alone is wanted", () => {
    const { file } = writeTiny(tinyModel("qwen3"), SEED);
    expect(problemOf(file, { output: "hidden" })).toBe("no error");
  });
});

describe("options that are wrong", () => {
  it.each([
    [{ cache: "q4_0" }, 'cache format "q4_0" is unknown'],
    [{ pageSize: 24 }, "a page of 24 tokens"],
    [{ pageSize: 2 ** 40 }, "a page of 1099511627776 tokens"],
    [{ cache: "q8_0" }, "a q8_0 cache needs heads of a multiple of 32 elements, this model has 8"],
    [{ output: "text" }, 'output "text" is unknown'],
    [{ contextLength: 0.5 }, "a context of 0.5 tokens"],
  ])("%j", (options, problem) => {
    expect(problemOf(writeTiny(tinyModel("llama"), SEED).file, options as StepGraphOptions)).toContain(problem);
  });
});

it("big-endian weights are decoded", () => {
  const { file, plain } = writeTiny(tinyModel("llama"), SEED);
  const tensors = new Map(
    [...file.tensors].map(([name, tensor]) => {
      const bytes = Uint8Array.from(tensor.bytes);
      for (let at = 0; at < bytes.length; at += 4) bytes.subarray(at, at + 4).reverse();
      return [name, { ...tensor, bytes, littleEndian: false }];
    }),
  );
  const ids = randomIds(9, SEED);
  const runner = new StepRunner(buildStepGraph({ ...file, littleEndian: false, tensors }, { cache: "f32" }));
  expect(difference(runner.step([{ sequence: 0, ids }]), plainForward(plain, ids).logits)).toBeLessThan(1e-6);
});

describe("random damage gives a UserError or a graph", () => {
  const NUMBERS = [0, 1, 2, 3, 7, 8, 16, 31, 48, 1000, 2 ** 20, 2 ** 31, 2 ** 32 - 1];

  it.each(tinyModels.map((model) => [`${model.architecture}: ${model.title}`, model] as const))("%s", (_, model) => {
    const random = randomNumbers(SEED);
    const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
    const outcomes = { refused: 0, built: 0 };
    for (let round = 0; round < 60; round++) {
      const metadata: Record<string, GgufValue | undefined> = {};
      const shapes: Record<string, readonly number[] | undefined> = {};
      const values: (GgufValue | undefined)[] = [
        undefined,
        u32(pick(NUMBERS)),
        f32(pick([0.5, -1, Infinity])),
        string("x"),
      ];
      metadata[pick(Object.keys(model.metadata))] = pick(values);
      const [name, shape] = pick(Object.entries(model.shapes));
      if (random() < 0.3) shapes[name] = pick([undefined, [...shape, 1], shape.toReversed(), [1], [3, 0]]);
      try {
        buildStepGraph(writeTiny(model, SEED, { metadata, shapes }).file);
        outcomes.built += 1;
      } catch (error) {
        if (!(error instanceof UserError)) throw new Error(`QUERN_SEED=${SEED}, round ${round}`, { cause: error });
        outcomes.refused += 1;
      }
    }
    expect(outcomes.refused, JSON.stringify(outcomes)).toBeGreaterThan(0);
  });
});
