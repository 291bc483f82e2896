/** Models on disk: single files, split ones, and what is wrong with their parts. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UserError } from "@quern/core";
import { type Pair, type TensorSpec, encodeGguf, f32Bytes, sampleFile } from "./encode.test-support.ts";
import { readGgufFile } from "./file.ts";
import { parseGguf } from "./parse.ts";
import { tensorData } from "./tensor-data.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "quern-gguf-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const tensor = (name: string, ...values: number[]): TensorSpec => ({
  name,
  shape: [values.length],
  type: 0,
  bytes: f32Bytes(values),
});

function part(no: number, count: number, tensors: TensorSpec[], extra: Pair[] = []): Uint8Array {
  return encodeGguf({ metadata: [["split.no", "u16", no], ["split.count", "u16", count], ...extra], tensors });
}

const partPath = (stem: string, no: number, count: number): string =>
  join(folder, `${stem}-${String(no).padStart(5, "0")}-of-${String(count).padStart(5, "0")}.gguf`);

function refusal(path: string): string {
  try {
    readGgufFile(path);
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return (error as UserError).message;
  }
  return "read";
}

describe("a single file", () => {
  it("is read, or mapped by the given function", () => {
    const path = join(folder, "one.gguf");
    writeFileSync(path, sampleFile());
    expect(readGgufFile(path).tensors.size).toBe(4);
    const opened: string[] = [];
    const bytes = new Uint8Array(readFileSync(path));
    const file = readGgufFile(path, { read: (name) => (opened.push(name), bytes) });
    expect(opened).toEqual([path]);
    expect(file.name).toBe("one.gguf");
    for (const { bytes: view } of file.tensors.values()) expect(view.buffer).toBe(bytes.buffer);
  });

  it("that is not there, or a folder", () => {
    expect(refusal(join(folder, "absent.gguf"))).toMatch(/model file ".*absent\.gguf" cannot be read: ENOENT/);
    mkdirSync(join(folder, "folder.gguf"));
    expect(refusal(join(folder, "folder.gguf"))).toContain("is not a file");
  });

  it("that `read` fails on", () => {
    const path = join(folder, "large.gguf");
    writeFileSync(path, "");
    const read = (): Uint8Array => {
      throw new RangeError("File size (3 GB) is greater than 2 GiB");
    };
    expect(() => readGgufFile(path, { read })).toThrow("pass `read` with a function that maps the file");
  });
});

describe("a split model", () => {
  it("is found beside its first file, through links too", () => {
    const total: Pair = ["split.tensors.count", "i32", 3];
    writeFileSync(partPath("good", 1, 3), part(0, 3, [tensor("a", 1, 2)], [total, ["name", "string", "x"]]));
    writeFileSync(partPath("good", 2, 3), part(1, 3, [tensor("b", 3)]));
    writeFileSync(join(folder, "blob"), part(2, 3, [tensor("c", 4)]));
    symlinkSync(join(folder, "blob"), partPath("good", 3, 3));
    const file = readGgufFile(partPath("good", 1, 3));
    expect(file.metadata.string("name")).toBe("x");
    expect([...file.tensors.values()].map((each) => [each.name, each.part])).toEqual([
      ["a", 0],
      ["b", 1],
      ["c", 2],
    ]);
    expect(["a", "b", "c"].map((name) => [...tensorData(file, name)])).toEqual([[1, 2], [3], [4]]);
  });

  it("with problems in several parts reports all", () => {
    writeFileSync(partPath("bad", 1, 5), part(0, 5, [tensor("a", 1)]));
    writeFileSync(partPath("bad", 2, 5), "GGUF\x03");
    writeFileSync(partPath("bad", 4, 5), part(2, 5, [tensor("d", 1)]));
    writeFileSync(partPath("bad", 5, 5), part(4, 5, [tensor("a", 1)]));
    const message = refusal(partPath("bad", 1, 5));
    expect(message).toContain("4 problems:");
    expect(message).toMatch(/the file ends within the version.*\n {4}at bad-00002-of-00005\.gguf, byte 4/);
    expect(message).toMatch(/part ".*bad-00003-of-00005\.gguf" cannot be read: ENOENT/);
    expect(message).toContain(
      "the file says split.no 2 and split.count 5, 3 and 5 are expected\n    at bad-00004-of-00005.gguf",
    );
    expect(message).toContain('tensor "a" appears twice\n    at bad-00005-of-00005.gguf, byte ');
  });

  it("with another number of tensors than it says", () => {
    writeFileSync(partPath("few", 1, 2), part(0, 2, [tensor("a", 1)], [["split.tensors.count", "i32", 7]]));
    writeFileSync(partPath("few", 2, 2), part(1, 2, [tensor("b", 1)]));
    expect(refusal(partPath("few", 1, 2))).toContain("split.tensors.count is 7, the files hold 2 tensors");
  });

  it("opened by another part, or under another name", () => {
    writeFileSync(partPath("good", 2, 2), part(1, 2, [tensor("b", 3)]));
    expect(refusal(partPath("good", 2, 2))).toContain(
      "the file is part 1 (counted from 0) of a model split into 2 files",
    );
    writeFileSync(partPath("shifted", 2, 2), part(0, 2, [tensor("a", 1)]));
    expect(refusal(partPath("shifted", 2, 2))).toContain("part 2 of 2 cannot be found by the name of the first file");
    const path = join(folder, "renamed.gguf");
    writeFileSync(path, part(0, 2, [tensor("a", 1)]));
    expect(refusal(path)).toBe(
      "part 2 of 2 cannot be found by the name of the first file\n  at renamed.gguf\n" +
        "  the first file of this model must be named …-00001-of-00002.gguf, the others lie beside it",
    );
  });

  it("of a wrong or very large number of files", () => {
    const path = partPath("many", 1, 65535);
    writeFileSync(path, part(0, 65535, []));
    expect(refusal(path)).toMatch(/^1001 problems:/);
    const negative = join(folder, "negative.gguf");
    writeFileSync(negative, encodeGguf({ metadata: [["split.count", "i32", -1]] }));
    expect(refusal(negative)).toContain("split.count is -1, a number of files is expected");
  });

  it("needs its other parts when parsed from bytes", () => {
    const first = part(0, 2, [tensor("a", 1)]);
    expect(() => parseGguf(first)).toThrow(
      "the model is split into 2 files, and only the first one's bytes were given",
    );
    const parts = (no: number): { name: string; bytes: Uint8Array } => ({
      name: `part ${no}`,
      bytes: part(no, 2, [tensor("b", 2)]),
    });
    expect([...parseGguf(first, { parts }).tensors.keys()]).toEqual(["a", "b"]);
  });
});
