/**
 * The tensor table of one GGUF file: read, then checked against the data section.
 *
 * In: a reader behind the metadata. Out: tensors whose bytes are views on the file, in the order of the table. Data that
 * is out of range, unaligned or overlaps is a problem, as are repeated names and types of unknown size.
 */

import { type BlockType, blockTypeOf } from "@quern/core";
import { DAMAGED, type ByteReader } from "./byte-reader.ts";
import { quoted } from "./problems.ts";
import { refusedTypes } from "./refused-types.ts";

/** A tensor of the file, not yet decoded. */
export interface GgufTensor {
  readonly name: string;
  /** Outermost dimension first: a matrix of `[rows, columns]` has its rows contiguous, and blocks lie along rows. */
  readonly shape: readonly number[];
  readonly type: BlockType;
  /** Number of the file of a split model, from 0. */
  readonly part: number;
  /** Offset of the first byte in that file. */
  readonly offset: number;
  /** The stored bytes, a view on the file's memory; it is not aligned beyond the file's alignment. */
  readonly bytes: Uint8Array;
  /** Byte order of fields within the blocks. */
  readonly littleEndian: boolean;
}

/** Bytes of a table row with an empty name and no dimensions. */
const MIN_ROW_BYTES = 24;
/** Models have some thousands. */
const MAX_TENSORS = 2 ** 20;
const MAX_DIMENSIONS = 4;
const MAX_ELEMENTS = 2 ** 53;

/** A row of the table. `offset` counts from the data section, `at` is where the row stands in the file. */
interface Row {
  readonly name: string;
  readonly shape: readonly number[];
  readonly typeId: number;
  readonly offset: number;
  readonly at: number;
}

/** Where a file's tensors are: its data section, and which part of the model it is. */
interface Place {
  readonly dataStart: number;
  readonly alignment: number;
  readonly part: number;
}

/** Number of tensors, from the file's head. */
export function readTensorCount(reader: ByteReader): number {
  return reader.count("tensors", MIN_ROW_BYTES, MAX_TENSORS);
}

/** Reads `count` rows. Stops the file where a row cannot be told from the next. */
export function readTensorRows(reader: ByteReader, count: number): Row[] {
  const rows: Row[] = [];
  for (let i = 0; i < count; i++) {
    const { at } = reader;
    const name = reader.name(`the name of tensor ${i}`);
    const what = `tensor ${quoted(name)}`;
    const dimensions = reader.u32(`the number of dimensions of ${what}`);
    if (dimensions > MAX_DIMENSIONS) {
      reader.problems.stop({
        what: `${what} has ${dimensions} dimensions, GGUF has up to ${MAX_DIMENSIONS}`,
        where: reader.where(at),
        hint: DAMAGED,
      });
    }
    const shape: number[] = [];
    // The file has the fastest dimension first.
    for (let d = 0; d < dimensions; d++) shape.unshift(reader.u64(`the dimensions of ${what}`));
    const typeId = reader.u32(`the type of ${what}`);
    rows.push({ name, shape, typeId, offset: reader.u64(`the offset of ${what}`), at });
  }
  return rows;
}

/** Checks `rows` against the data section and adds the tensors to `tensors`. */
export function placeTensors(
  reader: ByteReader,
  rows: readonly Row[],
  place: Place,
  tensors: Map<string, GgufTensor>,
): void {
  const placed: GgufTensor[] = [];
  for (const row of rows) {
    const tensor = placeTensor(reader, row, place);
    if (tensors.has(row.name)) {
      reader.problems.add({
        what: `tensor ${quoted(row.name)} appears twice`,
        where: reader.where(row.at),
        hint: DAMAGED,
      });
    }
    if (tensor === undefined) continue;
    tensors.set(row.name, tensor);
    placed.push(tensor);
  }
  checkOverlaps(reader, placed);
}

function placeTensor(
  reader: ByteReader,
  { name, shape, typeId, offset, at }: Row,
  { dataStart, alignment, part }: Place,
): GgufTensor | undefined {
  const what = `tensor ${quoted(name)}`;
  const refuse = (reason: string, hint: string = DAMAGED): undefined => {
    reader.problems.add({ what: `${what} ${reason}`, where: reader.where(at), hint });
  };
  const type = blockTypeOf(typeId);
  if (type === undefined) {
    const { name: op, reason } = refusedTypes.get(typeId) ?? {
      name: String(typeId),
      reason: "no such type is known; the file is damaged or newer than this importer",
    };
    reader.problems.unsupported({ op: `tensor type ${op}`, where: `${what} (${reader.where(at)})`, reason });
    return undefined;
  }
  const elements = elementCount(shape);
  if (elements === undefined) return refuse(`of shape [${shape.join(", ")}] has too many elements`);
  const row = shape.at(-1) ?? 1;
  if (row % type.blockWeights !== 0)
    return refuse(
      `has rows of ${row} elements, which is not a multiple of ${type.blockWeights}, the ${type.name} block`,
    );
  const size = (elements / type.blockWeights) * type.blockBytes;
  if (offset % alignment !== 0) return refuse(`has offset ${offset}, which is not a multiple of ${alignment}`);
  const start = dataStart + offset;
  const end = reader.bytes.byteLength;
  if (size > 0 && start + size > end)
    return refuse(
      `needs bytes ${start} to ${start + size}, the file ends at byte ${end}`,
      "the file is truncated or damaged",
    );
  // An empty tensor at the end of a file without padding.
  const first = Math.min(start, end);
  const bytes = new Uint8Array(reader.bytes.buffer, reader.bytes.byteOffset + first, size);
  return { name, shape, type, part, offset: first, bytes, littleEndian: reader.littleEndian };
}

/** Undefined when it is beyond 2^53, or would be without dimensions of 0, which make any product small. */
function elementCount(shape: readonly number[]): number | undefined {
  const count = shape.reduce((product, dim) => product * Math.max(dim, 1), 1);
  if (count > MAX_ELEMENTS) return undefined;
  return shape.includes(0) ? 0 : count;
}

function checkOverlaps(reader: ByteReader, tensors: readonly GgufTensor[]): void {
  const endOf = ({ offset, bytes }: GgufTensor): number => offset + bytes.byteLength;
  const byOffset = tensors.filter(({ bytes }) => bytes.byteLength > 0).sort((a, b) => a.offset - b.offset);
  let furthest = byOffset[0];
  for (const tensor of byOffset.slice(1)) {
    if (furthest === undefined || endOf(furthest) <= tensor.offset) {
      furthest = tensor;
      continue;
    }
    reader.problems.add({
      what: `tensors ${quoted(furthest.name)} and ${quoted(tensor.name)} overlap`,
      where: reader.where(tensor.offset),
      hint: DAMAGED,
    });
    if (endOf(tensor) > endOf(furthest)) furthest = tensor;
  }
}
