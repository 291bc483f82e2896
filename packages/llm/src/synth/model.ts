/**
 * Synthetic models: files with the shape of a real model, random weights and a generated vocabulary. They stand in for
 * models that cannot be shipped: engines load them and compute as much as with the real ones.
 */

import { setImmediate } from "node:timers/promises";
import { type BlockType, blockTypeNamed } from "@quern/core";
import { type ByteSink, type GgufValue, GgufWriter, MemorySink } from "@quern/importers/gguf";
import { type QuantMix, isQuantised, quantMixNamed, typeInMix } from "../quantise/mix.ts";
import { type SynthArchitecture, type SynthTensor, synthArchitectures, u32 } from "./architecture.ts";
import { type SynthPreset, synthPresetNamed } from "./presets.ts";
import { RandomBits } from "./random.ts";
import { type FillBlocks, plainFloats, randomBlocks } from "./random-blocks.ts";
import { type ModelShape, type ShapeChanges, changeShape } from "./shape.ts";
import { synthVocabulary } from "./vocabulary.ts";

export interface SynthOptions {
  /** Name of a preset or of an architecture, which gives a small model. */
  readonly model: string;
  /** Name of a quantisation, Q4_K_M by default. */
  readonly quant?: string;
  readonly changes?: ShapeChanges;
  /** 1 by default. Equal options give equal files. */
  readonly seed?: number;
}

export interface StoredTensor extends SynthTensor {
  readonly type: BlockType;
}

export interface SynthModel {
  readonly shape: ModelShape;
  readonly mix: QuantMix;
  readonly seed: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** In file order. */
  readonly tensors: readonly StoredTensor[];
  /** Number of weights. */
  readonly parameters: number;
}

const text = (value: string): GgufValue => ({ type: "string", value });

/** Plans a model: nothing large is made. Throws a `UserError` where names or sizes are not possible. */
export function planSynth({ model, quant = "Q4_K_M", changes = {}, seed = 1 }: SynthOptions): SynthModel {
  const preset = synthPresetNamed(model);
  const mix = quantMixNamed(quant, "--quant");
  const architecture = synthArchitectures.find(({ name }) => name === preset.architecture)!;
  const shape = changeShape(preset, changes, architecture.freeHeads);
  const tensors = tensorsOf(architecture, shape).map((tensor) => ({ ...tensor, type: storedType(tensor, mix, shape) }));
  return {
    shape,
    mix,
    seed,
    metadata: new Map(metadataOf(architecture, preset, shape, mix, seed)),
    tensors,
    parameters: tensors.reduce((sum, tensor) => sum + elementsOf(tensor), 0),
  };
}

function tensorsOf(architecture: SynthArchitecture, shape: ModelShape): SynthTensor[] {
  const layers = Array.from({ length: shape.layers }, (_, layer) =>
    architecture.layer(shape).map((tensor) => ({ ...tensor, name: `blk.${layer}.${tensor.name}` })),
  );
  return [...architecture.once(shape), ...layers.flat()];
}

function storedType(tensor: SynthTensor, mix: QuantMix, shape: ModelShape): BlockType {
  if (!isQuantised(tensor)) return blockTypeNamed("F32")!;
  return typeInMix(mix, tensor, {
    layers: shape.layers,
    headsPerKv: shape.heads / shape.kvHeads,
    experts: shape.experts?.count ?? 0,
    tied: shape.tied,
  }).type;
}

function metadataOf(
  architecture: SynthArchitecture,
  preset: SynthPreset,
  shape: ModelShape,
  mix: QuantMix,
  seed: number,
): [string, GgufValue][] {
  const own: Record<string, GgufValue> = {
    vocab_size: u32(shape.vocabulary),
    context_length: u32(shape.context),
    embedding_length: u32(shape.width),
    block_count: u32(shape.layers),
    feed_forward_length: u32(shape.feedForward),
    "attention.head_count": u32(shape.heads),
    ...architecture.metadata(shape),
  };
  return [
    ["general.architecture", text(architecture.name)],
    ["general.type", text("model")],
    ["general.name", text(`synthetic ${shape.name}`)],
    ["general.description", text(`random weights, seed ${seed}`)],
    ["general.quantization_version", u32(2)],
    ["general.file_type", u32(mix.fileType)],
    ...Object.entries(own).map(([key, value]): [string, GgufValue] => [`${architecture.name}.${key}`, value]),
    ...synthVocabulary(preset.style ?? architecture.vocabulary, shape.vocabulary, seed).map(
      ([key, value]): [string, GgufValue] => [key, value],
    ),
  ];
}

function elementsOf({ shape }: SynthTensor): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/** How many bytes have been written, of how many. */
export type SynthProgress = (written: number, total: number) => void;

const CHUNK_BYTES = 1 << 22;

/**
 * Writes a model piece by piece, and gives the bytes of weights written after each. Nothing is left of the file when the
 * sink throws, or when the caller stops before the end.
 */
function* writePieces({ tensors, seed }: SynthModel, writer: GgufWriter): Generator<number, void> {
  let finished = false;
  try {
    const fills = new Map<string, FillBlocks>();
    const chunk = new Uint8Array(CHUNK_BYTES);
    let written = 0;
    for (const tensor of tensors) {
      const { name, type, values, mean, spread } = tensor;
      writer.begin(name);
      if (values !== undefined) {
        writer.write(new Uint8Array(values.buffer));
        continue;
      }
      const key = `${type.name} ${mean} ${spread}`;
      const fill = fills.get(key) ?? (mean === 0 ? randomBlocks(type, spread, seed) : plainFloats(type, mean, spread));
      fills.set(key, fill);
      const random = new RandomBits(seed, name);
      const atOnce = Math.floor(CHUNK_BYTES / type.blockBytes);
      const blocks = elementsOf(tensor) / type.blockWeights;
      for (let at = 0; at < blocks; at += atOnce) {
        const count = Math.min(atOnce, blocks - at);
        fill(random, chunk, count);
        writer.write(chunk.subarray(0, count * type.blockBytes));
        written += count * type.blockBytes;
        yield written;
      }
    }
    writer.finish();
    finished = true;
  } finally {
    if (!finished) writer.abandon();
  }
}

/**
 * Writes a model to `sink`. Throws what the sink throws, after which nothing is left of the file. Gives the size of the file
 * in bytes.
 */
export function writeSynth(model: SynthModel, sink: ByteSink, onProgress?: SynthProgress): number {
  const writer = new GgufWriter(sink, model);
  for (const written of writePieces(model, writer)) onProgress?.(written, writer.size);
  return writer.size;
}

export interface WriteSynthOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: SynthProgress;
}

/**
 * The same, with pauses in which signals and timers have their turn. Rejects with the reason of `signal` when it is aborted,
 * after which nothing is left of the file.
 */
export async function writeSynthInTurns(
  model: SynthModel,
  sink: ByteSink,
  { signal, onProgress }: WriteSynthOptions = {},
): Promise<number> {
  const writer = new GgufWriter(sink, model);
  for (const written of writePieces(model, writer)) {
    onProgress?.(written, writer.size);
    await setImmediate();
    signal?.throwIfAborted();
  }
  return writer.size;
}

/** The bytes of a synthetic model, for tests. */
export function synthGguf(options: SynthOptions): Uint8Array {
  const sink = new MemorySink(`${options.model}.gguf`);
  writeSynth(planSynth(options), sink);
  return sink.bytes();
}
