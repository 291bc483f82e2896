/** Reads the key/value pairs of a GGUF file as plain data; only for test files that are known to be sound. */
import { readFileSync } from "node:fs";

export function readGgufMetadata(path: string): Map<string, unknown> {
  const file = readFileSync(path);
  let at = 0;
  const take = (size: number): number => (at += size) - size;
  const length = (): number => Number(file.readBigUInt64LE(take(8)));
  const text = (): string => {
    const size = length();
    const start = take(size);
    return file.toString("utf8", start, start + size);
  };
  const readers: readonly (() => unknown)[] = [
    () => file.readUInt8(take(1)),
    () => file.readInt8(take(1)),
    () => file.readUInt16LE(take(2)),
    () => file.readInt16LE(take(2)),
    () => file.readUInt32LE(take(4)),
    () => file.readInt32LE(take(4)),
    () => file.readFloatLE(take(4)),
    () => file.readUInt8(take(1)) !== 0,
    text,
    () => {
      const element = readers[file.readUInt32LE(take(4))]!;
      return Array.from({ length: length() }, () => element());
    },
    () => file.readBigUInt64LE(take(8)),
    () => file.readBigInt64LE(take(8)),
    () => file.readDoubleLE(take(8)),
  ];
  if (file.toString("latin1", 0, take(4) + 4) !== "GGUF") throw new Error(`${path} is not a GGUF file`);
  take(4);
  length();
  const pairs = length();
  const metadata = new Map<string, unknown>();
  for (let pair = 0; pair < pairs; pair++) {
    const key = text();
    metadata.set(key, readers[file.readUInt32LE(take(4))]!());
  }
  return metadata;
}

/** Metadata without the prefix that all its keys have. */
export function metadataOf(values: Readonly<Record<string, unknown>>): Map<string, unknown> {
  return new Map(Object.entries(values).map(([key, value]) => [`tokenizer.ggml.${key}`, value]));
}
