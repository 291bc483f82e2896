import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { generatedPages } from "./gen-docs.ts";
import { root } from "./workspace.ts";

describe("generated pages", () => {
  it.each([...generatedPages()])("%s is what `npm run docs` writes", (path, text) => {
    const file = join(root, path);
    expect(existsSync(file) ? readFileSync(file, "utf8") : "").toBe(text);
  });
});
