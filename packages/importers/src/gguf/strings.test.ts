/** Lists of strings: made from arrays and read from files of either byte order, long, odd and damaged ones. */

import { describe, expect, it } from "vitest";
import { UserError } from "@quern/core";
import { encodeGguf } from "./encode.test-support.ts";
import { parseGguf } from "./parse.ts";
import { GgufStrings, type StringList } from "./strings.ts";

/** Lengths around those at which a length in a file has a byte that is not ASCII, or more bytes. */
const samples: readonly (readonly string[])[] = [
  [],
  ["", "", ""],
  ["a", "", "é", "\ufeff", "🙂", "\0"],
  [127, 128, 129, 255, 256, 257, 65535, 65536, 65537].map((size) => "x".repeat(size)),
  [126, 127, 128, 129].map((size) => `${"x".repeat(size - 2)}é`),
];

function read(items: readonly unknown[], littleEndian: boolean): StringList {
  return parseGguf(encodeGguf({ littleEndian, metadata: [["k", "array", ["string", items]]] })).metadata.strings("k");
}

describe.each(samples.map((strings) => ({ strings })))("%#", ({ strings }) => {
  it.each([
    ["made", GgufStrings.from(strings)],
    ["little endian", read(strings, true)],
    ["big endian", read(strings, false)],
  ])("%s", (_name, list) => {
    expect([...list]).toEqual(strings);
    expect(list).toHaveLength(strings.length);
    for (const index of [0, 1, strings.length - 1, strings.length, -1, -strings.length, -strings.length - 1])
      expect(list.at(index)).toBe(strings.at(index));
    expect(list).toEqual(GgufStrings.from(strings));
  });
});

it("bytes are a copy, which outlives the file", () => {
  const file = encodeGguf({ metadata: [["k", "array", ["string", ["abc", "de"]]]] });
  const list = parseGguf(file).metadata.strings("k");
  file.fill(0);
  expect([...list]).toEqual(["abc", "de"]);
});

it("half a surrogate pair becomes U+FFFD", () => {
  expect([...GgufStrings.from(["a\ud800"])]).toEqual(["a\ufffd"]);
});

describe("damage", () => {
  const refusal = (bytes: Uint8Array): string => {
    try {
      parseGguf(bytes, { name: "m.gguf" });
    } catch (error) {
      expect(error).toBeInstanceOf(UserError);
      return (error as Error).message;
    }
    return "no error";
  };
  const file = (items: readonly unknown[]): Uint8Array => encodeGguf({ metadata: [["k", "array", ["string", items]]] });
  /** Where the length of the first string stands. */
  const first = 4 + 4 + 8 + 8 + 8 + 1 + 4 + 4 + 8;

  it("names each string that is not UTF-8, with its place", () => {
    const message = refusal(file(["a", Uint8Array.of(0xc3), "b", Uint8Array.of(0xa9), "x".repeat(200)]));
    expect(message).toContain("2 problems");
    expect(message).toContain(`a string of the value of key "k" is not valid UTF-8\n    at m.gguf, byte ${first + 9}`);
    expect(message).toContain(`byte ${first + 27}`);
  });

  it("keeps a character from being divided between strings, short and long", () => {
    for (const size of [1, 200]) {
      const [left, right] = [new Uint8Array(size).fill(0x61), new Uint8Array(size).fill(0x61)];
      left[size - 1] = 0xc3;
      right[0] = 0xa9;
      expect(refusal(file([left, right]))).toContain("2 problems");
    }
  });

  it("reports what stands before a string that does not fit", () => {
    const bytes = file([Uint8Array.of(0xff), "abc"]);
    const message = refusal(bytes.subarray(0, bytes.length - 1));
    expect(message).toContain("is not valid UTF-8");
    expect(message).toContain('the file ends within a string of the value of key "k": 3 bytes are needed, 2 are left');
  });

  it.each([
    ["2^63", [0, 0, 0, 0, 0, 0, 0, 0x80], "the file ends within a string"],
    ["2^31", [0, 0, 0, 0x80, 0, 0, 0, 0], "the file ends within a string"],
    ["2^32", [0, 0, 0, 0, 1, 0, 0, 0], "the file ends within a string"],
  ])("a length of %s stops the file", (_name, length, problem) => {
    const bytes = file(["abc", "abc"]);
    bytes.set(length, first);
    expect(refusal(bytes)).toContain(problem);
  });
});
