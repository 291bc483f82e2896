/**
 * All words of a vocabulary that begin at a place in a text, shortest first. A sorted array narrowed one code unit at a time:
 * no larger than the vocabulary itself, and a look-up ends as soon as no word begins that way.
 */
export class PrefixTable {
  readonly #words: readonly string[];
  readonly #ids: readonly number[];

  constructor(ids: ReadonlyMap<string, number>) {
    const words = [...ids.keys()].filter((word) => word !== "").sort();
    this.#words = words;
    this.#ids = words.map((word) => ids.get(word)!);
  }

  /** The first word in `[low, high)` whose code unit at `depth` is at least `unit`; a word that has ended comes first. */
  #lowerBound(low: number, high: number, depth: number, unit: number): number {
    while (low < high) {
      const middle = (low + high) >>> 1;
      const word = this.#words[middle]!;
      if (word.length <= depth || word.charCodeAt(depth) < unit) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Calls `found` with the end and the id of each word that begins at `at`. */
  visit(text: string, at: number, found: (end: number, id: number) => void): void {
    let low = 0;
    let high = this.#words.length;
    for (let depth = 0; at + depth < text.length; depth++) {
      const unit = text.charCodeAt(at + depth);
      low = this.#lowerBound(low, high, depth, unit);
      high = this.#lowerBound(low, high, depth, unit + 1);
      if (low === high) return;
      if (this.#words[low]!.length === depth + 1) found(at + depth + 1, this.#ids[low]!);
    }
  }
}
