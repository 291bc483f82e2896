/** Quantising a file: what is encoded, what is copied, what is refused. */

import { describe, expect, it } from "vitest";
import { UnsupportedError, UserError, blockTypeNamed, blockTypes } from "@quern/core";
import { GgufWriter, MemorySink, parseGguf, tensorData, type GgufFile, type GgufValue } from "@quern/importers/gguf";
import { synthGguf } from "../synth/model.ts";
import { planQuantise, writeQuantised, type QuantisedTensor } from "./file.ts";
import { quantMixNamed, quantMixes } from "./mix.ts";

async function quantise(
  file: GgufFile,
  quant: string,
  threads = 1,
): Promise<{ file: GgufFile; tensors: QuantisedTensor[] }> {
  const sink = new MemorySink();
  const tensors = await writeQuantised(planQuantise(file, quantMixNamed(quant)), sink, { threads });
  return { file: parseGguf(sink.bytes()), tensors };
}

interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: string;
  readonly bytes?: Uint8Array;
}

function fileOf(tensors: readonly Tensor[], metadata: readonly (readonly [string, GgufValue])[] = []): GgufFile {
  const sink = new MemorySink();
  const plans = tensors.map((tensor) => ({ ...tensor, type: blockTypeNamed(tensor.type)! }));
  const writer = new GgufWriter(sink, { metadata, tensors: plans });
  for (const { name, shape, type, bytes } of plans) {
    const size = (shape.reduce((product, dim) => product * dim, 1) / type.blockWeights) * type.blockBytes;
    writer.tensor(name, bytes ?? new Uint8Array(size));
  }
  writer.finish();
  return parseGguf(sink.bytes());
}

describe("every mix", () => {
  const source = parseGguf(synthGguf({ model: "qwen3moe", quant: "F32", changes: { layers: 1 } }));

  it.each(quantMixes.map(({ name }) => name))("%s has the types that synthetic models have", async (quant) => {
    const { file, tensors } = await quantise(source, quant);
    const planned = parseGguf(synthGguf({ model: "qwen3moe", quant, changes: { layers: 1 } }));
    const types = ({ tensors: all }: GgufFile): string[] =>
      [...all.values()].map(({ name, type }) => `${name} ${type.name}`);
    expect(types(file)).toEqual(types(planned));
    expect(file.metadata.number("general.file_type")).toBe(planned.metadata.number("general.file_type"));
    for (const { name, type, error } of tensors) {
      const exact = type.name === "F32";
      expect(error > 0, name).toBe(!exact);
      expect(error, name).toBeLessThan(0.3);
    }
  });
});

it.each([1, 3])("big tensors are worked on in pieces by %i threads, with the same result", async (threads) => {
  // Three pieces, the last of which is short.
  const count = 2 * 2 ** 18 + 256 * 5;
  const values = Float32Array.from({ length: count }, (_, i) => Math.sin(i) * (1 + (i % 7)));
  const bytes = new Uint8Array(values.buffer);
  const { file } = await quantise(
    fileOf([{ name: "blk.0.ffn_up.weight", shape: [count / 256, 256], type: "F32", bytes }]),
    "Q4_K_M",
    threads,
  );
  const type = blockTypeNamed("Q4_K")!;
  const whole = new Uint8Array((count / 256) * 144);
  type.quantise!(values, whole);
  expect(file.tensors.get("blk.0.ffn_up.weight")!.bytes).toEqual(whole);
});

it("norms, biases, integers and other tensors are copied", async () => {
  const bytes = Uint8Array.from({ length: 512 }, (_, i) => i);
  const file = fileOf([
    { name: "blk.0.attn_norm.weight", shape: [256], type: "F16", bytes },
    { name: "blk.0.attn_q.bias", shape: [256], type: "F16", bytes },
    { name: "blk.0.table.weight", shape: [2, 256], type: "I8", bytes },
    { name: "blk.0.attn_k_norm.weight", shape: [1, 256], type: "F16", bytes },
  ]);
  const { file: result, tensors } = await quantise(file, "Q4_0");
  for (const [name, { bytes: stored, type }] of file.tensors) {
    expect(result.tensors.get(name)!.type).toBe(type);
    expect(result.tensors.get(name)!.bytes).toEqual(stored);
  }
  expect(tensors.every(({ error }) => error === 0)).toBe(true);
});

it("keys of a split model go, others stay", async () => {
  const file = fileOf(
    [],
    [
      ["general.architecture", { type: "string", value: "llama" }],
      ["split.no", { type: "u16", value: 0 }],
      ["split.count", { type: "u16", value: 1 }],
    ],
  );
  const { file: result } = await quantise(file, "Q8_0");
  expect([...result.metadata.values.keys()].toSorted((a, b) => a.localeCompare(b))).toEqual([
    "general.architecture",
    "general.file_type",
    "general.quantization_version",
  ]);
});

it("numbers of heads that differ from layer to layer", async () => {
  const counts = (...value: number[]): GgufValue => ({ type: "array", element: "u32", value: Uint32Array.from(value) });
  const file = fileOf(
    [{ name: "blk.0.attn_v.weight", shape: [1, 256], type: "F16" }],
    [
      ["general.architecture", { type: "string", value: "llama" }],
      ["llama.block_count", { type: "u32", value: 2 }],
      ["llama.attention.head_count", counts(32, 32)],
      ["llama.attention.head_count_kv", counts(8, 4)],
    ],
  );
  expect((await quantise(file, "IQ4_XS")).tensors[0]!.type.name).toBe("Q5_K");
});

it("types with a codebook are decoded, and copied where they are no matrices", async () => {
  const matrices = ["IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S", "IQ1_M"];
  // A scale below 1 in every type, whichever bytes it is in.
  const bytesOf = (type: string): Uint8Array => new Uint8Array(blockTypeNamed(type)!.blockBytes).fill(0x2a);
  const tensors = [
    ...matrices.map((type) => ({ name: `${type}.weight`, shape: [1, 256], type, bytes: bytesOf(type) })),
    { name: "blk.0.attn_norm.weight", shape: [256], type: "IQ1_S", bytes: bytesOf("IQ1_S") },
  ];
  const source = fileOf(tensors);
  const { file } = await quantise(source, "F32");
  for (const name of source.tensors.keys()) expect(tensorData(file, name), name).toEqual(tensorData(source, name));
  for (const type of matrices) expect(file.tensors.get(`${type}.weight`)!.type.name).toBe("F32");
  expect(file.tensors.get("blk.0.attn_norm.weight")!.type.name).toBe("IQ1_S");
});

it("types that are not encoded are refused, all of them, where bytes of the other order cannot be copied", () => {
  const names = ["TQ1_0", "IQ2_S"];
  const little = fileOf([
    ...names.map((type) => ({ name: `${type}.norm.weight`, shape: [256], type })),
    { name: "blk.0.ffn_up.weight", shape: [1, 256], type: "IQ3_S" },
  ]);
  expect(() => planQuantise(little, quantMixNamed("Q8_0"))).not.toThrow();
  const tensors = new Map([...little.tensors].map(([name, tensor]) => [name, { ...tensor, littleEndian: false }]));
  const attempt = (): unknown => planQuantise({ ...little, tensors }, quantMixNamed("Q8_0"));
  expect(attempt).toThrow(UnsupportedError);
  expect(attempt).toThrow(/tensor type TQ1_0 is not supported[^]*tensor type IQ2_S/);
  expect(attempt).not.toThrow(/IQ3_S/);
});

it("files of the other byte order are written in this one", async () => {
  // Little-endian bytes of an F32 tensor, read as if they were the other way round.
  const values = Float32Array.of(...Array.from({ length: 256 }, (_, i) => i - 100));
  const swapped = new Uint8Array(values.buffer.slice(0));
  for (let at = 0; at < swapped.length; at += 4) swapped.subarray(at, at + 4).reverse();
  const little = fileOf([
    { name: "blk.0.attn_norm.weight", shape: [256], type: "F32", bytes: swapped },
    { name: "blk.0.ffn_up.weight", shape: [1, 256], type: "F32", bytes: swapped },
  ]);
  const tensors = new Map([...little.tensors].map(([name, tensor]) => [name, { ...tensor, littleEndian: false }]));
  const { file } = await quantise({ ...little, tensors }, "F32");
  for (const name of tensors.keys()) expect(tensorData(file, name)).toEqual(values);
});

it("every type of every mix can be encoded and decoded", () => {
  for (const { base, output } of quantMixes) {
    for (const name of [base, output ?? base]) {
      const type = blockTypes.find((each) => each.name === name)!;
      expect([typeof type.quantise, typeof type.dequantise], name).toEqual(["function", "function"]);
    }
  }
});

it.each([1, 2])("weights that are not finite are named, with %i threads", async (threads) => {
  const values = new Float32Array(2 ** 18 + 1024);
  values[2 ** 18 + 700] = Infinity;
  const bytes = new Uint8Array(values.buffer);
  const file = fileOf([
    { name: "blk.0.ffn_down.weight", shape: [4, 256], type: "F32" },
    { name: "blk.0.ffn_up.weight", shape: [values.length / 256, 256], type: "F32", bytes },
    { name: "blk.1.ffn_up.weight", shape: [values.length / 256, 256], type: "F32", bytes },
  ]);
  const sink = new MemorySink();
  const attempt = writeQuantised(planQuantise(file, quantMixNamed("Q8_0")), sink, { threads });
  await expect(attempt).rejects.toThrow(UserError);
  await expect(attempt).rejects.toThrow(
    /Q8_0: value 700 is Infinity, [^]*tensor "blk\.0\.ffn_up\.weight", counted from element 262144/,
  );
  expect(sink.bytes()).toHaveLength(0);
});

// "F16": every piece is copied, which waits for nobody.
it.each([
  ["Q8_0", 1],
  ["Q8_0", 2],
  ["F16", 1],
] as const)("%s with %i threads: an abort is heard, and nothing is left", async (quant, threads) => {
  const source = parseGguf(synthGguf({ model: "llama", quant: "F16" }));
  const sink = new MemorySink();
  const controller = new AbortController();
  const reason = new Error("enough");
  let last = 0;
  const attempt = writeQuantised(planQuantise(source, quantMixNamed(quant)), sink, {
    threads,
    signal: controller.signal,
    onProgress: (written, total) => {
      if (last === 0) setImmediate(() => controller.abort(reason));
      last = written / total;
    },
  });
  await expect(attempt).rejects.toBe(reason);
  expect(last).toBeLessThan(0.9);
  expect(sink.bytes()).toHaveLength(0);
});
