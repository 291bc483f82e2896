/** Bench files of one build, found by the globs of the configuration. */

import { globSync, statSync } from "node:fs";
import { join, sep } from "node:path";
import { UserError } from "@quern/core/errors";

const NEVER = ["**/node_modules/**", "**/.git/**"];

/** Paths relative to `folder`, with slashes, each once, sorted: the order must not depend on the file system. */
export function filesOfGlobs(folder: string, globs: readonly string[]): string[] {
  const found = globs.flatMap((glob) => globSync(glob, { cwd: folder, exclude: NEVER }));
  return [...new Set(found.map((path) => path.split(sep).join("/")))]
    .filter((path) => statSync(join(folder, path), { throwIfNoEntry: false })?.isFile() === true)
    .sort();
}

/** As `filesOfGlobs`; none at all is an error. `what` names the build. */
export function findBenchFiles(folder: string, globs: readonly string[], what: string): string[] {
  const files = filesOfGlobs(folder, globs);
  if (files.length > 0) return files;
  throw new UserError(`${what} has no bench files`, {
    where: folder,
    hint: `No file is named like ${globs.join(", ")}; "benches" in quern.bench.config.ts sets the names.`,
  });
}
