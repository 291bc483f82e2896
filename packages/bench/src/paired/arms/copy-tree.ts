/** Copies folders for arms: cheap where the file system can share blocks, and whole in themselves where links allow it. */

import { constants } from "node:fs";
import { copyFile, lstat, mkdir, readdir, readlink, realpath, rm, symlink } from "node:fs/promises";
import { dirname, isAbsolute, join, relative, resolve, sep } from "node:path";

/** Whether `path` is `folder` or lies below it. Both absolute. */
export function isWithin(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way === "" || (way !== ".." && !way.startsWith(`..${sep}`) && !isAbsolute(way));
}

/**
 * Copies the folder `from` to `to`, `.git` apart. Links within it stay within the copy; links that lead out of it keep
 * leading to where they led, and preflight will say so should a bench follow one.
 */
export async function copyTree(from: string, to: string, signal?: AbortSignal): Promise<void> {
  await copyEntry(await realpath(from), to, from, signal);
}

/** Copies one entry of `root`: a file, a link or a folder with all it has. What was at `to` is replaced. */
export async function copyInto(root: string, path: string, to: string, signal?: AbortSignal): Promise<void> {
  await rm(to, { recursive: true, force: true });
  await mkdir(dirname(to), { recursive: true });
  await copyEntry(root, to, join(root, path), signal);
}

async function copyEntry(root: string, to: string, from: string, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  const entry = await lstat(from);
  if (entry.isSymbolicLink()) {
    await symlink(await linkText(root, from), to);
  } else if (entry.isDirectory()) {
    await mkdir(to, { recursive: true });
    for (const name of await readdir(from)) {
      if (name !== ".git") await copyEntry(root, join(to, name), join(from, name), signal);
    }
  } else if (entry.isFile()) {
    await copyFile(from, to, constants.COPYFILE_FICLONE);
  }
  // Sockets and pipes belong to processes, not to builds.
}

async function linkText(root: string, link: string): Promise<string> {
  const text = await readlink(link);
  const folder = await realpath(dirname(link));
  const target = resolve(folder, text);
  if (!isWithin(root, target)) return target;
  return isAbsolute(text) ? relative(folder, target) || "." : text;
}
