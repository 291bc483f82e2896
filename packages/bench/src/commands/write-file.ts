/**
 * Writing results: a file appears whole or not at all, and "-" is standard output. What is there stays as it is when the disk is
 * full or the process ends half-way.
 */

import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { UserError } from "@quern/core/errors";

const CAUSES: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full",
  EDQUOT: "the quota of the disk is used up",
  EACCES: "permission denied",
  EROFS: "the file system is read-only",
  EISDIR: "it is a folder",
};

function described(cause: unknown): string {
  const { code, message } = cause as NodeJS.ErrnoException;
  return (code === undefined ? undefined : CAUSES[code]) ?? message;
}

/**
 * Where the content of `path` goes: through links to the file itself, so that they stay links. A device or a pipe is written to
 * and not replaced: a file in the place of /dev/null would take it from everybody.
 */
function placeOf(path: string): { readonly target: string; readonly replace: boolean } {
  const target = resolve(path);
  const found = statSync(target, { throwIfNoEntry: false });
  if (found === undefined) return { target, replace: true };
  return { target: realpathSync(target), replace: found.isFile() || found.isDirectory() };
}

/**
 * The file that writing to `path` makes or replaces, one name for each however it is reached; undefined for standard output and
 * devices, which take one content after another. The folder must be there.
 */
export function writtenFile(path: string): string | undefined {
  if (path === "-") return undefined;
  const { target, replace } = placeOf(path);
  return replace ? join(realpathSync(dirname(target)), basename(target)) : undefined;
}

/** Checks that `path` can be written before hours of work go into its content. `option` names it in the error. */
export function requireWritable(path: string, option: string): void {
  if (path === "-") return;
  try {
    const { target, replace } = placeOf(path);
    if (!replace) {
      accessSync(target, constants.W_OK);
      return;
    }
    if (statSync(target, { throwIfNoEntry: false })?.isDirectory() === true)
      throw Object.assign(new Error("it is a folder"), { code: "EISDIR" });
    const probe = `${target}.${process.pid}.part`;
    makeFolder(dirname(probe));
    writeFileSync(probe, "");
    rmSync(probe);
  } catch (cause) {
    throw new UserError(`the file cannot be written (${described(cause)})`, { where: `${option} ${path}`, cause });
  }
}

/** Makes a folder and those above it. (Node's own recursive mkdir never returns for some paths below /proc.) */
export function makeFolder(folder: string): void {
  if (existsSync(folder)) return;
  makeFolder(dirname(folder));
  try {
    mkdirSync(folder);
  } catch (error) {
    // Another writer may have made it meanwhile.
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

/** Indented, as all JSON that commands write; members that are `undefined` are left out. */
export function writeJson(path: string, value: unknown): void {
  writeWhole(path, `${JSON.stringify(value, null, 2)}\n`);
}

export function writeWhole(path: string, content: string | Uint8Array): void {
  if (path === "-") {
    process.stdout.write(content);
    return;
  }
  let part: string | undefined;
  try {
    const { target, replace } = placeOf(path);
    if (!replace) {
      writeFileSync(target, content);
      return;
    }
    makeFolder(dirname(target));
    part = `${target}.${process.pid}.part`;
    writeSynced(part, content);
    renameSync(part, target);
  } catch (cause) {
    if (part !== undefined) rmSync(part, { force: true });
    throw new UserError(`the file cannot be written (${described(cause)})`, { where: path, cause });
  }
}

/** File systems that allocate late report a full disk only here: before the new file takes the place of the old. */
export function writeSynced(path: string, content: string | Uint8Array): void {
  const file = openSync(path, "w");
  try {
    writeFileSync(file, content);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
