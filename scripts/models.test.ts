import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { root } from "./workspace.ts";

const models = join(root, "packages", "bench-models");
const table = new Map(
  [...readFileSync(join(models, "README.md"), "utf8").matchAll(/^\| `([\w-]+)` \|.*`([0-9a-f]{64})` \|$/gm)].map(
    (row) => [row[1] ?? "", row[2] ?? ""],
  ),
);

describe("bundled models", () => {
  it("are all in the table of their README", () => {
    const folders = readdirSync(models, { withFileTypes: true }).filter(
      (entry) => entry.isDirectory() && entry.name !== "node_modules",
    );
    expect(folders.map((entry) => entry.name).toSorted()).toEqual([...table.keys()].toSorted());
  });

  it.each([...table])("%s is the file that the table says, with its licence", (name, sha256) => {
    const file = readFileSync(join(models, name, "model.onnx"));
    expect(createHash("sha256").update(file).digest("hex")).toBe(sha256);
    expect(existsSync(join(models, name, "LICENSE"))).toBe(true);
  });
});
