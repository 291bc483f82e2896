/**
 * SentencePiece's precompiled normaliser: a double-array trie over UTF-8 bytes whose values are offsets of replacements.
 * Layout: u32 size of the trie in bytes, the trie as u32 units, then replacements that end with a zero byte, all little
 * endian. Reference: Yata, darts-clone (2008), for the bits of a unit; SentencePiece `normalizer.cc`.
 */
import { UserError } from "@quern/core";

const WHERE = "tokenizer.ggml.precompiled_charsmap";

/** How many bytes a replacement is for and what to put there. */
export interface Replacement {
  readonly length: number;
  readonly bytes: Uint8Array;
}

export class Charsmap {
  readonly #units: Uint32Array;
  readonly #replacements: Uint8Array;

  /** Throws `UserError` when the sizes contradict each other. */
  constructor(bytes: Uint8Array) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const trieBytes = bytes.byteLength >= 4 ? view.getUint32(0, true) : 0;
    if (trieBytes === 0 || trieBytes % 4 !== 0 || trieBytes + 4 >= bytes.byteLength) {
      throw new UserError(`the precompiled normaliser is damaged: ${bytes.byteLength} bytes, trie of ${trieBytes}`, {
        where: WHERE,
      });
    }
    this.#units = Uint32Array.from({ length: trieBytes / 4 }, (_, index) => view.getUint32(4 + 4 * index, true));
    this.#replacements = bytes.subarray(4 + trieBytes);
  }

  /** The replacement for the longest sequence that begins at `at`, or undefined when there is none. */
  longest(text: Uint8Array, at: number): Replacement | undefined {
    let length = 0;
    let offset = 0;
    let node = offsetOf(this.#unit(0));
    for (let index = at; index < text.length; index++) {
      const byte = text[index]!;
      if (byte === 0) break;
      node ^= byte;
      const unit = this.#unit(node);
      // The label of a leaf has its top bit set, which no byte has.
      if ((unit & 0x8000_00ff) !== byte) break;
      node ^= offsetOf(unit);
      if ((unit & 0x100) !== 0) {
        length = index + 1 - at;
        offset = this.#unit(node) & 0x7fff_ffff;
      }
    }
    return length === 0 ? undefined : { length, bytes: this.#replacement(offset) };
  }

  #unit(index: number): number {
    return this.#units[index] ?? damaged(`a link to unit ${index} of ${this.#units.length}`);
  }

  #replacement(offset: number): Uint8Array {
    const end = this.#replacements.indexOf(0, offset);
    if (offset >= this.#replacements.length || end === -1) {
      return damaged(`a replacement at ${offset} of ${this.#replacements.length} bytes`);
    }
    return this.#replacements.subarray(offset, end);
  }
}

function damaged(what: string): never {
  throw new UserError(`the precompiled normaliser is damaged: it has ${what}`, { where: WHERE });
}

/** Where a unit's children begin, relative to the unit: 21 bits, scaled by 256 when bit 9 is set. */
function offsetOf(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6);
}
