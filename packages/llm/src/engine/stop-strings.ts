/** Finds stop strings in text that comes in pieces. Text that may be the beginning of one is held back. */

export class StopStrings {
  readonly #strings: readonly string[];
  #held = "";
  #found: string | undefined;

  /** None may be empty. */
  constructor(strings: readonly string[]) {
    this.#strings = strings;
  }

  /** The stop string that was found. */
  get found(): string | undefined {
    return this.#found;
  }

  /** The text that is certain to come before any stop string. After one was found there is no more. */
  push(piece: string): string {
    if (this.#found !== undefined) return "";
    if (this.#strings.length === 0) return piece;
    const text = this.#held + piece;
    let [at, found] = [text.length, undefined as string | undefined];
    for (const string of this.#strings) {
      const index = text.indexOf(string);
      // Of two at the same place either ends the text there; the first in the list is named.
      if (index >= 0 && index < at) [at, found] = [index, string];
    }
    if (found !== undefined) {
      this.#found = found;
      this.#held = "";
      return text.slice(0, at);
    }
    const held = Math.max(...this.#strings.map((string) => overlap(text, string)));
    this.#held = text.slice(text.length - held);
    return text.slice(0, text.length - held);
  }

  /** The text that was held back; no stop string follows any more. */
  end(): string {
    const held = this.#held;
    this.#held = "";
    return held;
  }
}

/** Length of the longest end of `text` that is a beginning of `string`, without being all of it. */
function overlap(text: string, string: string): number {
  for (let length = Math.min(text.length, string.length - 1); length > 0; length--)
    if (text.endsWith(string.slice(0, length))) return length;
  return 0;
}
