/**
 * Token ids by name, looked up with bytes of UTF-8: a hash table with open addressing in typed arrays. Names stay where the
 * file's list has them, so a vocabulary costs no strings, and text is looked up as ranges of its bytes without cutting it.
 * Reference: FNV-1a for the hash.
 */
import { type GgufStrings, LENGTH_BYTES } from "@quern/importers/gguf";

/** Chosen anew by each process: no file can be made whose names all fall into one place. */
const SEED = (Math.random() * 2 ** 32) | 0;
const PRIME = 0x0100_0193;

/** The hash of what hashed to `hash` so far and the bytes from `start` to `end`. */
function hashOf(bytes: Uint8Array, start: number, end: number, hash: number): number {
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, PRIME);
  return hash;
}

/** Whether `length` bytes at `a` and at `b` are the same. */
function isSame(left: Uint8Array, a: number, right: Uint8Array, b: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (left[a + i] !== right[b + i]) return false;
  return true;
}

export class TokenTable {
  /** The names, and where each begins, from their list. */
  readonly #bytes: Uint8Array;
  readonly #starts: Uint32Array;
  /** Pairs of the hash of a name and its id plus 1, side by side in memory; 0 marks a free slot. At most half are taken. */
  readonly #slots: Int32Array;
  readonly #mask: number;

  /** An empty table for up to all of `names`. */
  constructor(names: GgufStrings) {
    const slots = 2 ** Math.ceil(Math.log2(2 * Math.max(names.length, 1)));
    this.#bytes = names.bytes;
    this.#starts = names.starts;
    this.#slots = new Int32Array(2 * slots);
    this.#mask = slots - 1;
  }

  /** Adds a token by its name. Gives the id that has the name: `id`, or the one that was added first. */
  add(id: number): number {
    const start = this.#starts[id]!;
    const end = this.#starts[id + 1]! - LENGTH_BYTES;
    const hash = hashOf(this.#bytes, start, end, SEED);
    const at = this.#placeOf(hash, this.#bytes, start, end, end, end);
    if (this.#slots[at + 1] === 0) {
      this.#slots[at] = hash;
      this.#slots[at + 1] = id + 1;
    }
    return this.#slots[at + 1]! - 1;
  }

  /** The token whose name is the bytes from `start` to `end`. */
  find(bytes: Uint8Array, start: number, end: number): number | undefined {
    return this.findJoined(bytes, start, end, end, end);
  }

  /** The token whose name is the bytes from `start` to `middle` and from `next` to `end`. */
  findJoined(bytes: Uint8Array, start: number, middle: number, next: number, end: number): number | undefined {
    const hash = hashOf(bytes, next, end, hashOf(bytes, start, middle, SEED));
    const found = this.#slots[this.#placeOf(hash, bytes, start, middle, next, end) + 1]!;
    return found === 0 ? undefined : found - 1;
  }

  /** Where in `#slots` a name is, or would be. */
  #placeOf(hash: number, bytes: Uint8Array, start: number, middle: number, next: number, end: number): number {
    const slots = this.#slots;
    const mask = this.#mask;
    const length = middle - start + (end - next);
    // The low bits of the product depend on the low bits of the bytes only.
    let slot = (hash ^ (hash >>> 15)) & mask;
    for (;;) {
      const id = slots[2 * slot + 1]! - 1;
      if (id < 0) return 2 * slot;
      if (slots[2 * slot] === hash) {
        const at = this.#starts[id]!;
        const isName =
          this.#starts[id + 1]! - LENGTH_BYTES - at === length &&
          isSame(this.#bytes, at, bytes, start, middle - start) &&
          isSame(this.#bytes, at + middle - start, bytes, next, end - next);
        if (isName) return 2 * slot;
      }
      slot = (slot + 1) & mask;
    }
  }
}
