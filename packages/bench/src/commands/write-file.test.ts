import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { requireWritable, writeWhole } from "./write-file.ts";

const folder = mkdtempSync(join(tmpdir(), "quern-write-test-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("writing results", () => {
  it("makes folders, and leaves nothing beside the file", () => {
    const path = join(folder, "a", "b", "results.json");
    writeWhole(path, "{}");
    expect(readFileSync(path, "utf8")).toBe("{}");
    expect(readdirSync(join(folder, "a", "b"))).toEqual(["results.json"]);
  });

  it("a full disk is named, and what was there stays", (context) => {
    if (!existsSync("/dev/full")) return context.skip("no /dev/full here");
    const path = join(folder, "kept.json");
    writeFileSync(path, "good");
    // The text is written beside the file first: there, the disk has no room.
    const part = `${path}.${process.pid}.part`;
    symlinkSync("/dev/full", part);
    expect(() => writeWhole(path, "new")).toThrow(/the disk is full/);
    expect(readFileSync(path, "utf8")).toBe("good");
    expect(readdirSync(folder)).not.toContain(basename(part));
  });

  it("refuses what cannot be written before any work is done, with the option", () => {
    const file = join(folder, "file");
    writeFileSync(file, "");
    expect(() => requireWritable(join(file, "x.json"), "--json")).toThrow(/--json/);
    expect(() => requireWritable("-", "--json")).not.toThrow();
  });
});
