/**
 * Writes GGUF files, version 3, little endian: what `parse.ts` reads.
 *
 * Metadata and tensor table come first, with the offsets that follow from shapes and types. Then the bytes of the tensors
 * are taken in the order of the table, in pieces of any size, so that no model is held in memory. A file appears under
 * its name when it is complete: `finish` refuses where bytes are missing, and `abandon` leaves nothing behind.
 */

import { type BlockType, UserError } from "@quern/core";
import { type ByteSink, FileSink } from "./byte-sink.ts";
import { quoted } from "./problems.ts";
import type { GgufValue } from "./value.ts";
import { FieldWriter } from "./write-value.ts";

const MAGIC = 0x46554747; // "GGUF" as a little-endian u32
const VERSION = 3;
const DEFAULT_ALIGNMENT = 32;
const MAX_DIMENSIONS = 4;

/** A tensor to come. */
export interface GgufTensorPlan {
  readonly name: string;
  /** Outermost dimension first; the last one is a multiple of the type's block. */
  readonly shape: readonly number[];
  readonly type: BlockType;
}

export interface GgufContent {
  /** In the order in which they are written. `general.alignment` decides the alignment, 32 bytes where it is absent. */
  readonly metadata: Iterable<readonly [key: string, value: GgufValue]>;
  readonly tensors: readonly GgufTensorPlan[];
}

/** Bytes of a tensor's blocks. Throws a `UserError` where its rows are not whole blocks. */
export function tensorBytes({ name, shape, type }: GgufTensorPlan): number {
  const elements = shape.reduce((product, dim) => product * dim, 1);
  const row = shape.at(-1) ?? 1;
  if (!Number.isSafeInteger(elements) || shape.some((dim) => !Number.isInteger(dim) || dim < 0)) {
    throw new UserError(`tensor ${quoted(name)} has the shape [${shape.join(", ")}]`);
  }
  if (row % type.blockWeights !== 0) {
    throw new UserError(
      `tensor ${quoted(name)} has rows of ${row} elements, which is not a multiple of ${type.blockWeights}, the ${type.name} block`,
    );
  }
  return (elements / type.blockWeights) * type.blockBytes;
}

export class GgufWriter {
  readonly #sink: ByteSink;
  readonly #tensors: readonly GgufTensorPlan[];
  readonly #alignment: number;
  /** Index of the tensor that is being written, and how many of its bytes are still to come. */
  #current = -1;
  #missing = 0;

  /** Bytes of the whole file. */
  readonly size: number;

  /** Writes the head of the file. Throws a `UserError` when the content is not valid. */
  constructor(sink: ByteSink, content: GgufContent) {
    this.#sink = sink;
    this.#tensors = content.tensors;
    try {
      const metadata = new Map(content.metadata);
      this.#alignment = alignmentOf(metadata);
      const { head, dataBytes } = encodeHead(metadata, content.tensors, this.#alignment);
      this.size = head.byteLength + dataBytes;
      sink.write(head);
    } catch (error) {
      sink.abandon();
      throw error;
    }
  }

  /** A writer to a file, which is written under a temporary name beside `path` until it is complete. */
  static toFile(path: string, content: GgufContent): GgufWriter {
    return new GgufWriter(new FileSink(path), content);
  }

  /** Starts the next tensor, which must be `name`. Throws a `UserError` when it is another one's turn. */
  begin(name: string): void {
    this.#endCurrent();
    const next = this.#tensors[this.#current + 1];
    if (next?.name !== name) {
      throw new UserError(
        `tensor ${quoted(name)} is not the next one, ${next === undefined ? "all are written" : quoted(next.name)}`,
        { where: this.#sink.name, hint: "tensors are written in the order of the table" },
      );
    }
    this.#current += 1;
    this.#missing = tensorBytes(next);
  }

  /** The next bytes of the tensor that was begun. */
  write(bytes: Uint8Array): void {
    if (bytes.byteLength > this.#missing) {
      const tensor = this.#tensors[this.#current];
      throw new UserError(
        tensor === undefined
          ? "no tensor was begun"
          : `${bytes.byteLength} bytes do not fit into tensor ${quoted(tensor.name)}, ${this.#missing} are missing`,
        { where: this.#sink.name },
      );
    }
    this.#sink.write(bytes);
    this.#missing -= bytes.byteLength;
  }

  /** A whole tensor. */
  tensor(name: string, bytes: Uint8Array): void {
    this.begin(name);
    this.write(bytes);
  }

  /** Ends the file. Throws a `UserError` when tensors or bytes are missing. */
  finish(): void {
    this.#endCurrent();
    const next = this.#tensors[this.#current + 1];
    if (next !== undefined) {
      throw new UserError(`tensor ${quoted(next.name)} is missing`, { where: this.#sink.name });
    }
    this.#sink.finish();
  }

  /** Gives up; what was written so far is removed. Does nothing after `finish`. */
  abandon(): void {
    this.#sink.abandon();
  }

  #endCurrent(): void {
    const tensor = this.#tensors[this.#current];
    if (tensor === undefined) return;
    if (this.#missing > 0) {
      throw new UserError(`${this.#missing} bytes of tensor ${quoted(tensor.name)} are missing`, {
        where: this.#sink.name,
      });
    }
    const rest = tensorBytes(tensor) % this.#alignment;
    if (rest !== 0) this.#sink.write(new Uint8Array(this.#alignment - rest));
  }
}

function alignmentOf(metadata: ReadonlyMap<string, GgufValue>): number {
  const given = metadata.get("general.alignment");
  if (given === undefined) return DEFAULT_ALIGNMENT;
  if (given.type === "u32" && given.value > 0 && Number.isInteger(Math.log2(given.value))) return given.value;
  const shown = given.type === "array" ? "an array" : `${given.type} ${given.value}`;
  throw new UserError(`general.alignment is ${shown}, a power of two of type u32 is expected`);
}

function encodeHead(
  metadata: ReadonlyMap<string, GgufValue>,
  tensors: readonly GgufTensorPlan[],
  alignment: number,
): { head: Uint8Array; dataBytes: number } {
  const out = new FieldWriter();
  out.u32(MAGIC).u32(VERSION).u64(tensors.length).u64(metadata.size);
  for (const [key, value] of metadata) out.string(key, `metadata key ${quoted(key)}`).value(value, key);
  const names = new Set<string>();
  let offset = 0;
  for (const tensor of tensors) {
    const { name, shape, type } = tensor;
    if (names.has(name)) throw new UserError(`tensor ${quoted(name)} appears twice`);
    names.add(name);
    if (shape.length > MAX_DIMENSIONS) {
      throw new UserError(`tensor ${quoted(name)} has ${shape.length} dimensions, GGUF has up to ${MAX_DIMENSIONS}`);
    }
    out.string(name, `the name of tensor ${quoted(name)}`).u32(shape.length);
    // The file has the fastest dimension first.
    for (const dim of shape.toReversed()) out.u64(dim);
    out.u32(type.id).u64(offset);
    offset = Math.ceil((offset + tensorBytes(tensor)) / alignment) * alignment;
  }
  return { head: out.pad(alignment).bytes(), dataBytes: offset };
}
