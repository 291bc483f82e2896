/** Damaged and hostile files: one clear error each, with all problems and their places. */

import { describe, expect, it } from "vitest";
import { UnsupportedError, UserError } from "@quern/core";
import { ByteWriter, type FileSpec, encodeGguf, f32Bytes, sampleFile } from "./encode.test-support.ts";
import { parseGguf } from "./parse.ts";
import { tensorData } from "./tensor-data.ts";

/** The error that reading gives. */
function errorOf(bytes: Uint8Array): UserError {
  try {
    parseGguf(bytes, { name: "bad.gguf" });
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return error as UserError;
  }
  throw new Error("the file was read");
}

const refusal = (spec: FileSpec): string => errorOf(encodeGguf(spec)).message;

const one = f32Bytes([1]);
const weight = { name: "w", shape: [1], type: 0, bytes: one };

describe("damaged files", () => {
  it("that are empty, text, or of another version", () => {
    expect(errorOf(new Uint8Array(0)).message).toBe(
      "the file does not start with GGUF\n  at bad.gguf, byte 0\n" +
        "  it is not a GGUF file, or only a pointer to one (Git LFS)",
    );
    expect(errorOf(new TextEncoder().encode("version https://git-lfs")).message).toContain("Git LFS");
    expect(refusal({ version: 1 })).toBe(
      "GGUF version 1 cannot be read, versions 2 and 3 can\n  at bad.gguf, byte 4\n" +
        "  convert the model again with a current tool",
    );
    expect(refusal({ version: 4 })).toContain("version 4 cannot be read");
    expect(refusal({ version: 77, littleEndian: false })).toContain("version 77 cannot be read");
  });

  it("cut at any byte", () => {
    const whole = sampleFile();
    const { tensors } = parseGguf(whole);
    const dataEnd = Math.max(...[...tensors.values()].map(({ offset, bytes }) => offset + bytes.length));
    for (let length = 0; length < dataEnd; length++) errorOf(whole.slice(0, length));
    expect(parseGguf(whole.slice(0, dataEnd)).tensors.size).toBe(4);
    expect(errorOf(encodeGguf().slice(0, 20)).message).toBe(
      "the file ends within the number of metadata keys: 8 bytes are needed, 4 are left\n  at bad.gguf, byte 16\n" +
        "  the file is truncated, damaged, or not a GGUF file",
    );
    expect(errorOf(whole.slice(0, dataEnd - 1)).message).toMatch(
      /tensor "blk\.0\.ffn_down\.weight" needs bytes \d+ to \d+, the file ends at byte \d+/,
    );
  });

  it("with counts and lengths beyond the end", () => {
    expect(refusal({ tensorCount: 2n ** 63n })).toContain("9223372036854776000 tensors do not fit");
    expect(refusal({ pairCount: 2n ** 64n - 1n })).toContain("metadata keys do not fit into the remaining 0 bytes");
    const long = new ByteWriter()
      .string("k")
      .scalar("u32", 8)
      .scalar("u64", 2n ** 62n)
      .done();
    expect(errorOf(Uint8Array.from([...encodeGguf({ pairCount: 1 }), ...long])).message).toContain(
      'the file ends within the value of key "k": 4611686018427388000 bytes are needed, 0 are left',
    );
    const array = new ByteWriter()
      .string("k")
      .scalar("u32", 9)
      .scalar("u32", 0)
      .scalar("u64", 2n ** 40n)
      .done();
    expect(errorOf(Uint8Array.from([...encodeGguf({ pairCount: 1 }), ...array])).message).toContain(
      'elements of the value of key "k" do not fit',
    );
  });

  it("with wrong metadata", () => {
    expect(
      refusal({
        metadata: [
          ["k", 13, 0],
          ["l", "u8", 1],
        ],
      }),
    ).toContain('key "k" has type 13, which does not exist');
    const twice = refusal({
      metadata: [
        ["k", "u8", 1],
        ["k", "u8", 2],
      ],
    });
    expect(twice).toContain('metadata key "k" appears twice\n  at bad.gguf, byte 38');
    expect(refusal({ metadata: [["k", "string", Uint8Array.of(0x61, 0xff)]] })).toContain(
      'the value of key "k" is not valid UTF-8',
    );
    expect(refusal({ metadata: [[Uint8Array.of(0xc0), "u8", 1]] })).toContain("metadata key 0 is not valid UTF-8");
    expect(refusal({ metadata: [["k", "bool", 2]] })).toContain('the value of key "k" is a bool of value 2');
    expect(refusal({ metadata: [["k".repeat(65536), "u8", 1]] })).toContain(
      "metadata key 0 is longer than 65535 bytes",
    );
  });

  it("with arrays nested too deep or of too many elements", () => {
    let nested: unknown = ["u8", [1]];
    for (let i = 0; i < 8; i++) nested = ["array", [nested]];
    expect(refusal({ metadata: [["k", "array", nested]] })).toContain("nests more than 8 arrays");
    const count = 2 ** 24 + 1;
    const head = new ByteWriter().string("k").scalar("u32", 9).scalar("u32", 0).scalar("u64", count).done();
    const start = encodeGguf({ pairCount: 1 });
    const bytes = new Uint8Array(start.length + head.length + count);
    bytes.set(start);
    bytes.set(head, start.length);
    expect(errorOf(bytes).message).toContain('16777217 elements of the value of key "k" are too many');
  });

  it.each([0, 3, 48, 2 ** 31])("with alignment %d", (alignment) => {
    expect(refusal({ metadata: [["general.alignment", "u32", alignment]], tensors: [weight] })).toBe(
      `general.alignment is ${alignment}, a power of two up to 2^30 is expected\n  at bad.gguf\n` +
        "  the file is truncated, damaged, or not a GGUF file",
    );
  });

  it("with an alignment that is no number", () => {
    expect(refusal({ metadata: [["general.alignment", "string", "32\n"]] })).toContain('alignment is "32\\n", a power');
  });
});

describe("tensors", () => {
  it("of too many dimensions or elements", () => {
    expect(refusal({ tensors: [{ ...weight, shape: [1, 1, 1, 1, 1] }] })).toContain(
      'tensor "w" has 5 dimensions, GGUF has up to 4',
    );
    for (const shape of [[2n ** 63n], [2 ** 30, 2 ** 30], [0, 2n ** 40n, 2n ** 40n]])
      expect(refusal({ tensors: [{ ...weight, shape }] })).toContain("has too many elements");
  });

  it("out of range, not aligned or overlapping", () => {
    expect(refusal({ tensors: [{ ...weight, shape: [9] }] })).toContain(
      'tensor "w" needs bytes 64 to 100, the file ends',
    );
    expect(refusal({ tensors: [{ ...weight, offset: 2n ** 64n - 32n }] })).toContain("the file ends at byte");
    expect(refusal({ tensors: [{ ...weight, offset: 4 }] })).toContain("has offset 4, which is not a multiple of 32");
    expect(refusal({ tensors: [weight, { ...weight, name: "v", offset: 0 }] })).toContain(
      'tensors "w" and "v" overlap',
    );
    const inside = { ...weight, shape: [16], bytes: new Uint8Array(64) };
    expect(refusal({ tensors: [inside, { ...weight, name: "v", offset: 32 }] })).toContain('"w" and "v" overlap');
  });

  it("that lie within one large tensor", () => {
    const large = { name: "large", shape: [48], type: 0, bytes: new Uint8Array(192) };
    const message = refusal({
      tensors: [large, { ...weight, name: "a", offset: 32 }, { ...weight, name: "b", offset: 128 }],
    });
    expect(message).toContain('tensors "large" and "a" overlap');
    expect(message).toContain('tensors "large" and "b" overlap');
  });

  it("that appear twice, or whose rows are not whole blocks", () => {
    expect(refusal({ tensors: [weight, weight] })).toContain('tensor "w" appears twice');
    expect(refusal({ tensors: [{ ...weight, shape: [32, 16], type: 2 }] })).toContain(
      'tensor "w" has rows of 16 elements, which is not a multiple of 32, the Q4_0 block',
    );
  });

  it("of types that are unknown or removed, and of names", () => {
    const error = errorOf(
      encodeGguf({
        tensors: [
          { ...weight, type: 1234 },
          { ...weight, name: "v", type: 31 },
        ],
      }),
    );
    expect(error).toBeInstanceOf(UnsupportedError);
    expect(error.message).toBe(
      'tensor type 1234 is not supported at tensor "w" (bad.gguf, byte 24): ' +
        "no such type is known; the file is damaged or newer than this importer\n" +
        'tensor type Q4_0_4_4 is not supported at tensor "v" (bad.gguf, byte 57): ' +
        "it is a layout for one processor that was removed from the format; convert the model again",
    );
    const file = parseGguf(sampleFile(), { name: "m.gguf" });
    expect(() => tensorData(file, "x")).toThrow(
      'there is no tensor "x"\n  at m.gguf\n  the file has 4 tensors, such as "token_embd.weight"',
    );
  });
});

describe("several problems", () => {
  it("are one error", () => {
    const error = errorOf(
      encodeGguf({
        metadata: [
          ["k", "u8", 1],
          ["k", "bool", 7],
        ],
        tensors: [
          { ...weight, offset: 1 },
          { ...weight, name: "v", type: 99, offset: 0 },
        ],
      }),
    );
    expect(error).not.toBeInstanceOf(UnsupportedError);
    expect(error.message).toBe(
      [
        "4 problems:",
        '  metadata key "k" appears twice',
        "    at bad.gguf, byte 38",
        '  the value of key "k" is a bool of value 7',
        "    at bad.gguf, byte 51",
        '  tensor "w" has offset 1, which is not a multiple of 32',
        "    at bad.gguf, byte 52",
        '  tensor type 99 is not supported at tensor "v" (bad.gguf, byte 85): no such type is known; ' +
          "the file is damaged or newer than this importer",
        "  the file is truncated, damaged, or not a GGUF file",
      ].join("\n"),
    );
  });

  it("are counted where they are too many to list, and long names are cut", () => {
    const name = `w\n${"x".repeat(5000)}`;
    const message = refusal({ tensors: Array.from({ length: 100 }, () => ({ ...weight, name, offset: 1 })) });
    expect(message).toMatch(/^\d+ problems:/);
    expect(message).toMatch(/and \d+ more/);
    expect(message).not.toContain("x".repeat(100));
    expect(message).toContain('"w\\nxxx');
    expect(message.length).toBeLessThan(10_000);
  });

  it("stop the file at some number", () => {
    const tokens = Array.from({ length: 5000 }, () => Uint8Array.of(0xff));
    expect(refusal({ metadata: [["k", "array", ["string", tokens]]] })).toMatch(/^1001 problems:/);
  });
});
