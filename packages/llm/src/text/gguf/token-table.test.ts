/** The table of token names against a map: random names with repeats, look-ups of parts of texts. */
import { describe, expect, it } from "vitest";
import { GgufStrings } from "@quern/importers/gguf";
import { randomNumbers, SEED } from "../random-text.test-support.ts";
import { TokenTable } from "./token-table.ts";

const utf8 = new TextEncoder();

function tableOf(names: readonly string[]): { table: TokenTable; find: (name: string) => number | undefined } {
  const table = new TokenTable(GgufStrings.from(names));
  for (let id = 0; id < names.length; id++) table.add(id);
  const find = (name: string): number | undefined => {
    const bytes = utf8.encode(`<${name}>`);
    return table.find(bytes, 1, bytes.length - 1);
  };
  return { table, find };
}

describe("a table of names", () => {
  it("of nothing finds nothing", () => {
    const { find } = tableOf([]);
    expect(find("")).toBeUndefined();
    expect(find("a")).toBeUndefined();
  });

  it("gives the first of equal names, and the id that it was", () => {
    const table = new TokenTable(GgufStrings.from(["a", "b", "a", "", ""]));
    expect([0, 1, 2, 3, 4].map((id) => table.add(id))).toEqual([0, 1, 0, 3, 3]);
    expect(table.find(utf8.encode("ba"), 1, 2)).toBe(0);
  });

  it("finds only what was added", () => {
    const table = new TokenTable(GgufStrings.from(["a", "b"]));
    table.add(1);
    expect(table.find(utf8.encode("ab"), 0, 1)).toBeUndefined();
    expect(table.find(utf8.encode("ab"), 1, 2)).toBe(1);
  });

  it("tells names apart that begin or end alike", () => {
    const names = ["a", "aa", "aaa", "ab", "ba", "é", "éa", "aé", "🙂", "\0", "\0\0"];
    const { find } = tableOf(names);
    for (const [id, name] of names.entries()) expect(find(name), JSON.stringify(name)).toBe(id);
    for (const name of ["", "b", "aaaa", "ee", "\0\0\0"]) expect(find(name), JSON.stringify(name)).toBeUndefined();
  });

  it("agrees with a map on random names and on all ways to divide them", () => {
    const random = randomNumbers(SEED);
    const letters = ["a", "b", "é", "世", "🙂"];
    // Short names of few letters: most places of a full table are sought by several.
    const name = (): string =>
      Array.from({ length: random() * 7 }, () => letters[Math.floor(random() * letters.length)]).join("");
    const names = Array.from({ length: 8192 }, name);
    const { table, find } = tableOf(names);
    const map = new Map<string, number>();
    // Vocabularies leave empty names out; the table would find them.
    for (const [id, each] of names.entries()) if (!map.has(each)) map.set(each, id);
    for (const text of [...names, ...Array.from({ length: 2000 }, () => name() + name())]) {
      expect(find(text), `QUERN_SEED=${SEED}, ${text}`).toBe(map.get(text));
      const bytes = utf8.encode(text);
      const middle = Math.floor(random() * (bytes.length + 1));
      // The same with a gap of three bytes in it.
      const gapped = Uint8Array.from([...bytes.subarray(0, middle), 9, 9, 9, ...bytes.subarray(middle)]);
      const found = table.findJoined(gapped, 0, middle, middle + 3, gapped.length);
      expect(found, `QUERN_SEED=${SEED}, ${text}`).toBe(map.get(text));
    }
  });
});
