/** What is written is read back, whole or not at all. */

import { execFileSync } from "node:child_process";
import {
  closeSync,
  constants,
  lstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { UserError, blockTypeNamed, type BlockType } from "@quern/core";
import { MemorySink } from "./byte-sink.ts";
import { f32Bytes, sampleFile } from "./encode.test-support.ts";
import { readGgufFile } from "./file.ts";
import { parseGguf } from "./parse.ts";
import { GgufStrings } from "./strings.ts";
import { tensorData } from "./tensor-data.ts";
import { GGUF_VALUE_TYPES, type GgufValue } from "./value.ts";
import { type GgufContent, GgufWriter } from "./write.ts";

const folder = mkdtempSync(join(tmpdir(), "quern-gguf-write-"));
afterAll(() => rmSync(folder, { recursive: true }));

const type = (name: string): BlockType => blockTypeNamed(name)!;

const everyValue: readonly (readonly [string, GgufValue])[] = [
  ["u8", { type: "u8", value: 255 }],
  ["i8", { type: "i8", value: -128 }],
  ["u16", { type: "u16", value: 65535 }],
  ["i16", { type: "i16", value: -32768 }],
  ["u32", { type: "u32", value: 2 ** 32 - 1 }],
  ["i32", { type: "i32", value: -(2 ** 31) }],
  ["u64", { type: "u64", value: 2n ** 64n - 1n }],
  ["i64", { type: "i64", value: -(2n ** 63n) }],
  ["u64 small", { type: "u64", value: 7 }],
  ["f32", { type: "f32", value: 0.5 }],
  ["f64", { type: "f64", value: 0.1 }],
  ["bool", { type: "bool", value: true }],
  ["string", { type: "string", value: "é\ufeff🙂" }],
  ["strings", { type: "array", element: "string", value: GgufStrings.from(["", "a"]) }],
  ["bools", { type: "array", element: "bool", value: [true, false] }],
  ["floats", { type: "array", element: "f32", value: Float32Array.of(1, -2) }],
  ["longs", { type: "array", element: "i64", value: [1, -(2n ** 60n)] }],
  [
    "nested",
    { type: "array", element: "array", value: [{ type: "array", element: "u8", value: Uint8Array.of(1, 2) }] },
  ],
];

function written(content: GgufContent, fill: (writer: GgufWriter) => void): Uint8Array {
  const sink = new MemorySink();
  const writer = new GgufWriter(sink, content);
  fill(writer);
  writer.finish();
  const bytes = sink.bytes();
  expect(bytes.byteLength).toBe(writer.size);
  return bytes;
}

describe("round trips", () => {
  it("every type of value", () => {
    const file = parseGguf(written({ metadata: everyValue, tensors: [] }, () => {}));
    expect(file.version).toBe(3);
    expect([...file.metadata.values]).toEqual(everyValue);
  });

  it("strings that are an array", () => {
    const metadata = [["k", { type: "array", element: "string", value: ["", "é"] }]] as const;
    const file = parseGguf(written({ metadata, tensors: [] }, () => {}));
    expect([...file.metadata.strings("k")]).toEqual(["", "é"]);
  });

  it.each(GGUF_VALUE_TYPES)("metadata that outgrows its first memory by a value of type %s", (type) => {
    const value = everyValue.find(([, each]) => each.type === type)![1];
    const metadata = Array.from({ length: 9000 }, (_, i) => [`${i}`, value] as const);
    const file = parseGguf(written({ metadata, tensors: [] }, () => {}));
    expect([...file.metadata.values]).toEqual(metadata);
  });

  it.each([1, 8, 32, 4096])("tensors with an alignment of %i, in pieces", (alignment) => {
    const metadata = [["general.alignment", { type: "u32", value: alignment }]] as const;
    const tensors = [
      { name: "a", shape: [3], type: type("F32") },
      { name: "b", shape: [2, 32], type: type("Q8_0") },
      { name: "nothing", shape: [0, 32], type: type("Q8_0") },
      { name: "c", shape: [2, 1, 1, 256], type: type("Q4_K") },
    ];
    const q8 = Uint8Array.from({ length: 68 }, (_, i) => i);
    const q4k = Uint8Array.from({ length: 288 }, (_, i) => 255 - (i % 251));
    const bytes = written({ metadata, tensors }, (writer) => {
      writer.tensor("a", f32Bytes([1, 2, 3]));
      writer.begin("b");
      for (let at = 0; at < 68; at += 17) writer.write(q8.subarray(at, at + 17));
      writer.tensor("nothing", new Uint8Array(0));
      writer.tensor("c", q4k);
    });
    const file = parseGguf(bytes);
    expect(file.alignment).toBe(alignment);
    expect([...tensorData(file, "a")]).toEqual([1, 2, 3]);
    expect(file.tensors.get("b")!.bytes).toEqual(q8);
    expect(file.tensors.get("c")!.bytes).toEqual(q4k);
    expect([...file.tensors.values()].map(({ shape }) => shape)).toEqual([[3], [2, 32], [0, 32], [2, 1, 1, 256]]);
    for (const { offset } of file.tensors.values()) expect(offset % alignment).toBe(0);
  });

  it("a file that was read gives the same bytes", () => {
    const original = sampleFile();
    const file = parseGguf(original);
    const tensors = [...file.tensors.values()];
    const again = written({ metadata: file.metadata.values, tensors }, (writer) => {
      for (const { name, bytes } of tensors) writer.tensor(name, bytes);
    });
    expect(again).toEqual(original);
  });
});

const one: GgufContent = { metadata: [], tensors: [{ name: "w", shape: [4], type: type("F32") }] };

describe("files appear whole or not at all", () => {
  const path = join(folder, "model.gguf");

  it("only at the end, in place of an older one", () => {
    writeFileSync(path, "old");
    const writer = GgufWriter.toFile(path, one);
    writer.begin("w");
    writer.write(f32Bytes([1, 2]));
    expect(readFileSync(path, "utf8")).toBe("old");
    writer.write(f32Bytes([3, 4]));
    writer.finish();
    expect([...tensorData(readGgufFile(path), "w")]).toEqual([1, 2, 3, 4]);
    expect(readdirSync(folder)).toEqual(["model.gguf"]);
    writer.abandon();
    expect(readdirSync(folder)).toEqual(["model.gguf"]);
  });

  it("not when it is abandoned, or its head is not valid", () => {
    const writer = GgufWriter.toFile(join(folder, "other.gguf"), one);
    expect(readdirSync(folder)).toHaveLength(2);
    writer.abandon();
    expect(() =>
      GgufWriter.toFile(join(folder, "other.gguf"), { ...one, tensors: [...one.tensors, ...one.tensors] }),
    ).toThrow('tensor "w" appears twice');
    expect(readdirSync(folder)).toEqual(["model.gguf"]);
    expect(() => writer.write(new Uint8Array(0))).toThrow("the file was closed");
  });

  it("a pipe is written to and not replaced", (context) => {
    if (process.platform === "win32") return context.skip("no pipes in folders here");
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    // Open for reading and writing, it takes what is written without anybody at the other end.
    const reader = openSync(pipe, constants.O_RDWR);
    const writer = GgufWriter.toFile(pipe, one);
    writer.begin("w");
    writer.write(f32Bytes([1, 2, 3, 4]));
    writer.finish();
    const head = Buffer.alloc(4);
    readSync(reader, head);
    closeSync(reader);
    expect(head.toString()).toBe("GGUF");
    expect(lstatSync(pipe).isFIFO()).toBe(true);
    rmSync(pipe);
  });

  it("not in a folder that does not exist", () => {
    const attempt = (): unknown => GgufWriter.toFile(join(folder, "nowhere/model.gguf"), one);
    expect(attempt).toThrow(UserError);
    expect(attempt).toThrow("the file cannot be written (ENOENT");
  });
});

describe("what does not belong together is refused", () => {
  const start = (content: Partial<GgufContent> = {}): GgufWriter =>
    new GgufWriter(new MemorySink("m.gguf"), { ...one, ...content });
  const planned = (shape: readonly number[], name = "Q8_0"): (() => unknown) => {
    return () => start({ tensors: [{ name: "w", shape, type: type(name) }] });
  };

  it.each<[() => unknown, string]>([
    [() => start().begin("v"), 'tensor "v" is not the next one, "w"'],
    [() => start().write(new Uint8Array(1)), "no tensor was begun"],
    [() => start().tensor("w", new Uint8Array(17)), '17 bytes do not fit into tensor "w", 16 are missing'],
    [() => start().finish(), 'tensor "w" is missing'],
    [
      () => {
        const writer = start();
        writer.tensor("w", new Uint8Array(15));
        writer.finish();
      },
      '1 bytes of tensor "w" are missing',
    ],
    [planned([2, 33]), "rows of 33 elements, which is not a multiple of 32"],
    [planned([1, 1, 1, 1, 32]), "has 5 dimensions"],
    [planned([-1], "F32"), "has the shape [-1]"],
    [planned([2 ** 30, 2 ** 30], "F32"), "has the shape"],
    [() => start({ metadata: [["general.alignment", { type: "u32", value: 24 }]] }), "a power of two"],
    [() => start({ metadata: [["k", { type: "u8", value: 256 }]] }), 'the value of key "k" is 256, which is no u8'],
    [() => start({ metadata: [["k", { type: "u64", value: -1n }]] }), "is -1, which is no u64"],
    [() => start({ metadata: [["k", { type: "i32", value: 0.5 }]] }), "is 0.5, which is no i32"],
    [() => start({ metadata: [["k", { type: "string", value: "\ud800" }]] }), "half a surrogate pair"],
  ])("%#", (attempt, message) => {
    expect(attempt).toThrow(UserError);
    expect(attempt).toThrow(message);
  });
});
