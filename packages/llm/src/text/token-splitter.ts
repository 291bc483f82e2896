/**
 * Finds tokens that stand in a text by name, such as `<|im_end|>`, before the text is tokenized. The leftmost name wins, and
 * the longest of those that begin there. Work grows with the text and the number of different name lengths, not with the
 * number of names.
 */

/** A stretch of plain text, or the id of a token found by name. */
export type Fragment = string | number;

export class TokenSplitter {
  readonly #ids: ReadonlyMap<string, number>;
  /** Lengths of names by their first code unit, longest first. */
  readonly #lengths = new Map<number, number[]>();

  constructor(ids: ReadonlyMap<string, number>) {
    this.#ids = ids;
    for (const name of ids.keys()) {
      if (name === "") continue;
      const first = name.charCodeAt(0);
      const lengths = this.#lengths.get(first) ?? [];
      if (!lengths.includes(name.length)) lengths.push(name.length);
      this.#lengths.set(first, lengths);
    }
    for (const lengths of this.#lengths.values()) lengths.sort((a, b) => b - a);
  }

  split(text: string): Fragment[] {
    if (this.#lengths.size === 0) return text === "" ? [] : [text];
    const fragments: Fragment[] = [];
    let start = 0;
    for (let at = 0; at < text.length;) {
      const length = this.#lengths.get(text.charCodeAt(at))?.find((each) => this.#ids.has(text.slice(at, at + each)));
      if (length === undefined) {
        at += 1;
        continue;
      }
      if (at > start) fragments.push(text.slice(start, at));
      fragments.push(this.#ids.get(text.slice(at, at + length))!);
      at += length;
      start = at;
    }
    if (start < text.length) fragments.push(text.slice(start));
    return fragments;
  }
}
