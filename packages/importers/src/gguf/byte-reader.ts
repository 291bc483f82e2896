/**
 * Reads fields of a GGUF file one after another, never beyond its end.
 *
 * A length that does not fit into the rest of the file stops it. The reader copies nothing but strings.
 */

import type { Problems } from "./problems.ts";

export const DAMAGED = "the file is truncated, damaged, or not a GGUF file";

/** Longest name of a key or tensor, as the specification bounds keys. */
const MAX_NAME_BYTES = 65535;

/** Longest other string: engines have strings of up to 2^29 characters. */
export const MAX_STRING_BYTES: number = 2 ** 28;

// The byte order mark is a character like any other here: a vocabulary may hold it as a token.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lossyUtf8 = new TextDecoder("utf-8", { ignoreBOM: true });

export class ByteReader {
  readonly file: string;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly problems: Problems;
  littleEndian = true;
  /** Offset of the next field. */
  at = 0;

  constructor(bytes: Uint8Array, file: string, problems: Problems) {
    this.file = file;
    // A plain view: `slice` of Node's Buffer, unlike that of its base class, does not copy.
    this.bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.problems = problems;
  }

  get left(): number {
    return this.bytes.byteLength - this.at;
  }

  /** A place in the file for messages. */
  where(at: number = this.at): string {
    return `${this.file}, byte ${at}`;
  }

  /** Offset of the next `size` bytes, which are passed over. */
  take(size: number, what: string): number {
    if (size > this.left) {
      this.problems.stop({
        what: `the file ends within ${what}: ${size} bytes are needed, ${this.left} are left`,
        where: this.where(),
        hint: DAMAGED,
      });
    }
    const { at } = this;
    this.at += size;
    return at;
  }

  u32(what: string): number {
    return this.view.getUint32(this.take(4, what), this.littleEndian);
  }

  /** A u64; above 2^53 the nearest number, which no size within a file reaches. */
  u64(what: string): number {
    return Number(this.view.getBigUint64(this.take(8, what), this.littleEndian));
  }

  /** A number of things, up to `most`, that take at least `minBytes` each. */
  count(what: string, minBytes: number, most: number): number {
    const { at } = this;
    const count = this.u64(`the number of ${what}`);
    const fitting = count * minBytes <= this.left;
    if (fitting && count <= most) return count;
    return this.problems.stop({
      what: fitting
        ? `${count} ${what} are too many, up to ${most} are read`
        : `${count} ${what} do not fit into the remaining ${this.left} bytes`,
      where: this.where(at),
      hint: DAMAGED,
    });
  }

  /** A string of up to `most` bytes. One that is not UTF-8 is a problem, after which reading goes on. */
  string(what: string, most: number = MAX_STRING_BYTES): string {
    const { at } = this;
    const size = this.u64(`the length of ${what}`);
    const start = this.take(size, what);
    if (size > most) {
      this.problems.stop({ what: `${what} is longer than ${most} bytes`, where: this.where(at), hint: DAMAGED });
    }
    const bytes = this.bytes.subarray(start, start + size);
    try {
      return utf8.decode(bytes);
    } catch {
      this.notUtf8(what, at);
      return lossyUtf8.decode(bytes);
    }
  }

  /** Adds the problem of a string whose length stands at `at`. */
  notUtf8(what: string, at: number): void {
    this.problems.add({ what: `${what} is not valid UTF-8`, where: this.where(at), hint: DAMAGED });
  }

  /** The name of a key or tensor. */
  name(what: string): string {
    return this.string(what, MAX_NAME_BYTES);
  }
}
