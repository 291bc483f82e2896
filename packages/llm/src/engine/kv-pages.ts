/**
 * The pages of a KV cache and who uses them.
 *
 * The cache is a pool of pages of `pageSize` tokens. A sequence has a table of pages: the token at position p lies on page
 * `pages[⌊p / pageSize⌋]`, slot `p mod pageSize`. Pages are shared: by forks, and by sequences that begin alike, which are
 * found page by page (`prefix-index.ts`). Full pages that no sequence uses any more stay known until their memory is needed;
 * the one that was left longest ago goes first. This file knows no tensors: what has to be copied is returned.
 *
 * Invariants: a page is free, kept (known, unused) or used; `references` counts the tables it stands in; a page that is
 * written stands in one table and is not known.
 * Reference: Kwon et al., Efficient Memory Management for Large Language Model Serving with PagedAttention, 2023.
 */

import { InternalError, UserError } from "@quern/core";
import { PrefixIndex, ROOT } from "./prefix-index.ts";

/** All of page `from` is to be copied to page `to` before the next step runs; in the order given. */
export interface PageCopy {
  readonly from: number;
  readonly to: number;
}

export interface PagePoolOptions {
  /** Pages of the cache tensors. */
  readonly pages: number;
  /** Tokens of a page. */
  readonly pageSize: number;
  /** Finds pages of earlier sequences that begin alike. Default: true. */
  readonly sharePrefixes?: boolean;
}

/** One sequence in the cache. Made and changed by its pool alone. */
export class KvSequence {
  /** The block table. Pages beyond `length` are reserved. */
  readonly pages: number[] = [];
  /** Ids of the tokens whose keys and values are in the cache. */
  readonly tokens: number[] = [];
  /** Node of each full page in the prefix index. */
  readonly nodes: number[] = [];
  open = true;

  get length(): number {
    return this.tokens.length;
  }
}

export class PagePool {
  readonly pageSize: number;
  readonly pageCount: number;
  readonly sharesPrefixes: boolean;
  readonly #references: Int32Array;
  readonly #free: number[];
  /** Known pages that no sequence uses, the longest unused first. */
  readonly #kept = new Set<number>();
  readonly #index = new PrefixIndex();

  constructor({ pages, pageSize, sharePrefixes = true }: PagePoolOptions) {
    if (!(Number.isSafeInteger(pages) && pages > 0)) throw new UserError(`a KV cache cannot have ${pages} pages`);
    if (!(Number.isSafeInteger(pageSize) && pageSize > 0)) throw new UserError(`a page cannot have ${pageSize} tokens`);
    this.pageSize = pageSize;
    this.pageCount = pages;
    this.sharesPrefixes = sharePrefixes;
    this.#references = new Int32Array(pages);
    this.#free = Array.from({ length: pages }, (_, i) => pages - 1 - i);
  }

  /** Pages that can be had now: those never used or given back, and kept ones. */
  get available(): number {
    return this.#free.length + this.#kept.size;
  }

  /** Known pages that no sequence uses. */
  get kept(): number {
    return this.#kept.size;
  }

  /** How many tables `page` stands in. */
  references(page: number): number {
    return this.#references[page] ?? 0;
  }

  /** A new, empty sequence. */
  open(): KvSequence {
    return new KvSequence();
  }

  /**
   * Gives an empty sequence the known pages that hold the beginning of `tokens`, at most `limit` tokens. Returns how many
   * tokens it has now; they need not be computed again.
   */
  adopt(sequence: KvSequence, tokens: readonly number[], limit: number): number {
    mustBeOpen(sequence);
    if (sequence.length > 0 || sequence.pages.length > 0)
      throw new InternalError("kv pages: only an empty sequence can adopt");
    const { pageSize } = this;
    let parent = ROOT;
    for (let from = 0; from < limit && from + pageSize <= tokens.length; from += pageSize) {
      const known = this.#index.find(parent, tokens, from, pageSize);
      if (known === undefined) break;
      this.#use(known.page);
      sequence.pages.push(known.page);
      sequence.nodes.push(known.node);
      parent = known.node;
    }
    const length = Math.min(limit, sequence.pages.length * pageSize);
    for (let i = 0; i < length; i++) sequence.tokens.push(tokens[i] as number);
    sequence.nodes.length = Math.floor(length / pageSize);
    return length;
  }

  /** How many further tokens `reserve` can make room for now. */
  room(sequence: KvSequence): number {
    const { places, copies } = this.#writable(sequence);
    return this.available < copies ? 0 : places + (this.available - copies) * this.pageSize;
  }

  /** Pages that `reserve` would take for `count` further tokens. */
  pagesNeeded(sequence: KvSequence, count: number): number {
    if (count === 0) return 0;
    const { places, copies } = this.#writable(sequence);
    return copies + Math.ceil(Math.max(0, count - places) / this.pageSize);
  }

  /**
   * Makes the next `count` positions of a sequence writable. A page that others read too is replaced by a copy. Returns the
   * copies to make first; throws a `UserError`, having changed nothing, when there are not enough pages.
   */
  reserve(sequence: KvSequence, count: number): PageCopy[] {
    mustBeOpen(sequence);
    const needed = this.pagesNeeded(sequence, count);
    if (needed > this.available) {
      throw new UserError(
        `the KV cache is full: ${count} more tokens of a sequence of ${sequence.length} need ${needed} pages of ${this.pageSize} tokens, ` +
          `${this.available} of ${this.pageCount} can be had`,
        { hint: "make the cache larger, the prompts shorter, or run fewer sequences at once" },
      );
    }
    const copies: PageCopy[] = [];
    if (count === 0) return copies;
    const at = Math.floor(sequence.length / this.pageSize);
    const first = sequence.pages[at];
    if (first !== undefined) {
      if (this.references(first) > 1) {
        const copy = this.#take();
        sequence.pages[at] = copy;
        copies.push({ from: first, to: copy });
        this.#release(first);
      } else {
        this.#index.forget(first);
      }
    }
    const pages = Math.ceil((sequence.length + count) / this.pageSize);
    while (sequence.pages.length < pages) sequence.pages.push(this.#take());
    return copies;
  }

  /** Says that `tokens` were written after the others, into reserved places. Pages that became full are known from now on. */
  commit(sequence: KvSequence, tokens: readonly number[]): void {
    mustBeOpen(sequence);
    const { pageSize } = this;
    if (sequence.length + tokens.length > sequence.pages.length * pageSize)
      throw new InternalError("kv pages: more tokens than places were reserved");
    for (const token of tokens) sequence.tokens.push(token);
    if (!this.sharesPrefixes) return;
    for (let i = sequence.nodes.length; (i + 1) * pageSize <= sequence.length; i++) {
      const parent = i === 0 ? ROOT : (sequence.nodes[i - 1] as number);
      const page = sequence.pages[i] as number;
      const known = this.#index.find(parent, sequence.tokens, i * pageSize, pageSize);
      if (known === undefined) {
        sequence.nodes.push(this.#index.add(parent, sequence.tokens, i * pageSize, pageSize, page));
        continue;
      }
      // Another sequence wrote the same meanwhile: one page is enough.
      this.#use(known.page);
      sequence.pages[i] = known.page;
      sequence.nodes.push(known.node);
      this.#release(page);
    }
  }

  /** Forgets all tokens from position `length` on, and what was reserved. */
  truncate(sequence: KvSequence, length: number): void {
    mustBeOpen(sequence);
    if (!(Number.isSafeInteger(length) && length >= 0 && length <= sequence.length))
      throw new UserError(`a sequence of ${sequence.length} tokens cannot be cut to ${length}`);
    sequence.tokens.length = length;
    sequence.nodes.length = Math.min(sequence.nodes.length, Math.floor(length / this.pageSize));
    const pages = Math.ceil(length / this.pageSize);
    while (sequence.pages.length > pages) this.#release(sequence.pages.pop() as number);
  }

  /** A second sequence with the same tokens on the same pages. Whichever writes first gets a copy of the last page. */
  fork(sequence: KvSequence): KvSequence {
    mustBeOpen(sequence);
    const fork = new KvSequence();
    for (const page of sequence.pages.slice(0, Math.ceil(sequence.length / this.pageSize))) {
      this.#use(page);
      fork.pages.push(page);
    }
    for (const token of sequence.tokens) fork.tokens.push(token);
    for (const node of sequence.nodes) fork.nodes.push(node);
    return fork;
  }

  /** Gives the pages of a sequence back. Known pages are kept as long as nobody needs their memory. */
  close(sequence: KvSequence): void {
    if (!sequence.open) return;
    // From the last page to the first, so that a page goes before the one it follows.
    this.truncate(sequence, 0);
    sequence.open = false;
  }

  /** Places of a sequence after its last token, and how many pages must be copied to write there: 0 or 1. */
  #writable(sequence: KvSequence): { places: number; copies: number } {
    const places = sequence.pages.length * this.pageSize - sequence.length;
    // Only a page that is partly filled can be shared and written next; reserved pages are nobody else's.
    const first = sequence.pages[Math.floor(sequence.length / this.pageSize)];
    return { places, copies: first !== undefined && this.references(first) > 1 ? 1 : 0 };
  }

  #take(): number {
    let page = this.#free.pop();
    if (page === undefined) {
      [page] = this.#kept;
      if (page === undefined) throw new InternalError("kv pages: no page is left");
      this.#kept.delete(page);
      this.#index.forget(page);
    }
    this.#references[page] = 1;
    return page;
  }

  #use(page: number): void {
    this.#kept.delete(page);
    this.#references[page] = this.references(page) + 1;
  }

  #release(page: number): void {
    const references = this.references(page) - 1;
    this.#references[page] = references;
    if (references > 0) return;
    if (this.#index.has(page)) this.#kept.add(page);
    else this.#free.push(page);
  }
}

function mustBeOpen(sequence: KvSequence): void {
  if (!sequence.open) throw new InternalError("kv pages: the sequence is closed");
}
