/**
 * Reads the strings of an array in one pass over their lengths and one over all their bytes, without making strings.
 *
 * Strings and the lengths between them are valid UTF-8 together if every string is: lengths below 128 are ASCII and the
 * others are made zeros, and neither can complete what the string before began.
 */

import { isUtf8 } from "node:buffer";
import { DAMAGED, MAX_STRING_BYTES, type ByteReader } from "./byte-reader.ts";
import { GgufStrings, LENGTH_BYTES } from "./strings.ts";

/** What 32-bit offsets reach. */
const MAX_LIST_BYTES = 2 ** 32 - 1;

/** `count` strings. One that does not fit into the file stops it; those that are not UTF-8 are problems. */
export function readStrings(reader: ByteReader, count: number, what: string): GgufStrings {
  const { bytes: file, at: begin } = reader;
  const starts = new Uint32Array(count + 1);
  const long: number[] = [];
  let at = begin;
  let found = 0;
  for (; found < count && at + LENGTH_BYTES <= file.length; found++) {
    const size = lengthAt(file, at, reader.littleEndian);
    const start = at + LENGTH_BYTES;
    if (size > MAX_STRING_BYTES || size > file.length - start) break;
    if (size >= 128) long.push(found);
    starts[found] = start - begin;
    at = start + size;
    if (at - begin + LENGTH_BYTES > MAX_LIST_BYTES) tooLong(reader, what);
  }
  starts[found] = at - begin + LENGTH_BYTES;
  const bytes = file.slice(begin, at);
  for (const i of long) bytes.fill(0, starts[i]! - LENGTH_BYTES, starts[i]);
  const strings = new GgufStrings(bytes, found === count ? starts : starts.subarray(0, found + 1));
  if (!isUtf8(bytes)) reportStrings(reader, strings, begin, what);
  reader.at = at;
  // The one that could not be read: its problem stops the file.
  if (found < count) reader.string(what);
  return strings;
}

/**
 * A length, or Infinity where it is 2^31 or more. Bytes are read as bytes: this runs for every string of a vocabulary, and
 * begins before the engine has optimised it.
 */
function lengthAt(bytes: Uint8Array, at: number, littleEndian: boolean): number {
  const low = littleEndian ? at : at + 7;
  const step = littleEndian ? 1 : -1;
  const upper = low + 4 * step;
  if ((bytes[upper]! | bytes[upper + step]! | bytes[upper + 2 * step]! | bytes[upper + 3 * step]!) !== 0)
    return Infinity;
  const value =
    bytes[low]! | (bytes[low + step]! << 8) | (bytes[low + 2 * step]! << 16) | (bytes[low + 3 * step]! << 24);
  return value < 0 ? Infinity : value;
}

function reportStrings(reader: ByteReader, strings: GgufStrings, begin: number, what: string): void {
  for (let i = 0; i < strings.length; i++) {
    const start = strings.start(i);
    if (isUtf8(strings.bytes.subarray(start, strings.end(i)))) continue;
    reader.notUtf8(what, begin + start - LENGTH_BYTES);
  }
}

function tooLong(reader: ByteReader, what: string): never {
  return reader.problems.stop({
    what: `the list of ${what} is longer than ${MAX_LIST_BYTES} bytes`,
    where: reader.where(),
    hint: DAMAGED,
  });
}
