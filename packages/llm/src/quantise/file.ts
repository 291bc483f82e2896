/**
 * Quantises a model file: each matrix is decoded and encoded in the type that a mix chooses for it, everything else is
 * copied. Works on pieces of a tensor, so that memory does not grow with the model.
 */

import { setImmediate } from "node:timers/promises";
import { type BlockType, type Unsupported, UnsupportedError, UserError } from "@quern/core";
import {
  type ByteSink,
  type GgufFile,
  type GgufMetadata,
  type GgufTensor,
  type GgufTensorPlan,
  type GgufValue,
  GgufWriter,
  tensorBytes,
} from "@quern/importers/gguf";
import { type MixModel, type QuantMix, isQuantised, typeInMix } from "./mix.ts";
import { type PieceEncoder, pieceEncoder } from "./piece-encoder.ts";
import type { PieceResult } from "./piece.ts";

/** What happens to one tensor. */
export interface PlannedTensor extends GgufTensorPlan {
  readonly source: GgufTensor;
  /** The type that the mix wants, where rows are no multiple of its block. */
  readonly instead?: BlockType;
}

export interface QuantisePlan {
  readonly mix: QuantMix;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** In the order of the file. */
  readonly tensors: readonly PlannedTensor[];
}

/** What came of it. */
export interface QuantisedTensor extends PlannedTensor {
  readonly bytes: number;
  /** Root mean square of the differences over that of the weights; 0 where the bytes were copied. */
  readonly error: number;
}

/** Keys that say how the file was split; the result is one file. */
const SPLIT_KEYS = /^split\./;
const FLOATS: ReadonlySet<string> = new Set(["F32", "F16", "BF16", "F64"]);

/**
 * Decides the type of every tensor. Throws an `UnsupportedError` that lists the tensors which would have to be encoded and
 * cannot be.
 */
export function planQuantise(file: GgufFile, mix: QuantMix): QuantisePlan {
  const model = mixModel(file);
  const unsupported: Unsupported[] = [];
  const tensors = [...file.tensors.values()].map((source): PlannedTensor => {
    const { name, shape, type } = source;
    const matrix = isQuantised(source) && (FLOATS.has(type.name) || type.blockWeights > 1);
    const choice = matrix ? typeInMix(mix, source, model) : { type };
    if (!isCopied(source, choice.type) && choice.type.quantise === undefined) {
      const where = `tensor "${name}" (${file.name})`;
      unsupported.push({ op: `tensor type ${choice.type.name}`, where, reason: "it is not encoded" });
    }
    return { name, shape, source, ...choice };
  });
  if (unsupported.length > 0) throw new UnsupportedError(unsupported);
  const metadata = new Map([...file.metadata.values].filter(([key]) => !SPLIT_KEYS.test(key)));
  metadata.set("general.quantization_version", { type: "u32", value: 2 });
  metadata.set("general.file_type", { type: "u32", value: mix.fileType });
  return { mix, metadata, tensors };
}

/** What the rules of mixes ask. A model that does not say counts as one without shared heads and experts. */
function mixModel({ metadata, tensors }: GgufFile): MixModel {
  const architecture = metadata.string("general.architecture", "");
  const heads = largest(metadata, `${architecture}.attention.head_count`, 1);
  return {
    layers: largest(metadata, `${architecture}.block_count`, 1),
    headsPerKv: heads / Math.max(1, largest(metadata, `${architecture}.attention.head_count_kv`, heads)),
    experts: largest(metadata, `${architecture}.expert_count`, 0),
    tied: !tensors.has("output.weight"),
  };
}

/** A number that some models have once for every layer. */
function largest(metadata: GgufMetadata, key: string, otherwise: number): number {
  if (metadata.values.get(key)?.type !== "array") return metadata.number(key, otherwise);
  return Math.max(...metadata.numbers(key));
}

function isCopied({ type, littleEndian }: GgufTensor, to: BlockType): boolean {
  return type === to && littleEndian;
}

export interface QuantiseOptions {
  /** 1 by default. */
  readonly threads?: number;
  /** Told how many bytes of the result have been written, of how many; `name` is the tensor at work. */
  readonly onProgress?: (written: number, total: number, name: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/** A multiple of every block. */
const PIECE_WEIGHTS = 1 << 18;

/** Bytes of a tensor in the order in which they are written; copied ones are there, others are being encoded. */
interface Piece {
  readonly tensor: PlannedTensor;
  /** Element of the tensor where it starts. */
  readonly first: number;
  readonly result: Promise<PieceResult>;
}

/**
 * Writes the quantised model to `sink`. Rejects with a `UserError` where weights cannot be encoded, and with the reason of
 * `signal` when it is aborted, after which nothing is left of the file.
 */
export async function writeQuantised(
  plan: QuantisePlan,
  sink: ByteSink,
  { threads = 1, onProgress, signal }: QuantiseOptions = {},
): Promise<QuantisedTensor[]> {
  const writer = new GgufWriter(sink, plan);
  const encoder = pieceEncoder(threads);
  const ahead: Piece[] = [];
  try {
    const sums = new Map(plan.tensors.map(({ name }) => [name, { differences: 0, squares: 0 }]));
    let written = 0;
    const writeFirst = async (): Promise<void> => {
      const { tensor, first, result } = ahead.shift()!;
      const { bytes, differences, squares } = await result.catch((error: unknown) => placed(error, tensor, first));
      if (first === 0) writer.begin(tensor.name);
      writer.write(bytes);
      const sum = sums.get(tensor.name)!;
      sum.differences += differences;
      sum.squares += squares;
      written += bytes.byteLength;
      onProgress?.(written, writer.size, tensor.name);
      // Pieces that are copied, or encoded on this thread, leave no turn for the signal of a Ctrl-C.
      if (signal === undefined) return;
      await setImmediate();
      signal.throwIfAborted();
    };
    for (const piece of piecesOf(plan.tensors, encoder)) {
      // Nobody awaits it yet: a failure is met when its turn comes.
      piece.result.catch(() => {});
      ahead.push(piece);
      if (ahead.length >= encoder.width) await writeFirst();
    }
    while (ahead.length > 0) await writeFirst();
    writer.finish();
    return plan.tensors.map((tensor) => {
      const { differences, squares } = sums.get(tensor.name)!;
      return { ...tensor, bytes: tensorBytes(tensor), error: squares === 0 ? 0 : Math.sqrt(differences / squares) };
    });
  } catch (error) {
    writer.abandon();
    throw error;
  } finally {
    await encoder.close();
  }
}

/** Starts the work on a piece when it is asked for. */
function* piecesOf(tensors: readonly PlannedTensor[], encoder: PieceEncoder): Generator<Piece> {
  for (const tensor of tensors) {
    const { source, type } = tensor;
    const { bytes, type: from, littleEndian } = source;
    if (isCopied(source, type)) {
      yield { tensor, first: 0, result: Promise.resolve({ bytes, differences: 0, squares: 0 }) };
      continue;
    }
    const total = (bytes.byteLength / from.blockBytes) * from.blockWeights;
    for (let first = 0; first === 0 || first < total; first += PIECE_WEIGHTS) {
      const count = Math.min(PIECE_WEIGHTS, total - first);
      const start = (first / from.blockWeights) * from.blockBytes;
      const size = (count / from.blockWeights) * from.blockBytes;
      const job = { from: from.name, to: type.name, littleEndian, bytes: bytes.subarray(start, start + size) };
      yield { tensor, first, result: encoder.encode(job) };
    }
  }
}

/** An encoder counts weights from the start of a piece: its error is told where that is. */
function placed(error: unknown, { name }: PlannedTensor, first: number): never {
  if (!(error instanceof UserError)) throw error;
  const [what = ""] = error.message.split("\n");
  throw new UserError(what, {
    where: `tensor "${name}", counted from element ${first}`,
    hint: error.hint,
    cause: error,
  });
}
