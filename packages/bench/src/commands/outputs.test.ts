import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../history/sample-history.test-support.ts";
import { parseOutputs } from "./outputs.ts";

const folder = temporaryFolder();
const path = (name: string): string => join(folder, name);

describe("parseOutputs", () => {
  it("reads forms and files; without a file a report goes to standard output", () => {
    const [page, results] = [path("r.html"), path("r.json")];
    expect(parseOutputs([`html=${page}`, "csv"], results)).toEqual([
      { format: "html", path: page },
      { format: "csv", path: "-" },
      { format: "json", path: results },
    ]);
    expect(existsSync(page)).toBe(false);
  });

  it("refuses two reports in one file, however it is reached", () => {
    const file = path("one.json");
    const twice = /two reports would be written to one file/;
    expect(() => parseOutputs([`html=${file}`], file)).toThrow(
      `two reports would be written to one file\n  at -o html ${file}, --json ${file}`,
    );
    expect(() => parseOutputs([`json=${file}`, `json=${file}`])).toThrow(twice);
    expect(() => parseOutputs([`html=${path("sub/../one.json")}`], file)).toThrow(twice);
    // Neither is there yet, but the folder of one is a link.
    mkdirSync(path("real"));
    symlinkSync(path("real"), path("linked"), "junction");
    expect(() => parseOutputs([`html=${path("real/new")}`, `csv=${path("linked/new")}`])).toThrow(twice);
    writeFileSync(file, "");
    symlinkSync(file, path("link.json"));
    expect(() => parseOutputs([`html=${path("link.json")}`], file)).toThrow(twice);
    expect(readdirSync(folder).filter((name) => name.endsWith(".part"))).toEqual([]);
  });

  it("a device takes one report after another", (context) => {
    if (!existsSync("/dev/null")) context.skip("no /dev/null here");
    expect(parseOutputs(["html=/dev/null", "csv=/dev/null"])).toHaveLength(2);
  });

  it("standard output takes one", () => {
    expect(() => parseOutputs(["html"], "-")).toThrow(/only one report[^]*-o html --json/);
  });
});
