/**
 * Which compiler made a kernel: a digest over name, size and time of every file of the code that is running, so that a
 * change of a single source, or another version of a package, finds nothing of what was kept before.
 */

import { createHash } from "node:crypto";
import { readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

let known: string | undefined;

export function buildId(): string {
  if (known !== undefined) return known;
  const hash = createHash("sha256");
  const roots = [import.meta.resolve("@quern/core"), new URL("../../index", import.meta.url).href];
  for (const root of roots) addFolder(dirname(fileURLToPath(root)), hash);
  return (known = hash.digest("hex"));
}

function addFolder(folder: string, hash: ReturnType<typeof createHash>): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) addFolder(path, hash);
    else if (/\.(ts|js)$/.test(entry.name) && !/\.(test|d)\.ts$/.test(entry.name)) {
      const { size, mtimeMs } = statSync(path);
      hash.update(`${path} ${size} ${mtimeMs}\n`);
    }
  }
}
