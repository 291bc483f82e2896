/**
 * GGUF files, versions 2 and 3, to metadata and tensors.
 *
 *   magic "GGUF" | u32 version | u64 tensor count | u64 key count | keys and values | tensor table | padding | data
 *
 * In: the bytes of a file, read or mapped, and where to find the other parts of a split model. Out: typed metadata and
 * tensors that are views on those bytes; nothing of the data section is read. Files are untrusted: whatever they hold,
 * the result is a `GgufFile` or one `UserError` with all problems of all parts.
 * Reference: the GGUF specification in ggml's documentation.
 */

import { UserError } from "@quern/core";
import { ByteReader, DAMAGED } from "./byte-reader.ts";
import { GgufMetadata } from "./metadata.ts";
import { Problems, quoted, untilStopped } from "./problems.ts";
import { type GgufTensor, placeTensors, readTensorCount, readTensorRows } from "./tensor-table.ts";
import { type GgufValue, newElementBudget, readValue } from "./value.ts";

/** A model: one file, or all parts of a split one. */
export interface GgufFile {
  /** Name of the first file, for messages. */
  readonly name: string;
  readonly version: number;
  readonly littleEndian: boolean;
  /** Alignment of tensor data within the first file, in bytes. */
  readonly alignment: number;
  /** Metadata of the first file; other parts only say which part they are. */
  readonly metadata: GgufMetadata;
  /** Tensors of all parts by name, in file order. */
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

export interface GgufPart {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Gives part `part` (from 0) of a model split into `count` files. Throws a `UserError` where there is none. */
export type ResolvePart = (part: number, count: number) => GgufPart;

export interface ParseGgufOptions {
  /** Name of the file in messages. */
  readonly name?: string;
  /** Where the other parts of a split model are; without it such a model is refused. */
  readonly parts?: ResolvePart;
}

const MAGIC = 0x46554747; // "GGUF" read as a little-endian u32, whatever the order of the rest
const DEFAULT_ALIGNMENT = 32;
const MAX_ALIGNMENT = 2 ** 30;
/** Bytes of an empty key with a value of one byte. */
const MIN_PAIR_BYTES = 13;
const MAX_PAIRS = 2 ** 20;

/**
 * Reads a model from the bytes of its first file. The tensors are views on `bytes`, which must outlive them unchanged.
 * Throws a `UserError` with every problem found, an `UnsupportedError` where only tensor types are unknown.
 */
export function parseGguf(bytes: Uint8Array, options: ParseGgufOptions = {}): GgufFile {
  const { name = "model.gguf", parts } = options;
  const problems = new Problems();
  const tensors = new Map<string, GgufTensor>();
  const first = untilStopped(() => {
    const part = readPart({ name, bytes }, 0, problems, tensors);
    const count = partCount(part, problems);
    if (count > 1) readOtherParts(name, count, parts, problems, tensors);
    checkTensorTotal(part, tensors.size, problems);
    return part;
  });
  problems.throwIfAny();
  const { version, littleEndian, alignment, metadata } = first as Part;
  return { name, version, littleEndian, alignment, metadata, tensors };
}

interface Part {
  readonly name: string;
  readonly version: number;
  readonly littleEndian: boolean;
  readonly alignment: number;
  readonly metadata: GgufMetadata;
}

/** Reads one file and adds its tensors. */
function readPart({ name, bytes }: GgufPart, part: number, problems: Problems, tensors: Map<string, GgufTensor>): Part {
  const reader = new ByteReader(bytes, name, problems);
  const version = readVersion(reader);
  const tensorCount = readTensorCount(reader);
  const metadata = new GgufMetadata(readMetadata(reader), name);
  const rows = readTensorRows(reader, tensorCount);
  const alignment = alignmentOf(metadata, reader);
  const dataStart = Math.ceil(reader.at / alignment) * alignment;
  placeTensors(reader, rows, { dataStart, alignment, part }, tensors);
  return { name, version, littleEndian: reader.littleEndian, alignment, metadata };
}

/** Reads magic and version, and sets the reader's byte order: in the wrong one the version's low half is zero. */
function readVersion(reader: ByteReader): number {
  if (reader.left < 4 || reader.u32("the magic number") !== MAGIC) {
    reader.problems.stop({
      what: "the file does not start with GGUF",
      where: reader.where(0),
      hint: "it is not a GGUF file, or only a pointer to one (Git LFS)",
    });
  }
  const { at } = reader;
  let version = reader.u32("the version");
  if ((version & 0xffff) === 0) {
    reader.littleEndian = false;
    version = reader.view.getUint32(at, false);
  }
  if (version === 2 || version === 3) return version;
  return reader.problems.stop({
    what: `GGUF version ${version} cannot be read, versions 2 and 3 can`,
    where: reader.where(at),
    hint: version === 1 ? "convert the model again with a current tool" : DAMAGED,
  });
}

function readMetadata(reader: ByteReader): Map<string, GgufValue> {
  const count = reader.count("metadata keys", MIN_PAIR_BYTES, MAX_PAIRS);
  const values = new Map<string, GgufValue>();
  const budget = newElementBudget();
  for (let i = 0; i < count; i++) {
    const { at } = reader;
    const key = reader.name(`metadata key ${i}`);
    if (values.has(key)) {
      reader.problems.add({
        what: `metadata key ${quoted(key)} appears twice`,
        where: reader.where(at),
        hint: DAMAGED,
      });
    }
    values.set(key, readValue(reader, key, budget));
  }
  return values;
}

/** `general.alignment`. Without it no tensor can be found, so a wrong one stops the file. */
function alignmentOf(metadata: GgufMetadata, reader: ByteReader): number {
  const alignment = wholeNumber(metadata, "general.alignment", DEFAULT_ALIGNMENT);
  if (alignment !== undefined && alignment > 0 && alignment <= MAX_ALIGNMENT && Math.log2(alignment) % 1 === 0)
    return alignment;
  return reader.problems.stop({
    what: `general.alignment is ${shown(metadata, "general.alignment")}, a power of two up to 2^30 is expected`,
    where: reader.file,
    hint: DAMAGED,
  });
}

/** Number of files of the model. */
function partCount({ name, metadata }: Part, problems: Problems): number {
  const no = wholeNumber(metadata, "split.no", 0);
  const count = wholeNumber(metadata, "split.count", 1);
  const hint = "convert or split the model again";
  if (count === undefined || count > 65535) {
    problems.add({
      what: `split.count is ${shown(metadata, "split.count")}, a number of files is expected`,
      where: name,
      hint,
    });
    return 1;
  }
  if (no !== 0) {
    problems.add({
      what: `the file is part ${shown(metadata, "split.no")} (counted from 0) of a model split into ${count} files`,
      where: name,
      hint: "read the first part, …-00001-of-…; the others are found beside it",
    });
    return 1;
  }
  return count;
}

function readOtherParts(
  name: string,
  count: number,
  parts: ResolvePart | undefined,
  problems: Problems,
  tensors: Map<string, GgufTensor>,
): void {
  if (parts === undefined) {
    problems.add({
      what: `the model is split into ${count} files, and only the first one's bytes were given`,
      where: name,
      hint: "read the model with readGgufFile, or pass `parts`",
    });
    return;
  }
  for (let no = 1; no < count; no++) {
    let found: GgufPart;
    try {
      found = parts(no, count);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      problems.add({ what: error.message.split("\n")[0]!, where: name, hint: error.hint });
      continue;
    }
    // A part that cannot be read does not keep the others from being checked.
    const part = untilStopped(() => readPart(found, no, problems, tensors));
    if (part !== undefined) checkPart(part, no, count, problems);
  }
}

function checkPart({ name, metadata }: Part, no: number, count: number, problems: Problems): void {
  if (wholeNumber(metadata, "split.no", -1) === no && wholeNumber(metadata, "split.count", -1) === count) return;
  problems.add({
    what:
      `the file says split.no ${shown(metadata, "split.no")} and split.count ${shown(metadata, "split.count")}, ` +
      `${no} and ${count} are expected`,
    where: name,
    hint: "the files belong to different models, or were renamed",
  });
}

function checkTensorTotal({ name, metadata }: Part, found: number, problems: Problems): void {
  const total = wholeNumber(metadata, "split.tensors.count", found);
  if (total === found || problems.any) return;
  problems.add({
    what: `split.tensors.count is ${shown(metadata, "split.tensors.count")}, the files hold ${found} tensors`,
    where: name,
    hint: "the files belong to different models, or one is damaged",
  });
}

/** An integer of at least 0, `otherwise` where the key is absent, undefined where it is anything else. */
function wholeNumber(metadata: GgufMetadata, key: string, otherwise: number): number | undefined {
  const value = metadata.values.get(key)?.value ?? otherwise;
  return typeof value === "number" && Number.isInteger(value) && (value >= 0 || value === otherwise)
    ? value
    : undefined;
}

function shown(metadata: GgufMetadata, key: string): string {
  const found = metadata.values.get(key);
  if (found === undefined) return "missing";
  if (found.type === "array") return "an array";
  return found.type === "string" ? quoted(found.value) : String(found.value);
}
