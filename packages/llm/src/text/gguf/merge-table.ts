/**
 * The merges of a BPE vocabulary on token ids: a pair of neighbours to the merge's place in the list, and that to the token
 * which the two become. A hash table with open addressing in typed arrays.
 * Reference: Dietzfelbinger et al. (1997), multiply-shift hashing; the factors are chosen anew by each process, so that no
 * file can be made whose pairs all fall into one place.
 */

const randomOdd = (): number => (Math.random() * 2 ** 32) | 1;
const [LEFT, RIGHT] = [randomOdd(), randomOdd()];

export class MergeTable {
  /** Rank plus 1; 0 marks a free slot. At most half of the slots are taken. */
  readonly #slots: Int32Array;
  /** How far a hash is shifted to number a slot. */
  readonly #shift: number;
  /** By rank. */
  readonly #lefts: Int32Array;
  readonly #rights: Int32Array;
  readonly #merged: Int32Array;

  /** An empty table for merges of ranks below `count`. */
  constructor(count: number) {
    const bits = Math.ceil(Math.log2(2 * Math.max(count, 1)));
    this.#slots = new Int32Array(2 ** bits);
    this.#shift = 32 - bits;
    this.#lefts = new Int32Array(count);
    this.#rights = new Int32Array(count);
    this.#merged = new Int32Array(count);
  }

  /** Adds a merge, unless one of the same pair was added before. */
  add(rank: number, left: number, right: number, merged: number): void {
    const slot = this.#slotOf(left, right);
    if (this.#slots[slot] !== 0) return;
    this.#slots[slot] = rank + 1;
    this.#lefts[rank] = left;
    this.#rights[rank] = right;
    this.#merged[rank] = merged;
  }

  /** The rank of joining two tokens, or undefined where they do not join. */
  rankOf(left: number, right: number): number | undefined {
    const found = this.#slots[this.#slotOf(left, right)]!;
    return found === 0 ? undefined : found - 1;
  }

  /** What the merge of a rank makes. */
  mergedBy(rank: number): number {
    return this.#merged[rank]!;
  }

  /** The slot of a pair, or the free one where it would be. */
  #slotOf(left: number, right: number): number {
    const last = this.#slots.length - 1;
    let slot = (Math.imul(left, LEFT) + Math.imul(right, RIGHT)) >>> this.#shift;
    for (;;) {
      const rank = this.#slots[slot]! - 1;
      if (rank < 0 || (this.#lefts[rank] === left && this.#rights[rank] === right)) return slot;
      slot = slot === last ? 0 : slot + 1;
    }
  }
}
