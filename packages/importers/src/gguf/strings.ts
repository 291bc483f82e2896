/**
 * Lists of strings as they stand in a file: their bytes, and where each begins.
 *
 * Vocabularies have hundreds of thousands of strings, of which a run looks at some. So the list is one copy of the bytes,
 * and a string is made when it is asked for, and not kept. Readers that compare bytes make no strings at all. Invariant:
 * every string is valid UTF-8.
 */

/** Strings in order: an array, or what the list of a file is read as. */
export interface StringList extends Iterable<string> {
  readonly length: number;
  /** A negative `index` counts from the end. */
  at(index: number): string | undefined;
}

/** Bytes between two strings, as many as the length that stands before each in a file. */
export const LENGTH_BYTES: number = 8;

const utf8 = new TextEncoder();
// The byte order mark is a character like any other here.
const fromUtf8 = new TextDecoder("utf-8", { ignoreBOM: true });

export class GgufStrings implements StringList {
  readonly length: number;
  readonly #bytes: Uint8Array;
  readonly #starts: Uint32Array;

  /** `starts` are at least `LENGTH_BYTES` behind the end of the string before. */
  constructor(bytes: Uint8Array, starts: Uint32Array) {
    this.#bytes = bytes;
    this.#starts = starts;
    this.length = starts.length - 1;
  }

  /** The list of `strings`; half a surrogate pair becomes U+FFFD. */
  static from(strings: readonly string[]): GgufStrings {
    const starts = new Uint32Array(strings.length + 1);
    // A unit of UTF-16 is up to three bytes.
    const room = strings.reduce((sum, text) => sum + 3 * text.length + LENGTH_BYTES, 0);
    const bytes = new Uint8Array(room);
    strings.forEach((text, i) => {
      const start = starts[i] as number;
      starts[i + 1] = start + utf8.encodeInto(text, bytes.subarray(start)).written + LENGTH_BYTES;
    });
    return new GgufStrings(bytes.slice(0, starts[strings.length]), starts);
  }

  /** All strings; what stands between them means nothing. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** Where in `bytes` each string begins, and one more: where another one would. */
  get starts(): Uint32Array {
    return this.#starts;
  }

  /** Where string `index`, from 0 to below `length`, begins in `bytes`. */
  start(index: number): number {
    return this.#starts[index] as number;
  }

  /** Where string `index` ends. */
  end(index: number): number {
    return (this.#starts[index + 1] as number) - LENGTH_BYTES;
  }

  at(index: number): string | undefined {
    const i = index < 0 ? index + this.length : index;
    return i >= 0 && i < this.length ? fromUtf8.decode(this.#bytes.subarray(this.start(i), this.end(i))) : undefined;
  }

  *[Symbol.iterator](): Generator<string> {
    for (let i = 0; i < this.length; i++) yield this.at(i) as string;
  }
}
