/**
 * Which page holds which tokens: full pages by their content and everything before it.
 *
 * A page's keys and values depend on all tokens up to its end, so pages form a tree: a page is known by the node of the
 * page before it and its own tokens. Keys are compared whole, a hash that collides would hand one sequence the cache of
 * another. Nodes are numbered once and never again: what followed a forgotten page is not found by accident.
 */

/** The node before the first page of every sequence. */
export const ROOT = 0;

export interface KnownPage {
  readonly node: number;
  readonly page: number;
}

export class PrefixIndex {
  readonly #byKey = new Map<string, KnownPage>();
  readonly #keyOfPage = new Map<number, string>();
  #nextNode = ROOT + 1;

  /** The page whose tokens are `tokens[from, from + count)` after `parent`, if one is known. */
  find(parent: number, tokens: readonly number[], from: number, count: number): KnownPage | undefined {
    return this.#byKey.get(keyOf(parent, tokens, from, count));
  }

  /** Makes `page` known by its tokens. They must not be known yet, nor the page by other tokens. */
  add(parent: number, tokens: readonly number[], from: number, count: number, page: number): number {
    const key = keyOf(parent, tokens, from, count);
    const node = this.#nextNode++;
    this.#byKey.set(key, { node, page });
    this.#keyOfPage.set(page, key);
    return node;
  }

  has(page: number): boolean {
    return this.#keyOfPage.has(page);
  }

  /** Forgets a page whose content is about to change. */
  forget(page: number): void {
    const key = this.#keyOfPage.get(page);
    if (key === undefined) return;
    this.#keyOfPage.delete(page);
    this.#byKey.delete(key);
  }
}

function keyOf(parent: number, tokens: readonly number[], from: number, count: number): string {
  return `${parent}:${tokens.slice(from, from + count).join()}`;
}
