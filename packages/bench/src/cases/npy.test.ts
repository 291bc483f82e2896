import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Tensor } from "@quern/core";
import { bundledModels } from "./suite.ts";
import { caseFolders, tensorFiles } from "./model.ts";
import { encodeNpy, parseNpy, readNpy } from "./npy.ts";

describe("npy", () => {
  it.each([
    Tensor.from("f32", [1.5, -2, Number.NaN, Infinity], [2, 2]),
    Tensor.from("f64", [1, 2, 3]),
    Tensor.from("f16", [0.5, 65504], [1, 2, 1]),
    Tensor.from("i64", [-(2n ** 62n), 5n]),
    Tensor.from("u8", [0, 255]),
    Tensor.from("bool", [1, 0, 1]),
    Tensor.from("i32", [7], []),
    Tensor.zeros("f32", [0, 3]),
  ])("round trip of $dtype $shape", (tensor) => {
    const read = parseNpy(encodeNpy(tensor), "memory");
    expect(read.dtype).toBe(tensor.dtype);
    expect(read.shape).toEqual(tensor.shape);
    expect(read.bytes()).toEqual(tensor.bytes());
  });

  it("starts data at a multiple of 64, as numpy writes it", () => {
    const bytes = encodeNpy(Tensor.from("f32", [1]));
    expect(bytes.length % 64).toBe(4);
    expect(String.fromCodePoint(...bytes.subarray(1, 6))).toBe("NUMPY");
  });

  it("reads the cases beside the bundled models", () => {
    const folders = bundledModels().flatMap(caseFolders);
    expect(folders.length).toBeGreaterThan(3);
    for (const file of folders.flatMap((folder) => Object.values(tensorFiles(folder, "in-")))) {
      expect(existsSync(file)).toBe(true);
      expect(readNpy(file).size).toBeGreaterThan(0);
    }
  });

  describe("bad files", () => {
    const good = encodeNpy(Tensor.from("f32", [1, 2, 3, 4], [2, 2]));
    const edited = (from: string, to: string): Uint8Array => {
      const text = Buffer.from(good).toString("latin1");
      expect(text).toContain(from);
      return Buffer.from(text.replace(from, to), "latin1");
    };

    it.each([
      ["nothing", new Uint8Array(0), "no .npy file"],
      ["another file", new TextEncoder().encode("hello, this is text"), "no .npy file"],
      ["cut header", good.subarray(0, 40), "header is cut off"],
      ["cut data", good.subarray(0, good.length - 1), "needs 16 bytes, the file has 15"],
      ["huge shape", edited("(2, 2)", "(99999999999, 99999999)"), "bytes, the file has"],
      ["unknown type", edited("<f4", "<c8"), "'<c8' is not supported"],
      ["column-major", edited("False", "True "), "column-major"],
    ])("%s", (_, bytes, message) => {
      expect(() => parseNpy(bytes, "bad.npy")).toThrow(message);
      expect(() => parseNpy(bytes, "bad.npy")).toThrow("bad.npy");
    });

    it("missing file", () => {
      expect(() => readNpy("/nowhere/x.npy")).toThrow("cannot be read");
    });
  });
});
