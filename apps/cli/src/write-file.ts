/**
 * Writing results: a file appears whole or not at all, and "-" is standard output.
 */

import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { UserError } from "@quern/core";

/** Checks that `path` can be written before hours of work go into its content. `option` names it in the error. */
export function requireWritable(path: string, option: string): void {
  if (path === "-") return;
  const probe = `${resolve(path)}.${process.pid}.part`;
  try {
    makeFolder(dirname(probe));
    writeFileSync(probe, "");
    rmSync(probe);
  } catch (cause) {
    throw new UserError(`the file cannot be written (${(cause as Error).message})`, {
      where: `${option} ${path}`,
      cause,
    });
  }
}

/** Makes a folder and those above it. (Node's own recursive mkdir never returns for some paths below /proc.) */
function makeFolder(folder: string): void {
  if (existsSync(folder)) return;
  makeFolder(dirname(folder));
  mkdirSync(folder);
}

export function writeWhole(path: string, content: string | Uint8Array): void {
  if (path === "-") {
    process.stdout.write(content);
    return;
  }
  const target = resolve(path);
  const part = `${target}.${process.pid}.part`;
  try {
    makeFolder(dirname(target));
    writeFileSync(part, content);
    renameSync(part, target);
  } catch (cause) {
    rmSync(part, { force: true });
    throw new UserError(`the file cannot be written (${(cause as Error).message})`, { where: path, cause });
  }
}
