/** Files that are right: all value types, both versions and byte orders, tensors as views on the file. */

import { describe, expect, it } from "vitest";
import { UserError } from "@quern/core";
import { encodeGguf, f32Bytes, sampleFile } from "./encode.test-support.ts";
import { parseGguf } from "./parse.ts";
import { GgufStrings } from "./strings.ts";
import { tensorData } from "./tensor-data.ts";

describe.each([
  { version: 2, littleEndian: true },
  { version: 3, littleEndian: true },
  { version: 2, littleEndian: false },
  { version: 3, littleEndian: false },
])("version $version, little endian: $littleEndian", ({ version, littleEndian }) => {
  it("reads every value type", () => {
    const file = parseGguf(
      encodeGguf({
        version,
        littleEndian,
        metadata: [
          ["u8", "u8", 200],
          ["i8", "i8", -100],
          ["u16", "u16", 60000],
          ["i16", "i16", -30000],
          ["u32", "u32", 4000000000],
          ["i32", "i32", -2000000000],
          ["f32", "f32", 1.5],
          ["bool", "bool", true],
          ["string", "string", "naïve 🙂"],
          ["u64", "u64", 2n ** 53n - 1n],
          ["big u64", "u64", 2n ** 63n + 1n],
          ["i64", "i64", -5n],
          ["big i64", "i64", -(2n ** 60n) - 1n],
          ["f64", "f64", Math.PI],
        ],
      }),
    );
    expect(file.version).toBe(version);
    expect(file.littleEndian).toBe(littleEndian);
    const { values } = file.metadata;
    expect(Object.fromEntries([...values].map(([key, { value }]) => [key, value]))).toEqual({
      u8: 200,
      i8: -100,
      u16: 60000,
      i16: -30000,
      u32: 4000000000,
      i32: -2000000000,
      f32: 1.5,
      bool: true,
      string: "naïve 🙂",
      u64: 2 ** 53 - 1,
      "big u64": 2n ** 63n + 1n,
      i64: -5,
      "big i64": -(2n ** 60n) - 1n,
      f64: Math.PI,
    });
    expect(values.get("u16")?.type).toBe("u16");
  });

  it("reads arrays, nested ones too", () => {
    const { metadata } = parseGguf(
      encodeGguf({
        version,
        littleEndian,
        metadata: [
          ["tokens", "array", ["string", ["a", "", "\ufeff"]]],
          ["scores", "array", ["f32", [0.5, -1]]],
          ["types", "array", ["i32", [-7, 3]]],
          ["flags", "array", ["bool", [true, false]]],
          ["long", "array", ["u64", [1n, 2n ** 60n]]],
          [
            "nested",
            "array",
            [
              "array",
              [
                ["u16", [300]],
                ["string", ["x"]],
              ],
            ],
          ],
          ["empty", "array", ["f64", []]],
        ],
      }),
    );
    // A byte order mark is a token like others.
    expect([...metadata.strings("tokens")]).toEqual(["a", "", "\ufeff"]);
    expect([...metadata.numbers("scores")]).toEqual([0.5, -1]);
    expect(metadata.numbers("types")).toEqual(Int32Array.of(-7, 3));
    expect(metadata.booleans("flags")).toEqual([true, false]);
    expect(metadata.array("long").value).toEqual([1, 2n ** 60n]);
    expect(metadata.array("nested").value).toEqual([
      { type: "array", element: "u16", value: Uint16Array.of(300) },
      { type: "array", element: "string", value: GgufStrings.from(["x"]) },
    ]);
    expect(metadata.numbers("empty")).toHaveLength(0);
  });

  it.each(["u8", "i8", "u16", "i16", "u32", "i32", "f32", "f64"] as const)("reads long arrays of %s", (type) => {
    const items = Array.from({ length: 100 }, (_, i) => i + (type === "f64" ? 1 / 3 : 0));
    const { metadata } = parseGguf(encodeGguf({ version, littleEndian, metadata: [["k", "array", [type, items]]] }));
    expect([...metadata.numbers("k")]).toEqual(items);
  });

  it("places tensors and decodes them", () => {
    const values = [1, -2, 3.5, 4, 5, 6];
    const bytes = encodeGguf({
      version,
      littleEndian,
      alignment: 128,
      metadata: [["general.alignment", "u32", 128]],
      tensors: [
        { name: "a", shape: [2, 3], type: 0, bytes: f32Bytes(values, littleEndian) },
        { name: "scalar", shape: [], type: 0, bytes: f32Bytes([9], littleEndian) },
        { name: "none", shape: [0, 32], type: 8 },
      ],
    });
    const file = parseGguf(bytes);
    const a = file.tensors.get("a")!;
    expect(a.shape).toEqual([2, 3]);
    expect(a.type.name).toBe("F32");
    expect(a.offset % 128).toBe(0);
    // A view on the file: what changes there changes here.
    expect(a.bytes.buffer).toBe(bytes.buffer);
    expect(a.bytes.byteOffset).toBe(a.offset);
    expect([...tensorData(file, "a")]).toEqual(values);
    expect([...tensorData(file, "scalar")]).toEqual([9]);
    expect(tensorData(file, "none")).toHaveLength(0);
  });
});

describe("files", () => {
  it("that are part of a larger buffer", () => {
    const bytes = sampleFile();
    const shifted = new Uint8Array(bytes.length + 3);
    shifted.set(bytes, 3);
    const file = parseGguf(shifted.subarray(3));
    expect([...tensorData(file, "token_embd.weight")]).toEqual([1, 2, 3, 4, 5, 6]);
    expect(file.tensors.get("token_embd.weight")!.bytes.buffer).toBe(shifted.buffer);
  });

  it("without tensors need no padding", () => {
    const file = parseGguf(encodeGguf({ metadata: [["a", "u8", 1]] }));
    expect(file.tensors.size).toBe(0);
    expect(file.alignment).toBe(32);
  });
});

describe("accessors", () => {
  const { metadata } = parseGguf(sampleFile(), { name: "m.gguf" });

  it("give values of the right type", () => {
    expect(metadata.string("general.architecture")).toBe("llama");
    expect(metadata.number("llama.rope.freq_base")).toBe(10000);
    expect(metadata.integer("llama.block_count")).toBe(2);
    expect(metadata.bigint("llama.block_count")).toBe(2n);
    expect(metadata.bigint("general.size")).toBe(2n ** 60n);
    expect(metadata.boolean("general.flag")).toBe(true);
    expect(metadata.has("general.flag")).toBe(true);
    expect(metadata.has("absent")).toBe(false);
  });

  it("give what was asked for where the key is absent", () => {
    expect(metadata.string("absent", "x")).toBe("x");
    expect(metadata.number("absent", 0)).toBe(0);
    expect(metadata.boolean("absent", false)).toBe(false);
    expect(metadata.strings("absent", [])).toEqual([]);
  });

  it("refuse another type, even where a value for absent keys was given", () => {
    const message = (get: () => unknown): string => {
      try {
        get();
      } catch (error) {
        expect(error).toBeInstanceOf(UserError);
        return (error as UserError).message;
      }
      return "no error";
    };
    expect(message(() => metadata.number("general.architecture", 1))).toBe(
      'metadata key "general.architecture" is of type string; a number is expected\n' +
        "  at m.gguf\n  convert the model again, or correct the key",
    );
    expect(message(() => metadata.string("absent"))).toContain('key "absent" is missing; a string is expected');
    expect(message(() => metadata.number("general.size"))).toContain("is the u64 1152921504606846976, beyond 2^53");
    expect(message(() => metadata.integer("llama.rope.freq_base"))).toContain("of type f32; an integer");
    expect(message(() => metadata.strings("tokenizer.ggml.scores"))).toContain("is an array of f32; a list of strings");
    expect(message(() => metadata.numbers("tokenizer.ggml.tokens"))).toContain("is an array of string; a list of num");
    expect(message(() => metadata.boolean("llama.block_count"))).toContain("of type u32; a bool");
    expect(message(() => metadata.booleans("nested"))).toContain("is an array of array; a list of bools");
    expect(message(() => metadata.array("general.flag"))).toContain("of type bool; an array");
  });
});
