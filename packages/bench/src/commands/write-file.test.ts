import { execFileSync } from "node:child_process";
import {
  closeSync,
  constants,
  existsSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
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

  it("what is no file is written to and not replaced, and a link stays one", () => {
    const target = join(folder, "target.json");
    const link = join(folder, "link.json");
    writeFileSync(target, "old");
    symlinkSync(target, link);
    writeWhole(link, "new");
    expect(readFileSync(target, "utf8")).toBe("new");
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    if (process.platform === "win32") return;
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    // A pipe that is open for reading and writing takes what is written without anybody at the other end.
    const open = openSync(pipe, constants.O_RDWR);
    requireWritable(pipe, "--json");
    writeWhole(pipe, "through");
    const bytes = Buffer.alloc(7);
    readSync(open, bytes);
    closeSync(open);
    expect(bytes.toString()).toBe("through");
    expect(lstatSync(pipe).isFIFO()).toBe(true);
  });

  it("refuses what cannot be written before any work is done, with the option", () => {
    const file = join(folder, "file");
    writeFileSync(file, "");
    expect(() => requireWritable(join(file, "x.json"), "--json")).toThrow(/--json/);
    expect(() => requireWritable("-", "--json")).not.toThrow();
    expect(() => requireWritable(folder, "--json")).toThrow(/it is a folder[^]*--json/);
    expect(readdirSync(folder).filter((name) => name.endsWith(".part"))).toEqual([]);
  });
});
