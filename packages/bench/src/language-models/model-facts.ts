/**
 * What a model file says about the work of a token: bytes of weights and cache that must be read, and arithmetic.
 *
 * Only what no implementation can do without is counted: rows of the embedding that no token names are not read, experts
 * as many as are used, feed-forward of the last layer and the output only where logits are wanted.
 */

import { basename, extname } from "node:path";
import { UserError } from "@quern/core";
import type { GgufFile, GgufTensor } from "@quern/importers/gguf";
import type { Hyperparameters } from "@quern/llm";
import type { QuantMix } from "@quern/llm/quantise";
import type { LlmOptions } from "../engines/llm-engine.ts";
import { requirePeer } from "../harness/peers.ts";
import type { LlmTest } from "./tests.ts";

export interface ModelFacts {
  /** Of the file; of one among others with folders above, where that is needed to tell it from them. */
  readonly name: string;
  readonly path: string;
  /** The file, or all files of a split model. */
  readonly files: readonly string[];
  /** For people: "Q4_K_M", or the block type that holds most of the weights. */
  readonly quant: string;
  readonly parameters: number;
  /** Of all tensors. */
  readonly tensorBytes: number;
  /** Whether all matrices are kept as floats of 32 bits. */
  readonly floats: boolean;
  readonly hyper: Hyperparameters;
  readonly weights: readonly Weight[];
}

/** How often a tensor is used by a step. */
interface Weight {
  readonly elements: number;
  readonly bytes: number;
  readonly use: "token" | "output" | "expert" | "row";
}

/** Reads the head of a model. The file is mapped, so that its size costs nothing. */
export async function readModelFacts(path: string): Promise<ModelFacts> {
  const purpose = "reading a language model";
  const { readGgufFile } = await requirePeer("@quern/importers", purpose, () => import("@quern/importers/gguf"));
  const { nativeHost } = await requirePeer("@quern/kernels-cpu", purpose, () => import("@quern/kernels-cpu"));
  const { quantMixes, readHyperparameters } = await requirePeer("@quern/llm", purpose, () => import("@quern/llm"));
  const files: string[] = [];
  const map = (part: string): Uint8Array => {
    files.push(part);
    return new Uint8Array(nativeHost().mapFile(part).buffer);
  };
  const file = readGgufFile(path, { read: map });
  const hyper = readHyperparameters(file);
  const tied = !file.tensors.has("output.weight");
  const tensors = [...file.tensors.values()];
  if (tensors.length === 0) throw new UserError("the file holds no tensors", { where: path });
  return {
    name: basename(path, extname(path)),
    path,
    files,
    quant: quantOf(file, quantMixes),
    parameters: tensors.reduce((sum, { shape }) => sum + product(shape), 0),
    tensorBytes: tensors.reduce((sum, { bytes }) => sum + bytes.byteLength, 0),
    floats: tensors.every(({ shape, type }) => shape.length < 2 || type.name === "F32"),
    hyper,
    weights: tensors.map((tensor) => ({
      elements: tensor.shape.length > 1 ? product(tensor.shape) : 0,
      bytes: tensor.bytes.byteLength,
      use: useOf(tensor, tied, hyper.layers),
    })),
  };
}

function product(shape: readonly number[]): number {
  return shape.reduce((size, dim) => size * dim, 1);
}

function useOf({ name }: GgufTensor, tied: boolean, layers: number): Weight["use"] {
  if (name === "token_embd.weight") return tied ? "output" : "row";
  if (name.startsWith("position_embd.")) return "row";
  if (/_exps\./.test(name)) return "expert";
  return name.startsWith("output") || name.startsWith(`blk.${layers - 1}.ffn_`) ? "output" : "token";
}

/** The name that the file's number stands for, else the block type that holds most of the weights. */
function quantOf(file: GgufFile, quantMixes: readonly QuantMix[]): string {
  const type = file.metadata.values.get("general.file_type")?.value;
  const named = quantMixes.find(({ fileType }) => fileType === type);
  if (named !== undefined) return named.name;
  const elements = new Map<string, number>();
  for (const tensor of file.tensors.values()) {
    elements.set(tensor.type.name, (elements.get(tensor.type.name) ?? 0) + product(tensor.shape));
  }
  return [...elements].toSorted((a, b) => b[1] - a[1])[0]?.[0] ?? "F32";
}

/** Bytes of an element of the cache. */
const CACHE_BYTES: Readonly<Record<LlmOptions["cache"], number>> = { f32: 4, f16: 2, q8_0: 34 / 32 };

export interface StepWork {
  readonly flops: number;
  readonly bytes: number;
  /** What must be read in any case: were all tokens sent to the same experts, and weights of 32 bits kept in 16. */
  readonly leastBytes: number;
}

/** Arithmetic and reads of one timed call: a whole prompt, or one step of generation in the middle of its range. */
export function workOf(facts: ModelFacts, test: LlmTest, cache: LlmOptions["cache"]): StepWork {
  const prompt = test.kind === "prompt";
  const tokens = prompt ? test.tokens : test.sequences;
  const outputs = prompt ? 1 : test.sequences;
  const { experts, layers, kvHeads, heads, headDim, windows } = facts.hyper;
  const usedShare = experts === undefined ? 1 : experts.used / experts.count;
  let flops = 0;
  let bytes = 0;
  let leastBytes = 0;
  for (const weight of facts.weights) {
    if (weight.use === "row") continue;
    const rows = weight.use === "output" ? outputs : tokens;
    flops += 2 * weight.elements * (weight.use === "expert" ? usedShare : 1) * rows;
    // Of the experts those are read which any token picks: expected, were they picked at random.
    bytes += weight.bytes * (weight.use === "expert" ? 1 - (1 - usedShare) ** rows : 1);
    leastBytes += Math.min(weight.bytes, 2 * weight.elements) * (weight.use === "expert" ? usedShare : 1);
  }
  const middle = test.depth + Math.floor(test.tokens / 2);
  for (let layer = 0; layer < layers; layer++) {
    const span = (position: number): number => Math.min(position + 1, windows[layer] || Infinity);
    let spans = prompt ? 0 : tokens * span(middle);
    if (prompt) for (let i = 0; i < tokens; i++) spans += span(test.depth + i);
    flops += 4 * heads * headDim * spans;
    const read = prompt ? test.depth : tokens * span(middle);
    const each = 2 * kvHeads * headDim * CACHE_BYTES[cache];
    bytes += each * read;
    leastBytes += each * (prompt ? Math.min(read, windows[layer] || Infinity) : read);
  }
  return { flops, bytes, leastBytes };
}
