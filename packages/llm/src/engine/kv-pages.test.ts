/** The page pool: sharing, copying, eviction, and its invariants under random use against a model of the memory. */
import { randomNumbers } from "@quern/core";
import { describe, expect, it } from "vitest";
import { type KvSequence, PagePool } from "./kv-pages.ts";

/** A pool with the memory it describes: what a runner would write and copy. */
class Memory {
  readonly pool: PagePool;
  readonly cells: (number | undefined)[];

  constructor(pages: number, pageSize: number, sharePrefixes = true) {
    this.pool = new PagePool({ pages, pageSize, sharePrefixes });
    this.cells = Array.from({ length: pages * pageSize }, () => undefined);
  }

  append(sequence: KvSequence, tokens: readonly number[]): void {
    const { pageSize } = this.pool;
    for (const { from, to } of this.pool.reserve(sequence, tokens.length))
      this.cells.copyWithin(to * pageSize, from * pageSize, (from + 1) * pageSize);
    tokens.forEach((token, i) => {
      this.cells[this.#cell(sequence, sequence.length + i)] = token;
    });
    this.pool.commit(sequence, tokens);
  }

  read(sequence: KvSequence): (number | undefined)[] {
    return sequence.tokens.map((_, position) => this.cells[this.#cell(sequence, position)]);
  }

  #cell(sequence: KvSequence, position: number): number {
    const { pageSize } = this.pool;
    return (sequence.pages[Math.floor(position / pageSize)] as number) * pageSize + (position % pageSize);
  }
}

const upTo = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => from + i);

describe("pages of one sequence", () => {
  it("takes a page when a token does not fit", () => {
    const { pool } = new Memory(4, 4);
    const sequence = pool.open();
    expect(pool.reserve(sequence, 4)).toEqual([]);
    pool.commit(sequence, upTo(4));
    expect(sequence.pages).toEqual([0]);
    pool.reserve(sequence, 1);
    expect(sequence.pages).toEqual([0, 1]);
    expect(pool.room(sequence)).toBe(4 + 8);
  });

  it("says clearly that nothing is left, and changes nothing", () => {
    const memory = new Memory(2, 4);
    const sequence = memory.pool.open();
    memory.append(sequence, upTo(7));
    expect(() => memory.pool.reserve(sequence, 2)).toThrow(
      "the KV cache is full: 2 more tokens of a sequence of 7 need 1 pages of 4 tokens, 0 of 2 can be had\n  make the cache larger",
    );
    expect(sequence.pages).toEqual([0, 1]);
    expect(memory.pool.room(sequence)).toBe(1);
  });

  it("refuses sizes that are none", () => {
    expect(() => new PagePool({ pages: 0, pageSize: 4 })).toThrow("a KV cache cannot have 0 pages");
    expect(() => new PagePool({ pages: 1, pageSize: 1.5 })).toThrow("a page cannot have 1.5 tokens");
  });

  it("truncate gives pages back and lets the rest be written", () => {
    const memory = new Memory(4, 4);
    const sequence = memory.pool.open();
    memory.append(sequence, upTo(10));
    memory.pool.truncate(sequence, 5);
    expect(sequence.pages).toHaveLength(2);
    memory.append(sequence, [50, 51, 52, 53]);
    expect(memory.read(sequence)).toEqual([0, 1, 2, 3, 4, 50, 51, 52, 53]);
    expect(() => memory.pool.truncate(sequence, 10)).toThrow("a sequence of 9 tokens cannot be cut to 10");
  });
});

describe("shared prefixes", () => {
  it("gives full pages of a closed sequence to one that begins alike", () => {
    const memory = new Memory(8, 4);
    const first = memory.pool.open();
    memory.append(first, upTo(10));
    const pages = [...first.pages];
    memory.pool.close(first);
    expect(memory.pool.kept).toBe(2);
    const second = memory.pool.open();
    expect(memory.pool.adopt(second, [...upTo(9), 90, 91], 10)).toBe(8);
    expect(second.pages).toEqual(pages.slice(0, 2));
    expect(memory.read(second)).toEqual(upTo(8));
  });

  it("does not give a page whose tokens are the same after other ones", () => {
    const memory = new Memory(8, 4);
    const first = memory.pool.open();
    memory.append(first, [...upTo(4), ...upTo(4, 40)]);
    const second = memory.pool.open();
    expect(memory.pool.adopt(second, [...upTo(4, 40), ...upTo(4, 40)], 8)).toBe(0);
  });

  it("copies the last page when the limit cuts it while another uses it", () => {
    const memory = new Memory(8, 4);
    const first = memory.pool.open();
    memory.append(first, upTo(8));
    const second = memory.pool.open();
    expect(memory.pool.adopt(second, upTo(8), 7)).toBe(7);
    expect(memory.pool.references(first.pages[1] as number)).toBe(2);
    memory.append(second, [70]);
    expect(second.pages[1]).not.toBe(first.pages[1]);
    expect(memory.read(first)).toEqual(upTo(8));
    expect(memory.read(second)).toEqual([...upTo(7), 70]);
  });

  it("needs no copy when nobody else uses the page, and finds it no more by its old content", () => {
    const memory = new Memory(8, 4);
    const first = memory.pool.open();
    memory.append(first, upTo(8));
    memory.pool.close(first);
    const second = memory.pool.open();
    memory.pool.adopt(second, upTo(8), 7);
    expect(memory.pool.reserve(second, 1)).toEqual([]);
    expect(memory.pool.adopt(memory.pool.open(), upTo(8), 8)).toBe(4);
  });

  it("keeps one of two equal pages", () => {
    const memory = new Memory(8, 4);
    const [first, second] = [memory.pool.open(), memory.pool.open()];
    memory.append(first, upTo(3));
    memory.append(second, upTo(3));
    memory.append(first, [3]);
    memory.append(second, [3]);
    expect(second.pages).toEqual(first.pages);
    expect(memory.pool.available).toBe(7);
  });

  it("can be switched off", () => {
    const memory = new Memory(8, 4, false);
    const first = memory.pool.open();
    memory.append(first, upTo(8));
    memory.pool.close(first);
    expect(memory.pool.kept).toBe(0);
    expect(memory.pool.adopt(memory.pool.open(), upTo(8), 8)).toBe(0);
  });
});

it("evicts the page that was left longest ago, the end of a sequence before its beginning", () => {
  const memory = new Memory(4, 2);
  const { pool } = memory;
  const [first, second] = [pool.open(), pool.open()];
  memory.append(first, upTo(4));
  memory.append(second, upTo(4, 100));
  pool.close(first);
  pool.close(second);
  expect(pool.kept).toBe(4);
  memory.append(pool.open(), [7]);
  expect(pool.adopt(pool.open(), upTo(4), 4)).toBe(2);
  expect(pool.adopt(pool.open(), upTo(4, 100), 4)).toBe(4);
  expect(pool.available).toBe(0);
});

it("forks share all pages until one of them writes", () => {
  const memory = new Memory(4, 4);
  const sequence = memory.pool.open();
  memory.append(sequence, upTo(6));
  const fork = memory.pool.fork(sequence);
  expect(fork.pages).toEqual(sequence.pages);
  expect(memory.pool.pagesNeeded(fork, 1)).toBe(1);
  memory.append(fork, [60]);
  memory.append(sequence, [61]);
  expect(fork.pages[0]).toBe(sequence.pages[0]);
  expect(memory.read(fork)).toEqual([...upTo(6), 60]);
  expect(memory.read(sequence)).toEqual([...upTo(6), 61]);
  memory.pool.close(fork);
  expect(memory.read(sequence)).toEqual([...upTo(6), 61]);
  expect(() => memory.pool.fork(fork)).toThrow("the sequence is closed");
});

it("holds its invariants under random use", () => {
  const seed = Number(process.env["QUERN_SEED"] ?? Date.now() % 2 ** 31);
  const random = randomNumbers(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  for (let round = 0; round < 60; round++) {
    const pageSize = 1 + below(5);
    const memory = new Memory(3 + below(12), pageSize, random() < 0.9);
    const { pool } = memory;
    const open: KvSequence[] = [];
    /** Few distinct tokens, so that prefixes meet. */
    const texts = Array.from({ length: 4 }, () => Array.from({ length: 40 }, () => below(3)));
    try {
      for (let action = 0; action < 200; action++) {
        const sequence = open[below(open.length)];
        const kind = random();
        if (sequence === undefined || kind < 0.1) {
          const fresh = pool.open();
          const text = texts[below(4)] as number[];
          const limit = below(text.length);
          const shared = pool.adopt(fresh, text, limit);
          expect(shared).toBeLessThanOrEqual(limit);
          expect(fresh.tokens).toEqual(text.slice(0, shared));
          open.push(fresh);
        } else if (kind < 0.65) {
          const text = texts[below(4)] as number[];
          const count = below(2 * pageSize + 1);
          const tokens = text.slice(sequence.length, sequence.length + count);
          const fits = tokens.length <= pool.room(sequence);
          expect(fits).toBe(pool.pagesNeeded(sequence, tokens.length) <= pool.available);
          const before = sequence.length;
          if (fits) memory.append(sequence, tokens);
          else expect(() => memory.append(sequence, tokens)).toThrow("the KV cache is full");
          expect(sequence.length).toBe(before + (fits ? tokens.length : 0));
        } else if (kind < 0.75) {
          open.push(pool.fork(sequence));
        } else if (kind < 0.85) {
          pool.truncate(sequence, below(sequence.length + 1));
        } else if (kind < 0.9) {
          // A step that failed: places were reserved and nothing was written.
          const count = Math.min(below(4), pool.room(sequence));
          for (const { from, to } of pool.reserve(sequence, count))
            memory.cells.copyWithin(to * pageSize, from * pageSize, (from + 1) * pageSize);
        } else {
          pool.close(sequence);
          open.splice(open.indexOf(sequence), 1);
        }
        check(memory, open);
      }
      for (const sequence of open) pool.close(sequence);
      expect(pool.available).toBe(pool.pageCount);
    } catch (error) {
      throw new Error(`QUERN_SEED=${seed}, round ${round}`, { cause: error });
    }
  }
});

function check(memory: Memory, open: readonly KvSequence[]): void {
  const { pool } = memory;
  const uses = new Map<number, number>();
  for (const page of open.flatMap(({ pages }) => pages)) uses.set(page, (uses.get(page) ?? 0) + 1);
  const problems: string[] = [];
  for (let page = 0; page < pool.pageCount; page++)
    if (pool.references(page) !== (uses.get(page) ?? 0))
      problems.push(`page ${page} has ${pool.references(page)} references`);
  if (pool.available !== pool.pageCount - uses.size) problems.push(`${pool.available} pages are available`);
  open.forEach((sequence, i) => {
    if (new Set(sequence.pages).size < sequence.pages.length) problems.push(`sequence ${i} has a page twice`);
    if (memory.read(sequence).some((cell, position) => cell !== sequence.tokens[position]))
      problems.push(`sequence ${i} reads ${memory.read(sequence).join()}, wrote ${sequence.tokens.join()}`);
  });
  expect(problems).toEqual([]);
}
