/**
 * Prints the size of the repository per package: lines of source and of tests without comments
 * and blanks. For information only.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./workspace.ts";

interface Size {
  files: number;
  source: number;
  tests: number;
}

function codeLines(text: string): number {
  const code = text.replaceAll(/\/\*[\s\S]*?\*\//g, "");
  return code.split("\n").filter((line) => line.trim() !== "" && !line.trim().startsWith("//")).length;
}

const tracked = execFileSync("git", ["ls-files", "*.ts", "*.mjs"], { cwd: root, encoding: "utf8" })
  .split("\n")
  .filter(Boolean);
const sizes = new Map<string, Size>();
for (const file of tracked) {
  const parts = file.split("/");
  const group = ["packages", "apps"].includes(parts[0] ?? "") ? parts.slice(0, 2).join("/") : (parts[0] ?? file);
  const size = sizes.get(group) ?? { files: 0, source: 0, tests: 0 };
  sizes.set(group, size);
  const lines = codeLines(readFileSync(join(root, file), "utf8"));
  size.files += 1;
  if (file.includes(".test.")) size.tests += lines;
  else size.source += lines;
}
const total: Size = { files: 0, source: 0, tests: 0 };
for (const size of sizes.values()) {
  total.files += size.files;
  total.source += size.source;
  total.tests += size.tests;
}
console.table(Object.fromEntries([...sizes, ["total", total]]));
